using System.Globalization;
using Npgsql;
using Proxy.Store.Postgres;
using Proxy.Streams;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Store;

/// <summary>A PostgreSQL that the tests of a class share; each test makes databases of its own.</summary>
public abstract class PostgresFixture(string release) : IAsyncLifetime
{
    private readonly SemaphoreSlim starting = new(1);
    private PostgresServer? server;

    /// <summary>Starts the server at the first call; skips the test if that is impossible.</summary>
    public async Task<PostgresServer> StartAsync()
    {
        await starting.WaitAsync();
        try
        {
            return server ??= await PostgresServer.StartAsync(release);
        }
        finally
        {
            starting.Release();
        }
    }

    public ValueTask InitializeAsync() => default;

    public async ValueTask DisposeAsync()
    {
        if (server is not null) await server.DisposeAsync();
        starting.Dispose();
        GC.SuppressFinalize(this);
    }
}

public sealed class UsualPostgres() : PostgresFixture(ServerTree.Usual);

public sealed class OldestPostgres() : PostgresFixture(ServerTree.Oldest);

public sealed class NewestPostgres() : PostgresFixture(ServerTree.Newest);

/// <summary>The contract on a real PostgreSQL.</summary>
public abstract class PostgresStoreContract(PostgresFixture fixture) : RecordStoreContract
{
    private string? url;

    public override async ValueTask InitializeAsync()
    {
        url = await (await fixture.StartAsync()).DatabaseAsync();
        await base.InitializeAsync();
    }

    private protected string Url => url!;

    private protected override ValueTask<IRecordStore> NewAsync() => new(new PostgresStore(Url, "proxy", Time));

    private protected override async Task<IReadOnlyList<string?>> QueryAsync(string sql)
    {
        var uri = new Uri(url!);
        await using var connection = new NpgsqlConnection(
            $"Host=127.0.0.1;Port={uri.Port};Username=postgres;Password=postgres;Database={uri.AbsolutePath[1..]};Search Path=proxy;Pooling=false");
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand(sql, connection);
        await using var row = await command.ExecuteReaderAsync();
        Assert.True(await row.ReadAsync());
        return [.. Enumerable.Range(0, row.FieldCount).Select(i => row.IsDBNull(i) ? null : Convert.ToString(row.GetValue(i), CultureInfo.InvariantCulture))];
    }
}

public sealed class PostgresStoreTests(UsualPostgres server) : PostgresStoreContract(server), IClassFixture<UsualPostgres>;

[Trait("Category", "Slow")]
public sealed class OldestPostgresStoreTests(OldestPostgres server) : PostgresStoreContract(server), IClassFixture<OldestPostgres>;

[Trait("Category", "Slow")]
public sealed class NewestPostgresStoreTests(NewestPostgres server) : PostgresStoreContract(server), IClassFixture<NewestPostgres>;

/// <summary>The contract with PgBouncer between, which gives each transaction whatever session is free.</summary>
public sealed class PgBouncerStoreTests(UsualPostgres server) : PostgresStoreContract(server), IClassFixture<UsualPostgres>
{
    private readonly UsualPostgres server = server;
    private PgBouncer? bouncer;

    public override async ValueTask InitializeAsync()
    {
        bouncer = await PgBouncer.StartAsync(await server.StartAsync());
        await base.InitializeAsync();
    }

    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        await bouncer!.DisposeAsync();
    }

    private protected override ValueTask<IRecordStore> NewAsync() =>
        new(new PostgresStore(new UriBuilder(Url) { Port = bouncer!.Port }.Uri.AbsoluteUri, "proxy", Time));
}
