namespace Proxy.Http;

/// <summary>What a connection knows of the listener it came through, and who called over it last.</summary>
/// <param name="local">Its listener is bound to loopback or to a unix socket: nobody else's machine can reach it.</param>
/// <param name="admin">Its listener is the operator's own socket, which needs no key and serves nothing but the administration.</param>
internal sealed class ConnectionFeature(bool local, bool admin)
{
    public bool Local => local;
    public bool Admin => admin;

    /// <summary>The last caller who was let in by key, so that the same header on the same connection is not hashed again. One request at a time uses it.</summary>
    public Admission? Last { get; set; }

    // The indexer and not Get<T>: a generic virtual call is looked up by name in native code.
    public static ConnectionFeature? Of(HttpContext context) => context.Features[typeof(ConnectionFeature)] as ConnectionFeature;
}

/// <param name="Header">The header's own string: the server hands out the same one as long as the client repeats it, so it is compared by reference and tells no time.</param>
/// <param name="Keys">The keys it was found in.</param>
internal sealed record Admission(string Header, object Keys, Caller Caller);
