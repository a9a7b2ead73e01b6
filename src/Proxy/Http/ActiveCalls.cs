namespace Proxy.Http;

/// <summary>The calls that run now: what a drain waits for, and what the operator sees. Thread-safe.</summary>
internal sealed class ActiveCalls
{
    private readonly Lock gate = new();
    private readonly LinkedList<CallScope> calls = new();
    private TaskCompletionSource? empty;

    /// <summary>No new call is let in.</summary>
    public bool Draining { get; private set; }

    public int Count { get { lock (gate) return calls.Count; } }

    public void Add(LinkedListNode<CallScope> call)
    {
        lock (gate) calls.AddLast(call);
    }

    public void Remove(LinkedListNode<CallScope> call)
    {
        lock (gate)
        {
            calls.Remove(call);
            if (calls.Count == 0) empty?.TrySetResult();
        }
    }

    public IReadOnlyList<CallScope> Snapshot()
    {
        lock (gate) return [.. calls];
    }

    /// <summary>Lets nobody in any more.</summary>
    public void StartDraining() => Draining = true;

    /// <summary>Completes when no call runs.</summary>
    public Task WhenEmptyAsync()
    {
        lock (gate)
        {
            if (calls.Count == 0) return Task.CompletedTask;
            return (empty ??= new(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
        }
    }

    /// <summary>Breaks off what still runs; each stream ends with its dialect's error.</summary>
    public void InterruptAll()
    {
        foreach (var call in Snapshot()) call.Interrupt();
    }
}
