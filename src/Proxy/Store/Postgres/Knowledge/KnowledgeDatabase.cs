using Npgsql;
using Proxy.Knowledge;
using Proxy.Streams;

namespace Proxy.Store.Postgres.Knowledge;

/// <summary>Runs the reads and transactions of knowledge. Every failure is a <see cref="KnowledgeStoreException"/>.</summary>
internal sealed class KnowledgeDatabase(PostgresSchema schema)
{
    /// <summary>A read that takes longer fails: the caller of a search waits for it.</summary>
    private static readonly TimeSpan LongestRead = TimeSpan.FromSeconds(30);

    /// <summary>The schema's name, quoted.</summary>
    public string Schema => schema.Quoted;

    /// <summary>Reads. Where the tables do not exist, for example because a set of vectors was deleted meanwhile, the result is that for nothing.</summary>
    public async ValueTask<T> ReadAsync<T>(T nothing, Func<NpgsqlConnection, CancellationToken, Task<T>> work, CancellationToken cancellation)
    {
        using var limit = new CancellationTokenSource(LongestRead, TimeProvider.System);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, cancellation);
        try
        {
            return await schema.ReadAsync(nothing, work, either.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException e) when (!cancellation.IsCancellationRequested)
        {
            throw new KnowledgeStoreException($"PostgreSQL has not answered for {LongestRead.TotalSeconds:0} s", e);
        }
        catch (StoreException e) when (e.InnerException is PostgresException { SqlState: PostgresErrorCodes.UndefinedTable })
        {
            return nothing;
        }
        catch (StoreException e)
        {
            throw new KnowledgeStoreException(e.Message, e);
        }
    }

    /// <summary>Runs work in a transaction; the first of all makes the tables. It may run more than once, if another transaction was in the way.</summary>
    public async ValueTask<T> WriteAsync<T>(Func<NpgsqlConnection, CancellationToken, Task<T>> work, CancellationToken cancellation)
    {
        try
        {
            return await schema.UseAsync(
                (connection, cancellation) => connection.InTransactionAsync(cancellation => work(connection, cancellation), cancellation), cancellation)
                .ConfigureAwait(false);
        }
        catch (StoreException e)
        {
            throw new KnowledgeStoreException(e.Message, e);
        }
    }

    public ValueTask DisposeAsync() => schema.DisposeAsync();
}
