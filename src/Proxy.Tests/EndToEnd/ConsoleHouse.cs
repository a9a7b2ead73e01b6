using System.Text;
using System.Text.Json;
using Proxy.Config;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>
/// A proxy with keys, a host with one slot, a workspace, a pipeline, and a Chromium. The host holds a chat back after its second token if the text asks it to
/// wait, until <see cref="Release"/> is called. One of its models has a name that would run as a script if a page took it for markup.
/// </summary>
public sealed class ConsoleHouse : IAsyncLifetime
{
    internal const string Shared = "console";

    internal const string Boss = "sk-boss", Worker = "sk-worker";

    internal const string Hostile = "<img src=x onerror=window.hacked=1>";

    /// <summary>A model of another host, which has slots enough.</summary>
    internal const string Roomy = "roomy";

    private readonly FakeBackend host = FakeBackend.Start();
    private readonly FakeBackend roomy = FakeBackend.Start();
    private TaskCompletionSource released = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private ProxyProcess? proxy;
    private Chromium? browser;

    internal ProxyProcess Proxy => proxy!;

    internal Chromium Browser => browser!;

    internal string Url => $"{Proxy.Address.GetLeftPart(UriPartial.Authority)}/console";

    internal string Workspace { get; private set; } = "";

    /// <summary>What the host at last was asked.</summary>
    internal FakeRequest LastCall => roomy.Calls[^1];

    public async ValueTask InitializeAsync()
    {
        foreach (var each in new[] { host, roomy }) each.Answer(AnswerAsync);
        var starting = Chromium.StartAsync();
        proxy = await ProxyProcess.StartAsync($"""
            {FrontDoor.Server()}
            [log]
            format = "json"
            [inference]
            bundled = false
            {Key("boss", Boss, "admin = true")}
            {Key("worker", Worker, "")}
            [[backends]]
            name = "narrow"
            url = "{host.Url}"
            dialects = ["openai"]
            models = ["small", "{Hostile}"]
            slots = 1
            [[backends]]
            name = "wide"
            url = "{roomy.Url}"
            dialects = ["openai"]
            models = ["{Roomy}", "embedder"]
            [[pipelines]]
            name = "research"
            launcher = "process"
            command = ["/bin/true"]
            """);
        browser = await starting;
        await FillAsync();
    }

    public async ValueTask DisposeAsync()
    {
        Release();
        if (browser is not null) await browser.DisposeAsync();
        if (proxy is not null) await proxy.DisposeAsync();
        await host.DisposeAsync();
        await roomy.DisposeAsync();
    }

    /// <summary>Lets the chats that wait go on.</summary>
    internal void Release() => Interlocked.Exchange(ref released, new(TaskCreationOptions.RunContinuationsAsynchronously)).TrySetResult();

    /// <summary>A page at the console, with a key.</summary>
    internal async Task<ChromiumPage> OpenAsync(string view = "live", string? key = Boss)
    {
        var page = await Browser.OpenAsync();
        if (key is not null)
        {
            var set = $"sessionStorage.setItem('console-key', {JsonSerializer.Serialize(key)})";
            await page.SendAsync("Page.addScriptToEvaluateOnNewDocument", new() { ["source"] = set });
        }

        await page.GoAsync($"{Url}#{view}");
        if (key is null) return page;
        await page.UntilAsync("document.querySelector('.view')", "the console opens");
        return page;
    }

    /// <summary>Begins a streamed chat that waits after its second token. Returns when its client has the first one.</summary>
    internal async Task<RawClient> WaitingChatAsync(string model, string key, params string[] headers)
    {
        var client = await RawClient.ConnectAsync(Proxy.Address);
        await client.RequestAsync("POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(OpenAi.Request(model, stream: true, text: "wait")),
            [$"authorization: Bearer {key}", .. headers]);
        return client;
    }

    internal Task<RawReply> SendAsync(string method, string path, string? body, params string[] headers) =>
        RawClient.SendAsync(Proxy.Address, method, path, body is null ? null : Encoding.UTF8.GetBytes(body), headers);

    private static string Key(string name, string key, string more) => $"""
        [[auth.keys]]
        name = "{name}"
        sha256 = "{ApiKeyConfig.Digest(key)}"
        {more}
        """;

    private async Task AnswerAsync(FakeExchange exchange)
    {
        if (exchange.Request.Target.EndsWith("/embeddings", StringComparison.Ordinal))
        {
            await exchange.JsonAsync("""
                {"object":"list","model":"embedder","usage":{"prompt_tokens":7,"total_tokens":7},
                "data":[{"object":"embedding","index":0,"embedding":[3,4,0]},{"object":"embedding","index":1,"embedding":[4,3,0]}]}
                """);
            return;
        }

        if (!exchange.Request.Text.Contains("\"wait\"", StringComparison.Ordinal))
        {
            await exchange.StreamAsync(OpenAi.Sse, OpenAi.Stream("<b>bold</b> ", "<script>window.hacked=1</script>", " done"));
            return;
        }

        var going = released.Task;
        await exchange.HeadAsync(OpenAi.Sse);
        foreach (var frame in new[] { OpenAi.Role(), OpenAi.Token("first "), OpenAi.Token("second ") }) await exchange.ChunkAsync(frame);
        await Task.WhenAny(going, exchange.Gone);
        if (exchange.Gone.IsCompleted) return;
        foreach (var frame in new[] { OpenAi.Token("third"), OpenAi.Stop(), OpenAi.Done }) await exchange.ChunkAsync(frame);
        await exchange.EndAsync();
    }

    /// <summary>Makes a workspace with one document.</summary>
    private async Task FillAsync()
    {
        const string Boundary = "boundary";
        var form = $"--{Boundary}\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nassistants\r\n--{Boundary}\r\n"
            + "content-disposition: form-data; name=\"file\"; filename=\"cable.md\"\r\n\r\n# Cables\n\nThe yellow cable goes into the third socket.\n"
            + $"\r\n--{Boundary}--\r\n";
        var bearer = $"authorization: Bearer {Boss}";
        var file = await SendAsync("POST", "/v1/files", form, bearer, $"content-type: multipart/form-data; boundary={Boundary}");
        Assert.True(file.Status == 200, file.Text);
        var id = file.Json.GetProperty("id").GetString();
        var store = await SendAsync("POST", "/v1/vector_stores", $$"""{"name":"manuals","file_ids":["{{id}}"]}""", bearer);
        Workspace = store.Json.GetProperty("id").GetString()!;
        await Patience.Until(async () => (await SendAsync("GET", $"/v1/vector_stores/{Workspace}", null, bearer)).Text.Contains("\"completed\":1",
            StringComparison.Ordinal), "the document is read");
    }
}

[CollectionDefinition(ConsoleHouse.Shared)]
public sealed class ConsoleHouseTests : ICollectionFixture<ConsoleHouse>;
