using Proxy.Tests.EndToEnd;

namespace Proxy.Tests.Sdk;

/// <summary>The vendors' clients get answers from documents, with their sources.</summary>
[Trait("Category", "Sdk")]
public sealed class RagSdkTests(RagHouse house) : IClassFixture<RagHouse>
{
    [Fact]
    public async Task Clients_for_JavaScript_get_answers_with_sources() => Assert.Equal(11, (await Script.NodeAsync("rag.mjs", house.Proxy.Address)).Count);
}
