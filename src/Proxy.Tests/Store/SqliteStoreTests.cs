using Proxy.Store.Sqlite;
using Proxy.Streams;
using Proxy.Tests.Harness;

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

    public static long Count(string path, string what) =>
        long.Parse(Query(path, $"select count(*) from {what}")[0]!, System.Globalization.CultureInfo.InvariantCulture);
}

/// <summary>What only a SQLite file does.</summary>
public sealed class SqliteStoreTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("proxy-store-").FullName;

    private string Path => System.IO.Path.Combine(folder, "proxy.db");

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public async Task Disk_is_full_The_error_says_so_and_the_file_is_usable_when_there_is_room_again()
    {
        Machine.NeedsNamespaces();
        var disk = System.IO.Path.Combine(folder, "disk");
        Directory.CreateDirectory(disk);
        await Command.RunAsync("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk);
        try
        {
            var file = System.IO.Path.Combine(disk, "proxy.db");
            await using var store = new SqliteStore(file, TimeProvider.System);
            await store.CommitAsync([Row("first")], default);
            var filler = System.IO.Path.Combine(disk, "filler");
            var problem = await Assert.ThrowsAsync<StoreException>(async () =>
            {
                await File.WriteAllBytesAsync(filler, new byte[512 << 10]);
                for (var i = 0; i < 1000; i++) await store.CommitAsync([Row($"{i}") with { Answer = new byte[16 << 10] }], default);
            });
            Assert.Contains("the disk is full", problem.Message, StringComparison.Ordinal);

            File.Delete(filler);
            await store.CommitAsync([Row("later")], default);
            var usage = Assert.Single(await store.ReadUsageAsync(null, DateOnly.MinValue, DateOnly.MaxValue, default));
            Assert.Equal(SqliteFile.Count(file, "exchanges"), usage.Requests);
            Assert.Equal(1, SqliteFile.Count(file, "exchanges where trace_id = 'later'"));
        }
        finally
        {
            await Command.RunAsync("umount", disk);
        }
    }

    [Fact]
    public async Task Folder_is_missing_It_is_made_for_its_user_alone()
    {
        var file = System.IO.Path.Combine(folder, "a/b/proxy.db");
        await using var store = new SqliteStore(file, TimeProvider.System);

        Assert.Empty(await store.CheckAsync(default));
        Assert.False(Directory.Exists(System.IO.Path.Combine(folder, "a")));
        await store.CommitAsync([], default);

        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(file));
        Assert.Equal((UnixFileMode)0b111_000_000, File.GetUnixFileMode(System.IO.Path.Combine(folder, "a/b")));
    }

    [Fact]
    public async Task Folder_is_a_file_The_error_says_what_is_wrong()
    {
        await File.WriteAllTextAsync(System.IO.Path.Combine(folder, "state"), "");
        await using var store = new SqliteStore(System.IO.Path.Combine(folder, "state/proxy.db"), TimeProvider.System);

        Assert.Contains("state", Assert.Single(await store.CheckAsync(default)), StringComparison.Ordinal);
        var problem = await Assert.ThrowsAsync<StoreException>(async () => await store.CommitAsync([], default));
        Assert.Contains("state", problem.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Database_is_of_a_later_version_It_is_used_and_left_as_it_is()
    {
        await using (var store = new SqliteStore(Path, TimeProvider.System)) await store.CommitAsync([Row("a")], default);
        using (var connection = new SqliteConnection(Path))
            connection.Execute("alter table exchanges add column invented text; create table other(x); pragma user_version = 99");

        await using (var store = new SqliteStore(Path, TimeProvider.System)) await store.CommitAsync([Row("b")], default);

        Assert.Equal(["99", "2"], SqliteFile.Query(Path, "select (select * from pragma_user_version), count(*) from exchanges"));
    }

    [Fact]
    public async Task Transaction_fails_in_the_middle_Nothing_of_it_is_there()
    {
        await using var store = new SqliteStore(Path, TimeProvider.System);
        await store.CommitAsync([Row("a")], default);
        using (var connection = new SqliteConnection(Path))
            connection.Execute("create trigger refuse before insert on exchanges when new.trace_id = 'bad' begin select raise(abort, 'refused'); end");

        await Assert.ThrowsAsync<StoreException>(async () => await store.CommitAsync([Row("b"), Row("bad")], default));
        await store.CommitAsync([Row("c")], default);

        Assert.Equal(["a c"], SqliteFile.Query(Path, "select group_concat(trace_id, ' ') from exchanges"));
        Assert.Equal(["2"], SqliteFile.Query(Path, "select sum(requests) from usage_daily"));
    }

    [Fact]
    public async Task Owner_is_forgotten_The_texts_are_not_in_the_file_any_more()
    {
        await using (var store = new SqliteStore(Path, TimeProvider.System))
        {
            var secret = System.Text.Encoding.UTF8.GetBytes(string.Concat(Enumerable.Repeat("a secret of alice, ", 1000)));
            await store.CommitAsync([Row("a") with { Answer = secret }, Row("b") with { Owner = "bob" }], default);
            await store.ForgetAsync("alice", default);
        }

        Assert.DoesNotContain("a secret of alice", System.Text.Encoding.Latin1.GetString(await File.ReadAllBytesAsync(Path)), StringComparison.Ordinal);
        Assert.Equal(["b"], SqliteFile.Query(Path, "select trace_id from exchanges"));
    }

    [Fact]
    public async Task More_rows_have_expired_than_one_transaction_deletes_All_are_deleted()
    {
        await using var store = new SqliteStore(Path, TimeProvider.System);
        await store.CommitAsync(
            [.. Enumerable.Range(0, 1201).Select(i => new KeyRow
            {
                Owner = "alice", Key = $"{i}", TraceId = "t", Digest = "d", Status = "done", UpdatedAt = default, ExpiresAt = default,
            })], default);

        await store.PruneAsync(default);

        Assert.Equal(0, SqliteFile.Count(Path, "idempotency_log"));
    }

    private static ExchangeRow Row(string traceId) => new()
    {
        TraceId = traceId, CorrelationId = "c", Owner = "alice", Surface = "/", Model = "m", Route = "direct", Status = "ok",
        Started = new(2026, 3, 4, 0, 0, 0, default), DurationMs = 1,
    };
}
