using Microsoft.Extensions.Logging;
using Proxy.Chat;
using Proxy.Config;
using Tmds.DBus.Protocol;

namespace Proxy.Workflows.Systemd;

/// <summary>
/// Starts a job as a unit of systemd: the instance of the pipeline's template whose name is the trace id. The job's document is its standard input.
/// </summary>
/// <param name="files">Where the documents are; null: this process is no service.</param>
internal sealed class SystemdLauncher(JobFiles? files, SystemdBus bus, ILogger log, TimeProvider time) : ILauncher, IDisposable
{
    public string Name => "systemd";

    public string? Absent(PipelineConfig pipeline) =>
        files is null ? "the launcher \"systemd\" needs a proxy that is a service of systemd ($RUNTIME_DIRECTORY is not set): systemctl start proxy"
        : bus.Absent;

    public async ValueTask<IJobRun> LaunchAsync(Job job, CancellationToken cancellation)
    {
        if (Absent(job.Pipeline) is { } reason) throw new LaunchException(reason);
        var unit = job.Pipeline.Unit!.Replace(PipelineConfig.TraceIdPlace, job.TraceId, StringComparison.Ordinal);
        var run = new UnitRun(unit, job.TraceId, files!, bus, log, time);
        var starting = run.StartAsync(job.Document);
        try
        {
            await starting.WaitAsync(job.Pipeline.LaunchTimeout, time, cancellation).ConfigureAwait(false);
            return run;
        }
        catch (OperationCanceledException)
        {
            _ = run.AbandonAsync(starting);
            throw;
        }
        catch (TimeoutException)
        {
            _ = run.AbandonAsync(starting);
            var limit = job.Pipeline.LaunchTimeout;
            throw new LaunchException(new ProxyError(ProxyErrorKind.HostTimedOut, $"systemd did not accept the unit {unit} within {limit:g}"));
        }
        catch (Exception problem) when (problem is DBusExceptionBase or ObjectDisposedException)
        {
            throw new LaunchException(SystemdBus.Explain(unit, problem));
        }
        catch (Exception problem) when (problem is IOException or UnauthorizedAccessException)
        {
            throw new LaunchException($"the job's file cannot be written: {problem.Message}");
        }
    }

    /// <summary>Removes what an earlier process left.</summary>
    public Task CleanAsync(CancellationToken cancellation) => files?.CleanAsync(bus, time) ?? Task.CompletedTask;

    public void Dispose() => bus.Dispose();
}
