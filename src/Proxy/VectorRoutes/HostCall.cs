using Microsoft.Extensions.Logging;
using Proxy.Backends;
using Proxy.Buffers;
using Proxy.Chat;

namespace Proxy.VectorRoutes;

/// <summary>
/// A call for the host that the dispatcher picks. Once the host is known, the call decides what to send: the client's own bytes, or a request written in the
/// host's dialect. In the second case it parses the answer too.
/// </summary>
/// <typeparam name="T">The type of a parsed answer.</typeparam>
internal abstract class HostCall<T>(VectorHosts hosts, VectorCall call) : IDispatchable
    where T : class
{
    /// <summary>The last host that was asked got the client's bytes.</summary>
    public bool Verbatim { get; private set; }

    /// <summary>That host was a proxy, so its answer already has the form that ours would have.</summary>
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

    /// <summary>Parses the answer to a request that <see cref="Write"/> wrote; null if it is not an answer to it.</summary>
    public abstract T? Read(ReadOnlySpan<byte> answer);

    /// <summary>Path and query at a host that gets the client's bytes; null if the request has to be written for this host.</summary>
    protected virtual string? PathAt(Backend backend) => null;

    /// <summary>Writes the call in the host's dialect and lists the fields that the dialect cannot express; or returns why this host cannot be asked.</summary>
    protected abstract ProxyError? Write(Backend backend, string served, PooledBody body, List<string> lost, out string path);

    protected static ProxyError CannotAsk(Backend backend, string why) => new(ProxyErrorKind.NotImplemented, why) { Backend = backend.Name };
}
