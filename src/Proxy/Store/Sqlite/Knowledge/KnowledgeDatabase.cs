using Proxy.Knowledge;
using Proxy.Streams;

namespace Proxy.Store.Sqlite.Knowledge;

/// <summary>
/// The database file: one connection for writing and a few for reading. Its failures, and those of the vector files, become
/// <see cref="KnowledgeStoreException"/>.
/// </summary>
internal sealed class KnowledgeDatabase(string folder) : IAsyncDisposable
{
    private const int Readers = 4;

    private readonly SqliteAccess writing = new(
        FileIn(folder), static path => SqliteDatabase.OpenAsync(path, "pragma cache_size = -32768; pragma wal_autocheckpoint = 4000", KnowledgeSchema.Scripts));

    private readonly SqlitePool reading = new(
        FileIn(folder), Readers, static path => SqliteDatabase.OpenAsync(path, "pragma cache_size = -8192", KnowledgeSchema.Scripts));

    /// <summary>The database file.</summary>
    public string File { get; } = FileIn(folder);

    /// <summary>Before the first write there is nothing, and a read makes nothing.</summary>
    public bool Exists => System.IO.File.Exists(File);

    public static string FileIn(string folder) => Path.Combine(folder, "knowledge.db");

    /// <summary>Does the work in one transaction.</summary>
    /// <param name="work">Returns what the transaction returns.</param>
    /// <param name="cancellation">Ends the wait for the connection.</param>
    public async ValueTask<T> WriteAsync<T>(Func<SqliteConnection, T> work, CancellationToken cancellation)
    {
        try
        {
            return await writing.RunAsync(
                connection =>
                {
                    var result = default(T)!;
                    connection.Write(connection => result = work(connection));
                    return result;
                }, cancellation).ConfigureAwait(false);
        }
        catch (Exception problem) when (IsFailure(problem))
        {
            throw Failure(problem);
        }
    }

    /// <summary>As <see cref="WriteAsync"/>; what is deleted is overwritten in the file.</summary>
    public async ValueTask<T> DeleteAsync<T>(Func<SqliteConnection, T> work, CancellationToken cancellation)
    {
        try
        {
            return await writing.RunAsync(
                connection =>
                {
                    var result = default(T)!;
                    connection.Execute("pragma secure_delete = on");
                    try
                    {
                        connection.Write(connection => result = work(connection));
                    }
                    finally
                    {
                        _ = connection.TryExecute("pragma secure_delete = off");
                    }

                    return result;
                }, cancellation).ConfigureAwait(false);
        }
        catch (Exception problem) when (IsFailure(problem))
        {
            throw Failure(problem);
        }
    }

    /// <summary>Reads one state of the database; the value for none if there is no database yet.</summary>
    public async ValueTask<T> ReadAsync<T>(T none, Func<SqliteConnection, T> work, CancellationToken cancellation)
    {
        if (!Exists) return none;
        try
        {
            return await reading.RunAsync(connection => connection.Read(work), cancellation).ConfigureAwait(false);
        }
        catch (Exception problem) when (IsFailure(problem))
        {
            throw Failure(problem);
        }
    }

    /// <summary>Moves the write-ahead log into the file as soon as no reader needs the older pages, so that deleted content is in neither.</summary>
    public async ValueTask CheckpointAsync(CancellationToken cancellation)
    {
        if (!Exists) return;
        await writing.RunAsync(static connection => connection.TryExecute("pragma wal_checkpoint(truncate)"), cancellation).ConfigureAwait(false);
    }

    public static bool IsFailure(Exception problem) => problem is StoreException or IOException or UnauthorizedAccessException;

    public static KnowledgeStoreException Failure(Exception problem) => new(problem.Message, problem);

    public async ValueTask DisposeAsync()
    {
        await reading.DisposeAsync().ConfigureAwait(false);
        await writing.DisposeAsync().ConfigureAwait(false); // last: it moves what is in the write-ahead log into the file
    }
}
