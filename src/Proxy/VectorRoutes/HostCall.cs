using Microsoft.Extensions.Logging;
using Proxy.Backends;
using Proxy.Buffers;
using Proxy.Chat;

namespace Proxy.VectorRoutes;

/// <summary>What a host is to be sent, decided when it is known which host it is: the client's own bytes, or the call written in the host's dialect. And how its answer is read.</summary>
/// <typeparam name="T">What an answer is read into.</typeparam>
internal abstract class HostCall<T>(VectorHosts hosts, VectorCall call) : IDispatchable
    where T : class
{
    /// <summary>The host that was asked last got the client's bytes.</summary>
    public bool Verbatim { get; private set; }

    /// <summary>It was a proxy, whose answer is in every way as ours would be.</summary>
    public bool AskedProxy { get; private set; }

    public CallInfo Info => call.Info;

    public IReadOnlyList<KeyValuePair<string, string>> Headers => call.Headers;

    protected VectorCall Call => call;

    public ProxyError? Prepare(Backend backend, string served, out OutgoingCall outgoing)
    {
        outgoing = default;
        if (PathAt(backend) is { } same)
        {
            (Verbatim, AskedProxy) = (true, backend.IsProxy);
            outgoing = new("POST", same, call.BodyFor(backend, served), call.ContentType, null, hosts.Errors, Streams: false);
            return null;
        }

        Verbatim = false;
        var body = new PooledBody();
        var lost = new List<string>();
        if (Write(backend, served, body, lost, out var target) is { } unsayable)
        {
            body.Dispose();
            return unsayable;
        }

        if (lost.Count > 0) hosts.Log.FieldsLost(Info.TraceId, backend.Name, string.Join(", ", lost));
        outgoing = new("POST", target, new(body.Memory), "application/json", null, hosts.Errors, Streams: false, body);
        return null;
    }

    /// <summary>What the answer to a call that was written here says; null when it is no answer to it.</summary>
    public abstract T? Read(ReadOnlySpan<byte> answer);

    /// <summary>Path and query at a host that gets the client's bytes; null where they cannot stay.</summary>
    protected virtual string? PathAt(Backend backend) => null;

    /// <summary>Writes the call in the host's dialect, and names what that cannot say; or returns why this host cannot be asked.</summary>
    protected abstract ProxyError? Write(Backend backend, string served, PooledBody body, List<string> lost, out string path);

    protected static ProxyError CannotAsk(Backend backend, string why) => new(ProxyErrorKind.NotImplemented, why) { Backend = backend.Name };
}
