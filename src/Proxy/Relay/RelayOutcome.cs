using Proxy.Chat;

namespace Proxy.Relay;

/// <summary>How the relay of one answer ended.</summary>
internal enum RelayEnd
{
    /// <summary>Whole: the host said so.</summary>
    Whole,

    /// <summary>The client took no more.</summary>
    ClientLeft,

    /// <summary>The host broke off and the client has not been told.</summary>
    BrokeOff,

    /// <summary>The host said in its own stream that it failed, so the client knows.</summary>
    HostSaidError,
}

/// <param name="Error">What to tell the client, when <see cref="RelayEnd.BrokeOff"/>; what the host said, when <see cref="RelayEnd.HostSaidError"/>.</param>
internal readonly record struct RelayOutcome(RelayEnd End, Usage? Usage, ProxyError? Error = null);
