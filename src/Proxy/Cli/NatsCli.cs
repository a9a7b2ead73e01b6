using Proxy.Nats;

namespace Proxy.Cli;

/// <summary>NATS in <c>proxy check</c>.</summary>
internal static class NatsCli
{
    public static readonly CliFeature Feature = CliFeature.None with
    {
        Verbs = static (around, config) => [EventsCommand.Make(around, config)],
        Summary = static config => config.Nats is { } nats ? [$"  nats        {NatsServers.Shown(nats)}, {nats.Record} messages"] : [],
        Warnings = static async (config, cancellation) =>
            config.Nats is { } nats ? await NatsCheck.WarningsAsync(nats, config.Pipelines, cancellation).ConfigureAwait(false) : [],
    };
}
