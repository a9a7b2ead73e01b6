using System.Diagnostics;
using System.Security.Cryptography.X509Certificates;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Proxy.Store.Postgres;
using Proxy.Store.Spooling;
using Proxy.Streams;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Store;

/// <summary>What PostgreSQL alone has: rights, versions of the tables, restarts, TLS, and rows that it does not take.</summary>
public sealed class PostgresDatabaseTests(UsualPostgres fixture) : IClassFixture<UsualPostgres>
{
    private static readonly DateTimeOffset Now = new(2026, 3, 4, 12, 0, 0, TimeSpan.Zero);
    private readonly FakeTimeProvider time = new(Now);

    [Fact]
    public async Task Rights_are_missing_The_check_prints_the_SQL_and_its_SQL_is_enough()
    {
        var (server, name) = await DatabaseAsync();
        await server.RunAsync("create extension vector; create role app login password 'secret'", name);
        await using var store = Store(server.Url(name, "app", "secret"));

        // No schema, and no right to make one.
        await SqlHelpsAsync("schema \"proxy\" is missing");
        await store.CommitAsync([Exchange("t1")], default);

        // Tables of another owner.
        await server.RunAsync("reassign owned by app to postgres", name);
        await SqlHelpsAsync("may not read and write all tables", "grant usage on schema proxy to app; ");
        await store.CommitAsync([Exchange("t2")], default);

        // An empty schema of another owner.
        await server.RunAsync("drop schema proxy cascade; create schema proxy", name);
        await SqlHelpsAsync("may not create tables in the schema");
        await Assert.ThrowsAsync<StoreException>(async () => await store.CommitAsync([], default)); // it learns that its tables are gone
        await store.CommitAsync([Exchange("t3")], default);
        Assert.Empty(await store.CheckAsync(default));

        async Task SqlHelpsAsync(string problem, string before = "")
        {
            if (before.Length > 0) await server.RunAsync(before, name);
            var line = Assert.Single(await store.CheckAsync(default));
            Assert.Contains(problem, line, StringComparison.Ordinal);
            await server.RunAsync(line[(line.LastIndexOf("has to run: ", StringComparison.Ordinal) + 12)..], name);
            Assert.Empty(await store.CheckAsync(default));
        }
    }

    [Fact]
    public async Task Commit_without_the_right_Fails_and_names_the_SQL()
    {
        var (server, name) = await DatabaseAsync();
        await server.RunAsync("create role guest login password 'secret'", name);
        await using var store = Store(server.Url(name, "guest", "secret"));

        var failure = await Assert.ThrowsAsync<StoreException>(async () => await store.CommitAsync([Exchange("t1")], default));

        Assert.Contains($"has to run: create schema \"proxy\" authorization \"guest\";", failure.Message, StringComparison.Ordinal);
        Assert.False(failure.IsRefusal);
    }

    [Fact]
    public async Task Extension_is_missing_The_check_prints_the_SQL_and_records_do_not_need_it()
    {
        var (server, name) = await DatabaseAsync();
        await using var store = Store(server.Url(name));
        await store.CommitAsync([Exchange("t1")], default);

        var line = Assert.Single(await store.CheckAsync(default));

        Assert.EndsWith("has to run: create extension vector;", line, StringComparison.Ordinal);
        Assert.DoesNotContain("install", line, StringComparison.Ordinal);
        await server.RunAsync("create extension vector", name);
        Assert.Empty(await store.CheckAsync(default));
    }

    [Theory]
    [InlineData("postgres://postgres:hunter2@127.0.0.1:1/postgres")]
    [InlineData("Host=127.0.0.1;Port=1;Username=postgres;Password=hunter2;Database=postgres")]
    [InlineData("postgres://postgres:hunter2@no-such-host.invalid/postgres")]
    public async Task Server_is_not_there_The_check_and_the_commit_say_so_without_the_password(string url)
    {
        await using var store = Store(url);

        var line = Assert.Single(await store.CheckAsync(default));
        var failure = await Assert.ThrowsAsync<StoreException>(async () => await store.CommitAsync([], default));

        Assert.Contains("cannot be reached", line, StringComparison.Ordinal);
        Assert.DoesNotContain("hunter2", line + failure, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Password_is_wrong_The_check_says_so_and_does_not_show_it()
    {
        var server = await fixture.StartAsync();
        await using var store = Store(server.Url(password: "hunter2"));

        var line = Assert.Single(await store.CheckAsync(default));

        Assert.Contains("password authentication failed", line, StringComparison.Ordinal);
        Assert.DoesNotContain("hunter2", line, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Tables_are_of_a_newer_version_This_one_works_on_them_and_leaves_them()
    {
        var (server, name) = await DatabaseAsync();
        await using (var older = Store(server.Url(name))) await older.CommitAsync([], default);
        await server.RunAsync("""
            insert into proxy.migrations (version) values (1000);
            create table proxy.later (a int);
            alter table proxy.exchanges add later text not null default 'x';
            alter table proxy.answers add later jsonb;
            """, name);
        await using var store = Store(server.Url(name));

        await store.CommitAsync([Exchange("t1"), Answer("t1")], default);

        Assert.NotNull(await store.FindAnswerAsync("alice", "t1", default));
        Assert.Equal([1, 2, 3, 4, 1000], await server.QueryAsync("select version from proxy.migrations order by 1", name));
    }

    [Fact]
    public async Task Tables_are_dropped_The_next_but_one_commit_makes_them_again()
    {
        var (server, name) = await DatabaseAsync();
        await using var store = Store(server.Url(name));
        await store.CommitAsync([Exchange("t1")], default);
        await server.RunAsync("drop schema proxy cascade", name);

        await Assert.ThrowsAsync<StoreException>(async () => await store.CommitAsync([Exchange("t2")], default));
        await store.CommitAsync([Exchange("t2")], default);

        Assert.Equal(["t2"], await server.QueryAsync("select trace_id from proxy.exchanges", name));
    }

    [Fact]
    public async Task Server_restarts_while_connections_are_idle_The_next_calls_succeed()
    {
        await using var server = await PostgresServer.StartAsync();
        await using var store = Store(server.Url());
        await Task.WhenAll(Enumerable.Range(0, 4).Select(async i => await store.CommitAsync([Exchange($"t{i}")], default)));

        await server.KillAsync();
        await server.StartAgainAsync();
        await store.CommitAsync([Exchange("t4")], default);
        await server.StopAsync();
        await server.StartAgainAsync();

        Assert.Equal(5, Assert.Single(await store.ReadUsageAsync(null, DateOnly.MinValue, DateOnly.MaxValue, default)).Requests);
    }

    [Fact]
    public async Task Read_finds_the_server_gone_The_next_one_does_not_ask_it_until_it_is_back()
    {
        await using var server = await PostgresServer.StartAsync();
        var spool = Directory.CreateTempSubdirectory("proxy-spool-").FullName;
        await using (var store = new SpoolingStore(Store(server.Url()), spool, NullLogger.Instance, TimeProvider.System))
        {
            await store.CommitAsync([], default);
            await server.StopAsync();

            await Assert.ThrowsAsync<StoreException>(async () => await store.FindKeyAsync("alice", "k", default));
            Assert.NotNull(store.Problem);
            await server.StartAgainAsync();
            await Patience.Until(() => Task.FromResult(store.Problem is null), "the server is found again");
            Assert.Null(await store.FindKeyAsync("alice", "k", default));
        }

        Directory.Delete(spool, recursive: true);
    }

    [Fact]
    public async Task Server_hangs_The_commit_fails_in_time()
    {
        await using var server = await PostgresServer.StartAsync();
        await using var store = Store($"Host=127.0.0.1;Port={server.Port};Username=postgres;Password=postgres;Database=postgres;Command Timeout=1");
        await store.CommitAsync([Exchange("t1")], default);

        server.Freeze();
        var since = Stopwatch.StartNew();
        await Assert.ThrowsAsync<StoreException>(async () => await store.CommitAsync([Exchange("t2")], default));
        server.Thaw();

        Assert.InRange(since.Elapsed, TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(10));
        await store.CommitAsync([Exchange("t2"), Exchange("t3")], default);
        Assert.Equal(3L, Assert.Single(await server.QueryAsync("select requests from proxy.usage_daily")));
    }

    [Fact]
    public async Task Row_that_PostgreSQL_does_not_take_Is_refused_alone()
    {
        var (server, name) = await DatabaseAsync();
        await using var store = Store(server.Url(name));

        var failure = await Assert.ThrowsAsync<StoreException>(async () => await store.CommitAsync(
            [Exchange("t1"), Answer("t1"), Answer("t2") with { Meta = "no JSON"u8.ToArray() }, Answer("t3")], default));

        Assert.True(failure.IsRefusal);
        Assert.DoesNotContain("no JSON", failure.Message, StringComparison.Ordinal);
        Assert.Equal(["t1", "t3"], await server.QueryAsync("select trace_id from proxy.answers order by 1", name));
        Assert.Equal(1L, Assert.Single(await server.QueryAsync("select requests from proxy.usage_daily", name)));
    }

    [Fact]
    public async Task Texts_that_PostgreSQL_cannot_hold_Are_kept_as_far_as_it_can()
    {
        var (server, name) = await DatabaseAsync();
        await using var store = Store(server.Url(name));
        var key = new KeyRow
        {
            Owner = "alice", Key = "k\0\ud800", TraceId = "t1", Digest = "d", Status = "done", UpdatedAt = Now, ExpiresAt = Now.AddHours(1),
        };
        var escaped = """{"a":"\u0000\ud800","b":1e999, "b" :2}""";

        await store.CommitAsync(
            [
                Exchange("t1") with { Model = new string('m', 100_000), Session = "a\0b\udc00" }, key,
                Answer("t1") with { HostId = new string('é', 5000), Meta = System.Text.Encoding.UTF8.GetBytes(escaped) },
            ],
            default);

        Assert.Equal("t1", (await store.FindKeyAsync("alice", "k\0\ud800", default))?.TraceId);
        Assert.Equal(escaped, System.Text.Encoding.UTF8.GetString((await store.FindAnswerAsync("alice", new string('é', 5000), default))!.Meta));
        Assert.Equal("a\ufffdb\ufffd", Assert.Single(await server.QueryAsync("select session from proxy.exchanges", name)));
    }

    [Fact]
    public async Task Many_rows_have_expired_All_are_deleted()
    {
        var (server, name) = await DatabaseAsync();
        await using var store = Store(server.Url(name));
        await store.CommitAsync([.. Enumerable.Range(0, 2500).Select(i => Answer($"t{i}")), Answer("kept") with { ExpiresAt = Now.AddDays(1) }], default);

        time.Advance(TimeSpan.FromHours(2));
        await store.PruneAsync(default);

        Assert.Equal(["kept"], await server.QueryAsync("select trace_id from proxy.answers", name));
    }

    [Fact]
    public async Task Schema_with_a_name_that_needs_quotes_Is_used()
    {
        var (server, name) = await DatabaseAsync();
        await using var store = new PostgresStore(server.Url(name), "My \"tables\"", time);

        await store.CommitAsync([Exchange("t1")], default);

        Assert.Equal(["t1"], await server.QueryAsync("select trace_id from \"My \"\"tables\"\"\".exchanges", name));
    }

    [Fact]
    public async Task Database_may_only_be_read_The_check_and_a_commit_without_rows_say_so()
    {
        var (server, name) = await DatabaseAsync();
        await using (var first = Store(server.Url(name))) await first.CommitAsync([], default);
        await server.RunAsync($"alter database {name} set default_transaction_read_only = on");
        await using var store = Store(server.Url(name));

        Assert.Contains(await store.CheckAsync(default), line => line.Contains("may only be read", StringComparison.Ordinal));
        await Assert.ThrowsAsync<StoreException>(async () => await store.CommitAsync([], default));
    }

    [Fact]
    public async Task Several_hosts_are_named_The_one_that_can_be_written_is_used()
    {
        var server = await fixture.StartAsync();
        await using var readOnly = await PostgresServer.StartAsync(settings: "default_transaction_read_only=on");
        await using var store = new PostgresStore(
            $"postgres://postgres:postgres@127.0.0.1:1,127.0.0.1:{readOnly.Port},127.0.0.1:{server.Port}/postgres", "several", time);

        await store.CommitAsync([Exchange("t1")], default);

        Assert.Equal(["t1"], await server.QueryAsync("select trace_id from several.exchanges"));
    }

    [Fact]
    public async Task Socket_is_named_It_is_used()
    {
        var (server, name) = await DatabaseAsync();
        await using var store = Store($"postgres://postgres:postgres@/{name}?host={server.Folder}&port={server.Port}");

        await store.CommitAsync([Exchange("t1")], default);

        Assert.Equal(["t1"], await server.QueryAsync("select trace_id from proxy.exchanges", name));
    }

    [Fact]
    public async Task Server_speaks_TLS_The_url_decides_whether_it_is_used_and_checked()
    {
        using var authority = new TestAuthority();
        using var certificate = authority.Issue();
        var files = new Dictionary<string, string>
        {
            ["server.crt"] = certificate.ExportCertificatePem(),
            ["server.key"] = certificate.GetECDsaPrivateKey()!.ExportPkcs8PrivateKeyPem(),
        };
        await using var server = await PostgresServer.StartAsync(files: files, settings: "ssl=on");
        var root = Path.GetTempFileName();
        await File.WriteAllTextAsync(root, authority.Pem);

        await CommitAsync("?sslmode=disable");
        await CommitAsync("?sslmode=require");
        await CommitAsync($"?sslmode=verify-full&sslrootcert={root}");
        await CommitAsync($"?sslmode=require&sslrootcert={root}");
        await Assert.ThrowsAsync<StoreException>(() => CommitAsync("?sslmode=verify-full"));
        using var stranger = new TestAuthority();
        await File.WriteAllTextAsync(root, stranger.Pem);
        await Assert.ThrowsAsync<StoreException>(() => CommitAsync($"?sslmode=require&sslrootcert={root}"));
        File.Delete(root);

        async Task CommitAsync(string parameters)
        {
            await using var store = Store(server.Url() + parameters);
            await store.CommitAsync([], default);
            var isEncrypted = await server.QueryAsync(
                "select ssl from pg_stat_ssl s join pg_stat_activity a using (pid) where application_name = 'proxy'");
            Assert.Contains(!parameters.Contains("disable", StringComparison.Ordinal), isEncrypted);
        }
    }

    private PostgresStore Store(string url) => new(url, "proxy", time);

    private async Task<(PostgresServer Server, string Name)> DatabaseAsync()
    {
        var server = await fixture.StartAsync();
        return (server, new Uri(await server.DatabaseAsync()).AbsolutePath[1..]);
    }

    private static ExchangeRow Exchange(string traceId) => new()
    {
        TraceId = traceId, CorrelationId = traceId, Owner = "alice", Surface = "/v1/chat/completions", Model = "m", Route = "direct", Status = "ok",
        Started = Now, DurationMs = 1,
    };

    private static AnswerRow Answer(string traceId) => new()
    {
        TraceId = traceId, Owner = "alice", Meta = "{}"u8.ToArray(), Frames = "data: 1\n\n"u8.ToArray(), CreatedAt = Now, ExpiresAt = Now.AddHours(1),
    };
}
