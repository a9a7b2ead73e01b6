using Proxy.Knowledge;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Http.Knowledge;

/// <summary>Who sees and changes which files and workspaces.</summary>
public sealed class KnowledgeAccessTests
{
    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task WhatBelongsToAnotherKey_IsAsIfItDidNotExist()
    {
        await using var door = await KnowledgeDoor.StartAsync(KnowledgeDoor.Keys);
        var (id, file) = (await door.WorkspaceAsync("secret", "key-ann"), await door.FileAsync(key: "key-ann"));
        var (own, foreign) = (await door.WorkspaceAsync("mine", "key-bob"), "key-bob");
        (string Method, string Path, string? Body)[] calls =
        [
            ("GET", $"/v1/files/{file}", null), ("GET", $"/v1/files/{file}/content", null), ("DELETE", $"/v1/files/{file}", null),
            ("GET", $"/v1/vector_stores/{id}", null), ("GET", "/v1/vector_stores/secret", null), ("DELETE", $"/v1/vector_stores/{id}", null),
            ("POST", $"/v1/vector_stores/{id}", "{}"), ("GET", $"/v1/vector_stores/{id}/files", null),
            ("POST", $"/v1/vector_stores/{id}/search", """{"query":"x"}"""), ("POST", $"/v1/vector_stores/{id}/files", $$"""{"file_id":"{{file}}"}"""),
            ("POST", $"/v1/vector_stores/{own}/files", $$"""{"file_id":"{{file}}"}"""), ("POST", "/v1/vector_stores", $$"""{"file_ids":["{{file}}"]}"""),
        ];

        foreach (var (method, path, body) in calls)
        {
            var (status, error, _) = await door.SendAsync(method, path, body, foreign);
            Assert.True(status == 404, $"{method} {path}: {status}");
            OpenApiSchema.OpenAi.Valid("ErrorResponse", error.GetRawText());
        }

        Assert.Empty((await door.SendAsync("GET", "/v1/files", key: foreign)).Json.GetProperty("data").EnumerateArray());
        Assert.Equal(own, Assert.Single((await door.SendAsync("GET", "/v1/vector_stores", key: foreign)).Json.GetProperty("data").EnumerateArray())
            .GetProperty("id").GetString());
        Assert.Equal(200, (await door.SendAsync("GET", $"/v1/files/{file}", key: "key-ann")).Status);
        Assert.Equal(200, (await door.SendAsync("GET", $"/v1/files/{file}", key: "key-root")).Status);
        Assert.Equal(200, (await door.SendAsync("GET", "/v1/vector_stores/secret", key: "key-root")).Status);
        Assert.Equal(401, (await door.SendAsync("GET", "/v1/files")).Status);
    }

    [Fact]
    public async Task KeyWithAList_UsesTheNamesOfIt_AndIsForbiddenOthers()
    {
        await using var door = await KnowledgeDoor.StartAsync(KnowledgeDoor.Keys);
        await door.WorkspaceAsync("team-a", "key-ann");
        var other = await door.WorkspaceAsync("other", "key-ann");

        Assert.Equal(200, (await door.SendAsync("GET", "/v1/vector_stores/team-a", key: "key-cat")).Status);
        var (named, error, _) = await door.SendAsync("GET", "/v1/vector_stores/other", key: "key-cat");
        Assert.Equal((403, "forbidden"), (named, error.GetProperty("error").GetProperty("code").GetString()));
        Assert.Equal(403, (await door.SendAsync("GET", "/v1/vector_stores/not-there-either", key: "key-cat")).Status);
        Assert.Equal(404, (await door.SendAsync("GET", $"/v1/vector_stores/{other}", key: "key-cat")).Status);
        Assert.Equal(404, (await door.SendAsync("GET", "/v1/vector_stores/team-b", key: "key-cat")).Status);
        Assert.Equal(200, (await door.SendAsync("POST", "/v1/vector_stores", """{"name":"shared"}""", "key-cat")).Status);
        Assert.Equal(403, (await door.SendAsync("POST", "/v1/vector_stores", """{"name":"other"}""", "key-cat")).Status);
        Assert.Equal(403, (await door.SendAsync("POST", "/v1/vector_stores/shared", """{"name":"other"}""", "key-cat")).Status);
        Assert.Equal(200, (await door.SendAsync("DELETE", "/v1/vector_stores/team-a", key: "key-cat")).Status);
    }

    [Fact]
    public async Task WorkspaceOfTheCommandLine_IsSearchedByEveryKeyWithoutAList_ButNotChanged()
    {
        await using var door = await KnowledgeDoor.StartAsync(KnowledgeDoor.Keys);
        var local = await door.Knowledge.Access.CreateAsync(KnowledgeCaller.Local, new("manual"), Stop);

        Assert.Equal(200, (await door.SendAsync("GET", "/v1/vector_stores/manual", key: "key-ann")).Status);
        Assert.Equal(200, (await door.SendAsync("GET", $"/v1/vector_stores/{local.Id}/files", key: "key-ann")).Status);
        Assert.Equal(404, (await door.SendAsync("GET", $"/v1/vector_stores/{local.Id}", key: "key-cat")).Status);
        Assert.Equal(403, (await door.SendAsync("POST", "/v1/vector_stores/manual", """{"name":"x"}""", "key-ann")).Status);
        Assert.Equal(403, (await door.SendAsync("DELETE", "/v1/vector_stores/manual", key: "key-ann")).Status);
        Assert.Equal(403, (await door.SendAsync("DELETE", "/v1/vector_stores/manual/files/file-1", key: "key-ann")).Status);
        Assert.Equal(200, (await door.SendAsync("DELETE", "/v1/vector_stores/manual", key: "key-root")).Status);
    }

    [Fact]
    public async Task OneWithTheSameName_OfTheCallerItself_IsFoundFirst()
    {
        await using var door = await KnowledgeDoor.StartAsync(KnowledgeDoor.Keys);
        var own = await door.WorkspaceAsync("docs", "key-ann");
        door.Proxy.Time.Advance(TimeSpan.FromSeconds(1));
        await door.Knowledge.Access.CreateAsync(KnowledgeCaller.Local, new("docs"), Stop);

        Assert.Equal(own, (await door.SendAsync("GET", "/v1/vector_stores/docs", key: "key-ann")).Json.GetProperty("id").GetString());
    }

    [Fact]
    public async Task WithoutKeys_TheMachinesUserMayDoEverything()
    {
        await using var door = await KnowledgeDoor.StartAsync();
        await door.Knowledge.Access.CreateAsync(KnowledgeCaller.Local, new("manual"), Stop);

        Assert.Equal(200, (await door.SendAsync("POST", "/v1/vector_stores/manual", """{"description":"x"}""")).Status);
        Assert.Equal(200, (await door.SendAsync("DELETE", "/v1/vector_stores/manual")).Status);
    }
}
