using Proxy.Backends;

namespace Proxy.Composition.Handoff;

/// <summary>
/// The processes that handed over, one to the next and the last one to this process, and whose calls still run. Each has the slots that it held; its end frees
/// them. Thread-safe.
/// </summary>
internal sealed class Predecessors(SlotQueue slots, BackendDirectory directory, ILogger log, TimeProvider time) : IDisposable
{
    /// <summary>The most processes that may run beside the one that serves.</summary>
    public const int Most = 3;

    private readonly Lock gate = new();
    private readonly List<Predecessor> all = [];

    public int Count { get { lock (gate) return all.Count; } }

    /// <summary>The calls that they have running, as they last said.</summary>
    public int Calls { get { lock (gate) return all.Sum(static one => one.Calls); } }

    /// <summary>The paths of their admin sockets, the newest first.</summary>
    public IReadOnlyList<string> AdminSockets { get { lock (gate) return [.. all.Select(static one => one.Admin).Reverse()]; } }

    /// <summary>They and what they have running, for a person.</summary>
    public string InWords()
    {
        lock (gate) return string.Join(", ", all.Select(static one => $"process {one.Pid} with {one.Calls} calls"));
    }

    /// <summary>Adds the process at the other end of a talk. What it says about slots is heard from the call of <see cref="Predecessor.Listen"/> on.</summary>
    public Predecessor Add(int pid, string admin, HandoffTalk talk)
    {
        var share = new RemoteSlots(slots, directory, key => talk.Post(new("grant") { Backend = key }), time);
        var added = new Predecessor(pid, admin, talk, share, Remove);
        lock (gate) all.Add(added);
        return added;
    }

    /// <summary>Adds a process that the previous one had as a predecessor.</summary>
    public Predecessor Add(HandedPredecessor handed)
    {
        var added = Add(handed.Pid, handed.Admin, new HandoffTalk(handed.Talk, handed.Unread));
        added.Calls = handed.Calls;
        foreach (var (key, count) in handed.Held)
        {
            for (var i = 0; i < count; i++) added.Share.Hold(key);
        }

        foreach (var keys in handed.Wants) added.Share.Want(keys);
        return added;
    }

    public IReadOnlyList<Predecessor> All() { lock (gate) return [.. all]; }

    /// <summary>Stops listening to them, and says what the next process has to know.</summary>
    public async Task<IReadOnlyList<HandedPredecessor>> FreezeAsync()
    {
        var handed = new List<HandedPredecessor>();
        foreach (var one in All())
        {
            if (await one.StopListeningAsync().ConfigureAwait(false)) continue; // it has ended
            var share = one.Share.Freeze();
            handed.Add(new(one.Pid, one.Talk.Descriptor, one.Admin, one.Calls, [.. share.Held.Select(static held => new HeldSlots(held.Key, held.Value))],
                share.Wants, one.Talk.Unread));
        }

        return handed;
    }

    /// <summary>Undoes <see cref="FreezeAsync"/>.</summary>
    public void Thaw()
    {
        foreach (var one in All())
        {
            one.Share.Thaw();
            one.Listen();
        }
    }

    /// <summary>Another process has them now.</summary>
    public void Leave()
    {
        lock (gate)
        {
            foreach (var one in all) one.Dispose();
            all.Clear();
        }
    }

    public void Dispose()
    {
        foreach (var one in All()) one.Dispose();
    }

    private void Remove(Predecessor ended)
    {
        lock (gate) all.Remove(ended);
        ended.Share.Dispose();
        ended.Dispose();
        log.PredecessorEnded(ended.Pid);
    }
}

/// <summary>A process that handed over.</summary>
/// <param name="pid">Its process id.</param>
/// <param name="admin">The path of its admin socket.</param>
/// <param name="talk">The talk with it.</param>
/// <param name="share">The slots that it holds.</param>
/// <param name="ended">Called at its end.</param>
internal sealed class Predecessor(int pid, string admin, HandoffTalk talk, RemoteSlots share, Action<Predecessor> ended) : IDisposable
{
    private CancellationTokenSource listening = new();
    private Task<bool> listener = Task.FromResult(false);
    private readonly TaskCompletionSource main = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int calls;

    /// <summary>Completes when the service manager knows this process, and not that one any more.</summary>
    public Task IsMain => main.Task;

    public int Pid => pid;
    public string Admin => admin;
    public HandoffTalk Talk => talk;
    public RemoteSlots Share => share;

    /// <summary>The calls that it has running, as it last said.</summary>
    public int Calls { get => Volatile.Read(ref calls); set => Volatile.Write(ref calls, value); }

    /// <summary>Hears what it says from now on.</summary>
    public void Listen()
    {
        listening.Dispose();
        listening = new();
        listener = ListenAsync(listening.Token);
    }

    /// <summary>Returns when nothing more is heard: whether it has ended.</summary>
    public async Task<bool> StopListeningAsync()
    {
        await listening.CancelAsync().ConfigureAwait(false);
        return await listener.ConfigureAwait(false);
    }

    /// <summary>Ends the talk in this process.</summary>
    public void Dispose()
    {
        talk.Dispose();
        listening.Dispose();
    }

    /// <summary>Takes a message about slots and calls.</summary>
    public void Hear(HandoffMessage message)
    {
        switch (message.Kind)
        {
            case "hold" when message.Backend is { } key:
                for (var i = 0; i < message.Count; i++) share.Hold(key);
                break;
            case "want" when message.Backends is { Count: > 0 } keys:
                share.Want(keys);
                break;
            case "returned" when message.Backend is { } key:
                share.Return(key);
                break;
            case "main":
                main.TrySetResult();
                break;
            case "calls" when message.Count is { } count:
                Calls = count;
                break;
        }
    }

    private async Task<bool> ListenAsync(CancellationToken cancellation)
    {
        try
        {
            while (await talk.ReadAsync(cancellation).ConfigureAwait(false) is { } message) Hear(message);
        }
        catch (OperationCanceledException)
        {
            return false;
        }

        ended(this);
        return true;
    }
}
