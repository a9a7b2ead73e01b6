using Proxy.Config;
using Proxy.Store.Sqlite;
using Proxy.Streams;

namespace Proxy.Store;

/// <summary>The store that a configuration asks for.</summary>
internal static class RecordStores
{
    /// <summary>Opens nothing yet: a store that cannot be used keeps no proxy from starting.</summary>
    public static IRecordStore Create(StoreConfig config, TimeProvider time) => config.Kind switch
    {
        "sqlite" => new SqliteStore(config.File!, time),
        _ => throw new NotSupportedException($"there is no store of kind {config.Kind}"),
    };

    /// <summary>Where the records are, without credentials.</summary>
    public static string Place(StoreConfig config) => config.File ?? $"PostgreSQL, schema {config.Schema}";
}
