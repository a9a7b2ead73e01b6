using Microsoft.Extensions.Logging;

namespace Proxy.Transport.Loops;

/// <summary>The process's loops: one a core. Thread-safe.</summary>
internal sealed class EventLoops : IDisposable
{
    // Moving a new connection costs a wake-up, so a small imbalance is left alone.
    private const int Slack = 4;

    private readonly EventLoop[] loops;
    private uint turn;

    public EventLoops(int count, CoarseTicker clock, ILogger log) => loops = [.. Enumerable.Range(0, count).Select(index => new EventLoop(index, clock, log))];

    public IReadOnlyList<EventLoop> All => loops;

    public bool Has(EventLoop loop) => loop.Index < loops.Length && ReferenceEquals(loops[loop.Index], loop);

    /// <summary>For work that belongs to no loop yet: each in turn.</summary>
    public EventLoop Next() => loops[Interlocked.Increment(ref turn) % (uint)loops.Length];

    /// <summary>Where a connection that <paramref name="here"/> accepted should live: the kernel wakes the same loop again and again while there is little to do.</summary>
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
