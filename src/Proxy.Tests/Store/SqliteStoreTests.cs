using Proxy.Store.Sqlite;
using Proxy.Streams;

namespace Proxy.Tests.Store;

/// <summary>The store's contract on a SQLite file.</summary>
public sealed class SqliteContractTests : RecordStoreContract
{
    private readonly string folder = Directory.CreateTempSubdirectory("proxy-store-").FullName;

    private string File => Path.Combine(folder, "proxy.db");

    private protected override ValueTask<IRecordStore> NewAsync() => new(new SqliteStore(File, Time));

    private protected override Task<IReadOnlyList<string?>> QueryAsync(string sql) => Task.FromResult(SqliteFile.Query(File, sql));

    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        Directory.Delete(folder, recursive: true);
    }
}

/// <summary>Reads a database file beside the store.</summary>
internal static class SqliteFile
{
    /// <summary>The first row, each column as text.</summary>
    public static IReadOnlyList<string?> Query(string path, string sql)
    {
        using var connection = new SqliteConnection(path);
        var statement = connection.Prepare(sql);
        Assert.True(statement.Step());
        return [.. Enumerable.Range(0, statement.Columns).Select(statement.TextOrNull)];
    }

    public static long Count(string path, string what) => long.Parse(Query(path, $"select count(*) from {what}")[0]!, System.Globalization.CultureInfo.InvariantCulture);
}
