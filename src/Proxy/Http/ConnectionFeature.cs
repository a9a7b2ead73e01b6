using System.Net;

namespace Proxy.Http;

/// <summary>The facts about a connection: which listener accepted it, and which caller it last identified.</summary>
/// <param name="local">The listener is bound to loopback or to a unix socket, so only this machine can reach it.</param>
/// <param name="admin">The listener is the operator's own socket, which needs no key and serves only the admin endpoints.</param>
/// <param name="peer">The other end; null if it is not known.</param>
internal sealed class ConnectionFeature(bool local, bool admin, EndPoint? peer = null)
{
    public bool Local => local;
    public bool Admin => admin;

    /// <summary>The address of the client's machine, without the port; <c>local</c> on a unix socket.</summary>
    public string Peer => peer is IPEndPoint ip ? ip.Address.ToString() : "local";

    /// <summary>The request comes from the process that took over from this one.</summary>
    public bool IsForwarded { get; init; }

    /// <summary>The call may be answered only with what an equal call generates, or has generated.</summary>
    public bool Joins { get; init; }

    /// <summary>The caller of the request, whom another process of this proxy has identified; null: this process does so.</summary>
    public Caller? Known { get; init; }

    /// <summary>
    /// The last caller that a key identified, so that the same header on the same connection is not hashed again. Used by one request at a time.
    /// </summary>
    public Admission? Last { get; set; }

    // Not Get<T>: native AOT code looks up the target of a generic virtual call by name, which is slow.
    public static ConnectionFeature? Of(HttpContext context) => context.Features[typeof(ConnectionFeature)] as ConnectionFeature;
}

/// <param name="Header">
/// The string of the header. The server returns the same instance as long as the client repeats the value, so it is compared by reference: the time reveals
/// nothing.
/// </param>
/// <param name="Keys">The table of keys in which it was found.</param>
internal sealed record Admission(string Header, object Keys, Caller Caller);
