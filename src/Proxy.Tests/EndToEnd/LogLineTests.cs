using System.Text;
using System.Text.Json;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>The one line of a call says everything that is asked later.</summary>
public sealed class LogLineTests(LogLineTests.Door door) : IClassFixture<LogLineTests.Door>
{
    public sealed class Door : FrontDoor
    {
        protected override int Lanes => 4;

        protected override int OllamaLanes => 2;

        protected override string Sections() => "[aliases]\n" + string.Join('\n', Enumerable.Range(0, Lanes).Select(number => $"\"by-alias{number}\" = \"solo{number}-m\""));
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
            ["level"] = "info", ["event"] = "call", ["trace_id"] = reply.TraceId, ["key"] = "anonymous", ["surface"] = "/v1/chat/completions", ["model"] = alias, ["served"] = lane.Solo,
            ["stream"] = "false", ["messages"] = "1", ["route"] = "direct", ["backend"] = lane.NameA, ["status"] = "200", ["tokens_in"] = "9", ["tokens_out"] = "7", ["outcome"] = "ok", ["fault"] = "none",
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
            : exchange.StreamAsync(OpenAi.Sse, OpenAi.Role(), OpenAi.Token("fine"), OpenAi.Stop(), """data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":7,"total_tokens":16}}""" + "\n\n", OpenAi.Done));

        var (_, line) = await lane.OllamaChatAsync(lane.Solo, stream: true);

        Assert.Equal("/api/chat true 1 9 7", $"{line["surface"]} {line["stream"]} {line["messages"]} {line["tokens_in"]} {line["tokens_out"]}");
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
            await exchange.ChunkAsync(OpenAi.Stop() + OpenAi.Done);
            await exchange.EndAsync();
        });

        var (_, line) = await lane.ChatAsync(lane.Solo, stream: true);

        // The role is no token.
        Assert.InRange(line.Line.GetProperty("first_token_ms").GetDouble(), 190, 30_000);
        Assert.InRange(line.Line.GetProperty("duration_ms").GetDouble() - line.Line.GetProperty("first_token_ms").GetDouble(), 150, 30_000);
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
