namespace Proxy.Backends;

/// <summary>A backend as processes of one proxy name it to each other: by that by which a reload recognises it.</summary>
internal sealed record SlotKey(string Name, string Url)
{
    public static SlotKey Of(Backend backend) => new(backend.Name, backend.Config.Url);
}

/// <summary>The slots of one process that handed over, and its wishes for more, when they move on to the process after this one.</summary>
/// <param name="Held">The number of slots that it holds, for each backend.</param>
/// <param name="Wants">For each of its calls that wait: the backends that can serve it.</param>
internal sealed record RemoteShare(IReadOnlyDictionary<SlotKey, int> Held, IReadOnlyList<IReadOnlyList<SlotKey>> Wants);

/// <summary>
/// The slots that this process counts for a process that handed over to it, and those that it gets for it. Dispose it when that process has ended: its slots
/// are free then. Thread-safe.
/// </summary>
/// <param name="slots">Grants the slots.</param>
/// <param name="directory">Knows the backends. A slot of a backend that is not there is granted at once: this process sends nothing to it.</param>
/// <param name="grant">Tells the other process that it may use one more slot.</param>
/// <param name="time">The clock.</param>
internal sealed class RemoteSlots(SlotQueue slots, BackendDirectory directory, Action<SlotKey> grant, TimeProvider time) : IDisposable
{
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);

    /// <summary>The other process decides how long its call waits.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromDays(1);

    private readonly Lock gate = new();
    private readonly Dictionary<SlotKey, Stack<Lease?>> held = [];
    private readonly List<IReadOnlyList<SlotKey>> wants = [];
    private CancellationTokenSource running = new();
    private bool isFrozen;
    private bool isDisposed;

    /// <summary>The number of slots that are counted for the other process.</summary>
    public int Count { get { lock (gate) return held.Values.Sum(static leases => leases.Count); } }

    /// <summary>The other process holds a slot.</summary>
    public void Hold(SlotKey key)
    {
        lock (gate)
        {
            if (!isDisposed) Add(key, Find(key) is { } backend ? slots.Hold(backend) : null);
        }
    }

    /// <summary>A call of the other process waits for a slot of one of these.</summary>
    public void Want(IReadOnlyList<SlotKey> keys)
    {
        lock (gate)
        {
            if (isDisposed) return;
            wants.Add(keys);
            if (!isFrozen) _ = TakeAsync(keys, running.Token);
        }
    }

    /// <summary>The other process has given a slot back.</summary>
    public void Return(SlotKey key)
    {
        Lease? lease = null;
        lock (gate)
        {
            if (held.TryGetValue(key, out var leases)) leases.TryPop(out lease);
        }

        lease?.Dispose();
    }

    /// <summary>Grants nothing from now on, and says what has to be counted elsewhere.</summary>
    public RemoteShare Freeze()
    {
        lock (gate)
        {
            isFrozen = true;
            running.Cancel();
            return new(held.Where(static pair => pair.Value.Count > 0).ToDictionary(static pair => pair.Key, static pair => pair.Value.Count), [.. wants]);
        }
    }

    /// <summary>The leases, which another process counts from now on.</summary>
    public IReadOnlyList<Lease> Leases()
    {
        lock (gate) return [.. held.Values.SelectMany(static leases => leases).OfType<Lease>()];
    }

    /// <summary>Undoes <see cref="Freeze"/>, and what became of the leases.</summary>
    public void Thaw()
    {
        lock (gate)
        {
            if (!isFrozen || isDisposed) return;
            isFrozen = false;
            running.Dispose();
            running = new();
            foreach (var (key, leases) in held)
            {
                var count = leases.Count;
                leases.Clear();
                for (var i = 0; i < count; i++) leases.Push(Find(key) is { } backend ? slots.Hold(backend) : null);
            }

            foreach (var keys in wants) _ = TakeAsync(keys, running.Token);
        }
    }

    public void Dispose()
    {
        List<Lease> left;
        lock (gate)
        {
            if (isDisposed) return;
            isDisposed = true;
            running.Cancel();
            left = [.. held.Values.SelectMany(static leases => leases).OfType<Lease>()];
            held.Clear();
            wants.Clear();
        }

        foreach (var lease in left) lease.Dispose();
        running.Dispose();
    }

    private async Task TakeAsync(IReadOnlyList<SlotKey> keys, CancellationToken cancellation)
    {
        while (!cancellation.IsCancellationRequested)
        {
            Backend[] candidates = [.. keys.Select(Find).OfType<Backend>()];
            if (candidates.Length == 0)
            {
                Take(keys, keys[0], null);
                return;
            }

            var taken = await slots.TakeAsync("", candidates, int.MaxValue, Patience, cancellation).ConfigureAwait(false);
            if (taken.Lease is { } lease)
            {
                Take(keys, SlotKey.Of(lease.Backend), lease);
                return;
            }

            // All of them are down. The other process probes them too, and fails its call or finds one up.
            await Task.Delay(Pause, time, cancellation).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private void Take(IReadOnlyList<SlotKey> keys, SlotKey key, Lease? lease)
    {
        lock (gate)
        {
            if (!isFrozen && !isDisposed)
            {
                wants.Remove(keys);
                Add(key, lease);
                grant(key);
                return;
            }
        }

        lease?.Dispose();
    }

    private void Add(SlotKey key, Lease? lease)
    {
        if (!held.TryGetValue(key, out var leases)) held[key] = leases = [];
        leases.Push(lease);
    }

    private Backend? Find(SlotKey key)
    {
        foreach (var backend in directory.Table.All)
        {
            if (backend.Name == key.Name && backend.Config.Url == key.Url) return backend;
        }

        return null;
    }
}
