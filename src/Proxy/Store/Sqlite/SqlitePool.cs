using System.Collections.Concurrent;

namespace Proxy.Store.Sqlite;

/// <summary>Several connections for reading, so that reads run side by side. Each is opened when it is needed first.</summary>
internal sealed class SqlitePool : IAsyncDisposable
{
    private readonly SemaphoreSlim places;
    private readonly ConcurrentStack<SqliteAccess> free = [];
    private readonly SqliteAccess[] all;

    public SqlitePool(string path, int connections, Func<string, Task<SqliteConnection>> open)
    {
        places = new(connections);
        all = [.. Enumerable.Range(0, connections).Select(_ => new SqliteAccess(path, open))];
        foreach (var access in all) free.Push(access);
    }

    /// <summary>Runs the work on the thread pool with a connection of its own.</summary>
    public async ValueTask<T> RunAsync<T>(Func<SqliteConnection, T> work, CancellationToken cancellation)
    {
        await places.WaitAsync(cancellation).ConfigureAwait(false);
        if (!free.TryPop(out var access)) throw new InvalidOperationException("more users than connections");
        try
        {
            return await access.RunAsync(work, cancellation).ConfigureAwait(false);
        }
        finally
        {
            free.Push(access);
            places.Release();
        }
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var access in all) await access.DisposeAsync().ConfigureAwait(false);
    }
}
