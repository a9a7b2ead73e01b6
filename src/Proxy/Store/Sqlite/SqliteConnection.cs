using System.Runtime.InteropServices;
using System.Text;
using Proxy.Streams;

namespace Proxy.Store.Sqlite;

/// <summary>
/// One connection to a database file, for one thread at a time. Several connections, also of other processes, may use the file at once: readers do not wait,
/// and a writer waits up to <see cref="Patience"/> for another.
/// </summary>
internal sealed unsafe class SqliteConnection : IDisposable
{
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    private readonly Dictionary<string, SqliteStatement> statements = [];
    private readonly string path;
    private nint handle;

    /// <summary>Opens the file, which must exist.</summary>
    public SqliteConnection(string path)
    {
        this.path = path;
        int code;
        fixed (byte* name = Terminated(path))
            code = Sqlite3.Open(name, out handle, Sqlite3.ReadWrite | Sqlite3.NoMutex | Sqlite3.ExtendedCodes, null);
        if (code is Sqlite3.Ok)
        {
            _ = Sqlite3.BusyTimeout(handle, (int)Patience.TotalMilliseconds);
            return;
        }

        var failure = Failure(code);
        Dispose();
        throw failure;
    }

    /// <summary>How many rows the last statement changed.</summary>
    public long Changes => Sqlite3.Changes(handle);

    /// <summary>Whether the last failure says that the connection or the file is of no more use: it must be opened again.</summary>
    public bool IsBroken { get; private set; }

    /// <summary>Runs SQL without parameters and without rows.</summary>
    public void Execute(string sql)
    {
        int code;
        fixed (byte* text = Terminated(sql)) code = Sqlite3.Execute(handle, text, 0, 0, null);
        if (code is not Sqlite3.Ok) throw Failure(code);
    }

    /// <summary>The statement of an SQL text, which is prepared at its first use.</summary>
    public SqliteStatement Prepare(string sql)
    {
        if (statements.TryGetValue(sql, out var known))
        {
            known.Reset(); // it may have failed in the middle
            return known;
        }

        int code;
        nint statement;
        fixed (byte* text = Terminated(sql)) code = Sqlite3.Prepare(handle, text, -1, Sqlite3.Persistent, out statement, null);
        if (code is not Sqlite3.Ok) throw Failure(code);
        return statements[sql] = new(this, statement);
    }

    /// <summary>The number that a statement such as a pragma returns.</summary>
    public long Integer(string sql)
    {
        var statement = Prepare(sql);
        var value = statement.Step() ? statement.Integer(0) : 0;
        statement.Reset();
        return value;
    }

    /// <summary>Does the work in one transaction: all of it, or nothing if it throws.</summary>
    public void Write(Action<SqliteConnection> work)
    {
        Execute("begin immediate");
        try
        {
            work(this);
            Execute("commit");
        }
        catch
        {
            _ = TryExecute("rollback");
            throw;
        }
    }

    /// <summary>Does reads that must see the same state of the database.</summary>
    public T Read<T>(Func<SqliteConnection, T> work)
    {
        Execute("begin");
        try
        {
            return work(this);
        }
        finally
        {
            _ = TryExecute("rollback");
        }
    }

    public bool TryExecute(string sql)
    {
        fixed (byte* text = Terminated(sql)) return Sqlite3.Execute(handle, text, 0, 0, null) is Sqlite3.Ok;
    }

    /// <summary>The exception for a result code.</summary>
    public StoreException Failure(int code)
    {
        var kind = code & 0xff;
        IsBroken |= kind is Sqlite3.CannotOpen or Sqlite3.Corrupt or Sqlite3.NotADatabase or Sqlite3.IoError or Sqlite3.ReadOnly;
        var said = Marshal.PtrToStringUTF8((nint)(handle == 0 ? Sqlite3.Meaning(code) : Sqlite3.Message(handle)));
        return new($"{path}: {kind switch
        {
            Sqlite3.Full => "the disk is full",
            Sqlite3.ReadOnly => "the file or its folder may not be written by this user",
            Sqlite3.CannotOpen => "the file cannot be opened: this user may not read and write it, or not its folder",
            Sqlite3.Busy => $"another process has kept the file locked for {Patience.TotalSeconds:0} s",
            Sqlite3.Corrupt or Sqlite3.NotADatabase => "the file is damaged or not a database; move it away, and a new one is made",
            Sqlite3.IoError => "the disk cannot read or write it",
            _ => "SQLite failed",
        }} ({said}, code {code})");
    }

    public void Dispose()
    {
        foreach (var statement in statements.Values) statement.Finish();
        statements.Clear();
        if (handle != 0) _ = Sqlite3.Close(handle);
        handle = 0;
    }

    private static byte[] Terminated(string text) => Encoding.UTF8.GetBytes(text + '\0');
}
