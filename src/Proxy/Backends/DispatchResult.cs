using Proxy.Chat;

namespace Proxy.Backends;

/// <summary>The result of sending a call: a host's reply, which may be the host's refusal, or our own error.</summary>
internal abstract record DispatchResult
{
    private DispatchResult() { }

    public sealed record Answered(BackendReply Reply) : DispatchResult;

    /// <summary>The built-in echo backend was chosen. No host replies; the echo produces the answer.</summary>
    public sealed record Echo(Lease Lease, string Served) : DispatchResult;

    public sealed record Failed(ProxyError Error) : DispatchResult;
}
