using System.Threading.Channels;
using Microsoft.Extensions.Logging;
using NATS.Client.Core;
using Proxy.Config;

namespace Proxy.Nats;

/// <summary>
/// The connection to the NATS servers. It is made in the background and made again for ever, so the proxy starts and serves without it. Thread-safe.
/// </summary>
internal sealed class NatsLink : IAsyncDisposable
{
    /// <summary>The largest message of servers with default settings, used until a server has said its own.</summary>
    private const int UsualPayload = 1 << 20;

    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);

    private readonly NatsConnection connection;
    private readonly ILogger log;
    private readonly TimeProvider time;
    private readonly CancellationTokenSource stop = new();
    private TaskCompletionSource changed = NewSignal();
    private int losses;
    private bool hasFailed;

    public NatsLink(NatsConfig config, ILogger log, TimeProvider time)
    {
        (this.log, this.time, Server) = (log, time, NatsServers.Shown(config));
        connection = new NatsConnection(NatsServers.Options(config));
        connection.ConnectionOpened += (_, _) => OpenedAsync();
        connection.ConnectionDisconnected += (_, _) =>
        {
            Interlocked.Increment(ref losses);
            Signal();
            return ClosedAsync("the connection was lost"); // this event and the next have the address only
        };
        connection.ReconnectFailed += (_, _) => ClosedAsync("it cannot be reached");
        connection.ServerError += (_, said) =>
        {
            log.NatsError(said.Error);
            return ValueTask.CompletedTask;
        };
    }

    public INatsConnection Connection => connection;

    /// <summary>The addresses that the configuration names, without passwords.</summary>
    public string Server { get; }

    public bool IsUp => connection.ConnectionState is NatsConnectionState.Open;

    /// <summary>Why there is no connection; null while there is one.</summary>
    public string? Reason { get; private set; } = "not connected yet";

    /// <summary>How often the connection was lost.</summary>
    public int Losses => Volatile.Read(ref losses);

    /// <summary>Completes when the connection is made or lost the next time.</summary>
    public Task Changed => Volatile.Read(ref changed).Task;

    /// <summary>Bytes of the largest message that the server takes, headers included.</summary>
    public int MaxPayload => connection.ServerInfo?.MaxPayload is > 0 and var said ? said : UsualPayload;

    /// <summary>Called after each connect, the first one and those after a loss. Must not throw.</summary>
    public Func<Task> Opened { get; set; } = static () => Task.CompletedTask;

    /// <summary>The number that the line of a connect reports.</summary>
    public Func<long> Dropped { get; set; } = static () => 0;

    /// <summary>Subscribes. It ends when it is disposed, not when <paramref name="cancellation"/> is cancelled later.</summary>
    /// <param name="subject">May have wildcards.</param>
    /// <param name="capacity">
    /// Messages that may wait for the reader; more are dropped. Waiting for the reader instead would hold up every other subscription.
    /// </param>
    /// <param name="cancellation">Gives up.</param>
    public async Task<INatsSub<byte[]>> SubscribeAsync(string subject, int capacity, CancellationToken cancellation)
    {
        var options = new NatsSubOpts { ChannelOpts = new() { Capacity = capacity, FullMode = BoundedChannelFullMode.DropWrite } };
        return await connection
            .SubscribeCoreAsync(subject, serializer: NatsRawSerializer<byte[]>.Default, opts: options, cancellationToken: CancellationToken.None)
            .AsTask().WaitAsync(cancellation).ConfigureAwait(false);
    }

    /// <summary>Makes the first connection; the client makes the later ones itself.</summary>
    public async Task ConnectAsync()
    {
        while (!stop.IsCancellationRequested)
        {
            try
            {
                await connection.ConnectAsync().ConfigureAwait(false);
                return;
            }
            catch (Exception problem) when (problem is not ObjectDisposedException) // whatever the reason, the next attempt may succeed
            {
                await ClosedAsync((problem.InnerException ?? problem).Message).ConfigureAwait(false);
            }

            await Task.Delay(Pause, time, stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await stop.CancelAsync().ConfigureAwait(false);
        await connection.DisposeAsync().ConfigureAwait(false);
        stop.Dispose();
    }

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private void Signal() => Interlocked.Exchange(ref changed, NewSignal()).TrySetResult();

    private ValueTask OpenedAsync()
    {
        (Reason, hasFailed) = (null, false);
        Signal();
        log.NatsUp(Server, connection.ServerInfo?.Version ?? "", Dropped());
        _ = Opened();
        return ValueTask.CompletedTask;
    }

    /// <summary>Logs the loss once, not every attempt.</summary>
    private ValueTask ClosedAsync(string reason)
    {
        if (stop.IsCancellationRequested) return ValueTask.CompletedTask;
        Reason = reason;
        if (hasFailed) return ValueTask.CompletedTask;
        hasFailed = true;
        log.NatsDown(Server, Reason);
        return ValueTask.CompletedTask;
    }
}
