using Proxy.Vectors;

namespace Proxy.Inference;

/// <summary>One sequence of tokens that waits to be computed.</summary>
/// <param name="call">Who asked.</param>
/// <param name="index">Which of the call's sequences it is.</param>
/// <param name="ids">Never empty.</param>
/// <param name="types">The token_type_ids; null where all are 0.</param>
/// <param name="attended">How many of the first tokens the others see.</param>
internal sealed class Sequence(BatchCall call, int index, int[] ids, byte[]? types, int attended)
{
    public BatchCall Call => call;
    public int Index => index;
    public int[] Ids => ids;
    public byte[]? Types => types;
    public int Attended => attended;
    public int Length => ids.Length;

    /// <summary>It left the line, for a batch.</summary>
    public bool IsTaken { get; set; }
}

/// <summary>The sequences of one caller, and where their results go. Ends once: computed, failed, or left by its caller.</summary>
internal abstract class BatchCall
{
    private readonly TaskCompletionSource<VectorError?> end = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int open;

    /// <summary>Null when every sequence has been taken, else why not.</summary>
    public Task<VectorError?> Completion => end.Task;

    /// <summary>Nobody waits for what is left of it.</summary>
    public bool IsOver => end.Task.IsCompleted;

    /// <summary>To be set before it is queued.</summary>
    public IReadOnlyList<Sequence> Sequences { get; set; } = [];

    /// <summary>Takes a result, on a computing thread.</summary>
    /// <param name="index">Which sequence.</param>
    /// <param name="row">The graph's output for it: a vector a token, or a few numbers.</param>
    /// <param name="width">Numbers in each vector.</param>
    protected abstract void Take(int index, ReadOnlySpan<float> row, int width);

    public void Begin() => open = Sequences.Count;

    public void Give(int index, ReadOnlySpan<float> row, int width)
    {
        if (IsOver) return;
        Take(index, row, width);
        if (Interlocked.Decrement(ref open) == 0) end.TrySetResult(null);
    }

    public void Fail(VectorError error) => end.TrySetResult(error);

    public void Leave(CancellationToken cancellation) => end.TrySetCanceled(cancellation);
}
