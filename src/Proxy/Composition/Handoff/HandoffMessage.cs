using System.Text.Json.Serialization;
using Proxy.Backends;

namespace Proxy.Composition.Handoff;

/// <summary>
/// One line of the talk between two processes of a handoff. Both may be of any version: a kind or a member that one does not know is ignored.
/// </summary>
/// <param name="Kind">
/// From the new process: <c>prepared</c> (<see cref="Version"/>: all but accepting is done), <c>failed</c> (<see cref="Reason"/>), <c>serving</c>, <c>grant</c>
/// (the old one may use one more slot of <see cref="Backend"/>). From the old process: <c>predecessors</c>, <c>hold</c> (it keeps <see cref="Count"/> slots of
/// <see cref="Backend"/>), <c>want</c> (a call waits for a slot of one of <see cref="Backends"/>), <c>returned</c> (it gave back a slot of
/// <see cref="Backend"/>), <c>go</c> (accept now), <c>main</c> (the service manager knows the new process), <c>calls</c> (<see cref="Count"/> are running).
/// </param>
internal sealed record HandoffMessage(string Kind)
{
    /// <summary>The version of the talk, not of the program.</summary>
    public const int CurrentVersion = 1;

    public int? Version { get; init; }

    public string? Reason { get; init; }

    public int? Count { get; init; }

    public SlotKey? Backend { get; init; }

    public IReadOnlyList<SlotKey>? Backends { get; init; }

    public IReadOnlyList<HandedPredecessor>? Predecessors { get; init; }

    /// <summary>The handoffs so far, this one included.</summary>
    public long? Handoffs { get; init; }
}

/// <summary>A process that had handed over before, as the next one needs to know it.</summary>
/// <param name="Pid">Its process id.</param>
/// <param name="Talk">The descriptor of the talk with it.</param>
/// <param name="Admin">The path of its admin socket.</param>
/// <param name="Calls">The calls that it had running.</param>
/// <param name="Held">The slots that it holds.</param>
/// <param name="Wants">For each of its calls that wait: the backends that can serve it.</param>
/// <param name="Unread">The bytes that were read from its talk and not understood yet.</param>
internal sealed record HandedPredecessor(
    int Pid, int Talk, string Admin, int Calls, IReadOnlyList<HeldSlots> Held, IReadOnlyList<IReadOnlyList<SlotKey>> Wants, byte[] Unread);

/// <summary>Slots that a process holds.</summary>
internal sealed record HeldSlots(SlotKey Backend, int Count);

/// <summary>What a process gets from the one that starts it to take over, in the variable PROXY_HANDOFF. The numbers are descriptors.</summary>
/// <param name="Version">The version of the talk.</param>
/// <param name="Pid">The process id of the old process.</param>
/// <param name="Talk">This process's end of the talk.</param>
/// <param name="Admin">The path at which the old process has its admin socket after the handoff.</param>
/// <param name="Sockets">The listening sockets.</param>
/// <param name="Claims">The claims of unix sockets, the admin socket included.</param>
internal sealed record HandoffPlan(
    int Version, int Pid, int Talk, string Admin, IReadOnlyList<HandedSocket> Sockets, IReadOnlyList<HandedClaim> Claims)
{
    public const string Variable = "PROXY_HANDOFF";
}

/// <summary>A listening socket. <paramref name="Listen"/>: the entry of the file that it was bound for; null: the service manager bound it.</summary>
internal sealed record HandedSocket(int Descriptor, string Name, string? Listen);

/// <summary>The lock of a unix socket's path.</summary>
internal sealed record HandedClaim(string Path, int Descriptor);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(HandoffMessage))]
[JsonSerializable(typeof(HandoffPlan))]
internal sealed partial class HandoffJson : JsonSerializerContext;
