using Proxy.Chat;

namespace Proxy.Streams;

/// <summary>How a generation ended.</summary>
internal enum EndKind
{
    /// <summary>The answer is complete: the host said so.</summary>
    Whole,

    /// <summary>The client left before the end.</summary>
    ClientLeft,

    /// <summary>The host broke off; the client has not received an error yet.</summary>
    BrokeOff,

    /// <summary>The host sent an error inside its stream, which the client has received.</summary>
    HostSaidError,
}

/// <param name="Kind">How it ended.</param>
/// <param name="Usage">The last token counts that the host sent; null if it sent none.</param>
/// <param name="Error">With <see cref="EndKind.BrokeOff"/>: the error for the client. With <see cref="EndKind.HostSaidError"/>: the host's own.</param>
internal readonly record struct GenerationEnd(EndKind Kind, Usage? Usage, ProxyError? Error = null)
{
    /// <summary>With <see cref="EndKind.ClientLeft"/>: not the client ended the call but this process, which stops.</summary>
    public bool Interrupted { get; init; }

    /// <summary>With <see cref="EndKind.Whole"/>: the task or model that a workflow chose; null: none was named.</summary>
    public string? Winner { get; init; }
}

/// <summary>Holds back the end of a generation, for example until its record is committed.</summary>
internal interface IEndGate
{
    /// <summary>
    /// Runs before the last frame (<c>[DONE]</c>, <c>message_stop</c>, the last chunk of a whole answer). Null: the frame is sent. An error is sent in its
    /// place.
    /// </summary>
    /// <param name="end">The end that waits.</param>
    /// <param name="cancellation">The client has left, or the drain's time is over.</param>
    ValueTask<ProxyError?> BeforeEndAsync(GenerationEnd end, CancellationToken cancellation);

    /// <summary>Called once after the last frame, however the generation ended. Does not wait for anything.</summary>
    void Ended(GenerationEnd end);
}

/// <summary>What features add to one generation: taps that see its frames, and gates that hold back its end.</summary>
internal readonly record struct Followers(IFrameTap[] Taps, IEndGate[] Gates)
{
    public static readonly Followers None = new([], []);

    /// <summary>The followers of a call. A process without features that follow calls pays nothing.</summary>
    public static Followers Of(
        IReadOnlyList<Follow> features, in RoutedCall routed, Telemetry.CallRecord record, bool isAnswered = false, AnswerJournal? journal = null)
    {
        if (features.Count == 0) return None;
        var call = new FollowedCall(routed, record) { IsAnswered = isAnswered, Journal = journal };
        var (taps, gates) = (new List<IFrameTap>(), new List<IEndGate>());
        foreach (var follow in features) follow(call, taps, gates);
        return taps.Count + gates.Count == 0 ? None : new([.. taps], [.. gates]);
    }

    public bool IsNone => Taps.Length == 0 && Gates.Length == 0;
}
