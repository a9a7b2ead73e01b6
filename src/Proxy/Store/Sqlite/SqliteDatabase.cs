using System.Runtime.InteropServices;
using Proxy.Streams;

namespace Proxy.Store.Sqlite;

/// <summary>
/// Opens database files. A committed row survives the end of the process and a loss of power: the write-ahead log is synchronised at every commit
/// (<c>synchronous = full</c>).
/// </summary>
internal static partial class SqliteDatabase
{
    private const int WriteAndSearch = 2 | 1; // for access(2)

    public const UnixFileMode OwnFile = UnixFileMode.UserRead | UnixFileMode.UserWrite;
    public const UnixFileMode OwnFolder = OwnFile | UnixFileMode.UserExecute;

    /// <summary>Opens the file. It is made, and its folder, if it does not exist; only their user may read them.</summary>
    /// <param name="path">The file.</param>
    /// <param name="pragmas">Settings of this connection besides the common ones.</param>
    /// <param name="scripts">Make the tables (<see cref="Migrate"/>).</param>
    public static async Task<SqliteConnection> OpenAsync(string path, string pragmas, string[] scripts)
    {
        try
        {
            var folder = Path.GetDirectoryName(path)!;
            if (!Directory.Exists(folder)) Directory.CreateDirectory(folder, OwnFolder);
            // SQLite gives a new file to everyone who may read. Only a new file is opened here: closing it would end the locks of other connections.
            var own = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write, UnixCreateMode = OwnFile };
            if (!File.Exists(path)) await File.Open(path, own).DisposeAsync().ConfigureAwait(false);
        }
        catch (IOException) when (File.Exists(path))
        {
            // Another process has made it just now.
        }
        catch (Exception problem) when (problem is IOException or UnauthorizedAccessException)
        {
            throw new StoreException(problem.Message, problem);
        }

        var connection = new SqliteConnection(path);
        try
        {
            await UseWriteAheadLogAsync(connection).ConfigureAwait(false);
            connection.Execute($"pragma synchronous = full; pragma journal_size_limit = 16777216; pragma temp_store = memory; {pragmas}");
            Migrate(connection, scripts);
            return connection;
        }
        catch
        {
            connection.Dispose();
            throw;
        }
    }

    /// <summary>
    /// Runs the scripts that the database has not had; it has had the first <c>user_version</c> of them. One of a newer version is left as it is.
    /// </summary>
    public static void Migrate(SqliteConnection connection, string[] scripts)
    {
        if (Version(connection) >= scripts.Length) return;
        connection.Write(connection =>
        {
            // Asked again: another process may have migrated it in the meantime.
            for (var version = Version(connection); version < scripts.Length; version++) connection.Execute(scripts[version]);
            SetVersion(connection, scripts);
        });
    }

    /// <summary>Writes something that changes nothing, which fails where nothing can be written.</summary>
    public static void SetVersion(SqliteConnection connection, string[] scripts) =>
        connection.Execute($"pragma user_version = {Math.Max(Version(connection), scripts.Length)}");

    /// <summary>
    /// The file remembers it. The change needs the file alone, and SQLite does not wait for that by itself: without another try, of several processes that open
    /// a new file at once all but one would fail.
    /// </summary>
    private static async Task UseWriteAheadLogAsync(SqliteConnection connection)
    {
        var since = TimeProvider.System.GetTimestamp();
        while (true)
        {
            try
            {
                connection.Execute("pragma journal_mode = wal");
                return;
            }
            catch (StoreException) when (!connection.IsBroken && TimeProvider.System.GetElapsedTime(since) < SqliteConnection.Patience)
            {
                await Task.Delay(TimeSpan.FromMilliseconds(20)).ConfigureAwait(false);
            }
        }
    }

    private static long Version(SqliteConnection connection) => connection.Integer("pragma user_version");

    /// <summary>What stands in the way of using the file, or of making it; null: nothing.</summary>
    public static string? Check(string path)
    {
        var folder = Path.GetDirectoryName(path);
        if (!File.Exists(path))
        {
            while (folder is not null && !Path.Exists(folder)) folder = Path.GetDirectoryName(folder); // the rest of them will be made
            if (!Directory.Exists(folder)) return $"{path}: {folder} is not a folder";
            return Access(folder, WriteAndSearch) == 0 ? null : $"{path}: {folder} may not be written by this user";
        }

        try
        {
            using var connection = new SqliteConnection(path);
            _ = connection.Integer("select count(*) from sqlite_schema");
            connection.Execute("begin immediate; rollback");
            return null;
        }
        catch (StoreException problem)
        {
            return problem.Message;
        }
    }

    [LibraryImport("libc", EntryPoint = "access", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Access(string path, int mode);
}
