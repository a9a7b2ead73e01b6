using System.Diagnostics;
using System.Globalization;
using Proxy.Backends;
using Proxy.Config;
using Proxy.Transport;

namespace Proxy.Cli.Doctor;

/// <summary>Each model host: whether it answers, in what time, and what it serves.</summary>
internal static class HostChecks
{
    public static IEnumerable<DoctorCheck> Of(Installation installation) =>
        from backend in installation.Config.Backends
        where backend.Url != BackendConfig.BuiltinEcho
        select new DoctorCheck("host", Name(backend), cancellation => AskAsync(backend, cancellation));

    private static async ValueTask<IReadOnlyList<Finding>> AskAsync(BackendConfig backend, CancellationToken cancellation)
    {
        var start = Stopwatch.GetTimestamp();
        try
        {
            using var host = HostHttp.Create(BackendDirectory.Target(backend), TimeProvider.System);
            var report = await HostProbe.AskAsync(backend, host, null, cancellation).ConfigureAwait(false);
            return [Judge(backend, report, Stopwatch.GetElapsedTime(start))];
        }
        catch (HostProbeException e)
        {
            return [new(Mark.Fail, $"{Name(backend)}: {e.Message}", Advice(e))];
        }
    }

    private static Finding Judge(BackendConfig backend, HostReport report, TimeSpan time)
    {
        var kind = report.Version is { } version ? $"{report.Kind} {version}" : report.Kind ?? "a host";
        var models = report.Models.Count == 1 ? "1 model" : string.Create(CultureInfo.InvariantCulture, $"{report.Models.Count} models");
        var text = string.Create(CultureInfo.InvariantCulture, $"{Name(backend)}: {kind}, {models}, {time.TotalMilliseconds:0} ms");
        if (report.Models.Count == 0 && backend.Models.Count == 0 && backend.Prefixes.Count == 0)
            return new(Mark.Warn, text, "load or pull a model at the host, or name its models in [[backends]] models");
        List<string> missing = report.Models.Count == 0 ? [] : [.. backend.Models.Except(report.Models.Select(static model => model.Name))];
        return missing.Count == 0 ? Finding.Ok(text)
            : new(Mark.Warn, $"{text}; it does not list {string.Join(", ", missing)}", "correct [[backends]] models, or load the model at the host");
    }

    private static string Advice(HostProbeException problem) =>
        problem.Message.Contains("key", StringComparison.Ordinal) ? "set [[backends]] key or key_file to a key that the host takes"
        : problem.TimedOut ? "the host is busy, or a firewall drops packets: try `curl` from this machine"
        : problem.Answered ? "correct [[backends]] url or dialects"
        : "start the host, check that it listens on an address that this machine reaches, and correct [[backends]] url";

    private static string Name(BackendConfig backend) => $"{backend.Name} ({backend.Url})";
}
