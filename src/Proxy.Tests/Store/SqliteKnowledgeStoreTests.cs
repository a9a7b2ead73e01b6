using Proxy.Knowledge;
using Proxy.Store.Sqlite.Knowledge;

namespace Proxy.Tests.Store;

/// <summary>The contract on SQLite.</summary>
public sealed class SqliteKnowledgeContractTests : KnowledgeStoreContract
{
    private readonly string folder = Directory.CreateTempSubdirectory("proxy-knowledge-").FullName;

    private protected override ValueTask<IKnowledgeStore> NewAsync() => new(new SqliteKnowledgeStore(folder, Analyzer, Time));

    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        Directory.Delete(folder, recursive: true);
    }
}
