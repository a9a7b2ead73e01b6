using System.Text;
using System.Text.Json;
using NATS.Client.Core;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Nats;

/// <summary><c>proxy events</c> with a real NATS server: what was published before, what comes, and the tree of calls.</summary>
public sealed class EventsCommandTests : IAsyncLifetime
{
    private readonly string began = Proxy.Http.TraceIds.Mint(TimeProvider.System)[..10]; // the time of all ids
    private NatsServer? server;
    private NatsConnection? worker;

    public async ValueTask InitializeAsync()
    {
        server = await NatsServer.StartAsync();
        worker = new NatsConnection(new NatsOpts { Url = server.Url });
        await worker.ConnectAsync();
    }

    public async ValueTask DisposeAsync()
    {
        if (worker is not null) await worker.DisposeAsync();
        if (server is not null) await server.DisposeAsync();
    }

    [Fact]
    public async Task Call_of_a_workflow_Its_events_come_live_and_at_its_end_the_calls_as_a_tree()
    {
        // The streams are there, as a proxy makes them, and hold what was published before the command began.
        var trace = Id(1);
        await using var proxy = await ProxyProcess.StartAsync(Config());
        await proxy.Log.LineAsync(
            static line => ProxyLog.Text(line, "event") is "nats_stream_created" && ProxyLog.Text(line, "stream") is "PROXY_DONE", "the streams");
        await EventAsync(trace, """{"type":"token","seq":1,"task":"a","model":"m","text":"be\u001bfore"}""");
        await DoneAsync(Id(2), trace);
        await DoneAsync(Id(3), Id(2));
        await DoneAsync(Id(4), "another");
        await EventAsync(Id(9), """{"type":"token","text":"of another"}""");

        var command = proxy.CommandAsync("events", trace);
        await Task.Delay(1000); // some of it comes live, however slow the command starts
        await EventAsync(trace, "{\"type\":\"token\",\"seq\":2,\"text\":\"after\"}\n{\"type\":\"finished\",\"seq\":3,\"reason\":\"stop\"}");
        await DoneAsync(Id(5), trace);
        await DoneAsync(trace, null);
        var (code, output) = await command;

        Assert.Equal(0, code);
        Assert.Equal($"""
                1  [a m] token "be\u001bfore"
                2  token "after"
                3  finished "stop"

            {trace}  m  ok  1.50 s  3 tokens in, 2 out
            ├─ {Id(2)}  m  ok  1.50 s  3 tokens in, 2 out
            │  └─ {Id(3)}  m  ok  1.50 s  3 tokens in, 2 out
            └─ {Id(5)}  m  ok  1.50 s  3 tokens in, 2 out

            """, output);

        var (again, lines) = await proxy.CommandAsync("events", trace, "--json");
        Assert.Equal(0, again);
        Assert.Equal([.. Enumerable.Repeat("type", 3), .. Enumerable.Repeat("trace_id", 4)],
            lines.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(static line => JsonElement.Parse(line).EnumerateObject().First().Name));
    }

    [Fact]
    public async Task Server_has_no_JetStream_What_comes_is_printed_and_the_rest_said()
    {
        await using var core = await NatsServer.StartAsync(jetStream: false);
        await using var ear = new NatsConnection(new NatsOpts { Url = core.Url });
        var trace = Id(1);

        var command = ProxyProcess.RunAsync($"[inference]\nbundled = false\n[nats]\nurl = \"{core.Url}\"\n", "events", trace);
        while (!command.IsCompleted)
        {
            // Until the command has subscribed, nobody hears it.
            await ear.PublishAsync($"evt.chat.{trace}", """{"type":"finished","reason":"error","error":{"message":"lost"}}"""u8.ToArray());
            await Task.WhenAny(command, Task.Delay(200));
        }

        var (code, output) = await command;
        Assert.Equal(1, code);
        Assert.Contains("finished \"error\" error={\"message\":\"lost\"}\n", output, StringComparison.Ordinal);
        Assert.Contains("what was published before is not known: the server has no JetStream", output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("events 01H", 2, "'01H' is not a trace id")]
    [InlineData("events 01HZZZZZZZZZZZZZZZZZZZZZZZ", 1, "no server is configured")]
    public async Task Nothing_can_be_read_The_command_says_why(string line, int code, string told)
    {
        var (exit, output) = await ProxyProcess.RunAsync("[inference]\nbundled = false\n", line.Split(' '));

        Assert.Equal(code, exit);
        Assert.Contains(told, output, StringComparison.Ordinal);
    }

    private string Id(int number) => began + number.ToString("d16", System.Globalization.CultureInfo.InvariantCulture);

    private string Config() => $"""
        {FrontDoor.Server()}
        [log]
        format = "json"
        [inference]
        bundled = false
        [nats]
        url = "{server!.Url}"
        """;

    private ValueTask EventAsync(string trace, string lines) => worker!.PublishAsync($"evt.chat.{trace}", Encoding.UTF8.GetBytes(lines));

    private ValueTask DoneAsync(string trace, string? parent)
    {
        const string Rest = """ "owner":"o","model":"m","duration_ms":1500,"outcome":"ok","usage":{"input_tokens":3,"output_tokens":2}} """;
        var message = $"{{\"trace_id\":\"{trace}\",{(parent is null ? "" : $"\"parent\":\"{parent}\",")}{Rest}";
        return worker!.PublishAsync($"done.chat.{trace}", Encoding.UTF8.GetBytes(message));
    }
}
