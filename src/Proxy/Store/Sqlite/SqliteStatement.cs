using System.Buffers;
using System.Text;

namespace Proxy.Store.Sqlite;

/// <summary>
/// A prepared statement, used again and again: bind its values in the order of its parameters, run it, and read its columns by number, from 0.
/// </summary>
internal sealed unsafe class SqliteStatement(SqliteConnection connection, nint handle)
{
    private const int LongestOnStack = 512;

    private int bound;

    public int Columns => Sqlite3.Columns(handle);

    /// <summary>The statement is at a row, whose columns can be read. False: there are no more, and it can be used again.</summary>
    public bool Step()
    {
        var code = Sqlite3.Step(handle);
        if (code is Sqlite3.Row) return true;
        Reset();
        if (code is not Sqlite3.Done) throw connection.Failure(code);
        return false;
    }

    /// <summary>Runs a statement that returns no rows, or whose rows do not matter. Returns how many rows it changed.</summary>
    public long Run()
    {
        if (Step()) Reset();
        return connection.Changes;
    }

    /// <summary>Ends a query before its last row.</summary>
    public void Reset()
    {
        bound = 0;
        _ = Sqlite3.Reset(handle); // returns again what Step returned
    }

    public SqliteStatement Bind(string? value)
    {
        if (value is null) return BindNull();
        var most = Encoding.UTF8.GetMaxByteCount(value.Length);
        var rented = most <= LongestOnStack ? null : ArrayPool<byte>.Shared.Rent(most);
        var utf8 = rented ?? stackalloc byte[LongestOnStack];
        var length = Encoding.UTF8.GetBytes(value, utf8);
        fixed (byte* text = utf8) Check(Sqlite3.BindText(handle, ++bound, text, length, Sqlite3.Transient));
        if (rented is not null) ArrayPool<byte>.Shared.Return(rented);
        return this;
    }

    public SqliteStatement Bind(byte[]? value)
    {
        if (value is null) return BindNull();
        // An empty array has no address, and an address of null would be SQL's null.
        fixed (byte* bytes = value.Length == 0 ? [0] : value) Check(Sqlite3.BindBlob(handle, ++bound, bytes, value.Length, Sqlite3.Transient));
        return this;
    }

    /// <summary>Bytes that are copied.</summary>
    public SqliteStatement BindBytes(ReadOnlySpan<byte> value)
    {
        fixed (byte* bytes = value.IsEmpty ? [0] : value) Check(Sqlite3.BindBlob(handle, ++bound, bytes, value.Length, Sqlite3.Transient));
        return this;
    }

    public SqliteStatement Bind(long? value)
    {
        if (value is not { } number) return BindNull();
        Check(Sqlite3.BindInteger(handle, ++bound, number));
        return this;
    }

    public SqliteStatement Bind(double? value)
    {
        if (value is not { } number) return BindNull();
        Check(Sqlite3.BindReal(handle, ++bound, number));
        return this;
    }

    /// <summary>A time is kept as milliseconds since 1970.</summary>
    public SqliteStatement Bind(DateTimeOffset time) => Bind((long?)time.ToUnixTimeMilliseconds());

    public long Integer(int column) => Sqlite3.Integer(handle, column);

    public DateTimeOffset Time(int column) => DateTimeOffset.FromUnixTimeMilliseconds(Integer(column));

    /// <summary>A text, or a number as text.</summary>
    public string Text(int column) => Encoding.UTF8.GetString(Sqlite3.Text(handle, column), Sqlite3.Length(handle, column));

    public string? TextOrNull(int column) => IsNull(column) ? null : Text(column);

    public byte[] Bytes(int column) => new ReadOnlySpan<byte>(Sqlite3.Bytes(handle, column), Sqlite3.Length(handle, column)).ToArray();

    /// <summary>A blob, valid until the next step.</summary>
    public ReadOnlySpan<byte> Span(int column) => new(Sqlite3.Bytes(handle, column), Sqlite3.Length(handle, column));

    public int Number(int column) => (int)Integer(column);

    public int? NumberOrNull(int column) => IsNull(column) ? null : Number(column);

    public DateTimeOffset? TimeOrNull(int column) => IsNull(column) ? null : Time(column);

    public byte[]? BytesOrNull(int column) => IsNull(column) ? null : Bytes(column);

    public void Finish() => _ = Sqlite3.Finish(handle);

    private bool IsNull(int column) => Sqlite3.TypeOf(handle, column) == 5;

    private SqliteStatement BindNull()
    {
        Check(Sqlite3.BindNull(handle, ++bound));
        return this;
    }

    private void Check(int code)
    {
        if (code is not Sqlite3.Ok) throw connection.Failure(code);
    }
}
