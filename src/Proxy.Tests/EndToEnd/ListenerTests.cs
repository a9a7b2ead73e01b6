using System.Text;
using System.Text.Json;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>Where the proxy listens, and the verbs of the program that use the listeners.</summary>
public sealed class ListenerTests : IAsyncLifetime
{
    private readonly FakeBackend host = FakeBackend.Start();
    private readonly string folder = Directory.CreateTempSubdirectory("proxy-listen-").FullName;

    public ValueTask InitializeAsync()
    {
        host.Pages["/v1/models"] = """{"object":"list","data":[{"id":"learned","object":"model","created":1,"owned_by":"x","max_model_len":32768}]}""";
        host.Answer(exchange => exchange.StreamAsync(OpenAi.Sse, OpenAi.Stream("fine")));
        return ValueTask.CompletedTask;
    }

    public async ValueTask DisposeAsync()
    {
        await host.DisposeAsync();
        Directory.Delete(folder, recursive: true);
    }

    [Fact]
    public async Task Several_addresses_Each_answers_and_is_named_in_the_log()
    {
        var path = Path.Combine(folder, "p.sock");
        await using var proxy = await ProxyProcess.StartAsync(Config()
            .Replace("\"127.0.0.1:0\"", $"\"127.0.0.1:0\", \"[::1]:0\", \"unix:{path}\"", StringComparison.Ordinal));
        var unix = await proxy.Log.LineAsync(
            line => ProxyLog.Text(line, "event") == "listening" && ProxyLog.Text(line, "url")!.Contains(path, StringComparison.Ordinal), "the unix listener");
        var six = await proxy.Log.LineAsync(
            line => ProxyLog.Text(line, "event") == "listening" && ProxyLog.Text(line, "url")!.Contains("[::1]", StringComparison.Ordinal),
            "the IPv6 listener");

        foreach (var address in new[] { proxy.Address, new Uri(ProxyLog.Text(six, "url")!), new Uri($"unix:{path}") })
        {
            var reply = await RawClient.SendAsync(address, "POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(OpenAi.Request("m", stream: true)));
            Assert.Equal("fine", OpenAi.Read(reply));
        }

        Assert.NotEmpty(ProxyLog.Text(unix, "transport")!);
    }

    [Fact]
    public async Task Socket_file_is_left_from_a_crash_The_next_start_takes_it()
    {
        var path = Path.Combine(folder, "p.sock");
        var config = Config().Replace("\"127.0.0.1:0\"", $"\"127.0.0.1:0\", \"unix:{path}\"", StringComparison.Ordinal);
        // Disposing kills the process, so the socket's file stays.
        await (await ProxyProcess.StartAsync(config)).DisposeAsync();
        Assert.True(File.Exists(path));

        await using var proxy = await ProxyProcess.StartAsync(config);

        Assert.Equal(200, (await RawClient.SendAsync(new Uri($"unix:{path}"), "GET", "/health")).Status);
    }

    [Fact]
    public async Task Client_of_a_unix_socket_leaves_Host_is_cancelled()
    {
        var path = Path.Combine(folder, "p.sock");
        await using var proxy = await ProxyProcess.StartAsync(Config()
            .Replace("\"127.0.0.1:0\"", $"\"127.0.0.1:0\", \"unix:{path}\"", StringComparison.Ordinal));
        host.Answer(exchange => exchange.StallAsync());
        var arrival = host.NextCallAsync();
        var client = await RawClient.ConnectAsync(new Uri($"unix:{path}"));
        await client.RequestAsync("POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(OpenAi.Request("m", stream: true)));
        var exchange = await arrival;

        await client.DisposeAsync();

        await Patience.For(exchange.Gone, "the host's cancellation");
    }

    [Fact]
    public async Task Proxy_runs_The_program_tells_what_it_serves_how_it_is_and_reloads_it()
    {
        await using var proxy = await ProxyProcess.StartAsync(Config());
        await Patience.Until(async () => (await RawClient.SendAsync(proxy.Address, "GET", "/v1/models")).Text.Contains("learned", StringComparison.Ordinal),
            "the host's models are known");

        var models = await proxy.CommandAsync("models", "--json");
        var table = await proxy.CommandAsync("models");
        var reload = await proxy.CommandAsync("reload");
        await File.AppendAllTextAsync(proxy.ConfigFile, "\nnonsense = 1\n", TestContext.Current.CancellationToken);
        var bad = await proxy.CommandAsync("reload");

        Assert.True(models.ExitCode == 0, models.Output);
        Assert.Contains("learned", JsonElement.Parse(models.Output).GetRawText(), StringComparison.Ordinal);
        Assert.Contains("32768", table.Output, StringComparison.Ordinal);
        Assert.Equal(0, reload.ExitCode);
        Assert.NotEqual(0, bad.ExitCode);
        Assert.Contains("nonsense", bad.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Health_is_checked_from_outside_The_exit_code_tells()
    {
        // The health check uses the public listener, so both need a known port.
        var port = FreePort();
        var config = Config().Replace("127.0.0.1:0", $"127.0.0.1:{port}", StringComparison.Ordinal);
        var proxy = await ProxyProcess.StartAsync(config);

        var well = await proxy.CommandAsync("healthcheck");
        await proxy.DisposeAsync();
        var gone = await ProxyProcess.RunAsync(config, "healthcheck");

        Assert.Equal(0, well.ExitCode);
        Assert.Equal(1, gone.ExitCode);
    }

    [Fact]
    public async Task Key_is_made_It_opens_the_door()
    {
        var made = await ProxyProcess.RunAsync(Config(), "keys", "new", "alice", "--json");
        Assert.True(made.ExitCode == 0, made.Output);
        var key = JsonElement.Parse(made.Output).GetProperty("key").GetString()!;
        var sha256 = JsonElement.Parse(made.Output).GetProperty("sha256").GetString()!;

        await using var proxy = await ProxyProcess.StartAsync(Config() + $"\n[[auth.keys]]\nname = \"alice\"\nsha256 = \"{sha256}\"\n");

        Assert.Equal(200, (await RawClient.SendAsync(
            proxy.Address, "POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(OpenAi.Request("m", stream: true)), $"Authorization: Bearer {key}")).Status);
        Assert.Equal(
            401, (await RawClient.SendAsync(proxy.Address, "POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(OpenAi.Request("m", stream: true)))).Status);
    }

    private static int FreePort()
    {
        using var socket = new System.Net.Sockets.TcpListener(System.Net.IPAddress.Loopback, 0);
        socket.Start();
        return ((System.Net.IPEndPoint)socket.LocalEndpoint).Port;
    }

    private string Config() => $"""
        default_backend = "host"
        {FrontDoor.Server()}
        [log]
        format = "json"
        [[backends]]
        name = "host"
        url = "{host.Url}"
        dialects = ["openai"]
        """;
}
