using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>The life of the process: start, reload, drain.</summary>
public sealed class ProcessTests : IAsyncLifetime
{
    private readonly FakeBackend first = FakeBackend.Start();
    private readonly FakeBackend second = FakeBackend.Start();

    public ValueTask InitializeAsync()
    {
        first.Answer(exchange => exchange.JsonAsync(OpenAi.Whole("first")));
        second.Answer(exchange => exchange.JsonAsync(OpenAi.Whole("second")));
        return ValueTask.CompletedTask;
    }

    public async ValueTask DisposeAsync()
    {
        await first.DisposeAsync();
        await second.DisposeAsync();
    }

    [Fact]
    public async Task Hangup_signal_The_new_file_holds_from_then_on_and_running_streams_go_on()
    {
        var go = new TaskCompletionSource();
        first.Once(async exchange =>
        {
            await exchange.HeadAsync(OpenAi.Sse);
            await exchange.ChunkAsync(OpenAi.Role() + OpenAi.Token("half "));
            await go.Task;
            await exchange.ChunkAsync(OpenAi.Token("and half") + OpenAi.Stop() + OpenAi.Done);
            await exchange.EndAsync();
        });
        await using var proxy = await ProxyProcess.StartAsync(Config(first));
        await using var client = await RawClient.ConnectAsync(proxy.Address);
        await client.RequestAsync("POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(OpenAi.Request("m", stream: true)));
        await client.ReadHeadAsync();
        await client.ReadUntilAsync("half ");

        await File.WriteAllTextAsync(proxy.ConfigFile, Config(second), TestContext.Current.CancellationToken);
        proxy.Signal(PosixSignal.SIGHUP);
        await Patience.Until(async () => (await ChatAsync(proxy)).Text.Contains("second", StringComparison.Ordinal), "the new file holds");
        go.SetResult();
        var reply = await client.ReadRestAsync();

        Assert.Equal("half and half", OpenAi.Read(reply));
        Assert.Equal("[DONE]", reply.Events[^1]);
    }

    [Fact]
    public async Task Hangup_signal_with_a_bad_file_The_old_one_stays_and_the_log_says_what_is_wrong()
    {
        await using var proxy = await ProxyProcess.StartAsync(Config(first));

        await File.WriteAllTextAsync(proxy.ConfigFile, Config(second) + "\nqueeue = 7\n[nonsense]\n", TestContext.Current.CancellationToken);
        proxy.Signal(PosixSignal.SIGHUP);
        var problem = await proxy.Log.LineAsync(line => line.GetRawText().Contains("queeue", StringComparison.Ordinal), "the problem");

        Assert.Contains(ProxyLog.Text(problem, "level"), new[] { "warn", "warning", "error" });
        Assert.Contains("first", (await ChatAsync(proxy)).Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Termination_signal_Streams_end_whole_and_the_process_with_0()
    {
        var go = new TaskCompletionSource();
        first.Answer(async exchange =>
        {
            await exchange.HeadAsync(OpenAi.Sse);
            await exchange.ChunkAsync(OpenAi.Role() + OpenAi.Token("half "));
            await go.Task;
            await exchange.ChunkAsync(OpenAi.Token("and half") + OpenAi.Stop() + OpenAi.Done);
            await exchange.EndAsync();
        });
        await using var proxy = await ProxyProcess.StartAsync(Config(first));
        var clients = new List<RawClient>();
        for (var i = 0; i < 5; i++)
        {
            var client = await RawClient.ConnectAsync(proxy.Address);
            clients.Add(client);
            await client.RequestAsync("POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(OpenAi.Request("m", stream: true)));
            await client.ReadHeadAsync();
            await client.ReadUntilAsync("half ");
        }

        proxy.Signal(PosixSignal.SIGTERM);
        await Patience.Until(() => Task.FromResult(Refuses(proxy.Address)), "the proxy takes no more connections");
        Assert.False(proxy.HasExited);
        go.SetResult();

        foreach (var client in clients)
        {
            var reply = await client.ReadRestAsync();
            Assert.True(reply.Whole);
            Assert.Equal("half and half", OpenAi.Read(reply));
            await client.DisposeAsync();
        }

        Assert.Equal(0, await proxy.ExitAsync());
    }

    [Fact]
    public async Task Streams_outlast_the_drain_They_get_an_error_frame()
    {
        first.Answer(async exchange =>
        {
            await exchange.HeadAsync(OpenAi.Sse);
            await exchange.ChunkAsync(OpenAi.Role() + OpenAi.Token("half"));
            await exchange.StallAsync();
        });
        await using var proxy = await ProxyProcess.StartAsync(Config(first, "drain = \"1s\""));
        await using var client = await RawClient.ConnectAsync(proxy.Address);
        await client.RequestAsync("POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(OpenAi.Request("m", stream: true)), "x-correlation-id: outlasts");
        await client.ReadHeadAsync();
        await client.ReadUntilAsync("half");

        proxy.Signal(PosixSignal.SIGTERM);
        var reply = await client.ReadRestAsync();

        Assert.True(reply.Whole);
        Assert.Equal("half", OpenAi.Read(reply));
        Assert.NotEmpty(OpenAi.ReadError(reply).GetProperty("message").GetString()!);
        Assert.Equal("drained proxy 200", (await proxy.Log.CallAsync("outlasts")).Verdict);
        Assert.Equal(0, await proxy.ExitAsync());
    }

    [Fact]
    public async Task Second_termination_signal_The_process_ends_at_once()
    {
        var arrival = first.NextCallAsync();
        first.Answer(exchange => exchange.StallAsync());
        await using var proxy = await ProxyProcess.StartAsync(Config(first, "drain = \"10m\""));
        await using var client = await RawClient.ConnectAsync(proxy.Address);
        await client.RequestAsync("POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(OpenAi.Request("m", stream: true)));
        await arrival;

        proxy.Signal(PosixSignal.SIGTERM);
        await Patience.Until(() => Task.FromResult(Refuses(proxy.Address)), "the proxy takes no more connections");
        Assert.False(proxy.HasExited);
        proxy.Signal(PosixSignal.SIGTERM);

        await proxy.ExitAsync();
    }

    [Fact]
    public async Task Connection_is_idle_at_the_termination_signal_The_process_does_not_wait_for_it()
    {
        await using var proxy = await ProxyProcess.StartAsync(Config(first, "drain = \"10m\""));
        await using var client = await RawClient.ConnectAsync(proxy.Address);
        await client.RequestAsync("GET", "/health");
        await client.ReadReplyAsync("GET");

        proxy.Signal(PosixSignal.SIGTERM);

        Assert.Equal(0, await proxy.ExitAsync());
    }

    [Fact]
    public async Task No_host_is_up_The_proxy_is_healthy_but_not_ready()
    {
        first.Refuse();
        await using var proxy = await ProxyProcess.StartAsync(Config(first));

        await Patience.Until(async () => (await GetAsync(proxy, "/ready")).Status == 503, "the proxy is not ready");

        Assert.Equal(200, (await GetAsync(proxy, "/health")).Status);
        first.Listen();
        await Patience.Until(async () => (await GetAsync(proxy, "/ready")).Status == 200, "the proxy is ready");
    }

    [Fact]
    public async Task No_key_and_an_open_address_The_start_is_refused()
    {
        var (exit, output) = await ProxyProcess.RunAsync($"""
            [server]
            listen = ["0.0.0.0:0"]
            [log]
            format = "json"
            """, "serve");

        Assert.NotEqual(0, exit);
        Assert.Contains("allow_anonymous", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task File_has_problems_All_are_told_with_their_lines_and_the_start_is_refused()
    {
        var (exit, output) = await ProxyProcess.RunAsync("""
            [server]
            lissten = ["127.0.0.1:0"]
            [[backends]]
            name = "a"
            url = "ftp://x"
            slots = "many"
            """, "serve");

        Assert.NotEqual(0, exit);
        foreach (var (line, problem) in new[] { (2, "lissten"), (5, "url"), (6, "slots") })
            Assert.Contains(output.Split('\n'), told => told.Contains(problem, StringComparison.Ordinal) && told.Contains($"{line}", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Port_is_taken_The_start_is_refused_and_says_why()
    {
        var (exit, output) = await ProxyProcess.RunAsync($"""
            [server]
            listen = ["127.0.0.1:{first.Port}"]
            [log]
            format = "json"
            """, "serve");

        Assert.NotEqual(0, exit);
        Assert.Contains($"Cannot listen: Failed to bind to address http://127.0.0.1:{first.Port}: address already in use.", output, StringComparison.Ordinal);
        Assert.DoesNotContain("exception", output, StringComparison.OrdinalIgnoreCase);
        Assert.DoesNotContain("   at ", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Operator_drains_The_running_call_is_listed_and_ends_whole_and_the_process_with_0()
    {
        var go = new TaskCompletionSource();
        first.Answer(async exchange =>
        {
            await exchange.HeadAsync(OpenAi.Sse);
            await exchange.ChunkAsync(OpenAi.Role() + OpenAi.Token("half "));
            await go.Task;
            await exchange.ChunkAsync(OpenAi.Token("and half") + OpenAi.Stop() + OpenAi.Done);
            await exchange.EndAsync();
        });
        await using var proxy = await ProxyProcess.StartAsync(Config(first));
        await using var client = await RawClient.ConnectAsync(proxy.Address);
        await client.RequestAsync("POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(OpenAi.Request("m", stream: true)), "x-session-id: drained");
        await client.ReadHeadAsync();
        await client.ReadUntilAsync("half ");

        var calls = await proxy.CommandAsync("calls", "--json");
        var table = await proxy.CommandAsync("calls");
        var drain = await proxy.CommandAsync("drain");
        await Patience.Until(() => Task.FromResult(Refuses(proxy.Address)), "the proxy takes no more connections");
        go.SetResult();
        var reply = await client.ReadRestAsync();

        var call = Assert.Single(JsonElement.Parse(calls.Output).GetProperty("calls").EnumerateArray().ToArray());
        Assert.Equal(("m", "host", "drained", "anonymous", true), (call.GetProperty("model").GetString(), call.GetProperty("backend")
            .GetString(), call.GetProperty("session").GetString(), call.GetProperty("key").GetString(), call.GetProperty("answering").GetBoolean()));
        Assert.Matches("streaming +[0-9]+m?s +drained", table.Output);
        Assert.Equal((0, "draining; 1 call is still running"), (drain.ExitCode, drain.Output.Trim()));
        Assert.Equal("half and half", OpenAi.Read(reply));
        Assert.Equal(0, await proxy.ExitAsync());
    }

    [Theory]
    [InlineData("http")]
    [InlineData("https")]
    public async Task Host_refuses_the_connection_Client_and_operator_are_told_once(string scheme)
    {
        first.Refuse();
        await using var proxy = await ProxyProcess.StartAsync(Config(first).Replace("http://", scheme + "://", StringComparison.Ordinal));

        var reply = await ChatAsync(proxy);

        Assert.Equal($"backend 'host': it cannot be reached: 127.0.0.1:{first.Port}: Connection refused", reply.ErrorMessage);
    }

    [Fact]
    public async Task Many_start_at_the_same_moment_All_serve_and_one_has_the_admin_socket()
    {
        var folder = Directory.CreateTempSubdirectory("proxy-start-").FullName;
        try
        {
            for (var round = 0; round < 3; round++)
            {
                var proxies = await Task.WhenAll(Enumerable.Range(0, 6).Select(_ => ProxyProcess.StartAsync(
                    FrontDoor.Server() + "\n[log]\nformat = \"json\"\n", adminSocket: Path.Combine(folder, "admin.sock"))));
                var without = 0;
                foreach (var proxy in proxies)
                {
                    Assert.Equal(200, (await GetAsync(proxy, "/ready")).Status);
                    if (proxy.Log.Lines.Any(line => ProxyLog.Text(line, "event") == "no_admin")) without++;
                }

                Assert.Equal(0, (await proxies[0].CommandAsync("models")).ExitCode);
                foreach (var proxy in proxies) await proxy.DisposeAsync();
                Assert.Equal(proxies.Length - 1, without);
            }
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public async Task No_host_is_configured_The_echo_answers()
    {
        await using var proxy = await ProxyProcess.StartAsync(FrontDoor.Server() + "\n[log]\nformat = \"json\"\n");

        var reply = await RawClient.SendAsync(proxy.Address, "POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(OpenAi.Request("echo", stream: true)));

        Assert.Equal("hello", OpenAi.Read(reply));
        Assert.Equal(200, (await GetAsync(proxy, "/ready")).Status);
    }

    [Fact]
    public async Task Configuration_of_the_readme_It_works_as_written()
    {
        var readme = $"""
            default_backend = "gpu"
            [server]
            listen = ["127.0.0.1:0"]
            [log]
            format = "json"
            [[backends]]
            name = "gpu"
            url = "{first.Url}"
            dialects = ["openai"]        # families
            prefixes = ["qwen", "llama"]
            slots = 8
            """;
        await using var proxy = await ProxyProcess.StartAsync(readme);

        Assert.Contains("first", (await ChatAsync(proxy)).Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("/v1")]
    [InlineData("/v1/")]
    [InlineData("/")]
    public async Task Url_of_a_host_has_a_path_It_is_not_doubled(string path)
    {
        await using var proxy = await ProxyProcess.StartAsync(Config(first).Replace(first.Url, first.Url + path, StringComparison.Ordinal));

        await ChatAsync(proxy);

        Assert.Equal("/v1/chat/completions", Assert.Single(first.Calls).Target);
    }

    [Fact]
    public async Task Dialects_are_left_out_The_host_is_asked_and_answers_as_what_it_is()
    {
        first.Pages.Clear();
        first.Pages["/api/version"] = """{"version":"0.12.0"}""";
        first.Pages["/api/tags"] = """{"models":[{"name":"m:latest","model":"m:latest"}]}""";
        first.Answer(exchange => exchange.StreamAsync(Ollama.Lines, Ollama.Stream("native")));
        await using var proxy = await ProxyProcess.StartAsync(Config(first).Replace("dialects = [\"openai\"]", "", StringComparison.Ordinal));

        await Patience.Until(async () =>
        {
            var reply = await RawClient.SendAsync(proxy.Address, "POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(OpenAi.Request("m", stream: true)));
            return reply.Status == 200 && first.Calls[^1].Target == "/api/chat" && OpenAi.Read(reply) == "native";
        }, "the host is known to be an Ollama");
    }

    private static string Config(FakeBackend host, string server = "") => $"""
        default_backend = "host"
        {FrontDoor.Server(server)}
        [log]
        format = "json"
        [[backends]]
        name = "host"
        url = "{host.Url}"
        dialects = ["openai"]
        """;

    private static Task<RawReply> ChatAsync(ProxyProcess proxy) =>
        RawClient.SendAsync(proxy.Address, "POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(OpenAi.Request("m")));

    private static Task<RawReply> GetAsync(ProxyProcess proxy, string path) => RawClient.SendAsync(proxy.Address, "GET", path);

    private static bool Refuses(Uri address)
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            socket.Connect(address.Host, address.Port);
            return false;
        }
        catch (SocketException)
        {
            return true;
        }
    }
}
