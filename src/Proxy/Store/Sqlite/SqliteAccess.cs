using Proxy.Streams;

namespace Proxy.Store.Sqlite;

/// <summary>
/// Gives one connection to one user at a time, on the thread pool. Opens it at the first use, and again after a failure that broke it or if the file was
/// deleted: what is written to a deleted file is gone with the connection.
/// </summary>
internal sealed class SqliteAccess(string path, Func<string, Task<SqliteConnection>> open) : IAsyncDisposable
{
    private readonly SemaphoreSlim turn = new(1);
    private SqliteConnection? connection;
    private bool disposed;

    public async ValueTask<T> RunAsync<T>(Func<SqliteConnection, T> work, CancellationToken cancellation)
    {
        await turn.WaitAsync(cancellation).ConfigureAwait(false);
        try
        {
            return await Task.Run(() => UseAsync(work), CancellationToken.None).ConfigureAwait(false);
        }
        finally
        {
            turn.Release();
        }
    }

    public async ValueTask DisposeAsync()
    {
        await turn.WaitAsync().ConfigureAwait(false);
        disposed = true;
        Close();
        turn.Release();
    }

    private async Task<T> UseAsync<T>(Func<SqliteConnection, T> work)
    {
        if (disposed) throw new StoreException("the store is closed");
        if (connection is not null && !File.Exists(path)) Close();
        try
        {
            return work(connection ??= await open(path).ConfigureAwait(false));
        }
        finally
        {
            if (connection is { IsBroken: true }) Close();
        }
    }

    private void Close()
    {
        connection?.Dispose();
        connection = null;
    }
}
