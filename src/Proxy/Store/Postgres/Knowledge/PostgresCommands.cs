using Npgsql;
using NpgsqlTypes;

namespace Proxy.Store.Postgres.Knowledge;

/// <summary>Short ways to run statements and to make their parameters, <c>$1</c> and so on.</summary>
internal static class PostgresCommands
{
    /// <summary>Seconds that a statement may take. It may wait for the lock of a workspace while another process removes a large file from it.</summary>
    public const int Patience = 300;

    public static async Task<List<T>> RowsAsync<T>(
        this NpgsqlConnection connection, string sql, Func<NpgsqlDataReader, T> read, CancellationToken cancellation, params NpgsqlParameter[] parameters)
    {
        var command = new NpgsqlCommand(sql, connection) { CommandTimeout = Patience };
        await using var ended = command.ConfigureAwait(false);
        command.Parameters.AddRange(parameters);
        var row = await command.ExecuteReaderAsync(cancellation).ConfigureAwait(false);
        await using var closed = row.ConfigureAwait(false);
        var found = new List<T>();
        while (await row.ReadAsync(cancellation).ConfigureAwait(false)) found.Add(read(row));
        return found;
    }

    /// <returns>The number of rows that were changed.</returns>
    public static async Task<int> RunAsync(
        this NpgsqlConnection connection, string sql, CancellationToken cancellation, params NpgsqlParameter[] parameters)
    {
        var command = new NpgsqlCommand(sql, connection) { CommandTimeout = Patience };
        await using var ended = command.ConfigureAwait(false);
        command.Parameters.AddRange(parameters);
        return await command.ExecuteNonQueryAsync(cancellation).ConfigureAwait(false);
    }

    /// <summary>Runs work in a transaction. Work that returns without an exception is committed.</summary>
    public static async Task<T> InTransactionAsync<T>(
        this NpgsqlConnection connection, Func<CancellationToken, Task<T>> work, CancellationToken cancellation)
    {
        var transaction = await connection.BeginTransactionAsync(cancellation).ConfigureAwait(false);
        await using var ended = transaction.ConfigureAwait(false);
        var result = await work(cancellation).ConfigureAwait(false);
        await transaction.CommitAsync(cancellation).ConfigureAwait(false);
        return result;
    }

    public static NpgsqlParameter Of<T>(T value) => new NpgsqlParameter<T> { TypedValue = value };

    public static NpgsqlParameter Text(string? value) =>
        new NpgsqlParameter<string?> { TypedValue = PostgresText.CleanOrNull(value), NpgsqlDbType = NpgsqlDbType.Text };

    public static NpgsqlParameter Integer(int? value) => new NpgsqlParameter<int?> { TypedValue = value, NpgsqlDbType = NpgsqlDbType.Integer };

    public static NpgsqlParameter Time(DateTimeOffset? value) =>
        new NpgsqlParameter<DateTime?> { TypedValue = value?.UtcDateTime, NpgsqlDbType = NpgsqlDbType.TimestampTz };

    public static NpgsqlParameter Texts(IEnumerable<string> values) => Array(values, NpgsqlDbType.Text);

    public static NpgsqlParameter Integers(IEnumerable<int> values) => Array(values, NpgsqlDbType.Integer);

    public static NpgsqlParameter Integers(IEnumerable<int?> values) => Array(values, NpgsqlDbType.Integer);

    public static NpgsqlParameter Shorts(IEnumerable<short> values) => Array(values, NpgsqlDbType.Smallint);

    public static NpgsqlParameter Blobs(IEnumerable<byte[]> values) => Array(values, NpgsqlDbType.Bytea);

    public static NpgsqlParameter Reals(float[] values) => Array(values, NpgsqlDbType.Real);

    public static string? TextOrNull(this NpgsqlDataReader row, int column) => row.IsDBNull(column) ? null : row.GetString(column);

    public static int? IntegerOrNull(this NpgsqlDataReader row, int column) => row.IsDBNull(column) ? null : row.GetInt32(column);

    public static DateTimeOffset Time(this NpgsqlDataReader row, int column) => row.GetFieldValue<DateTimeOffset>(column);

    private static NpgsqlParameter<T[]> Array<T>(IEnumerable<T> values, NpgsqlDbType type) =>
        new() { TypedValue = values as T[] ?? [.. values], NpgsqlDbType = NpgsqlDbType.Array | type };
}
