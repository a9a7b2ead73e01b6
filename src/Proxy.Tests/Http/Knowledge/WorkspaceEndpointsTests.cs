using System.Text.Json;
using Proxy.Knowledge;
using Proxy.Knowledge.Analysis;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Http.Knowledge;

/// <summary>OpenAI's vector stores, their files and batches. Every answer is checked against OpenAI's schema.</summary>
public sealed class WorkspaceEndpointsTests
{
    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Workspace_IsCreated_Found_Changed_AndDeleted_AndItsFilesStay()
    {
        await using var door = await KnowledgeDoor.StartAsync();
        var file = await door.FileAsync();

        var (status, made, _) = await door.SendAsync("POST", "/v1/vector_stores", $$$"""
            {"name":"docs","description":"All of it","metadata":{"a":"1"},"expires_after":{"anchor":"last_active_at","days":7},
             "file_ids":["{{{file}}}"],"chunking_strategy":{"type":"static","static":{"max_chunk_size_tokens":800,"chunk_overlap_tokens":400}},"unknown":1}
            """);

        Assert.Equal(200, status);
        Valid("VectorStoreObject", made);
        var id = made.GetProperty("id").GetString()!;
        Assert.Equal(("docs", "All of it", "in_progress", 1), (Text(made, "name"), Text(made, "description"), Text(made, "status"),
            made.GetProperty("file_counts").GetProperty("in_progress").GetInt32()));
        Assert.Equal(7 * 86400, made.GetProperty("expires_at").GetInt64() - made.GetProperty("last_active_at").GetInt64());
        Assert.Equal(id, Text((await door.SendAsync("GET", "/v1/vector_stores/docs")).Json, "id")); // by its name
        var (_, attached, _) = await door.SendAsync("GET", $"/vector_stores/docs/files/{file}");
        Assert.Equal((254, 127), Cut(attached)); // what the bundled model reads, and half of it

        var (_, changed, _) = await door.SendAsync("POST", $"/v1/vector_stores/{id}", """{"name":"papers","metadata":{"b":"2"},"expires_after":null}""");

        Valid("VectorStoreObject", changed);
        Assert.Equal(("papers", "All of it", """{"b":"2"}""", false), (Text(changed, "name"), Text(changed, "description"),
            changed.GetProperty("metadata").GetRawText(), changed.TryGetProperty("expires_after", out _)));
        var (_, deleted, _) = await door.SendAsync("DELETE", "/v1/vector_stores/papers");
        Valid("DeleteVectorStoreResponse", deleted);
        Assert.Equal(id, Text(deleted, "id"));
        var (gone, error, _) = await door.SendAsync("GET", $"/v1/vector_stores/{id}");
        Assert.Equal((404, $"No vector store found with id '{id}'."), (gone, Message(error)));
        Valid("ErrorResponse", error);
        Assert.Equal(200, (await door.SendAsync("GET", $"/v1/files/{file}")).Status);
    }

    [Fact]
    public async Task List_HasPagesInBothDirections()
    {
        await using var door = await KnowledgeDoor.StartAsync();
        var ids = new List<string>();
        for (var i = 0; i < 5; i++)
        {
            door.Proxy.Time.Advance(TimeSpan.FromSeconds(1));
            ids.Add(await door.WorkspaceAsync($"{i}"));
        }

        Assert.Equal(("4 3", true), await PageAsync("limit=2"));
        Assert.Equal(("1 0", false), await PageAsync($"limit=2&after={ids[2]}"));
        Assert.Equal(("4 3", false), await PageAsync($"limit=2&before={ids[2]}"));
        Assert.Equal(("2 1", true), await PageAsync($"limit=2&before={ids[0]}"));
        Assert.Equal(("0 1 2 3 4", false), await PageAsync("order=asc"));
        Assert.Equal(400, (await door.SendAsync("GET", "/v1/vector_stores?limit=101")).Status);

        async Task<(string Names, bool HasMore)> PageAsync(string query)
        {
            var (_, json, _) = await door.SendAsync("GET", "/v1/vector_stores?" + query);
            Valid("ListVectorStoresResponse", json);
            return (string.Join(' ', json.GetProperty("data").EnumerateArray().Select(static store => Text(store, "name"))),
                json.GetProperty("has_more").GetBoolean());
        }
    }

    [Theory]
    [InlineData("{", null, "not valid JSON")]
    [InlineData("[]", null, "must be a JSON object")]
    [InlineData("""{"name":5}""", "name", "must be a string")]
    [InlineData("""{"name":"\ud800"}""", "name", "must be a string")]
    [InlineData("""{"metadata":[]}""", "metadata", "must be an object")]
    [InlineData("""{"metadata":{"a":1}}""", "metadata.a", "must be a string of at most 512 characters")]
    [InlineData("""{"expires_after":{"anchor":"last_active_at"}}""", "expires_after.days", "is missing")]
    [InlineData("""{"expires_after":{"anchor":"last_active_at","days":0}}""", "expires_after.days", "must be an integer from 1 to 365")]
    [InlineData("""{"expires_after":{"anchor":"created_at","days":1}}""", "expires_after.anchor", "must be \"last_active_at\"")]
    [InlineData("""{"file_ids":"file-1"}""", "file_ids", "must be an array")]
    [InlineData("""{"file_ids":[7]}""", "file_ids[0]", "must be a string")]
    [InlineData("""{"files":[{"attributes":{}}]}""", "files[0].file_id", "is missing")]
    [InlineData("""{"files":[{"file_id":"f","attributes":{"a":[]}}]}""", "files[0].attributes.a", "a number, true or false")]
    [InlineData("""{"files":[{"file_id":"f"}],"file_ids":["f"]}""", "files", "exclude each other")]
    [InlineData("""{"chunking_strategy":{"type":"other"}}""", "chunking_strategy.type", "must be \"auto\" or \"static\"")]
    [InlineData("""{"chunking_strategy":{"type":"static"}}""", "chunking_strategy.static", "is missing")]
    [InlineData("""{"chunking_strategy":{"type":"static","static":{"max_chunk_size_tokens":99,"chunk_overlap_tokens":0}}}""",
        "chunking_strategy.static.max_chunk_size_tokens", "from 100 to 4096")]
    [InlineData("""{"chunking_strategy":{"type":"static","static":{"max_chunk_size_tokens":100,"chunk_overlap_tokens":51}}}""",
        "chunking_strategy.static.chunk_overlap_tokens", "more than half")]
    public async Task WrongMember_IsNamed(string body, string? param, string message)
    {
        await using var door = await KnowledgeDoor.StartAsync();

        var (status, error, _) = await door.SendAsync("POST", "/v1/vector_stores", body);

        Assert.Equal((400, param), (status, Text(error.GetProperty("error"), "param")));
        Assert.Contains(message, Message(error), StringComparison.Ordinal);
        Assert.Empty(await door.Store.WorkspacesAsync(Stop));
    }

    [Fact]
    public async Task AttachedFile_IsReturned_Changed_Listed_AndTakenOut()
    {
        await using var door = await KnowledgeDoor.StartAsync();
        var (id, file) = (await door.WorkspaceAsync(), await door.FileAsync());

        var (status, attached, reply) = await door.SendAsync(
            "POST", $"/v1/vector_stores/{id}/files", $$$"""{"file_id":"{{{file}}}","attributes":{"year":2024,"lang":"de","draft":false}}""");

        Assert.Equal(200, status);
        Valid("VectorStoreFileObject", attached);
        Assert.Equal((file, id, "in_progress", """{"year":2024,"lang":"de","draft":false}"""),
            (Text(attached, "id"), Text(attached, "vector_store_id"), Text(attached, "status"), attached.GetProperty("attributes").GetRawText()));
        Assert.Equal((215, 32), Cut(attached)); // auto: 0.85 of the 254 tokens that the bundled model reads, and 15 % of that
        Assert.InRange(int.Parse(reply.Headers.GetValues("openai-poll-after-ms").Single()), 100, 1000);
        var (_, changed, _) = await door.SendAsync("POST", $"/v1/vector_stores/{id}/files/{file}", """{"attributes":{"year":2025}}""");
        Assert.Equal("""{"year":2025}""", changed.GetProperty("attributes").GetRawText());
        Assert.Equal(changed.GetRawText(), (await door.SendAsync("GET", $"/v1/vector_stores/{id}/files/{file}")).Json.GetRawText());
        var (_, list, _) = await door.SendAsync("GET", $"/v1/vector_stores/{id}/files?filter=in_progress");
        Valid("ListVectorStoreFilesResponse", list);
        Assert.Equal(file, Text(Assert.Single(list.GetProperty("data").EnumerateArray()), "id"));
        Assert.Empty((await door.SendAsync("GET", $"/v1/vector_stores/{id}/files?filter=completed")).Json.GetProperty("data").EnumerateArray());
        Assert.Equal(400, (await door.SendAsync("GET", $"/v1/vector_stores/{id}/files?filter=done")).Status);

        var (_, deleted, _) = await door.SendAsync("DELETE", $"/v1/vector_stores/{id}/files/{file}");

        Valid("DeleteVectorStoreFileResponse", deleted);
        var (gone, error, _) = await door.SendAsync("GET", $"/v1/vector_stores/{id}/files/{file}");
        Assert.Equal((404, $"No file found with id '{file}' in vector store '{id}'."), (gone, Message(error)));
        Assert.Equal(404, (await door.SendAsync("DELETE", $"/v1/vector_stores/{id}/files/{file}")).Status);
        Assert.Equal(200, (await door.SendAsync("GET", $"/v1/files/{file}")).Status);
    }

    [Fact]
    public async Task UnknownFile_IsNamed_AndNothingIsAttached()
    {
        await using var door = await KnowledgeDoor.StartAsync();
        var (id, file) = (await door.WorkspaceAsync(), await door.FileAsync());

        var (one, error, _) = await door.SendAsync("POST", $"/v1/vector_stores/{id}/files", """{"file_id":"file-no"}""");
        var (batch, second, _) = await door.SendAsync("POST", $"/v1/vector_stores/{id}/file_batches", $$$"""{"file_ids":["{{{file}}}","file-no"]}""");
        var (created, third, _) = await door.SendAsync("POST", "/v1/vector_stores", """{"name":"x","files":[{"file_id":"file-no"}]}""");
        var (none, _, _) = await door.SendAsync("POST", $"/v1/vector_stores/{id}/file_batches", "{}");
        var (missing, _, _) = await door.SendAsync("POST", $"/v1/vector_stores/{id}/files", "{}");

        Assert.Equal((404, 404, 404, 400, 400), (one, batch, created, none, missing));
        Assert.Equal("No such File object: file-no", Message(error));
        Assert.Equal(("file_ids[1]", "files[0].file_id"), (Text(second.GetProperty("error"), "param"), Text(third.GetProperty("error"), "param")));
        Assert.Equal(0, (await door.Store.CountsAsync(id, null, Stop)).Total);
        Assert.Single(await door.Store.WorkspacesAsync(Stop));
    }

    [Fact]
    public async Task Batch_TakesFilesWithTheirAttributes_AndIsCancelled()
    {
        await using var door = await KnowledgeDoor.StartAsync();
        var id = await door.WorkspaceAsync();
        var (one, two) = (await door.FileAsync(), await door.FileAsync(name: "b.txt"));

        var (status, batch, reply) = await door.SendAsync("POST", $"/v1/vector_stores/{id}/file_batches", $$$"""
            {"files":[{"file_id":"{{{one}}}","attributes":{"n":1}},{"file_id":"{{{two}}}","chunking_strategy":{"type":"auto"}},{"file_id":"{{{one}}}"}]}
            """);

        Assert.Equal(200, status);
        Valid("VectorStoreFileBatchObject", batch);
        Assert.True(reply.Headers.Contains("openai-poll-after-ms"));
        var batchId = Text(batch, "id");
        Assert.Equal(("in_progress", 2), (Text(batch, "status"), batch.GetProperty("file_counts").GetProperty("total").GetInt32()));
        var (_, list, _) = await door.SendAsync("GET", $"/v1/vector_stores/{id}/file_batches/{batchId}/files?limit=1");
        Valid("ListVectorStoreFilesResponse", list);
        Assert.True(list.GetProperty("has_more").GetBoolean());

        var (_, cancelled, _) = await door.SendAsync("POST", $"/v1/vector_stores/{id}/file_batches/{batchId}/cancel");

        Valid("VectorStoreFileBatchObject", cancelled);
        Assert.Equal(("cancelled", 2), (Text(cancelled, "status"), cancelled.GetProperty("file_counts").GetProperty("cancelled").GetInt32()));
        Assert.Equal(cancelled.GetRawText(), (await door.SendAsync("GET", $"/v1/vector_stores/{id}/file_batches/{batchId}")).Json.GetRawText());
        Assert.Equal(404, (await door.SendAsync("GET", $"/v1/vector_stores/{id}/file_batches/vsfb_no")).Status);
        Assert.Equal(404, (await door.SendAsync("GET", $"/v1/vector_stores/{id}/file_batches/vsfb_no/files")).Status);
    }

    [Fact]
    public async Task ContentOfManyChunks_IsWrittenWhole()
    {
        await using var door = await KnowledgeDoor.StartAsync();
        var (id, file) = (await door.WorkspaceAsync(), await door.FileAsync());
        await door.SendAsync("POST", $"/v1/vector_stores/{id}/files", $$$"""{"file_id":"{{{file}}}"}""");
        var claimed = await door.Store.ClaimAsync("test", TimeSpan.FromMinutes(1), Stop);
        var chunks = Enumerable.Range(0, 250).Select(static i => new NewChunk
        {
            Text = $"chunk {i}", Vectors = [], Terms = new TextAnalyzer().TermsOf("", $"chunk {i}"),
        }).ToArray();
        Assert.True(await door.Store.AppendAsync("test", TimeSpan.FromMinutes(1), claimed!, 0, chunks, isLast: true, Stop));

        var (status, content, _) = await door.SendAsync("GET", $"/v1/vector_stores/{id}/files/{file}/content");

        Assert.Equal(200, status);
        Valid("VectorStoreFileContentResponse", content);
        Assert.Equal(chunks.Select(static chunk => chunk.Text), content.GetProperty("data").EnumerateArray().Select(static part => Text(part, "text")));
        Assert.Equal("completed", Text((await door.SendAsync("GET", $"/v1/vector_stores/{id}/files/{file}")).Json, "status"));
    }

    [Fact]
    public async Task DeletedFile_LeavesEveryWorkspace()
    {
        await using var door = await KnowledgeDoor.StartAsync();
        var file = await door.FileAsync();
        var (one, two) = (await door.WorkspaceAsync("one"), await door.WorkspaceAsync("two"));
        foreach (var id in new[] { one, two }) await door.SendAsync("POST", $"/v1/vector_stores/{id}/files", $$$"""{"file_id":"{{{file}}}"}""");

        await door.SendAsync("DELETE", $"/v1/files/{file}");

        foreach (var id in new[] { one, two }) Assert.Equal(404, (await door.SendAsync("GET", $"/v1/vector_stores/{id}/files/{file}")).Status);
    }

    [Theory]
    [InlineData("GET", "/v1/vector_stores/x/nothing", 404, null)]
    [InlineData("GET", "/v1/files/a/b/c", 404, null)]
    [InlineData("PUT", "/v1/files", 405, "POST, GET, OPTIONS")]
    [InlineData("DELETE", "/v1/vector_stores/x/search", 405, "POST, OPTIONS")]
    [InlineData("PATCH", "/v1/vector_stores/x", 405, "GET, POST, DELETE, OPTIONS")]
    public async Task WrongPathAndMethod_AreRefused(string method, string path, int expected, string? allow)
    {
        await using var door = await KnowledgeDoor.StartAsync();

        var (status, error, reply) = await door.SendAsync(method, path);

        Assert.Equal(expected, status);
        Valid("ErrorResponse", error);
        Assert.Equal(allow, reply.Content.Headers.TryGetValues("allow", out var said) ? string.Join(", ", said) : null);
    }

    [Fact]
    public async Task CallsAreLogged_UnderThePathOfTheirRow()
    {
        await using var door = await KnowledgeDoor.StartAsync();
        await door.SendAsync("GET", "/vector_stores/none/files/file-1");

        var line = await door.Proxy.Log.EventAsync("call");

        Assert.Equal(("/v1/vector_stores/{vector_store_id}/files/{file_id}", "404"), (ProxyLog.Text(line, "surface"), ProxyLog.Text(line, "status")));
    }

    [Theory]
    [InlineData("", "STATE_DIRECTORY")]
    [InlineData("[knowledge]\nenabled = false", "enabled = false")]
    public async Task NoStore_EveryCallSaysWhatToConfigure(string config, string hint)
    {
        await using var proxy = await RoutedProxy.StartAsync(FrontDoor.Server() + "\n" + config, static _ => []);
        (string Method, string Path)[] calls =
        [
            ("POST", "/v1/files"), ("GET", "/v1/files"), ("GET", "/v1/files/x/content"), ("POST", "/v1/vector_stores"), ("GET", "/v1/vector_stores/x"),
            ("POST", "/v1/vector_stores/x/search"), ("POST", "/vector_stores/x/file_batches"),
        ];

        foreach (var (method, path) in calls)
        {
            var reply = await RawClient.SendAsync(proxy.Address, method, path, method == "POST" ? "{}"u8.ToArray() : null);

            Assert.Equal((501, "not_implemented"), (reply.Status, reply.ErrorCode));
            Assert.Contains(hint, reply.ErrorMessage, StringComparison.Ordinal);
        }
    }

    private static void Valid(string schema, JsonElement json) => OpenApiSchema.OpenAi.Valid(schema, json.GetRawText());

    private static string? Text(JsonElement json, string name) => json.GetProperty(name).GetString();

    private static string Message(JsonElement error) => error.GetProperty("error").GetProperty("message").GetString()!;

    private static (int Tokens, int Overlap) Cut(JsonElement file)
    {
        var cut = file.GetProperty("chunking_strategy").GetProperty("static");
        return (cut.GetProperty("max_chunk_size_tokens").GetInt32(), cut.GetProperty("chunk_overlap_tokens").GetInt32());
    }
}
