namespace Proxy.Buffers;

/// <summary>The next step of a source that is read while its reader also waits for other things. It rings when the step is done. For one reader.</summary>
internal sealed class PendingMove
{
    private readonly Action done;
    private ValueTask<bool> step;
    private volatile bool isDone;
    private TaskCompletionSource? settled;

    public PendingMove(Alarm alarm) => done = () =>
    {
        isDone = true;
        Interlocked.MemoryBarrier();
        settled?.TrySetResult();
        alarm.Ring();
    };

    /// <summary>A step was begun and its result was not taken.</summary>
    public bool IsBegun { get; private set; }

    /// <summary>Its result can be taken. A <see cref="ValueTask"/> may be asked only once its continuation has been called, so this is not its own flag.</summary>
    public bool IsDone => isDone;

    public void Begin(ValueTask<bool> begun)
    {
        step = begun;
        IsBegun = true;
        if (begun.IsCompleted) isDone = true;
        else begun.ConfigureAwait(false).GetAwaiter().UnsafeOnCompleted(done);
    }

    /// <summary>Completes when no step is under way: a source must not be disposed before.</summary>
    public Task SettleAsync()
    {
        if (!IsBegun) return Task.CompletedTask;
        Interlocked.Exchange(ref settled, new(TaskCreationOptions.RunContinuationsAsynchronously));
        return isDone ? Task.CompletedTask : settled.Task;
    }

    /// <summary>Its result: false if the source has ended. Throws what the source threw.</summary>
    public bool Take()
    {
        IsBegun = false;
        isDone = false;
        return step.GetAwaiter().GetResult();
    }
}
