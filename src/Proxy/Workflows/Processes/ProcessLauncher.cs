using System.Collections.Concurrent;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Extensions.Logging;
using Proxy.Config;

namespace Proxy.Workflows.Processes;

/// <summary>
/// Starts a program for each job: the job document is its stdin, its events are the lines of its stdout, and what it writes to stderr goes to the log.
/// Disposing it ends all jobs that still run.
/// </summary>
internal sealed class ProcessLauncher(ILogger log, TimeProvider time) : ILauncher, IDisposable
{
    /// <summary>The variables that a job gets as this process has them. All others stay here: they may be credentials.</summary>
    private static readonly string[] Inherited = ["PATH", "HOME", "LANG", "TMPDIR"];

    private const string UsualPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

    private static readonly TimeSpan LastWait = ProcessRun.Grace + ProcessRun.Quiet + ProcessRun.Quiet;

    private static readonly TimeSpan LongestDelay = TimeSpan.FromDays(40); // .NET's is 49 days

    private readonly ConcurrentDictionary<int, ProcessRun> running = [];
    private readonly Lock gate = new();
    private PosixSignalRegistration? children;
    private bool isDisposed;

    public string Name => "process";

    public bool UsesBus => false;

    /// <summary>Why a pipeline's program cannot be started; null: it can.</summary>
    public static string? Problem(PipelineConfig pipeline) =>
        pipeline.Command is not [var program, ..] ? "no command is configured"
        : !File.Exists(program) ? $"{program} does not exist, or this user may not see it"
        : NativeProcess.IsExecutable(program) ? null
        : $"{program} may not be executed by this user";

    public string? Absent(PipelineConfig pipeline) => Problem(pipeline);

    // On another thread: it waits until the program runs, and the caller may serve other connections.
    public async ValueTask<IJobRun> LaunchAsync(Job job, CancellationToken cancellation) =>
        await Task.Run(() => Start(job), cancellation).ConfigureAwait(false);

    public void Dispose()
    {
        lock (gate) isDisposed = true;
        foreach (var run in running.Values) run.Stop("the proxy stops");
        Task.WhenAll(running.Values.Select(static run => run.Gone)).Wait(LastWait);
        foreach (var run in running.Values) run.Kill();
        children?.Dispose();
    }

    private ProcessRun Start(Job job)
    {
        lock (gate)
        {
            if (isDisposed) throw new LaunchException("the proxy stops");
            if (children is null) NativeProcess.KeepDescriptors();
            children ??= PosixSignalRegistration.Create(PosixSignal.SIGCHLD, _ => Look());
        }

        var mark = $"PROXY_TRACE_ID={job.TraceId}";
        var environment = new List<string> { mark, $"PROXY_PIPELINE={job.Pipeline.Name}" };
        foreach (var name in Inherited)
        {
            if (Environment.GetEnvironmentVariable(name) is { Length: > 0 } value) environment.Add($"{name}={value}");
            else if (name is "PATH") environment.Add($"{name}={UsualPath}");
        }

        var id = NativeProcess.Start(job.Pipeline.Command, environment, job.Document.Span, out var output, out var error);
        var run = new ProcessRun(id, job.TraceId, Encoding.UTF8.GetBytes(mark + '\0'), new Socket(output), new Socket(error), log);
        running[id] = run;
        // The relay ends a job in time; this is for one that goes on after its answer.
        var left = TimeSpan.FromTicks(Math.Clamp((job.Deadline - time.GetUtcNow() + ProcessRun.Grace).Ticks, 0, LongestDelay.Ticks));
        _ = run.WatchAsync(left, time, over => running.TryRemove(over, out _));
        Look(); // it may have ended before it was in the table
        lock (gate) if (isDisposed) run.Stop("the proxy stops");
        return run;
    }

    /// <summary>Tells the runs whose programs have ended.</summary>
    private void Look()
    {
        foreach (var (id, run) in running)
        {
            if (NativeProcess.HasEnded(id, out var code)) run.HasEnded(code);
        }
    }
}
