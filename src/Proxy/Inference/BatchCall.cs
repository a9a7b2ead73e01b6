using Proxy.Vectors;

namespace Proxy.Inference;

/// <summary>One sequence of tokens that waits to be computed.</summary>
/// <param name="call">The call that it belongs to.</param>
/// <param name="index">Its index among the call's sequences.</param>
/// <param name="ids">Never empty.</param>
/// <param name="types">The token_type_ids; null if all are 0.</param>
/// <param name="attended">Number of leading tokens that take part in attention.</param>
internal sealed class Sequence(BatchCall call, int index, int[] ids, byte[]? types, int attended)
{
    public BatchCall Call => call;
    public int Index => index;
    public int[] Ids => ids;
    public byte[]? Types => types;
    public int Attended => attended;
    public int Length => ids.Length;

    /// <summary>Whether it has left the queue for a batch.</summary>
    public bool IsTaken { get; set; }
}

/// <summary>
/// The sequences of one caller, and the receiver of their results. Ends once: when all are computed, when one fails, or when its caller leaves.
/// </summary>
internal abstract class BatchCall
{
    private readonly TaskCompletionSource<VectorError?> end = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int open;

    /// <summary>Null if every sequence was computed, else the error.</summary>
    public Task<VectorError?> Completion => end.Task;

    /// <summary>Whether it has ended, so that its remaining sequences need not be computed.</summary>
    public bool IsOver => end.Task.IsCompleted;

    /// <summary>Must be set before the call is queued.</summary>
    public IReadOnlyList<Sequence> Sequences { get; set; } = [];

    /// <summary>Whether it waits until no other call has work. Must be set before the call is queued.</summary>
    public bool IsBackground { get; set; }

    /// <summary>Receives a result, on a computing thread.</summary>
    /// <param name="index">Index of the sequence.</param>
    /// <param name="row">The graph's output for it: a vector per token, or a few numbers.</param>
    /// <param name="width">Length of each vector.</param>
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
