using System.Net.Sockets;
using System.Text;

namespace Proxy.Tests.Harness;

/// <summary>The real servers that other tests use: each starts, is killed and comes back with its data.</summary>
public sealed class ServerTests
{
    [Fact]
    public async Task Nats_Is_killed_and_comes_back_on_its_port()
    {
        await using var server = await NatsServer.StartAsync();
        Assert.Contains("\"version\":\"2.10.", await InfoAsync(server), StringComparison.Ordinal);
        Assert.Contains("\"jetstream\":true", await InfoAsync(server), StringComparison.Ordinal);

        await server.KillAsync();
        await Assert.ThrowsAsync<SocketException>(() => InfoAsync(server));

        await server.StartAgainAsync();
        Assert.Contains("\"version\":\"2.10.", await InfoAsync(server), StringComparison.Ordinal);
        await server.StopAsync();
    }

    [Fact]
    public async Task Nats_Without_JetStream_and_with_a_user()
    {
        await using var server = await NatsServer.StartAsync(config: "authorization { user: proxy, password: secret }", jetStream: false);

        var info = await InfoAsync(server);

        Assert.Contains("\"auth_required\":true", info, StringComparison.Ordinal);
        Assert.DoesNotContain("\"jetstream\":true", info, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Postgres_Is_killed_and_comes_back_with_its_rows()
    {
        await using var server = await PostgresServer.StartAsync();
        await server.RunAsync("create extension vector; create table kept (v vector(2)); insert into kept values ('[1,2]')");

        await server.KillAsync();
        await server.StartAgainAsync();

        Assert.Equal("[1,2]", Assert.Single(await server.QueryAsync("select v::text from kept")));
        Assert.StartsWith("17.", (string)Assert.Single(await server.QueryAsync("show server_version"))!, StringComparison.Ordinal);
        await server.StopAsync();
    }

    [Theory]
    [Trait("Category", "Slow")]
    [InlineData(ServerTree.Oldest, "2.9.", "15.")]
    [InlineData(ServerTree.Newest, "2.", "18.")]
    public async Task Other_releases_Start_too(string release, string nats, string postgres)
    {
        await using var first = await NatsServer.StartAsync(release);
        await using var second = await PostgresServer.StartAsync(release);

        Assert.Contains($"\"version\":\"{nats}", await InfoAsync(first), StringComparison.Ordinal);
        Assert.StartsWith(postgres, (string)Assert.Single(await second.QueryAsync("show server_version"))!, StringComparison.Ordinal);
    }

    static async Task<string> InfoAsync(NatsServer server)
    {
        using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync("127.0.0.1", server.Port);
        var buffer = new byte[4096];
        return Encoding.UTF8.GetString(buffer, 0, await socket.ReceiveAsync(buffer));
    }
}
