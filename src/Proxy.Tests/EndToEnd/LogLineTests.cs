using System.Text;
using System.Text.Json;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>The log line of a call has every field.</summary>
public sealed class LogLineTests(LogLineTests.Door door) : IClassFixture<LogLineTests.Door>
{
    public sealed class Door : FrontDoor
    {
        protected override int Lanes => 4;

        protected override int OllamaLanes => 2;

        protected override string Sections() =>
            "[aliases]\n" + string.Join('\n', Enumerable.Range(0, Lanes).Select(number => $"\"by-alias{number}\" = \"solo{number}-m\""));
    }

    [Fact]
    public async Task Call_is_served_Its_line_has_every_field()
    {
        var lane = door.Take();
        var alias = "by-alias" + lane.NameA[1..];
        lane.A.Answer(exchange => exchange.JsonAsync(OpenAi.Whole("fine")));

        var (reply, line) = await door.ChatAsync(alias, stream: false);

        var expected = new Dictionary<string, string?>
        {
            ["level"] =
                "info", ["event"] =
                    "call", ["trace_id"] =
                        reply.TraceId, ["key"] = "anonymous", ["surface"] = "/v1/chat/completions", ["model"] = alias, ["served"] = lane.Solo,
            ["stream"] =
                "false", ["messages"] =
                    "1", ["route"] =
                        "direct", ["backend"] =
                            lane.NameA, ["status"] = "200", ["tokens_in"] = "9", ["tokens_out"] = "7", ["outcome"] = "ok", ["fault"] = "none",
        };
        Assert.Equal(expected, expected.Keys.ToDictionary(name => name, name => line[name]));
        Assert.True(line.Line.GetProperty("time").TryGetDateTimeOffset(out _));
        Assert.InRange(line.Line.GetProperty("first_token_ms").GetDouble(), 0, line.Line.GetProperty("duration_ms").GetDouble());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Ollama_call_is_served_Its_line_counts_tokens_and_messages(bool ollamaHost)
    {
        var lane = ollamaHost ? door.TakeOllama() : door.Take();
        lane.A.Answer(exchange => ollamaHost
            ? exchange.StreamAsync(Ollama.Lines, Ollama.Stream("fine"))
            : exchange.StreamAsync(OpenAi.Sse, OpenAi.Role(), OpenAi.Token("fine"), OpenAi.Stop(),
                """data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":"""
                    + """{"prompt_tokens":9,"completion_tokens":7,"total_tokens":16}}""" + "\n\n",
                OpenAi.Done));

        var (_, line) = await lane.OllamaChatAsync(lane.Solo, stream: true);

        Assert.Equal("/api/chat true 1 9 7", $"{line["surface"]} {line["stream"]} {line["messages"]} {line["tokens_in"]} {line["tokens_out"]}");
    }

    [Theory]
    [InlineData("/v1/chat/completions", """{"model":"nobody","messages":[{},{},{}]}""", "3")]
    [InlineData("/v1/messages", """{"model":"nobody","max_tokens":1,"messages":[{},{}]}""", "2")]
    [InlineData("/v1/messages/count_tokens", """{"model":"nobody","messages":[{},{}]}""", "2")]
    [InlineData("/api/chat", """{"model":"nobody","messages":[{}]}""", "1")]
    [InlineData("/v1/responses", """{"model":"nobody","input":[{},{},{},{}]}""", "4")]
    [InlineData("/v1/responses", """{"input":"hello","model":"nobody"}""", "1")]
    [InlineData("/v1/responses", """{"\u0069nput":["escaped",{}],"model":"nobody"}""", "2")]
    [InlineData("/v1/responses/input_tokens", """{"model":"nobody","input":"hello"}""", "1")]
    [InlineData("/v1/completions", """{"model":"nobody","prompt":"hello"}""", "1")]
    [InlineData("/v1/completions", """{"model":"nobody","prompt":["a","b"]}""", "2")]
    [InlineData("/v1/completions", """{"model":"nobody","prompt":[ 1,2,3]}""", "1")]
    [InlineData("/v1/completions", """{"model":"nobody","\u0070rompt":[1,2,3]}""", "1")]
    [InlineData("/v1/completions", """{"model":"nobody","prompt":[[1,2],[3]]}""", "2")]
    [InlineData("/v1/responses", """{"model":"nobody","input":[]}""", "0")]
    [InlineData("/api/generate", """{"model":"nobody","prompt":""}""", "0")]
    [InlineData("/api/generate", """{"model":"nobody","\u0070rompt":""}""", "0")]
    [InlineData("/api/generate", """{"model":"nobody","prompt":"hello"}""", "1")]
    public async Task Call_is_refused_Its_line_counts_the_messages_all_the_same(string path, string body, string messages)
    {
        var (reply, line) = await door.CallAsync(path, body);

        Assert.Equal(("404", messages), (line["status"], line["messages"]));
        Assert.Equal(404, reply.Status);
    }

    [Theory]
    [InlineData("x-session-id: s-1", "s-1")]
    [InlineData("X-Claude-Code-Session-Id: 7b0bf1d4-4f0e-4b55-9a57-2f5f9b6d0d7e", "7b0bf1d4-4f0e-4b55-9a57-2f5f9b6d0d7e")]
    [InlineData("session_id: codex.1", "codex.1")]
    [InlineData("session-id: codex-2", "codex-2")]
    [InlineData("x-session-affinity: ses_3", "ses_3")]
    [InlineData("x-opencode-session: ses_4", "ses_4")]
    [InlineData("session-id: vendor\r\nx-session-id: ours\r\nx-opencode-session: vendor", "ours")]
    [InlineData("x-session-id: two words", null)]
    [InlineData("x-session-id: a/b\"c", null)]
    [InlineData("x-session-id: ", null)]
    public async Task Session_is_named_It_is_logged_and_returned(string headers, string? session)
    {
        var (reply, line) = await door.ChatAsync("nobody", stream: false, "", headers.Split("\r\n"));

        Assert.Equal((session, session), (line["session"], reply.Header("x-session-id")));
    }

    [Fact]
    public async Task Session_is_too_long_It_is_as_if_it_had_not_been_named()
    {
        var (reply, line) = await door.ChatAsync("nobody", stream: false, "", "x-session-id: " + new string('s', 129), "session-id: short");

        Assert.Equal(("short", "short"), (line["session"], reply.Header("x-session-id")));
    }

    [Fact]
    public async Task First_token_takes_its_time_The_line_tells_it_from_the_duration()
    {
        var lane = door.Take();
        lane.A.Answer(async exchange =>
        {
            await exchange.HeadAsync(OpenAi.Sse);
            await exchange.ChunkAsync(OpenAi.Role());
            await Task.Delay(200);
            await exchange.ChunkAsync(OpenAi.Token("late"));
            await Task.Delay(200);
            await exchange.ChunkAsync(OpenAi.Stop() + "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3}}\n\n" + OpenAi.Done);
            await exchange.EndAsync();
        });

        var (_, line) = await lane.ChatAsync(lane.Solo, stream: true);

        // The role does not count as a token.
        Assert.InRange(line.Line.GetProperty("first_token_ms").GetDouble(), 190, 30_000);
        Assert.InRange(line.Line.GetProperty("duration_ms").GetDouble() - line.Line.GetProperty("first_token_ms").GetDouble(), 150, 30_000);
        Assert.InRange(line.Line.GetProperty("per_token_ms").GetDouble(), 75, 15_000); // two tokens after the first
        Assert.Equal("0", line["queue_ms"]);
        Assert.InRange(line.Line.GetProperty("connect_ms").GetDouble(), 0, 30_000);
    }

    [Theory]
    [InlineData("POST", "/api/show")]
    [InlineData("POST", "/api/pull")]
    public async Task Path_of_Ollama_is_not_served_yet_Client_is_told_in_Ollamas_form(string method, string path)
    {
        var reply = await RawClient.SendAsync(door.Address, method, path, method == "POST" ? Encoding.UTF8.GetBytes("""{"model":"m"}""") : null);

        Assert.InRange(reply.Status, 404, 501);
        Assert.Equal(JsonValueKind.String, reply.Json.GetProperty("error").ValueKind);
    }
}
