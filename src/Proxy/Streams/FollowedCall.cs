using Proxy.Chat;
using Proxy.Telemetry;

namespace Proxy.Streams;

/// <summary>A call whose answer a feature may follow.</summary>
/// <param name="Routed">The call: its request, its ids and what it asks for. Its body may be given back as soon as the answer begins.</param>
/// <param name="Record">Its line in the log, filled in while the call runs. Only the call's own code writes to it.</param>
internal sealed record FollowedCall(RoutedCall Routed, CallRecord Record)
{
    public CallInfo Info => Routed.Call.Info;

    /// <summary>Keeps the answer; null: only the client reads it, at least when the route is asked.</summary>
    public AnswerJournal? Journal { get; init; }

    /// <summary>Rows that are written in the transaction of the call's record, if its answer is complete. A gate adds them before the end.</summary>
    public List<StoreRow> Rows => field ??= [];

    /// <summary>The answer must not end well without its record: if that cannot be written, the client gets an error in place of the end.</summary>
    public bool NeedsRecord { get; set; }
    /// <summary>The answer comes from a feature (<see cref="AnswerEarly"/>): no route is asked.</summary>
    public bool IsAnswered { get; init; }
}

/// <summary>Adds a feature's taps and gates to a call, before its answer is asked for. It adds none to a call that it does not follow.</summary>
internal delegate void Follow(FollowedCall call, List<IFrameTap> taps, List<IEndGate> gates);
