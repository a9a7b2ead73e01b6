using System.Text.Json;

namespace Proxy.Composition.Handoff;

/// <summary>
/// What this process got from the one that started it to take over: listening sockets, claims of unix sockets, and the talk with that process. A process that
/// was started in another way has none of it.
/// </summary>
internal sealed class Inheritance : IDisposable
{
    private static readonly TimeSpan LastWords = TimeSpan.FromSeconds(1);

    private readonly HandoffPlan? plan;
    private readonly HandoffTalk? talk;
    private Predecessor? before;

    private Inheritance(HandoffPlan? plan)
    {
        this.plan = plan;
        if (plan is null) return;
        talk = new HandoffTalk(plan.Talk);
        foreach (var descriptor in plan.Sockets.Select(static one => one.Descriptor).Concat(plan.Claims.Select(static one => one.Descriptor)))
            InheritedSockets.Keep(descriptor);
    }

    /// <summary>Whether another process waits for this one to take over.</summary>
    public bool IsHandoff => plan is not null;

    /// <summary>The process that handed over.</summary>
    public int Pid => plan?.Pid ?? 0;

    /// <summary>The listening sockets.</summary>
    public IReadOnlyList<InheritedSocket> Sockets =>
        plan is null ? [] : [.. plan.Sockets.Select(static one => new InheritedSocket(one.Descriptor, one.Name, one.Listen))];

    /// <summary>The claims of unix sockets.</summary>
    public IReadOnlyList<SocketClaim> Claims => plan is null ? [] : [.. plan.Claims.Select(static one => SocketClaim.Adopt(one.Path, one.Descriptor))];

    /// <summary>The handoffs that led to this process.</summary>
    public long Handoffs { get; private set; }

    /// <summary>Reads the environment, and removes the variable: it is meant for this process alone.</summary>
    public static Inheritance Take()
    {
        var said = Environment.GetEnvironmentVariable(HandoffPlan.Variable);
        Environment.SetEnvironmentVariable(HandoffPlan.Variable, null);
        return new(said is null ? null : JsonSerializer.Deserialize(said, HandoffJson.Default.HandoffPlan));
    }

    /// <summary>Tells the old process why this one cannot take over. It serves on.</summary>
    public void Fail(string reason)
    {
        if (talk is null) return;
        talk.Post(new("failed") { Reason = reason });
        talk.FlushAsync().Wait(LastWords);
    }

    /// <summary>
    /// Tells the old process that this one can take over, and waits until it does not accept any more. The slots that it and its predecessors hold are counted
    /// then. False: the old process has ended, or serves on.
    /// </summary>
    public async Task<bool> WaitForGoAsync(Predecessors predecessors, CancellationToken cancellation)
    {
        if (talk is null) return true;
        before = predecessors.Add(plan!.Pid, plan.Admin, talk);
        var others = new List<Predecessor>();
        talk.Post(new("prepared") { Version = HandoffMessage.CurrentVersion });
        while (await talk.ReadAsync(cancellation).ConfigureAwait(false) is { } message)
        {
            before.Hear(message);
            if (message.Kind is "predecessors") others.AddRange((message.Predecessors ?? []).Select(predecessors.Add));
            if (message.Kind is not "go") continue;
            Handoffs = message.Handoffs ?? 1;
            foreach (var other in others) other.Listen();
            return true;
        }

        return false;
    }

    /// <summary>Tells the old process that this one accepts connections, and waits until the service manager knows it.</summary>
    public async Task ServingAsync()
    {
        if (before is null) return;
        talk!.Post(new("serving"));
        before.Listen();
        await before.IsMain.WaitAsync(TimeSpan.FromSeconds(5)).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    public void Dispose()
    {
        if (before is null) talk?.Dispose(); // else it is the predecessor's
    }
}
