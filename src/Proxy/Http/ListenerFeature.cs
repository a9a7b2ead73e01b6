namespace Proxy.Http;

/// <summary>What a connection knows of the listener it came through.</summary>
/// <param name="Local">Bound to loopback or to a unix socket: nobody else's machine can reach it.</param>
/// <param name="Admin">The operator's own socket, which needs no key and serves nothing but the administration.</param>
internal sealed record ListenerFeature(bool Local, bool Admin);
