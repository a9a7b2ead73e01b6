using Proxy.Config;
using Proxy.Knowledge;
using Proxy.Knowledge.Analysis;
using Proxy.Store.Postgres;
using Proxy.Store.Postgres.Knowledge;
using Proxy.Store.Sqlite.Knowledge;

namespace Proxy.Store;

/// <summary>Makes the store of documents that is configured.</summary>
internal static class KnowledgeStores
{
    /// <summary>PostgreSQL where it keeps the records too, else SQLite in the state directory; null if there is no state directory.</summary>
    public static IKnowledgeStore? Create(ProxyConfig config, ITextAnalyzer analyzer, TimeProvider time) =>
        config.Store is { Kind: "postgres" } store ? new PostgresKnowledgeStore(new PostgresSchema(store.Url!, store.Schema), analyzer, time)
        : config.Knowledge.Folder is { } folder ? new SqliteKnowledgeStore(folder, analyzer, time)
        : null;

    /// <summary>Where documents are kept, for messages.</summary>
    public static string? Place(ProxyConfig config) =>
        config.Store is { Kind: "postgres" } store ? RecordStores.Place(store) : config.Knowledge.Folder;
}
