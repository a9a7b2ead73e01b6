using Microsoft.Extensions.Logging;

namespace Proxy.Transport.Loops;

/// <summary>The event loops of the process, one per core. Thread-safe.</summary>
internal sealed class EventLoops : IDisposable
{
    // Moving a new connection to another loop costs a wake-up, so a small imbalance is tolerated.
    private const int Slack = 4;

    private readonly EventLoop[] loops;
    private uint turn;

    public EventLoops(int count, CoarseTicker clock, ILogger log) =>
        loops = [.. Enumerable.Range(0, count).Select(index => new EventLoop(index, clock, log))];

    public IReadOnlyList<EventLoop> All => loops;

    public bool Has(EventLoop loop) => loop.Index < loops.Length && ReferenceEquals(loops[loop.Index], loop);

    /// <summary>Selects a loop round-robin, for work that has no loop yet.</summary>
    public EventLoop Next() => loops[Interlocked.Increment(ref turn) % (uint)loops.Length];

    /// <summary>
    /// Selects the loop for a connection that <paramref name="here"/> has accepted. Under low load the kernel always wakes the same loop, so a connection
    /// is moved to the loop with the fewest connections if the difference is large enough.
    /// </summary>
    public EventLoop Home(EventLoop here)
    {
        var least = here;
        foreach (var loop in loops)
        {
            if (loop.Connections < least.Connections) least = loop;
        }

        return here.Connections - least.Connections > Slack + here.Connections / 8 ? least : here;
    }

    public void Dispose()
    {
        foreach (var loop in loops) loop.Stop();
    }
}
