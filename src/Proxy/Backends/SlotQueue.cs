using System.Runtime.InteropServices;
using Proxy.Backends.Picking;

namespace Proxy.Backends;

/// <summary>
/// A slot held at a backend; disposing it gives the slot to the longest waiting call. Without a queue: the use of a backend that takes no slot.
/// </summary>
internal sealed class Lease(SlotQueue? queue, Backend backend) : IDisposable
{
    private int returned;

    public Backend Backend => backend;

    public void Dispose()
    {
        if (Interlocked.Exchange(ref returned, 1) == 0) queue?.Return(backend);
    }

    /// <summary>Another process counts this slot from now on. Called under the queue's lock.</summary>
    public void Disown()
    {
        if (Interlocked.Exchange(ref returned, 1) == 0) backend.State.InFlight--;
    }
}

/// <summary>Why no slot was granted.</summary>
internal enum SlotRefusal { None, QueueFull, TimedOut, Cancelled, AllDown }

/// <summary>Grants slots to a process that has handed over: the process that serves now. Called under the queue's lock, so it must not wait.</summary>
internal interface ISlotSource
{
    /// <summary>This process goes on to hold so many slots of the backend.</summary>
    void Keep(Backend backend, int count);

    /// <summary>A call waits for a slot of one of these. <see cref="SlotQueue.Granted"/> is called when there is one.</summary>
    void Want(IReadOnlyList<Backend> candidates);

    /// <summary>This process does not need one of its slots any more.</summary>
    void GiveBack(Backend backend);
}

/// <summary>The outcome of asking for a slot: a lease, or the reason why not.</summary>
internal readonly record struct SlotGrant(Lease? Lease, SlotRefusal Refusal);

/// <summary>
/// Grants the backends' slots: at once if one is free, else first come, first served for each model, up to a limit. If the queue is full, it refuses at once.
/// </summary>
internal sealed class SlotQueue(TimeProvider time)
{
    private readonly Lock gate = new();
    private readonly LinkedList<Waiter> line = new();
    private readonly Dictionary<string, int> lengths = [];
    private ISlotSource? source; // null: this process grants the slots itself

    /// <summary>Number of waiting calls, over all models.</summary>
    public int Waiting { get { lock (gate) return line.Count; } }

    /// <param name="patience">The longest time to wait.</param>
    public ValueTask<SlotGrant> TakeAsync(string model, IReadOnlyList<Backend> candidates, int bound, TimeSpan patience, CancellationToken cancellation)
    {
        Waiter waiter;
        lock (gate)
        {
            var available = IsAnyAvailable(candidates);
            if (LeastBusy.Pick(candidates, evenDown: !available) is { } free) return new(new SlotGrant(Give(free), SlotRefusal.None));

            if (!available) return new(new SlotGrant(null, SlotRefusal.AllDown));
            var length = lengths.GetValueOrDefault(model);
            if (length >= bound) return new(new SlotGrant(null, SlotRefusal.QueueFull));
            lengths[model] = length + 1;
            waiter = new Waiter(model, candidates);
            waiter.Node = line.AddLast(waiter);
            source?.Want(candidates);
        }

        return new(WaitAsync(waiter, patience, cancellation));
    }

    public void Return(Backend backend)
    {
        Waiter? next;
        Lease? lease;
        lock (gate)
        {
            backend.State.Return();
            next = NextFor(backend, out lease);
            GiveBackUnused(backend);
        }

        next?.Granted.SetResult(new(lease, SlotRefusal.None));
    }

    /// <summary>
    /// Hands the slots over: from now on this process uses those that it holds, and asks the source for each other one. The slots that it held for other
    /// processes are no longer its own.
    /// </summary>
    /// <param name="backends">All backends.</param>
    /// <param name="others">The leases that were held for other processes.</param>
    /// <param name="to">Grants slots from now on.</param>
    public void HandOver(IReadOnlyList<Backend> backends, IEnumerable<Lease> others, ISlotSource to)
    {
        lock (gate)
        {
            foreach (var lease in others) lease.Disown();
            foreach (var backend in backends) backend.State.Quota = backend.State.InFlight;
            source = to;
            foreach (var backend in backends)
            {
                if (backend.State.Quota > 0) to.Keep(backend, backend.State.Quota.Value);
            }

            foreach (var waiter in line) to.Want(waiter.Candidates);
        }
    }

    /// <summary>Undoes <see cref="HandOver"/>: this process grants the slots again.</summary>
    public void TakeBack(IReadOnlyList<Backend> backends)
    {
        lock (gate)
        {
            source = null;
            foreach (var backend in backends) backend.State.Quota = null;
        }

        Recheck();
    }

    /// <summary>The source has granted a slot. If no call waits for it any more, it is given back.</summary>
    public void Granted(Backend backend)
    {
        Waiter? next;
        Lease? lease;
        lock (gate)
        {
            if (backend.State.Quota is null) return;
            backend.State.Quota++;
            next = NextFor(backend, out lease);
            GiveBackUnused(backend);
        }

        next?.Granted.SetResult(new(lease, SlotRefusal.None));
    }

    /// <summary>Counts a slot that another process holds, even if that is more than there are.</summary>
    public Lease Hold(Backend backend)
    {
        lock (gate)
        {
            backend.State.InFlight++;
            return new(this, backend);
        }
    }

    /// <summary>Gives a backend's free slot to the first call in the line that may have it; null: none waits for it.</summary>
    private Waiter? NextFor(Backend backend, out Lease? lease)
    {
        lease = null;
        for (var node = line.First; node is not null; node = node.Next)
        {
            // Compared by state, because a reload creates new backends for the same slots.
            if (Namesake(node.Value.Candidates, backend) is not { } wanted || LeastBusy.Pick([wanted]) is null
                || LeastBusy.IsPassedOver(wanted, node.Value.Candidates))
            {
                continue;
            }

            var next = node.Value;
            Remove(next);
            lease = Give(wanted);
            return next;
        }

        return null;
    }

    private void GiveBackUnused(Backend backend)
    {
        if (backend.State.Quota is not { } quota || quota <= backend.State.InFlight) return;
        backend.State.Quota = quota - 1;
        source?.GiveBack(backend);
    }

    /// <summary>Called when backends are new or came back: they need not catch up with the calls that the others were given meanwhile.</summary>
    public void Level(IReadOnlyList<Backend> backends)
    {
        lock (gate)
        {
            foreach (var backend in backends) backend.State.Given = 0;
        }
    }

    /// <summary>
    /// Called when a backend came back or went down, or a reload gave it more slots: grants free slots to waiting calls, and fails those whose backends are all
    /// down.
    /// </summary>
    public void Recheck()
    {
        var grants = new List<(Waiter Waiter, SlotGrant Grant)>();
        lock (gate)
        {
            for (var node = line.First; node is not null;)
            {
                var waiter = node.Value;
                node = node.Next;
                var available = IsAnyAvailable(waiter.Candidates);
                var free = LeastBusy.Pick(waiter.Candidates, evenDown: !available);
                if (free is null && available)
                {
                    source?.Want(waiter.Candidates); // what was granted for it before may have been given back while the backend was down
                    continue;
                }

                Remove(waiter);
                grants.Add((waiter, free is null ? new(null, SlotRefusal.AllDown) : new(Give(free), SlotRefusal.None)));
            }
        }

        foreach (var (waiter, grant) in grants) waiter.Granted.SetResult(grant);
    }

    private static bool IsAnyAvailable(IReadOnlyList<Backend> candidates)
    {
        foreach (var candidate in candidates)
        {
            if (candidate.State.Available) return true;
        }

        return false;
    }

    private static Backend? Namesake(IReadOnlyList<Backend> candidates, Backend backend)
    {
        for (var i = 0; i < candidates.Count; i++)
        {
            if (candidates[i].State == backend.State) return candidates[i];
        }

        return null;
    }

    private async Task<SlotGrant> WaitAsync(Waiter waiter, TimeSpan patience, CancellationToken cancellation)
    {
        using var timeout = new CancellationTokenSource(patience > TimeSpan.Zero ? patience : TimeSpan.Zero, time);
        using var late = timeout.Token.UnsafeRegister(_ => Drop(waiter, SlotRefusal.TimedOut), null);
        using var gone = cancellation.UnsafeRegister(_ => Drop(waiter, SlotRefusal.Cancelled), null);
        return await waiter.Granted.Task;
    }

    private void Drop(Waiter waiter, SlotRefusal why)
    {
        lock (gate)
        {
            if (waiter.Node is null) return;
            Remove(waiter);
        }

        waiter.Granted.SetResult(new(null, why));
    }

    private void Remove(Waiter waiter)
    {
        line.Remove(waiter.Node!);
        waiter.Node = null;
        if (--CollectionsMarshal.GetValueRefOrNullRef(lengths, waiter.Model) == 0) lengths.Remove(waiter.Model);
    }

    private Lease Give(Backend backend)
    {
        backend.State.Take();
        return new(this, backend);
    }

    private sealed class Waiter(string model, IReadOnlyList<Backend> candidates)
    {
        public string Model => model;
        public IReadOnlyList<Backend> Candidates => candidates;
        public LinkedListNode<Waiter>? Node { get; set; }
        public TaskCompletionSource<SlotGrant> Granted { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
