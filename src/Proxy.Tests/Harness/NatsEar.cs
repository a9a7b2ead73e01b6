using System.Text;
using System.Text.Json;
using NATS.Client.Core;

namespace Proxy.Tests.Harness;

/// <summary>A message as a subscriber got it.</summary>
internal sealed record HeardMessage(string Subject, string? ContentType, string? Id, byte[] Data)
{
    public string Text => Encoding.UTF8.GetString(Data);

    /// <summary>The trace id in its subject.</summary>
    public string TraceId => Subject[(Subject.LastIndexOf('.') + 1)..];

    public JsonElement Json => JsonElement.Parse(Data);

    public IEnumerable<JsonElement> Lines => Text.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(static line => JsonElement.Parse(line));
}

/// <summary>A subscriber of everything that proxies publish to a NATS server.</summary>
internal sealed class NatsEar : IAsyncDisposable
{
    private readonly NatsConnection connection;
    private readonly List<HeardMessage> heard = [];
    private readonly Lock gate = new();
    private readonly CancellationTokenSource stop = new();
    private readonly string prefix;
    private Task listening = Task.CompletedTask;

    private NatsEar(NatsOpts options, string prefix) => (connection, this.prefix) = (new NatsConnection(options), prefix);

    public NatsConnection Connection => connection;

    public IReadOnlyList<HeardMessage> Heard
    {
        get
        {
            lock (gate) return [.. heard];
        }
    }

    public static Task<NatsEar> StartAsync(NatsServer server, string prefix = "") => StartAsync(new NatsOpts { Url = server.Url }, prefix);

    /// <param name="options">The server and how to log in there.</param>
    /// <param name="prefix">What the subjects begin with, with its dot.</param>
    public static async Task<NatsEar> StartAsync(NatsOpts options, string prefix = "")
    {
        var ear = new NatsEar(options, prefix);
        await ear.connection.ConnectAsync();
        var wide = new NatsSubOpts { ChannelOpts = new() { Capacity = 100_000 } };
        var subscription = await ear.connection.SubscribeCoreAsync<byte[]>($"{prefix}*.chat.*", opts: wide);
        await ear.connection.PingAsync(); // the server has the subscription
        ear.listening = ear.ListenAsync(subscription);
        return ear;
    }

    /// <summary>The message of a finished call.</summary>
    public async Task<HeardMessage> DoneAsync(string traceId)
    {
        HeardMessage? found = null;
        await Patience.Until(
            () => Task.FromResult((found = Heard.FirstOrDefault(message => message.Subject == $"{prefix}done.chat.{traceId}")) is not null),
            $"the message of call {traceId} arrives");
        return found!;
    }

    /// <summary>The messages with a call's events, up to its end.</summary>
    public async Task<IReadOnlyList<HeardMessage>> MessagesAsync(string traceId)
    {
        await DoneAsync(traceId); // published after the last event, on one connection
        return [.. Heard.Where(message => message.Subject == $"{prefix}evt.chat.{traceId}")];
    }

    /// <summary>A call's events, in order.</summary>
    public async Task<IReadOnlyList<JsonElement>> EventsAsync(string traceId) =>
        [.. (await MessagesAsync(traceId)).SelectMany(static message => message.Lines)];

    public async ValueTask DisposeAsync()
    {
        await stop.CancelAsync();
        await connection.DisposeAsync();
        await listening;
        stop.Dispose();
    }

    private async Task ListenAsync(INatsSub<byte[]> subscription)
    {
        try
        {
            await foreach (var message in subscription.Msgs.ReadAllAsync(stop.Token))
            {
                var one = new HeardMessage(
                    message.Subject, message.Headers?["Content-Type"].ToString(), message.Headers?["Nats-Msg-Id"].ToString(), message.Data ?? []);
                lock (gate) heard.Add(one);
            }
        }
        catch (OperationCanceledException)
        {
            // The test has ended.
        }
    }
}
