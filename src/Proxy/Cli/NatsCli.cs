using System.Diagnostics;
using System.Globalization;
using Proxy.Cli.Doctor;
using Proxy.Config;
using Proxy.Nats;

namespace Proxy.Cli;

/// <summary>NATS in <c>proxy check</c> and <c>proxy doctor</c>.</summary>
internal static class NatsCli
{
    public static readonly CliFeature Feature = CliFeature.None with
    {
        Verbs = static (around, config) => [EventsCommand.Make(around, config)],
        Summary = static config => config.Nats is { } nats ? [$"  nats        {NatsServers.Shown(nats)}, {nats.Record} messages"] : [],
        Warnings = static async (config, cancellation) =>
            config.Nats is { } nats ? await NatsCheck.WarningsAsync(nats, config.Pipelines, cancellation).ConfigureAwait(false) : [],
        Checks = static installation => installation.Config.Nats is { } nats
            ? [new DoctorCheck("nats", NatsServers.Shown(nats), cancellation => LookAsync(nats, installation.Config, cancellation))] : [],
    };

    private static async ValueTask<IReadOnlyList<Finding>> LookAsync(NatsConfig nats, ProxyConfig config, CancellationToken cancellation)
    {
        var start = Stopwatch.GetTimestamp();
        if (await NatsCheck.UnreachedAsync(nats, cancellation).ConfigureAwait(false) is { } problem)
            return [new(Mark.Fail, problem, "start NATS, or correct [nats]; until then nothing is published, and jobs and journals that need it are refused")];
        var time = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
        var notes = await NatsCheck.WarningsAsync(nats, config.Pipelines, cancellation).ConfigureAwait(false);
        return notes.Count > 0 ? [.. from note in notes select new Finding(Mark.Warn, note, "start nats-server with JetStream (`-js`, and `-sd FOLDER`)")]
            : [Finding.Ok(string.Create(CultureInfo.InvariantCulture, $"{NatsServers.Shown(nats)}: has JetStream, {time:0} ms"))];
    }
}
