using Proxy.Chat;

namespace Proxy.Streams;

/// <summary>How a generation ended.</summary>
internal enum EndKind
{
    /// <summary>Whole: the host said so.</summary>
    Whole,

    /// <summary>The client left before the end.</summary>
    ClientLeft,

    /// <summary>The host broke off, and the client has not been told.</summary>
    BrokeOff,

    /// <summary>The host said in its own stream that it failed, so the client knows.</summary>
    HostSaidError,
}

/// <param name="Kind">How it ended.</param>
/// <param name="Usage">The tokens that the host counted, as far as it did.</param>
/// <param name="Error">With <see cref="EndKind.BrokeOff"/>: the error for the client. With <see cref="EndKind.HostSaidError"/>: the host's own.</param>
internal readonly record struct GenerationEnd(EndKind Kind, Usage? Usage, ProxyError? Error = null);

/// <summary>Holds the end of a generation back, for example until its record is committed.</summary>
internal interface IEndGate
{
    /// <summary>The last frame (<c>[DONE]</c>, <c>message_stop</c>, the last chunk of a whole answer) is sent when this returns null; an error is sent in its place.</summary>
    ValueTask<ProxyError?> BeforeEndAsync(GenerationEnd end);
}

/// <summary>What a feature adds to one generation.</summary>
internal readonly record struct Followers(IFrameTap[] Taps, IEndGate[] Gates)
{
    public static readonly Followers None = new([], []);

    public bool IsNone => Taps.Length == 0 && Gates.Length == 0;

    public bool OutliveClient => Array.Exists(Taps, static tap => tap.OutlivesClient);
}
