using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using NATS.Client.Core;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Nats;

/// <summary>NATS is absent, dies or hangs: no call notices, and what is lost is counted.</summary>
public sealed class NatsOutageTests
{
    [Fact]
    public async Task Server_is_absent_at_the_start_Calls_are_served_and_their_messages_come_later()
    {
        await using var server = await NatsServer.StartAsync();
        await server.StopAsync();
        await using var proxy = await ProxyProcess.StartAsync(Config(server));
        await proxy.Log.EventAsync("nats_down");

        var reply = await CallAsync(proxy);
        var ready = await RawClient.SendAsync(proxy.Address, "GET", "/ready");

        Assert.Equal((200, 200, "down"), (reply.Status, ready.Status, ready.Json.GetProperty("nats").GetProperty("health").GetString()));
        Assert.NotEmpty(ready.Json.GetProperty("nats").GetProperty("reason").GetString()!);
        await server.StartAgainAsync();
        await proxy.Log.EventAsync("nats_up");
        await Patience.Until(async () => await CountAsync(server, "PROXY_DONE") == 1, "the message of the call arrives");
        Assert.Equal(0, await MetricAsync(proxy, "proxy_nats_dropped_total"));
    }

    [Fact]
    public async Task Server_is_killed_under_load_and_returns_No_call_fails_and_later_calls_are_published()
    {
        await using var server = await NatsServer.StartAsync();
        await using var proxy = await ProxyProcess.StartAsync(Config(server));
        await proxy.Log.EventAsync("nats_up");
        using var stop = new CancellationTokenSource();
        var calls = 0;
        var callers = Enumerable.Range(0, 4).Select(_ => LoadAsync()).ToArray();

        for (var i = 0; i < 3; i++)
        {
            await ProgressAsync();
            await server.KillAsync();
            await ProgressAsync();
            await server.StartAgainAsync();
            var wanted = i + 2;
            await Patience.Until(
                () => Task.FromResult(proxy.Log.Lines.Count(static line => ProxyLog.Text(line, "event") == "nats_up") >= wanted), "it is back");
        }

        await stop.CancelAsync();
        await Task.WhenAll(callers);
        await using var ear = await NatsEar.StartAsync(server);
        var last = await CallAsync(proxy);
        await ear.DoneAsync(last.TraceId);

        async Task LoadAsync()
        {
            while (!stop.IsCancellationRequested)
            {
                Assert.Equal(200, (await CallAsync(proxy)).Status);
                Interlocked.Increment(ref calls);
            }
        }

        Task ProgressAsync()
        {
            var target = Volatile.Read(ref calls) + 40;
            return Patience.Until(() => Task.FromResult(Volatile.Read(ref calls) >= target || callers.Any(static caller => caller.IsFaulted)), "calls go on");
        }
    }

    [Fact]
    public async Task Server_hangs_What_does_not_fit_is_dropped_counted_and_said()
    {
        await using var server = await NatsServer.StartAsync();
        await using var host = FakeBackend.Start();
        var text = new string('x', 1 << 20);
        host.Answer(exchange => exchange.JsonAsync(OpenAi.Whole(text)));
        await using var proxy = await ProxyProcess.StartAsync(Config(server, host: host));
        await proxy.Log.EventAsync("nats_up");
        server.Freeze();

        for (var i = 0; i < 40; i++) Assert.Equal(200, (await CallAsync(proxy, "m", stream: false)).Status);

        var dropped = await MetricAsync(proxy, "proxy_nats_dropped_total");
        Assert.True(dropped > 0);
        Assert.True(await MetricAsync(proxy, "proxy_nats_waiting_bytes") <= 32 << 20);
        Assert.Contains("too many are waiting", (await proxy.Log.EventAsync("nats_dropped")).GetRawText(), StringComparison.Ordinal);
        Assert.Single(proxy.Log.Lines, static line => ProxyLog.Text(line, "event") == "nats_dropped"); // not one for each
        server.Thaw();
        // The messages of all calls had room: events are dropped first.
        await Patience.Until(async () => await CountAsync(server, "PROXY_DONE") == 40, "the messages that waited arrive");
    }

    [Fact]
    public async Task Proxy_stops_What_waits_is_sent_first()
    {
        await using var server = await NatsServer.StartAsync();
        await using var ear = await NatsEar.StartAsync(server);
        RawReply reply;
        await using (var proxy = await ProxyProcess.StartAsync(Config(server, batch: "10s")))
        {
            await proxy.Log.EventAsync("nats_up");
            reply = await CallAsync(proxy);
            proxy.Signal(System.Runtime.InteropServices.PosixSignal.SIGTERM);
            Assert.Equal(0, await proxy.ExitAsync());
        }

        Assert.Equal("hello", PublishedCallTests.TextOf(await ear.EventsAsync(reply.TraceId)).Trim());
    }

    [Fact]
    public async Task Check_of_a_file_whose_server_is_gone_Warns_and_succeeds()
    {
        await using var server = await NatsServer.StartAsync();
        await server.StopAsync();

        var (exitCode, output) = await ProxyProcess.RunAsync(Config(server), "check");
        var (jsonCode, json) = await ProxyProcess.RunAsync(Config(server), "check", "--json");

        Assert.Equal((0, 0), (exitCode, jsonCode));
        Assert.Contains($"  warning     [nats] {server.Url} cannot be reached: ", output, StringComparison.Ordinal);
        Assert.Contains($"[nats] {server.Url} cannot be reached", Assert.Single(JsonElement.Parse(json).GetProperty("warnings").EnumerateArray()).GetString(),
            StringComparison.Ordinal);
    }

    [Fact]
    public async Task Check_of_a_file_whose_server_is_there_Has_no_warning()
    {
        await using var server = await NatsServer.StartAsync();

        var (exitCode, output) = await ProxyProcess.RunAsync(Config(server), "check");

        Assert.Equal(0, exitCode);
        Assert.Contains($"  nats        {server.Url}, summary messages\n", output, StringComparison.Ordinal);
        Assert.DoesNotContain("warning", output, StringComparison.Ordinal);
    }

    internal static string Config(NatsServer server, string more = "", string batch = "50ms", FakeBackend? host = null) => $"""
        {FrontDoor.Server()}
        [inference]
        bundled = false
        [log]
        format = "json"
        [[backends]]
        name = "echo"
        url = "builtin:echo"
        models = ["echo"]
        {(host is null ? "" : $"""
        [[backends]]
        name = "host"
        url = "{host.Url}"
        dialects = ["openai"]
        models = ["m"]
        """)}
        [nats]
        url = "{server.Url}"
        batch = "{batch}"
        {more}
        """;

    internal static Task<RawReply> CallAsync(ProxyProcess proxy, string model = "echo", bool stream = true, string text = "hello") => RawClient.SendAsync(
        proxy.Address, "POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(OpenAi.Request(model, stream, text: text)));

    /// <summary>The number of messages that a stream has; -1 if there is no such stream.</summary>
    internal static async Task<long> CountAsync(NatsServer server, string stream)
    {
        var info = await AskAsync(server, $"STREAM.INFO.{stream}");
        return info.TryGetProperty("state", out var state) ? state.GetProperty("messages").GetInt64() : -1;
    }

    internal static async Task<JsonElement> AskAsync(NatsServer server, string what, string body = "")
    {
        await using var connection = new NatsConnection(new NatsOpts { Url = server.Url });
        var reply = await connection.RequestAsync<byte[], byte[]>($"$JS.API.{what}", Encoding.UTF8.GetBytes(body));
        return reply.Data is { Length: > 0 } data ? JsonElement.Parse(data) : throw new InvalidOperationException($"no answer to {what}");
    }

    internal static async Task<long> MetricAsync(ProxyProcess proxy, string name)
    {
        var metrics = await RawClient.SendAsync(proxy.Address, "GET", "/metrics");
        var line = Regex.Match(metrics.Text, $"^{name} (\\d+)$", RegexOptions.Multiline);
        return long.Parse(line.Groups[1].Value, CultureInfo.InvariantCulture);
    }
}
