using System.Collections.Concurrent;
using System.Diagnostics;
using System.Runtime.CompilerServices;
using Microsoft.Extensions.Logging;

namespace Proxy.Transport.Loops;

/// <summary>
/// One thread and one epoll set. A socket is registered once, edge-triggered, for both directions. Whatever a socket's bytes set going runs here until it has to wait, so nothing here
/// may block. Members are for the loop's own thread unless they say otherwise.
/// </summary>
internal sealed unsafe class EventLoop
{
    public const int ScratchBytes = 64 * 1024;

    // Reads that a target may finish without waiting before the others have their turn.
    private const int Turn = 16;
    private const int EventsAtOnce = 256;

    // So many wait for each other at most: a tenth of a millisecond of work.
    private const int SendersAtOnce = 16;
    private const ulong Woken = ulong.MaxValue;
    private const int TickMilliseconds = 100;

    [ThreadStatic]
    private static EventLoop? current;

    private readonly ILogger log;
    private readonly CoarseTicker clock;
    private readonly Thread thread;
    private readonly ConcurrentQueue<ILoopWork> posted = new();
    private readonly Queue<ILoopWork> own = new();
    private readonly List<ISender> senders = new(SendersAtOnce);
    private readonly int epoll = LibC.NewEpoll();
    private readonly int wake = LibC.NewEvent();
    private Slot[] slots = new Slot[256];
    private int freeSlot = -1;
    private int usedSlots;
    private ITicked?[] ticked = new ITicked?[64];
    private int tickedCount;
    private long nextTick;
    private int wakePending;
    private int connections;
    private volatile bool stopping;

    private struct Slot
    {
        public ILoopTarget? Target;
        public uint Generation;
        public int NextFree;
    }

    public EventLoop(int index, CoarseTicker clock, ILogger log)
    {
        Index = index;
        this.clock = clock;
        this.log = log;
        if (!LibC.Watch(epoll, wake, LibC.Readable, Woken)) throw new InvalidOperationException($"the loops cannot start: {LibC.Words(LibC.LastError)}");
        thread = new Thread(Run) { IsBackground = true, Name = $"loop {index}" };
        thread.Start();
    }

    /// <summary>The loop whose thread this is.</summary>
    public static EventLoop? Current => current;

    public int Index { get; }

    public bool IsCurrent => ReferenceEquals(current, this);

    /// <summary>Client connections that live here, or are on their way. Any thread.</summary>
    public int Connections => Volatile.Read(ref connections);

    /// <summary>Where bytes are received. What stands in it is valid until its reader returns to the loop; for a holder, until it is asked to leave.</summary>
    public byte[] Scratch { get; } = GC.AllocateUninitializedArray<byte>(ScratchBytes, pinned: true);

    /// <summary>Whoever will come back for what stands in the scratch.</summary>
    public IScratchHolder? ScratchHolder { get; set; }

    /// <summary>For requests' heads.</summary>
    public Buffers.PooledBody Heads { get; } = new(4096);

    /// <summary>Reads left to the present target in this turn.</summary>
    public int Budget { get; set; }

    /// <summary>The scratch, for bytes of one's own.</summary>
    public byte[] TakeScratch()
    {
        if (ScratchHolder is { } holder)
        {
            ScratchHolder = null;
            holder.LeaveScratch();
        }

        return Scratch;
    }

    /// <summary>
    /// Has it send when what is ready has been worked through, or a good part of it. The way of a sent packet through the kernel is long, and so is ours from a request to what it becomes:
    /// each of them several times in a row costs 3 to 8 % less of a request's CPU than in turns, since the processor still has its code at hand. A token of a stream does not wait for that.
    /// </summary>
    public void SendLater(ISender sender)
    {
        Debug.Assert(IsCurrent);
        senders.Add(sender);
    }

    public void CountConnection(int change) => Interlocked.Add(ref connections, change);

    /// <summary>Has it done on the loop's thread: soon, or right after what is being done. Any thread.</summary>
    public void Post(ILoopWork work)
    {
        if (IsCurrent)
        {
            own.Enqueue(work);
            return;
        }

        posted.Enqueue(work);
        if (Interlocked.Exchange(ref wakePending, 1) == 0) LibC.Signal(wake);
    }

    /// <summary>Continues on the loop's thread, at once when it is this one. Any thread.</summary>
    public Entry EnterAsync() => new(this);

    /// <summary>Watches a descriptor for whatever may happen to it. Negative when that cannot be.</summary>
    public int Watch(int descriptor, ILoopTarget target, uint events = LibC.Readable | LibC.Writable | LibC.PeerClosed | LibC.EdgeTriggered)
    {
        int index;
        if (freeSlot >= 0)
        {
            index = freeSlot;
            freeSlot = slots[index].NextFree;
        }
        else
        {
            if (usedSlots == slots.Length) Array.Resize(ref slots, usedSlots * 2);
            index = usedSlots++;
        }

        slots[index].Target = target;
        if (LibC.Watch(epoll, descriptor, events, ((ulong)slots[index].Generation << 32) | (uint)index)) return index;
        Forget(index);
        return -1;
    }

    /// <summary>Events that were already fetched for it are dropped. The descriptor is then the caller's to close.</summary>
    public void Forget(int slot)
    {
        slots[slot].Target = null;
        slots[slot].Generation++;
        slots[slot].NextFree = freeSlot;
        freeSlot = slot;
    }

    /// <summary>For a descriptor that is not closed when it is forgotten.</summary>
    public void Unwatch(int descriptor) => LibC.Unwatch(epoll, descriptor);

    public void AddTicked(ITicked item)
    {
        if (item.TickMark != 0) return;
        if (tickedCount == ticked.Length) Array.Resize(ref ticked, tickedCount * 2);
        ticked[tickedCount++] = item;
        item.TickMark = tickedCount;
        if (tickedCount == 1) nextTick = Environment.TickCount64 + TickMilliseconds;
    }

    public void RemoveTicked(ITicked item)
    {
        if (item.TickMark == 0) return;
        var last = ticked[--tickedCount]!;
        ticked[item.TickMark - 1] = last;
        last.TickMark = item.TickMark;
        ticked[tickedCount] = null;
        item.TickMark = 0;
    }

    /// <summary>Ends the thread after what it is doing. Connections are not told. Any thread.</summary>
    public void Stop()
    {
        stopping = true;
        LibC.Signal(wake);
    }

    private void Run()
    {
        current = this;
        ExecutionContext.SuppressFlow(); // nothing here is kept in the context, and to carry it costs something at every wait
        var events = LibC.NewEvents(EventsAtOnce);
        while (!stopping)
        {
            var came = LibC.Wait(epoll, events, EventsAtOnce, Patience());
            for (var i = 0; i < came; i++)
            {
                var (what, data) = LibC.Event(events, i);
                if (data == Woken)
                {
                    LibC.Unsignal(wake);
                    Volatile.Write(ref wakePending, 0); // before the queue is emptied, so that nothing is left in it unseen
                    continue;
                }

                ref var slot = ref slots[(uint)data];
                if (slot.Target is { } target && slot.Generation == (uint)(data >> 32)) Tell(target, what);
                if (senders.Count >= SendersAtOnce) SendAll();
            }

            for (var left = posted.Count; left > 0 && posted.TryDequeue(out var work); left--) Do(work);
            for (var left = own.Count; left > 0; left--) Do(own.Dequeue());
            if (tickedCount > 0 && Environment.TickCount64 >= nextTick) Tick();
            SendAll();
        }

        LibC.Close(wake);
        LibC.Close(epoll);
        Heads.Dispose();
    }

    private int Patience()
    {
        if (own.Count > 0 || !posted.IsEmpty) return 0;
        return tickedCount == 0 ? -1 : (int)Math.Max(0, nextTick - Environment.TickCount64);
    }

    private void Tell(ILoopTarget target, uint what)
    {
        Budget = Turn;
        try
        {
            target.OnReady(what);
        }
        catch (Exception bug) // of ours: one connection's must not end the others'
        {
            log.LoopFault(Index, bug);
        }
    }

    private void Do(ILoopWork work)
    {
        Budget = Turn;
        try
        {
            work.Run();
        }
        catch (Exception bug) // as above
        {
            log.LoopFault(Index, bug);
        }
    }

    private void SendAll()
    {
        for (var i = 0; i < senders.Count; i++) // one may wake somebody who has more to send
        {
            try
            {
                senders[i].Send();
            }
            catch (Exception bug) // as above
            {
                log.LoopFault(Index, bug);
            }
        }

        senders.Clear();
    }

    private void Tick()
    {
        nextTick = Environment.TickCount64 + TickMilliseconds;
        var now = clock.Now;
        for (var i = tickedCount - 1; i >= 0; i--)
        {
            if (i >= tickedCount) continue; // others left meanwhile
            Budget = Turn;
            try
            {
                ticked[i]!.Tick(now);
            }
            catch (Exception bug) // as above
            {
                log.LoopFault(Index, bug);
            }
        }
    }

    internal readonly struct Entry(EventLoop loop) : ICriticalNotifyCompletion
    {
        public bool IsCompleted => loop.IsCurrent;

        public Entry GetAwaiter() => this;

        public void GetResult()
        {
        }

        public void OnCompleted(Action continuation) => loop.Post(new Continuation(continuation));

        public void UnsafeOnCompleted(Action continuation) => loop.Post(new Continuation(continuation));
    }

    private sealed class Continuation(Action action) : ILoopWork
    {
        public void Run() => action();
    }
}
