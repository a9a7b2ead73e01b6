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
internal readonly record struct GenerationEnd(EndKind Kind, Usage? Usage, ProxyError? Error = null);

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
}

/// <summary>What features add to one generation: taps that see its frames, and gates that hold back its end.</summary>
internal readonly record struct Followers(IFrameTap[] Taps, IEndGate[] Gates)
{
    public static readonly Followers None = new([], []);

    public bool IsNone => Taps.Length == 0 && Gates.Length == 0;

    public bool OutliveClient => Array.Exists(Taps, static tap => tap.OutlivesClient);
}
