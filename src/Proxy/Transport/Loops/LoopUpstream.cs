namespace Proxy.Transport.Loops;

/// <summary>
/// A client for one <c>http://</c> host. A host connection runs on the loop of the client connection that it serves, so that a token is relayed on a
/// single thread.
/// </summary>
internal sealed class LoopUpstream : UpstreamClient
{
    private readonly EventLoops loops;
    private readonly CoarseTicker ticker;
    private readonly IdleConnections[] idle;
    private readonly OpenConnections[] open;
    private readonly ITimer sweep;
    private int sweeping;

    public LoopUpstream(UpstreamTarget target, EventLoops loops, CoarseTicker ticker)
    {
        Target = target;
        Head = new(target);
        Addresses = new(target.Address.IdnHost, target.Address.Port, ticker.Time);
        Name = target.Address.Authority;
        this.loops = loops;
        this.ticker = ticker;
        idle = [.. loops.All.Select(loop => new IdleConnections(loop, ticker))];
        open = [.. loops.All.Select(static loop => new OpenConnections(loop))];
        sweep = ticker.Time.CreateTimer(static state => ((LoopUpstream)state!).Sweep(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    public UpstreamTarget Target { get; }
    public RequestHead Head { get; }
    public HostAddresses Addresses { get; }

    /// <summary>The host and its port, for messages.</summary>
    public string Name { get; }

    public override long Heard => open.Sum(static connections => connections.Heard);

    public override void Suspect()
    {
        foreach (var connections in open) connections.Suspect();
    }

    public override void EndSuspects()
    {
        foreach (var connections in open) connections.EndSuspects();
    }

    public override UpstreamExchange Open() => new LoopExchange(this, ticker);

    /// <summary>The caller's loop if it runs on one; otherwise a loop that has an idle connection; otherwise the next loop, round-robin.</summary>
    public EventLoop Loop()
    {
        if (EventLoop.Current is { } here && loops.Has(here)) return here;
        foreach (var connections in idle)
        {
            if (!connections.IsEmpty) return connections.Loop;
        }

        return loops.Next();
    }

    public IdleConnections Idle(EventLoop loop) => idle[loop.Index];

    /// <summary>All connections of a loop, idle or in use.</summary>
    public OpenConnections All(EventLoop loop) => open[loop.Index];

    /// <summary>Starts the sweep, which checks the idle connections every second until none is left.</summary>
    public void KeepSwept()
    {
        if (Volatile.Read(ref sweeping) == 0 && Interlocked.Exchange(ref sweeping, 1) == 0)
            sweep.Change(TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(1));
    }

    public override void Dispose()
    {
        sweep.Dispose();
        foreach (var connections in idle) connections.Dispose();
    }

    private void Sweep()
    {
        if (Array.TrueForAll(idle, static connections => connections.IsEmpty))
        {
            sweep.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
            Volatile.Write(ref sweeping, 0);
            if (Array.TrueForAll(idle, static connections => connections.IsEmpty)) return;
            KeepSwept();
        }

        foreach (var connections in idle) connections.Sweep();
    }
}
