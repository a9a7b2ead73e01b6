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
    private bool hasFailed;

    public NatsLink(NatsConfig config, ILogger log, TimeProvider time)
    {
        (this.log, this.time, Server) = (log, time, NatsServers.Shown(config));
        connection = new NatsConnection(NatsServers.Options(config));
        connection.ConnectionOpened += (_, _) => OpenedAsync();
        connection.ConnectionDisconnected += (_, _) => ClosedAsync("the connection was lost"); // these two events have the address only
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

    /// <summary>Bytes of the largest message that the server takes, headers included.</summary>
    public int MaxPayload => connection.ServerInfo?.MaxPayload is > 0 and var said ? said : UsualPayload;

    /// <summary>Called after each connect, the first one and those after a loss. Must not throw.</summary>
    public Func<Task> Opened { get; set; } = static () => Task.CompletedTask;

    /// <summary>The number that the line of a connect reports.</summary>
    public Func<long> Dropped { get; set; } = static () => 0;

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

    private ValueTask OpenedAsync()
    {
        (Reason, hasFailed) = (null, false);
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
