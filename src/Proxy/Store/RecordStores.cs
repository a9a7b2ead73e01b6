using Microsoft.Extensions.Logging;
using Proxy.Config;
using Proxy.Store.Postgres;
using Proxy.Store.Spooling;
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
        _ => new PostgresStore(config.Url!, config.Schema, time),
    };

    /// <summary>The same for a proxy that serves: while PostgreSQL cannot be used, its records wait in a spool.</summary>
    public static (IRecordStore Store, SpoolingStore? Spool) CreateServing(StoreConfig config, ILogger log, TimeProvider time)
    {
        var store = Create(config, time);
        if (config.Kind is "sqlite") return (store, null);
        var spool = new SpoolingStore(store, config.Spool, log, time);
        return (spool, spool);
    }

    /// <summary>Where the records are, without credentials.</summary>
    public static string Place(StoreConfig config) => config.File ?? $"PostgreSQL, schema {config.Schema}";
}
