namespace Proxy.Tests.Transport;

public sealed class LoopUpstreamTests() : UpstreamContract(UpstreamKind.Loops);
