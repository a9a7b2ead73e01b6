using Npgsql;
using Proxy.Streams;

namespace Proxy.Store.Postgres;

/// <summary>
/// The proxy's schema in a database. The first write creates or migrates its tables; several processes may share them, also of different versions.
/// </summary>
internal sealed class PostgresSchema : IAsyncDisposable
{
    private const string UndefinedSchema = "3F000";

    private readonly PostgresDatabase database;
    private readonly string name;
    private volatile bool isMigrated;

    /// <summary>Connects to nothing yet. Throws <see cref="StoreException"/> if the address cannot be read.</summary>
    /// <param name="url">A URI or a connection string.</param>
    /// <param name="name">The schema's name.</param>
    public PostgresSchema(string url, string name) => (database, this.name, Quoted) = (new(url), name, PostgresTables.Quote(name));

    /// <summary>The schema's name as SQL has it.</summary>
    public string Quoted { get; }

    /// <summary>Runs work on a connection after the tables were made. If the user lacks a right, the error says which SQL gives it.</summary>
    public async ValueTask<T> UseAsync<T>(Func<NpgsqlConnection, CancellationToken, Task<T>> work, CancellationToken cancellation)
    {
        try
        {
            return await database.RunAsync(
                async (connection, cancellation) =>
                {
                    if (!isMigrated) await PostgresTables.MigrateAsync(connection, name, cancellation).ConfigureAwait(false);
                    isMigrated = true;
                    return await work(connection, cancellation).ConfigureAwait(false);
                },
                cancellation).ConfigureAwait(false);
        }
        catch (StoreException e) when (e.InnerException is PostgresException said)
        {
            // The tables were dropped, or the address leads to another database now.
            if (said.SqlState is PostgresErrorCodes.UndefinedTable or UndefinedSchema) isMigrated = false;
            if (said.SqlState is not PostgresErrorCodes.InsufficientPrivilege) throw;
            var advice = await CheckAsync(cancellation).ConfigureAwait(false);
            throw new StoreException(string.Join("; ", advice.Prepend(e.Message)), e);
        }
    }

    /// <summary>Runs work that only reads. A database without the tables is left so, and answered with <paramref name="nothing"/>.</summary>
    public async ValueTask<T> ReadAsync<T>(T nothing, Func<NpgsqlConnection, CancellationToken, Task<T>> work, CancellationToken cancellation)
    {
        if (isMigrated) return await UseAsync(work, cancellation).ConfigureAwait(false);
        return await database.RunAsync(
            async (connection, cancellation) =>
            {
                isMigrated = await PostgresTables.VersionAsync(connection, name, cancellation).ConfigureAwait(false) >= PostgresTables.Latest;
                return isMigrated ? await work(connection, cancellation).ConfigureAwait(false) : nothing;
            },
            cancellation).ConfigureAwait(false);
    }

    /// <summary>What the database lacks for records; empty: nothing.</summary>
    public async ValueTask<IReadOnlyList<string>> CheckAsync(CancellationToken cancellation)
    {
        try
        {
            return await RunAsync(PostgresCheck.RunAsync, cancellation).ConfigureAwait(false);
        }
        catch (StoreException problem)
        {
            return [problem.Message];
        }
    }

    /// <summary>Runs a check on a connection, with the schema's name. Makes no tables.</summary>
    public ValueTask<T> RunAsync<T>(Func<NpgsqlConnection, string, CancellationToken, Task<T>> check, CancellationToken cancellation) =>
        database.RunAsync((connection, cancellation) => check(connection, name, cancellation), cancellation);

    public ValueTask DisposeAsync() => database.DisposeAsync();
}
