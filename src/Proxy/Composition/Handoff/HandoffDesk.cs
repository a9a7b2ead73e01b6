using System.Globalization;
using System.Text.Json;
using System.Threading.Channels;
using Proxy.Backends;
using Proxy.Config;
using Proxy.Http;
using Proxy.Transport;

namespace Proxy.Composition.Handoff;

/// <summary>
/// Hands this process's work over to a new process of the program, which may be another version: starts it, waits until it is ready, stops accepting, and lets
/// it accept. If it fails before that, this process serves on as if nothing had happened. docs/upgrades.md describes the steps.
/// </summary>
/// <param name="start">How to start the new process.</param>
/// <param name="parts">This process.</param>
/// <param name="sockets">Its listening sockets.</param>
/// <param name="listeners">What they are for.</param>
/// <param name="admin">The claim of the admin socket.</param>
/// <param name="manager">The service manager.</param>
/// <param name="handoffs">The handoffs that led to this process.</param>
/// <param name="stop">This process is told to stop.</param>
internal sealed class HandoffDesk(
    StartCommand start, Parts parts, ListeningSockets sockets, Listeners listeners, SocketClaim admin, SystemdNotify manager, long handoffs,
    CancellationToken stop) : ISlotSource, IDisposable
{
    /// <summary>How long the new process may take to accept, once this one does not.</summary>
    private static readonly TimeSpan Switch = TimeSpan.FromSeconds(10);

    private static readonly TimeSpan ReportPause = TimeSpan.FromSeconds(1);

    private readonly TaskCompletionSource<int> handedOver = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private HandoffTalk? talk;
    private int running;
    private volatile bool isOver;

    /// <summary>Completes with the id of the process that serves now.</summary>
    public Task<int> HandedOver => handedOver.Task;

    /// <summary>Where the admin socket of this process is after a handoff.</summary>
    public string MovedAdmin { get; } = Path.Combine(Path.GetDirectoryName(admin.Path) ?? "", string.Create(CultureInfo.InvariantCulture,
        $"{Path.GetFileNameWithoutExtension(admin.Path)}-{Environment.ProcessId}{Path.GetExtension(admin.Path)}"));

    /// <summary>Begins a handoff; it goes on whether its steps are read or not.</summary>
    public ChannelReader<HandoffStep> Begin(HandoffWish wish)
    {
        var steps = Channel.CreateUnbounded<HandoffStep>();
        _ = RunAsync(wish, steps.Writer);
        return steps.Reader;
    }

    /// <summary>Tells the new process from time to time how many calls run here.</summary>
    public async Task ReportAsync(CancellationToken cancellation)
    {
        for (int? told = null; !cancellation.IsCancellationRequested;)
        {
            if (parts.Calls.Count is var now && now != told) talk?.Post(new("calls") { Count = now });
            told = now;
            await Task.Delay(ReportPause, parts.Time, cancellation).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    void ISlotSource.Keep(Backend backend, int count) => talk?.Post(new("hold") { Backend = SlotKey.Of(backend), Count = count });

    void ISlotSource.Want(IReadOnlyList<Backend> candidates) => talk?.Post(new("want") { Backends = [.. candidates.Select(SlotKey.Of)] });

    void ISlotSource.GiveBack(Backend backend) => talk?.Post(new("returned") { Backend = SlotKey.Of(backend) });

    public void Dispose()
    {
        isOver = true;
        talk?.Dispose();
    }

    private async Task RunAsync(HandoffWish wish, ChannelWriter<HandoffStep> steps)
    {
        HandoffStep last;
        if (Interlocked.Exchange(ref running, 1) != 0)
        {
            last = new("refused") { Reason = HandedOver.IsCompleted ? "this process has handed over already" : "a handoff is under way" };
        }
        else
        {
            try
            {
                last = Refusal() is { } refusal ? new("refused") { Reason = refusal } : await HandOverAsync(wish, steps).ConfigureAwait(false);
            }
            catch (Exception problem) // the operator waits for an answer, and this process serves on
            {
                last = new("failed") { Reason = problem is IOException ? problem.Message : problem.ToString() };
            }

            if (last.Event is not "serving") Volatile.Write(ref running, 0);
            if (last.Event is "refused") parts.Log.HandoffRefused(last.Reason!);
            if (last.Event is "failed") parts.Log.HandoffFailed(last.Reason!);
        }

        steps.TryWrite(last);
        steps.Complete();
    }

    private string? Refusal() =>
        stop.IsCancellationRequested ? "this process is stopping"
        : Environment.ProcessId == 1 ? "this is process 1 of its container, which ends with it: replace the container"
        : parts.Predecessors.Count >= Predecessors.Most
            ? $"{Predecessors.Most} processes that handed over earlier still run ({parts.Predecessors.InWords()}); wait until one has ended, "
                + "or end what it runs with DELETE /v1/streams or systemctl restart"
        : MovedAdmin.Length > ListenAddress.LongestUnixPath ? $"{MovedAdmin} is longer than the path of a unix socket may be"
        : null;

    private async Task<HandoffStep> HandOverAsync(HandoffWish wish, ChannelWriter<HandoffStep> steps)
    {
        var (opened, pid) = await StartAsync(wish).ConfigureAwait(false);
        steps.TryWrite(new("started") { Pid = pid });
        if (await WaitAsync(opened, "prepared", wish.Patience, stop).ConfigureAwait(false) is { } problem)
        {
            Successor.Kill(pid);
            opened.Dispose();
            return new("failed") { Pid = pid, Reason = problem };
        }

        var backends = parts.Directory.Table.All;
        await StepBackAsync(opened, backends).ConfigureAwait(false);
        if (await WaitAsync(opened, "serving", Switch, CancellationToken.None).ConfigureAwait(false) is { } late)
        {
            Successor.Kill(pid);
            opened.Dispose();
            await StepForwardAsync(backends).ConfigureAwait(false);
            return new("failed") { Pid = pid, Reason = late };
        }

        parts.Predecessors.Leave();
        sockets.HandOver();
        listeners.HandOver();
        admin.HandOver();
        manager.HandOver(pid);
        opened.Post(new("main"));
        _ = ListenAsync(opened);
        handedOver.SetResult(pid);
        return new("serving") { Pid = pid, Calls = parts.Calls.Count };
    }

    private async Task<(HandoffTalk Talk, int Pid)> StartAsync(HandoffWish wish)
    {
        var (own, other) = HandoffTalk.NewPair();
        try
        {
            using (other)
            {
                var theirs = (int)other.DangerousGetHandle();
                HandedSocket[] given = [.. from listener in listeners.All
                    join socket in sockets.All on listener.Options.EndPoint equals socket.EndPoint
                    select new HandedSocket((int)socket.Socket.Handle, listener.Source.Name, listener.Source.Listen)];
                HandedClaim[] claims = [.. listeners.Claims.Append(admin).Select(static claim => new HandedClaim(claim.Path, claim.Descriptor))];
                var plan = new HandoffPlan(HandoffMessage.CurrentVersion, Environment.ProcessId, theirs, MovedAdmin, given, claims);
                int[] descriptors = [theirs, .. given.Select(static one => one.Descriptor), .. claims.Select(static one => one.Descriptor),
                    .. parts.Predecessors.All().Select(static one => one.Talk.Descriptor)];
                var program = wish.Binary is { } named ? [named] : start.Program;
                var environment = StartCommand.EnvironmentWith(JsonSerializer.Serialize(plan, HandoffJson.Default.HandoffPlan));
                return (own, await Successor.StartAsync(start.Self, [.. program, .. start.Arguments], environment, descriptors).ConfigureAwait(false));
            }
        }
        catch
        {
            own.Dispose();
            throw;
        }
    }

    /// <summary>Waits for a message of the new process. Returns why it does not come; null: it has come.</summary>
    private async Task<string?> WaitAsync(HandoffTalk with, string kind, TimeSpan patience, CancellationToken cancellation)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        limit.CancelAfter(patience);
        try
        {
            while (await with.ReadAsync(limit.Token).ConfigureAwait(false) is { } message)
            {
                if (message.Kind == kind) return null;
                if (message.Kind is "failed") return message.Reason ?? "the new process gave no reason";
                Hear(message);
            }

            return "the new process ended before it was ready; its log says why";
        }
        catch (OperationCanceledException)
        {
            return cancellation.IsCancellationRequested ? "this process is stopping"
                : string.Create(CultureInfo.InvariantCulture, $"the new process was not ready within {patience.TotalSeconds:0.#} s");
        }
    }

    /// <summary>Accepts nothing any more, and gives the new process the slots and the path of the admin socket.</summary>
    private async Task StepBackAsync(HandoffTalk with, IReadOnlyList<Backend> backends)
    {
        with.Post(new("predecessors") { Predecessors = await parts.Predecessors.FreezeAsync().ConfigureAwait(false) });
        await sockets.PauseAsync().ConfigureAwait(false);
        File.Move(admin.Path, MovedAdmin, overwrite: true);
        talk = with;
        parts.Slots.HandOver(backends, parts.Predecessors.All().SelectMany(static one => one.Share.Leases()), this);
        with.Post(new("go") { Handoffs = handoffs + 1 });
    }

    /// <summary>Undoes <see cref="StepBackAsync"/>: the new process has failed after all.</summary>
    private async Task StepForwardAsync(IReadOnlyList<Backend> backends)
    {
        talk = null;
        parts.Predecessors.Thaw();
        parts.Slots.TakeBack(backends);
        File.Move(MovedAdmin, admin.Path, overwrite: true);
        await sockets.ResumeAsync().ConfigureAwait(false);
    }

    private async Task ListenAsync(HandoffTalk with)
    {
        while (await with.ReadAsync(CancellationToken.None).ConfigureAwait(false) is { } message) Hear(message);
        if (!isOver) parts.Log.SuccessorEnded();
    }

    private void Hear(HandoffMessage message)
    {
        if (message is not { Kind: "grant", Backend: { } key }) return;
        foreach (var backend in parts.Directory.Table.All)
        {
            if (SlotKey.Of(backend) == key) parts.Slots.Granted(backend);
        }
    }
}
