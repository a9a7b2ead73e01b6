using System.Text;
using System.Text.Json;
using Proxy.Tests.Harness;
using Proxy.Tests.Store;

namespace Proxy.Tests.EndToEnd;

/// <summary>From a file to an answer with its source: the program itself with the bundled model, with each store, in each dialect.</summary>
public sealed class KnowledgeChatTests(UsualPostgres postgres) : IClassFixture<UsualPostgres>
{
    private const string Question = "What do tulips grow from?";

    private static readonly (string Client, string Path, string Body)[] Asks =
    [
        ("openai", "/v1/chat/completions", """{"model":"MODEL","messages":[{"role":"user","content":"QUESTION"}],"stream":STREAM}"""),
        ("responses", "/v1/responses", """{"model":"MODEL","input":"QUESTION","stream":STREAM}"""),
        ("ollama", "/api/chat", """{"model":"MODEL","messages":[{"role":"user","content":"QUESTION"}],"stream":STREAM}"""),
        ("anthropic", "/v1/messages", """{"model":"MODEL","max_tokens":99,"messages":[{"role":"user","content":"QUESTION"}],"stream":STREAM}"""),
    ];

    [Theory]
    [InlineData("sqlite")]
    [InlineData("postgres")]
    public async Task File_is_put_into_a_workspace_Chats_in_each_dialect_cite_it(string kind)
    {
        await using var host = FakeBackend.Start();
        host.Answer(TranscriptHost.AnswerAsync);
        await using var proxy = await ProxyProcess.StartAsync(Config(host) + (kind is "postgres" ? await StoreAsync() : ""));
        var store = (await PostAsync(proxy, "/v1/vector_stores", """{"name":"garden"}""")).Json.GetProperty("id").GetString()!;
        var tulips = await AddAsync(proxy, store, "tulips.md", "# Tulips\n\nTulips grow from bulbs, which are planted in autumn.\n");
        await AddAsync(proxy, store, "queues.md", "# Queues\n\nA queue holds a call for three minutes at most.\n");
        await Patience.Until(async () => (await RawClient.SendAsync(proxy.Address, "GET", $"/v1/vector_stores/{store}")).Json
            .GetProperty("file_counts").GetProperty("completed").GetInt32() == 2, "both files are read");

        var found = await PostAsync(proxy, $"/v1/vector_stores/{store}/search", $$"""{"query":"{{Question}}"}""");
        Assert.True(found.Status == 200, found.Text);
        Assert.Equal(tulips, found.Json.GetProperty("data")[0].GetProperty("file_id").GetString());
        foreach (var (client, path, body) in Asks)
        {
            await ChatAsync(proxy, host, (client, path, body), stream: true, tulips);
            await ChatAsync(proxy, host, (client, path, body), stream: false, tulips);
        }

        await FileSearchAsync(proxy, store, tulips);
    }

    private static async Task ChatAsync(ProxyProcess proxy, FakeBackend host, (string Client, string Path, string Body) ask, bool stream, string file)
    {
        var body = ask.Body.Replace("MODEL", "tiny", StringComparison.Ordinal).Replace("QUESTION", Question, StringComparison.Ordinal)
            .Replace("STREAM", stream ? "true" : "false", StringComparison.Ordinal);

        var reply = await PostAsync(proxy, ask.Path, body, "x-workspace: garden", "anthropic-version: 2023-06-01");

        var which = $"{ask.Client}, stream {stream}: {reply.Text}";
        Assert.True(reply.Status == 200, which);
        Assert.Equal("stop", MatrixAnswer.Of(ask.Client, stream, reply).Reason);
        var source = JsonElement.Parse(reply.Header("x-rag-sources")!)[0];
        Assert.Equal((file, "tulips.md"), (source.GetProperty("file_id").GetString(), source.GetProperty("filename").GetString()));
        var last = !stream ? reply.Text : ask.Client is "ollama" ? reply.JsonLines[^1].GetRawText() : reply.Events.Last(static data => data != "[DONE]");
        Assert.True(last.Contains("\"x_proxy\"", StringComparison.Ordinal) && last.Contains(file, StringComparison.Ordinal), which);
        Assert.Contains("Tulips grow from bulbs", host.Calls[^1].Text, StringComparison.Ordinal);
    }

    private static async Task FileSearchAsync(ProxyProcess proxy, string store, string file)
    {
        var reply = await PostAsync(proxy, "/v1/responses", $$$"""
            {"model":"tiny","input":"{{{Question}}}","stream":true,"include":["file_search_call.results"],
            "tools":[{"type":"file_search","vector_store_ids":["{{{store}}}"]}]}
            """);

        Assert.True(reply.Status == 200, reply.Text);
        var events = reply.Events.Select(static data => JsonElement.Parse(data)).ToArray();
        var order = events.Select(static one => one.GetProperty("type").GetString()!).Where(static type => !type.EndsWith(".delta", StringComparison.Ordinal)
            && type != "response.output_text.annotation.added");
        Assert.Equal(
            [
                "response.created", "response.in_progress", "response.output_item.added", "response.file_search_call.in_progress",
                "response.file_search_call.searching", "response.file_search_call.completed", "response.output_item.done", "response.output_item.added",
                "response.content_part.added", "response.output_text.done", "response.content_part.done", "response.output_item.done", "response.completed",
            ],
            order);
        var output = events[^1].GetProperty("response").GetProperty("output");
        Assert.Equal(("file_search_call", "message"), (output[0].GetProperty("type").GetString(), output[1].GetProperty("type").GetString()));
        Assert.Equal(file, output[0].GetProperty("results")[0].GetProperty("file_id").GetString());
        var cited = output[1].GetProperty("content")[0].GetProperty("annotations")[0];
        Assert.Equal($"file_citation {file} tulips.md", $"{cited.GetProperty("type")} {cited.GetProperty("file_id")} {cited.GetProperty("filename")}");
    }

    private static string Config(FakeBackend host) => $"""
        {FrontDoor.Server()}
        [log]
        format = "json"
        [[backends]]
        name = "a"
        url = "{host.Url}"
        dialects = ["openai"]
        models = ["tiny"]

        """;

    private async Task<string> StoreAsync()
    {
        var server = await postgres.StartAsync();
        var url = await server.DatabaseAsync();
        await server.RunAsync("create extension vector", new Uri(url).AbsolutePath[1..]);
        return $"""
            [store]
            kind = "postgres"
            url = "{url}"

            """;
    }

    private static async Task<string> AddAsync(ProxyProcess proxy, string store, string name, string text)
    {
        var body = string.Join("\r\n",
            "--limit", "Content-Disposition: form-data; name=\"purpose\"", "", "assistants",
            "--limit", $"Content-Disposition: form-data; name=\"file\"; filename=\"{name}\"", "", text, "--limit--", "");
        var sent = await RawClient.SendAsync(
            proxy.Address, "POST", "/v1/files", Encoding.UTF8.GetBytes(body), "Content-Type: multipart/form-data; boundary=limit");
        Assert.True(sent.Status == 200, sent.Text);
        var id = sent.Json.GetProperty("id").GetString()!;
        var attached = await PostAsync(proxy, $"/v1/vector_stores/{store}/files", $$"""{"file_id":"{{id}}"}""");
        Assert.True(attached.Status == 200, attached.Text);
        return id;
    }

    private static Task<RawReply> PostAsync(ProxyProcess proxy, string path, string json, params string[] headers) =>
        RawClient.SendAsync(proxy.Address, "POST", path, Encoding.UTF8.GetBytes(json), [.. headers, "Content-Type: application/json"]);
}
