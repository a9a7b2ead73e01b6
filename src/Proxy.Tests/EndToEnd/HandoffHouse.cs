using System.Collections.Concurrent;
using System.Text;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>
/// A proxy in processes of its own, one after the other, with a host that counts what runs at the same time. A chat whose text is <c>slow</c> streams tokens
/// until the test lets it end; any other is answered whole, soon.
/// </summary>
internal sealed class HandoffHouse : IAsyncDisposable
{
    public const string Chat = "/v1/chat/completions";

    private readonly ConcurrentDictionary<string, TaskCompletionSource> ends = new();
    private readonly ConcurrentDictionary<string, int> running = new();
    private readonly ConcurrentDictionary<string, int> most = new();
    private ProxyProcess? proxy;

    private HandoffHouse() => Host.Answer(AnswerAsync);

    public FakeBackend Host { get; } = FakeBackend.Start();

    public ProxyProcess Proxy => proxy!;

    public Uri Address => Proxy.Address;

    /// <summary>The time between two tokens of a stream.</summary>
    public TimeSpan Pace { get; init; } = TimeSpan.FromMilliseconds(20);

    /// <param name="server">Lines of the [server] section.</param>
    /// <param name="slots">The slots of the backend of the model <c>few</c>. The model <c>many</c> has a backend without a limit.</param>
    /// <param name="transport">How connections are served.</param>
    /// <param name="sections">More of the file.</param>
    /// <param name="pace">The time between two tokens, if not the usual one.</param>
    public static async Task<HandoffHouse> StartAsync(
        string server = "", int slots = 3, string? transport = null, string sections = "", TimeSpan? pace = null)
    {
        var house = pace is { } slow ? new HandoffHouse { Pace = slow } : new HandoffHouse();
        house.proxy = await ProxyProcess.StartAsync($"""
            {FrontDoor.Server(server, transport)}
            [inference]
            bundled = false
            [log]
            format = "json"
            [[backends]]
            name = "few"
            url = "{house.Host.Url}"
            dialects = ["openai"]
            models = ["few"]
            slots = {slots}
            [[backends]]
            name = "many"
            url = "{house.Host.Url}"
            dialects = ["openai"]
            models = ["many", "words"]
            {sections}
            """);
        return house;
    }

    /// <summary>The most calls of a model that the host ran at one time.</summary>
    public int Most(string model) => most.GetValueOrDefault(model);

    /// <summary>The calls of a model that the host runs now.</summary>
    public int Running(string model) => running.GetValueOrDefault(model);

    /// <summary>Hands over, and fails the test if that fails.</summary>
    public async Task HandoffAsync()
    {
        var (code, output) = await Proxy.HandoffAsync();
        Assert.True(code == 0, output);
    }

    /// <summary>Begins a stream and reads its first token.</summary>
    /// <param name="model">Its model.</param>
    /// <param name="name">Its name, by which it is ended.</param>
    /// <param name="headers">Headers of the call.</param>
    public async Task<RawClient> StreamAsync(string model, string name, params string[] headers)
    {
        ends[name] = new(TaskCreationOptions.RunContinuationsAsynchronously);
        var client = await RawClient.ConnectAsync(Address);
        await client.RequestAsync("POST", Chat, Encoding.UTF8.GetBytes(OpenAi.Request(model, stream: true, text: $"slow {name}")), headers);
        await client.ReadHeadAsync();
        Assert.Equal(200, client.Status);
        await client.ReadUntilAsync($"{name}-1\"");
        return client;
    }

    /// <summary>Lets a stream end. It has then the tokens <c>NAME-0</c> to <c>NAME-n</c> without a gap.</summary>
    public void End(string name) => ends[name].TrySetResult();

    /// <summary>Whether an answer is such a stream, whole and without a gap.</summary>
    public static void AssertWhole(string name, RawReply reply)
    {
        Assert.True(reply.Whole, $"the stream was cut: {reply.Text}");
        Assert.EndsWith(OpenAi.Done, reply.Text, StringComparison.Ordinal);
        var text = OpenAi.Read(reply);
        var count = text.Split(' ', StringSplitOptions.RemoveEmptyEntries).Length;
        Assert.Equal(string.Concat(Enumerable.Range(0, count).Select(n => $" {name}-{n}")), text);
    }

    public Task<RawReply> PostAsync(string path, string body, params string[] headers) =>
        RawClient.SendAsync(Address, "POST", path, Encoding.UTF8.GetBytes(body), headers);

    public Task<RawReply> GetAsync(string path, params string[] headers) => RawClient.SendAsync(Address, "GET", path, null, headers);

    public Task<RawReply> DeleteAsync(string path, params string[] headers) => RawClient.SendAsync(Address, "DELETE", path, null, headers);

    public async ValueTask DisposeAsync()
    {
        foreach (var end in ends.Values) end.TrySetResult();
        await Proxy.DisposeAsync();
        await Host.DisposeAsync();
    }

    private async Task AnswerAsync(FakeExchange exchange)
    {
        var model = exchange.Request.Json.GetProperty("model").GetString()!;
        if (model == "words")
        {
            await EmbedAsync(exchange);
            return;
        }

        var text = exchange.Request.Json.GetProperty("messages")[0].GetProperty("content").GetString()!;
        var now = running.AddOrUpdate(model, 1, static (_, count) => count + 1);
        most.AddOrUpdate(model, now, (_, before) => Math.Max(before, now));
        try
        {
            if (text.StartsWith("slow ", StringComparison.Ordinal)) await StreamAsync(exchange, text[5..]);
            else await Task.Delay(5);
        }
        finally
        {
            running.AddOrUpdate(model, 0, static (_, count) => count - 1);
        }

        // What is last said frees the slot, so it is said when the count is right.
        if (!text.StartsWith("slow ", StringComparison.Ordinal)) await exchange.JsonAsync(OpenAi.Whole(text));
        else if (!exchange.Gone.IsCompleted) await EndAsync(exchange);
    }

    /// <summary>The vectors mean nothing: what counts is that each text gets one.</summary>
    private static Task EmbedAsync(FakeExchange exchange)
    {
        var rows = exchange.Request.Json.GetProperty("input").EnumerateArray()
            .Select(static (text, i) => $$"""{"object":"embedding","index":{{i}},"embedding":[1,{{text.GetString()!.Length}},0.5,0.25]}""");
        return exchange.JsonAsync($$"""{"object":"list","model":"words","data":[{{string.Join(',', rows)}}],"usage":{"prompt_tokens":1,"total_tokens":1} }""");
    }

    private async Task StreamAsync(FakeExchange exchange, string name)
    {
        await exchange.HeadAsync(OpenAi.Sse);
        await exchange.ChunkAsync(OpenAi.Role());
        for (var number = 0; !exchange.Gone.IsCompleted; number++)
        {
            await exchange.ChunkAsync(OpenAi.Token($" {name}-{number}"));
            if (number > 0 && ends[name].Task.IsCompleted) return;
            await Task.WhenAny(Task.Delay(Pace), exchange.Gone);
        }
    }

    private static async Task EndAsync(FakeExchange exchange)
    {
        await exchange.ChunkAsync(OpenAi.Stop());
        await exchange.ChunkAsync(OpenAi.Done);
        await exchange.EndAsync();
    }
}
