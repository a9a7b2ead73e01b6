using Proxy.Chat;

namespace Proxy.Http;

/// <summary>The calls that are running. A drain waits for them, and the operator can list them. Thread-safe.</summary>
internal sealed class ActiveCalls
{
    private readonly Lock gate = new();
    private readonly LinkedList<CallScope> calls = new();
    private TaskCompletionSource? empty;

    /// <summary>The error of a call that a shutdown interrupts.</summary>
    public static ProxyError ShuttingDown => new(ProxyErrorKind.Draining, "this proxy is shutting down and could not finish the answer in time")
    {
        RetryAfter = TimeSpan.FromSeconds(1),
    };

    /// <summary>New calls are refused.</summary>
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

    /// <summary>Refuses new calls from now on.</summary>
    public void StartDraining() => Draining = true;

    /// <summary>Completes when no call is running.</summary>
    public Task WhenEmptyAsync()
    {
        lock (gate)
        {
            if (calls.Count == 0) return Task.CompletedTask;
            return (empty ??= new(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
        }
    }

    /// <summary>Interrupts all running calls; each stream ends with an error in its dialect.</summary>
    public void InterruptAll()
    {
        foreach (var call in Snapshot()) call.Interrupt(ShuttingDown);
    }
}
