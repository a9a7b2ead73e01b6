namespace Proxy.Tests.Transport;

public sealed class SocketUpstreamTests() : UpstreamContract(UpstreamKind.Sockets);
