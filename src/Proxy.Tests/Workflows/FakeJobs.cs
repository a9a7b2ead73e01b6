using System.Threading.Channels;
using Proxy.Chat;
using Proxy.Workflows;

namespace Proxy.Tests.Workflows;

/// <summary>Launches jobs that do what the test says.</summary>
internal sealed class FakeJobs : ILauncher
{
    private readonly Channel<FakeRun> launched = Channel.CreateUnbounded<FakeRun>();

    public string Name => "process";

    public bool UsesBus => false;

    public string? Missing { get; set; }

    /// <summary>Why the next job is not launched.</summary>
    public ProxyError? Refusal { get; set; }

    public string? Absent(Proxy.Config.PipelineConfig pipeline) => Missing;

    public ValueTask<IJobRun> LaunchAsync(Job job, CancellationToken cancellation)
    {
        if (Refusal is { } refusal) throw new LaunchException(refusal);
        var run = new FakeRun(job);
        launched.Writer.TryWrite(run);
        return new(run);
    }

    /// <summary>The next job that was launched.</summary>
    public async Task<FakeRun> NextAsync()
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        return await launched.Reader.ReadAsync(patience.Token);
    }
}

/// <summary>A job that writes what the test says.</summary>
internal sealed class FakeRun(Job job) : IJobRun
{
    private readonly Channel<ReadOnlyMemory<byte>> output = Channel.CreateUnbounded<ReadOnlyMemory<byte>>();
    private readonly TaskCompletionSource<JobEnd> ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource disposed = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public Job Job => job;

    public string? RunId { get; init; }

    public IAsyncEnumerable<ReadOnlyMemory<byte>>? Output => output.Reader.ReadAllAsync();

    public Task<JobEnd> Ended => ended.Task;

    public bool WasCancelled { get; private set; }

    /// <summary>Completes when the proxy has given the job back.</summary>
    public Task Disposed => disposed.Task.WaitAsync(TimeSpan.FromSeconds(20));

    /// <summary>Writes lines, each with its line end.</summary>
    public void Say(params string[] lines)
    {
        foreach (var line in lines) output.Writer.TryWrite(System.Text.Encoding.UTF8.GetBytes(line + "\n"));
    }

    public void End(JobEnd how)
    {
        output.Writer.TryComplete();
        ended.TrySetResult(how);
    }

    public ValueTask CancelAsync()
    {
        WasCancelled = true;
        End(JobEnd.Failure("cancelled"));
        return default;
    }

    public ValueTask DisposeAsync()
    {
        output.Writer.TryComplete();
        disposed.TrySetResult();
        return default;
    }
}
