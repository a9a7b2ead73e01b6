using Proxy.Knowledge;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Store;

/// <summary>The contract on the store that other tests use.</summary>
public sealed class MemoryKnowledgeContractTests : KnowledgeStoreContract
{
    private readonly MemoryKnowledgeStore store;

    public MemoryKnowledgeContractTests() => store = new(Time);

    private protected override bool IsShared => false;

    private protected override bool Expires => false;

    private protected override ValueTask<IKnowledgeStore> NewAsync() => new(store);
}
