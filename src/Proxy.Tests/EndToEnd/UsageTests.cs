using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Proxy.Tests.Harness;
using Proxy.Tests.Store;

namespace Proxy.Tests.EndToEnd;

/// <summary>Who is shown which usage, at <c>/v1/usage</c> and by <c>proxy usage</c>, and what <c>proxy forget</c> deletes.</summary>
public sealed class UsageTests(UsageTests.Door door) : IClassFixture<UsageTests.Door>
{
    private static readonly string Today = TimeProvider.System.GetUtcNow().ToString("yyyy-MM-dd", System.Globalization.CultureInfo.InvariantCulture);

    public sealed class Door : FrontDoor
    {
        protected override string Sections()
        {
            var host = Host();
            host.Answer(static exchange => exchange.JsonAsync(OpenAi.Whole("fine", "m"))); // 9 tokens in, 7 out
            return $"""
                [[backends]]
                name = "host"
                url = "{host.Url}"
                dialects = ["openai"]
                models = ["m", "n"]
                [store]
                kind = "sqlite"
                [cache]
                {Key("alice")}
                {Key("bob")}
                {Key("carol")}
                {Key("dave")}
                {Key("erin")}
                {Key("ops")}
                admin = true
                """;
        }

        private static string Key(string name) => $"""
            [[auth.keys]]
            name = "{name}"
            sha256 = "{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes("sk-" + name)))}"
            """;
    }

    [Fact]
    public async Task Key_sees_its_own_usage_and_an_admin_key_that_of_all()
    {
        await CallAsync("alice", "m");
        await CallAsync("alice", "m");
        await CallAsync("alice", "n");
        await CallAsync("bob", "m");

        var own = await UsageAsync("alice");
        Assert.Equal([$"{Today} alice m 2 18 14", $"{Today} alice n 1 9 7"], Lines(own));
        Assert.Equal("3 27 21", Counts(own.GetProperty("total")));
        Assert.Equal(("list", Today), (own.GetProperty("object").GetString(), own.GetProperty("to").GetString()));

        Assert.Equal(
            [$"{Today} alice m 2 18 14", $"{Today} alice n 1 9 7", $"{Today} bob m 1 9 7"],
            Lines(await UsageAsync("ops")).Where(static line => line.Split(' ')[1] is "alice" or "bob"));
        Assert.Equal([$"{Today} bob m 1 9 7"], Lines(await UsageAsync("ops", "?owner=bob")));
        Assert.Equal([$"{Today} bob m 1 9 7"], Lines(await UsageAsync("bob", "?owner=bob")));
    }

    [Theory]
    [InlineData("alice", "?owner=bob", 403, "admin")]
    [InlineData("alice", "?from=yesterday", 400, "from")]
    [InlineData("alice", "?to=2026-13-01", 400, "to")]
    [InlineData("alice", "?from=2026-02-02&to=2026-02-01", 400, "from")]
    [InlineData("mallory", "", 401, "key")]
    [InlineData(null, "", 401, "key")]
    public async Task Question_that_is_not_answered_Is_refused(string? key, string query, int status, string said)
    {
        var reply = await door.GetAsync("/v1/usage" + query, key is null ? [] : [$"Authorization: Bearer sk-{key}"]);

        Assert.Equal(status, reply.Status);
        Assert.Contains(said, reply.ErrorMessage, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Days_are_asked_for_Others_are_left_out()
    {
        await CallAsync("dave", "n");

        Assert.Empty(Lines(await UsageAsync("dave", "?from=2001-01-01&to=2001-12-31")));
        Assert.NotEmpty(Lines(await UsageAsync("dave", $"?from={Today}&to={Today}")));
    }

    [Fact]
    public async Task Owner_is_forgotten_from_the_terminal_Nothing_of_hers_is_left()
    {
        await CallAsync("carol", "m");
        var (code, table) = await door.Proxy.CommandAsync("usage", "--owner", "carol");
        Assert.Equal(0, code);
        Assert.Matches($@"^DAY +KEY +MODEL +REQUESTS +TOKENS_IN +TOKENS_OUT\n{Today} +carol +m +1 +9 +7\ntotal +1 +9 +7\n", table);
        var json = JsonElement.Parse((await door.Proxy.CommandAsync("usage", "--json", "--owner", "carol")).Output);
        Assert.Equal([$"{Today} carol m 1 9 7"], Lines(json, "usage"));

        Assert.Equal(1, (await door.Proxy.CommandAsync("forget", "carol")).ExitCode); // the question gets no answer
        Assert.Equal(1, SqliteFile.Count(door.Proxy.StoreFile, "exchanges where owner = 'carol'"));
        Assert.Equal((0, "2 rows of carol were deleted\n"), await door.Proxy.CommandAsync("forget", "carol", "--yes"));

        Assert.Equal(0, SqliteFile.Count(door.Proxy.StoreFile, "exchanges where owner = 'carol'"));
        Assert.Empty(Lines(await UsageAsync("carol")));
        Assert.Equal((0, "{\n  \"deleted\": 0\n}\n"), await door.Proxy.CommandAsync("forget", "carol", "--yes", "--json"));
    }

    [Fact]
    public async Task Owner_is_forgotten_Her_answers_leave_the_memory_too()
    {
        string[] key = ["Authorization: Bearer sk-erin"];
        var response = await door.PostAsync("/v1/responses", """{"model":"m","input":"x"}""", key);
        var stream = await door.PostAsync("/v1/chat/completions", OpenAi.Request("m"), [.. key, "x-resume: 1", "x-cache: use"]);
        string[] paths = [$"/v1/responses/resp_{response.TraceId}", $"/v1/streams/{stream.TraceId}"];
        foreach (var path in paths) Assert.Equal(200, (await door.GetAsync(path, key)).Status);
        Assert.Equal("hit", await CacheAsync());
        Assert.Equal(2, SqliteFile.Count(door.Proxy.StoreFile, $"exchanges where req_id = '{stream.Header("x-req-id")}'"));

        Assert.Equal(0, (await door.Proxy.CommandAsync("forget", "erin", "--yes")).ExitCode);

        foreach (var path in paths) Assert.Equal(404, (await door.GetAsync(path, key)).Status);
        Assert.Equal("miss", await CacheAsync());

        async Task<string?> CacheAsync() => (await door.PostAsync("/v1/chat/completions", OpenAi.Request("m"), [.. key, "x-cache: use"])).Header("x-cache");
    }

    [Fact]
    public async Task Proxy_has_no_keys_This_machine_sees_all_and_a_forwarded_call_nothing()
    {
        await using var proxy = await ProxyProcess.StartAsync($"{FrontDoor.Server()}\n[log]\nformat = \"json\"\n[store]\n");
        await RawClient.SendAsync(proxy.Address, "POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(OpenAi.Request("echo")));

        var usage = await RawClient.SendAsync(proxy.Address, "GET", "/v1/usage");
        Assert.StartsWith($"{Today} anonymous echo 1 ", Assert.Single(Lines(usage.Json)), StringComparison.Ordinal);
        Assert.Equal(200, (await RawClient.SendAsync(proxy.Address, "GET", "/v1/usage?owner=other")).Status);
        Assert.Equal(403, (await RawClient.SendAsync(proxy.Address, "GET", "/v1/usage", null, "x-forwarded-for: 192.0.2.1")).Status);
    }

    [Fact]
    public async Task Proxy_has_no_store_Both_say_how_to_configure_one()
    {
        await using var proxy = await ProxyProcess.StartAsync($"{FrontDoor.Server()}\n[log]\nformat = \"json\"\n");

        var reply = await RawClient.SendAsync(proxy.Address, "GET", "/v1/usage");
        var (code, output) = await proxy.CommandAsync("usage");
        var (forgot, said) = await proxy.CommandAsync("forget", "alice", "--yes");

        Assert.Equal((501, 1, 1), (reply.Status, code, forgot));
        Assert.All((string[])[reply.ErrorMessage, output, said], text => Assert.Contains("[store] with kind = \"sqlite\"", text, StringComparison.Ordinal));
        Assert.False(File.Exists(proxy.StoreFile));
    }

    private async Task CallAsync(string key, string model) => Assert.Equal(200, (await door.PostAsync(
        "/v1/chat/completions", OpenAi.Request(model), $"Authorization: Bearer sk-{key}")).Status);

    private async Task<JsonElement> UsageAsync(string key, string query = "")
    {
        var reply = await door.GetAsync("/v1/usage" + query, $"Authorization: Bearer sk-{key}");
        Assert.Equal(200, reply.Status);
        return reply.Json;
    }

    private static string[] Lines(JsonElement usage, string list = "data") => [.. usage.GetProperty(list).EnumerateArray()
        .Select(static row => $"{row.GetProperty("day")} {row.GetProperty("owner")} {row.GetProperty("model")} {Counts(row)}")];

    private static string Counts(JsonElement row) => $"{row.GetProperty("requests")} {row.GetProperty("input_tokens")} {row.GetProperty("output_tokens")}";
}
