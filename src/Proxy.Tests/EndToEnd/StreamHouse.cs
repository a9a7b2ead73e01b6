using System.Text;
using System.Threading.Channels;
using Proxy.Chat;
using Proxy.Composition;
using Proxy.Streams;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>A proxy with one host whose answers the test sends piece by piece. The proxy's clock moves when the test moves it.</summary>
internal sealed class StreamHouse : IAsyncDisposable
{
    public const string Chat = "/v1/chat/completions";

    private StreamHouse(FakeBackend host, RoutedProxy proxy) => (Host, Proxy) = (host, proxy);

    public FakeBackend Host { get; }

    public RoutedProxy Proxy { get; }

    public Uri Address => Proxy.Address;

    public static async Task<StreamHouse> StartAsync(
        string settings = "", string dialect = "openai", string? transport = null, Follow? follow = null, Action<PartsBuilder>? more = null)
    {
        var host = FakeBackend.Start();
        var proxy = await RoutedProxy.StartAsync($"""
            {FrontDoor.Server("", transport)}
            [inference]
            bundled = false
            [log]
            format = "json"
            [[backends]]
            name = "a"
            url = "{host.Url}"
            dialects = ["{dialect}"]
            models = ["served"]
            first_token = "1h"
            idle = "1h"
            {settings}
            """, static _ => [], follow, more);
        return new(host, proxy);
    }

    /// <summary>The host's next answer: what the test writes to the returned stream, until it completes it.</summary>
    public ScriptedAnswer Expect(string contentType = OpenAi.Sse)
    {
        var answer = new ScriptedAnswer();
        Host.Once(exchange => answer.RunAsync(exchange, contentType));
        return answer;
    }

    public Task<RawReply> PostAsync(string path, string body, params string[] headers) =>
        RawClient.SendAsync(Address, "POST", path, Encoding.UTF8.GetBytes(body), headers);

    public Task<RawReply> GetAsync(string path, params string[] headers) => RawClient.SendAsync(Address, "GET", path, null, headers);

    public Task<RawReply> DeleteAsync(string path, params string[] headers) => RawClient.SendAsync(Address, "DELETE", path, null, headers);

    /// <summary>Sends a call and leaves its answer to the test.</summary>
    public async Task<RawClient> CallAsync(string path, string body, params string[] headers)
    {
        var client = await RawClient.ConnectAsync(Address);
        await client.RequestAsync("POST", path, Encoding.UTF8.GetBytes(body), headers);
        return client;
    }

    /// <summary>The ids of the running calls.</summary>
    public IReadOnlyList<CallInfo> Calls() => [.. Proxy.Calls.Snapshot().Select(static call => call.Info)];

    /// <summary>The journal at a location; null: it is not kept.</summary>
    public AnswerJournal? Journal(string location) =>
        Proxy.Journals.TryFind(location[(location.LastIndexOf('/') + 1)..], null, out var journal, out _) ? journal : null;

    /// <summary>The only stream that is kept for a conversation; null: none.</summary>
    public AnswerJournal? Kept() => Proxy.Journals.Conversations("anonymous@127.0.0.1", static _ => true).SingleOrDefault();

    public async ValueTask DisposeAsync()
    {
        Proxy.Calls.InterruptAll(); // a generation without a client would go on until the test's clock moves
        await Proxy.DisposeAsync();
        await Host.DisposeAsync();
    }
}

/// <summary>A host's answer that a test writes piece by piece.</summary>
internal sealed class ScriptedAnswer
{
    private readonly Channel<string> pieces = Channel.CreateUnbounded<string>();
    private readonly TaskCompletionSource<FakeExchange> asked = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>The host has received the call.</summary>
    public Task<FakeExchange> Asked => asked.Task;

    /// <summary>The proxy has closed the connection to the host.</summary>
    public async Task GoneAsync() => await Patience.For((await asked.Task).Gone, "the host's call is cancelled");

    public bool IsGone => asked.Task.IsCompletedSuccessfully && asked.Task.Result.Gone.IsCompleted;

    public void Send(string piece) => Assert.True(pieces.Writer.TryWrite(piece));

    /// <summary>Sends the last pieces and ends the answer.</summary>
    public void End(params string[] last)
    {
        foreach (var piece in last) Send(piece);
        pieces.Writer.Complete();
    }

    public async Task RunAsync(FakeExchange exchange, string contentType)
    {
        asked.SetResult(exchange);
        var isDocument = contentType.StartsWith("application/json", StringComparison.Ordinal);
        if (!isDocument) await exchange.HeadAsync(contentType);
        var document = new StringBuilder();
        using var gone = new CancellationTokenSource();
        _ = exchange.Gone.ContinueWith(_ => gone.Cancel(), TaskScheduler.Default);
        try
        {
            await foreach (var piece in pieces.Reader.ReadAllAsync(gone.Token))
            {
                if (isDocument) document.Append(piece);
                else await exchange.ChunkAsync(piece);
            }
        }
        catch (OperationCanceledException)
        {
            return; // the proxy has cancelled the call
        }

        if (isDocument) await exchange.JsonAsync(document.ToString());
        else await exchange.EndAsync();
    }
}
