using System.Text.Json;
using Proxy.Cli;
using Proxy.Tests.Backends;

namespace Proxy.Tests.Cli;

/// <summary><c>proxy streams</c> and <c>proxy stream</c> against recorded answers of the admin socket.</summary>
public sealed class StreamCommandTests : IDisposable
{
    private const string Ndjson = "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n\r\n";

    private const string Answer = """
        {"type":"started","id":"c1"}
        {"type":"token","text":"Let me think.","kind":"reasoning"}
        {"type":"token","text":"I look"}
        {"type":"token","text":" it up."}
        {"type":"tool_call","index":0,"id":"t1","name":"weather"}
        {"type":"tool_call","index":0,"arguments":"{\"city\":"}
        {"type":"tool_call","index":0,"arguments":"\"Rome\"}"}
        {"type":"tool_call","index":1,"name":"time","arguments":"{}"}
        {"type":"token","text":"other","choice":1}
        {"type":"finished","reason":"tool_calls"}

        """;

    private readonly CommandLine proxy = new();

    public void Dispose() => proxy.Dispose();

    [Fact]
    public async Task Streams_Are_shown_in_columns()
    {
        await using var admin = new RecordedHost(proxy.AdminSocket).Json("/streams", """
            {"streams":[{"id":"T1","object":"stream","created":1,"owner":"ann","surface":"/v1/messages","model":"m","status":"running","bytes":4096,"age_ms":65400}]}
            """);

        var (code, output, _) = await proxy.RunAsync("streams");
        var (_, json, _) = await proxy.RunAsync("streams --json");

        Assert.Equal(ExitCode.Ok, code);
        Assert.Equal(
            "TRACE_ID  OWNER  SURFACE       MODEL  STATE    BYTES  AGE\n" +
            "T1        ann    /v1/messages  m      running  4096   1m5s\n", output);
        Assert.Equal(65400, JsonDocument.Parse(json).RootElement.GetProperty("streams")[0].GetProperty("age_ms").GetInt64());
    }

    [Theory]
    [InlineData(false, "I look it up.\nweather({\"city\":\"Rome\"})\ntime({})\n")]
    [InlineData(true, "\e[2mLet me think.\e[0m\nI look it up.\nweather({\"city\":\"Rome\"})\ntime({})\n")]
    public async Task Stream_Prints_the_text_and_each_tool_call_on_a_line(bool isTerminal, string expected)
    {
        await using var admin = new RecordedHost(proxy.AdminSocket).Raw("/streams/T1?after=3", Ndjson + Answer);

        var (code, output, error) = await proxy.RunAsync("stream T1 --after 3", around => around with { OutputIsTerminal = isTerminal });

        Assert.Equal((ExitCode.Ok, expected, ""), (code, output, error));
    }

    [Fact]
    public async Task Stream_As_JSON_prints_the_events()
    {
        await using var admin = new RecordedHost(proxy.AdminSocket).Raw("/streams/T1", Ndjson + Answer);

        Assert.Equal((ExitCode.Ok, Answer, ""), await proxy.RunAsync("stream T1 --json"));
    }

    [Theory]
    [InlineData("""{"type":"finished","reason":"error","error":{"kind":"host_failed","message":"out of memory","status":502}}""", "out of memory")]
    [InlineData("""{"type":"token","text":"more"}""", "the answer ended before it was complete")]
    public async Task Answer_fails_The_command_exits_1_with_the_error(string last, string told)
    {
        await using var admin = new RecordedHost(proxy.AdminSocket).Raw("/streams/T1", Ndjson + "{\"type\":\"token\",\"text\":\"half\"}\n" + last + "\n");

        var (code, output, error) = await proxy.RunAsync("stream T1");

        Assert.Equal((ExitCode.Failed, told + "\n"), (code, error));
        Assert.StartsWith("half", output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("stream T1")]
    [InlineData("stream T1 --cancel")]
    public async Task Answer_is_not_kept_The_command_says_so(string line)
    {
        await using var admin = new RecordedHost(proxy.AdminSocket)
            .Json("/streams/T1", """{"error":{"message":"there is no answer T1","type":"not_found_error","param":null,"code":"stream_not_found"}}""", 404);

        Assert.Equal((ExitCode.Failed, "", "there is no answer T1\n"), await proxy.RunAsync(line));
    }

    [Theory]
    [InlineData("true", "cancelled\n")]
    [InlineData("false", "forgotten; it had already ended\n")]
    public async Task Cancel_Says_whether_it_still_ran(string ran, string told)
    {
        await using var admin = new RecordedHost(proxy.AdminSocket)
            .Json("/streams/T1", $$"""{"id":"T1","object":"stream.deleted","cancelled":{{ran}}}""");

        Assert.Equal((ExitCode.Ok, told, ""), await proxy.RunAsync("stream T1 --cancel"));
        Assert.StartsWith("DELETE /streams/T1 ", Assert.Single(admin.Asked), StringComparison.Ordinal);
    }
}
