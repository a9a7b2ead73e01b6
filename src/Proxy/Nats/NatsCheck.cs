using NATS.Client.Core;
using Proxy.Config;

namespace Proxy.Nats;

/// <summary>Tries the servers of a configuration once.</summary>
internal static class NatsCheck
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    /// <summary>What an operator should know before the start; empty: the servers can be used.</summary>
    public static async Task<IReadOnlyList<string>> WarningsAsync(NatsConfig config, IReadOnlyList<PipelineConfig> pipelines, CancellationToken cancellation)
    {
        var connection = Make(config);
        await using var closing = connection.ConfigureAwait(false);
        if (await UnreachedAsync(connection, config, cancellation).ConfigureAwait(false) is { } problem) return [problem];
        if (connection.ServerInfo?.JetStreamAvailable is true) return [];
        var queued = "";
        foreach (var pipeline in pipelines)
        {
            if (pipeline.Launcher is "jetstream") queued = ", and calls of pipelines with launcher \"jetstream\" are refused";
        }

        return [$"[nats] {NatsServers.Shown(config)} has no JetStream: what is published reaches only those who are subscribed at the time{queued}"];
    }

    /// <summary>Why no server can be reached; null: one can.</summary>
    public static async Task<string?> UnreachedAsync(NatsConfig config, CancellationToken cancellation)
    {
        var connection = Make(config);
        await using var closing = connection.ConfigureAwait(false);
        return await UnreachedAsync(connection, config, cancellation).ConfigureAwait(false);
    }

    private static NatsConnection Make(NatsConfig config) => new(NatsServers.Options(config) with { ConnectTimeout = Patience });

    private static async Task<string?> UnreachedAsync(NatsConnection connection, NatsConfig config, CancellationToken cancellation)
    {
        try
        {
            await connection.ConnectAsync().AsTask().WaitAsync(Patience, cancellation).ConfigureAwait(false);
            return null;
        }
        catch (Exception problem) when (problem is not OperationCanceledException) // whatever keeps a connection from being made
        {
            var reason = problem is TimeoutException ? "it does not answer" : (problem.InnerException ?? problem).Message;
            return $"[nats] {NatsServers.Shown(config)} cannot be reached: {reason}; the proxy starts without it and tries again";
        }
    }
}
