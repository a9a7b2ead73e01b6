using System.Text;
using System.Text.Json.Nodes;
using Proxy.Chat;
using Proxy.Dialects;
using Proxy.Dialects.Anthropic;

namespace Proxy.Tests.Dialects;

/// <summary>Features that only answers of Anthropic's dialect have: blocks, signed thoughts, a prompt counted in three parts.</summary>
public sealed class AnthropicTests
{
    private static readonly BackendDialect Backend = DialectTable.Backend(DialectName.Anthropic)!;
    private static readonly ClientDialect Client = DialectTable.Client(DialectName.Anthropic)!;

    [Fact]
    public void Broken_arguments_Reach_an_Anthropic_client()
    {
        List<ChatEvent> events = [new ChatEvent.ToolCall(0, "a", "f", "{\"city\":"), new ChatEvent.ToolCall(1, "b", "g", null),
            new ChatEvent.Finished(FinishReason.ToolCalls)];

        var whole = JsonNode.Parse(Wire.Text(output => Client.WriteWhole(events, Wire.Stamp, output)))!;
        var stream = Wire.Write(Client, events, Wire.Stamp);

        Assert.Equal("{\"city\":", (string)whole["content"]![0]!["input"]!["_raw"]!);
        Assert.Equal("{}", whole["content"]![1]!["input"]!.ToJsonString());
        Assert.Contains("""
            "partial_json":"{\"city\":"
            """.Trim(), stream, StringComparison.Ordinal);
        Assert.Contains("\"id\":\"b\"", stream, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("stop_sequence", "stop")]
    [InlineData("pause_turn", "stop")]
    [InlineData("model_context_window_exceeded", "length")]
    [InlineData("refusal", "content_filter")]
    public void Words_for_the_end_Are_told_to_others(string word, string told)
    {
        var body = """{"id":"i","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"x"}],"stop_reason":"WORD","stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}""".Replace("WORD", word, StringComparison.Ordinal);
        var events = new List<ChatEvent>();
        Assert.True(Backend.TryReadWhole(Wire.Bytes(body), events));

        Assert.Equal(told, (string)JsonNode.Parse(Wire.Text(output => DialectTable.Client(DialectName.OpenAiChat)!
            .WriteWhole(events, Wire.Stamp, output)))!["choices"]![0]!["finish_reason"]!);
        Assert.Equal(word, (string)JsonNode.Parse(Wire.Text(output => Client.WriteWhole(events, Wire.Stamp, output)))!["stop_reason"]!);
    }

    [Fact]
    public void Stop_sequence_that_a_host_of_OpenAi_names_Reaches_an_Anthropic_client()
    {
        var events = Wire.Read(DialectTable.Backend(DialectName.OpenAiChat)!, "data: {\"id\":\"i\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\",\"stop_reason\":\"\\n#\"}]}\n\ndata: [DONE]\n\n");

        var whole = JsonNode.Parse(Wire.Text(output => Client.WriteWhole(events, Wire.Stamp, output)))!;

        Assert.Equal("stop_sequence", (string)whole["stop_reason"]!);
        Assert.Equal("\n#", (string)whole["stop_sequence"]!);
    }

    [Fact]
    public void Cached_tokens_Are_counted_as_each_dialect_does()
    {
        var start = """{"type":"message_start","message":{"id":"i","usage":{"input_tokens":9,"cache_creation_input_tokens":4,"cache_read_input_tokens":16,"output_tokens":1}}}""";
        var delta = """{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":7}}""";

        var events = Wire.Read(Backend, $"data: {start}\n\ndata: {delta}\n\ndata: {{\"type\":\"message_stop\"}}\n\n");

        var usage = events.OfType<ChatEvent.UsageReported>().Single().Usage;
        Assert.Equal(new Usage(29, 7) { CachedInputTokens = 16, CacheWrittenTokens = 4 }, usage);
        Assert.Equal(usage, Backend.FindUsage(Wire.Bytes(delta))!.After(Backend.FindUsage(Wire.Bytes(start))));
        var told = JsonNode.Parse(Wire.Text(output => DialectTable.Client(DialectName.OpenAiChat)!.WriteWhole(events, Wire.Stamp, output)))!["usage"]!;
        Assert.Equal(29, (int)told["prompt_tokens"]!);
        Assert.Equal(16, (int)told["prompt_tokens_details"]!["cached_tokens"]!);
    }

    [Fact]
    public void Blocks_of_servers_tools_Are_left_out()
    {
        var body = """{"id":"i","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"a","citations":[]},{"type":"server_tool_use","id":"s","name":"web_search","input":{"q":"x"}},{"type":"web_search_tool_result","tool_use_id":"s","content":[]},{"type":"text","text":"b"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}""";
        var events = new List<ChatEvent>();

        Assert.True(Backend.TryReadWhole(Wire.Bytes(body), events));

        Assert.Equal("ab", WholeAnswer.Of(events).Choices[0].Answer);
        Assert.DoesNotContain(events, happened => happened is ChatEvent.ToolCall);
        // and they stay two texts
        Assert.Equal(2, JsonNode.Parse(Wire.Text(output => Client.WriteWhole(events, Wire.Stamp, output)))!["content"]!.AsArray().Count);
    }

    [Theory]
    [InlineData("llama.cpp/messages.stream")]
    [InlineData("ollama/v1.messages.stream")]
    [InlineData("ollama/v1.messages.think.stream")]
    [InlineData("ollama/v1.messages.tool.stream")]
    public void Recorded_stream_Is_read_without_loss(string recording)
    {
        var bytes = Wire.Recording(recording);
        var frames = Encoding.UTF8.GetString(bytes).Split('\n').Where(line => line.StartsWith("data: {", StringComparison.Ordinal))
            .Select(line => JsonNode.Parse(line[6..])!).ToList();

        var events = Wire.Read(Backend, out var whole, bytes);

        Assert.True(whole);
        var said = WholeAnswer.Of(events);
        Assert.Equal((string?)frames[0]["message"]!["id"], said.Id);
        Assert.Equal((string?)frames[0]["message"]!["model"], Assert.IsType<ChatEvent.Started>(events[0]).Model);
        Assert.Equal(string.Concat(frames.Select(frame => (string?)frame["delta"]?["text"])), said.Choices[0].Answer);
        Assert.Equal(string.Concat(frames.Select(frame => (string?)frame["delta"]?["thinking"])), said.Choices[0].Reasoning);
        Assert.Equal(string.Concat(frames.Select(frame => (string?)frame["delta"]?["partial_json"])),
            string.Concat(said.Choices[0].ToolCalls.Select(call => call.Arguments)));
        var last = frames.Single(frame => (string?)frame["type"] == "message_delta");
        Assert.Equal((int)last["usage"]!["output_tokens"]!, said.Usage!.OutputTokens);
        Assert.Equal((int?)last["usage"]!["input_tokens"] ?? (int)frames[0]["message"]!["usage"]!["input_tokens"]!, said.Usage.InputTokens);
        Assert.Equal(AnthropicJson.Reason((string?)last["delta"]!["stop_reason"]), said.Choices[0].Reason);
    }

    [Theory]
    [InlineData("llama.cpp/messages.once")]
    [InlineData("ollama/v1.messages.once")]
    [InlineData("ollama/v1.messages.think.once")]
    [InlineData("ollama/v1.messages.two_tools.once")]
    [InlineData("ollama/v1.messages.length")]
    public void Recorded_answer_Is_read_without_loss(string recording)
    {
        var bytes = Wire.Recording(recording);
        var answer = JsonNode.Parse(bytes)!;
        var events = new List<ChatEvent>();

        Assert.True(Backend.IsWholeAnswer(bytes));
        Assert.True(Backend.TryReadWhole(bytes, events));

        var back = JsonNode.Parse(Wire.Text(output => Client.WriteWhole(events, Wire.Stamp with { Model = (string)answer["model"]! }, output)))!;
        foreach (var block in back["content"]!.AsArray())
        {
            // These hosts send neither signatures nor callers, but clients require the members.
            block!.AsObject().Remove("signature");
            block.AsObject().Remove("caller");
        }

        foreach (var member in answer.AsObject())
            Assert.True(JsonNode.DeepEquals(member.Value, back[member.Key]), $"{member.Key}: {back[member.Key]?.ToJsonString()}");
    }

    [Fact]
    public void Recorded_failures_Are_read_as_what_they_are()
    {
        Assert.Equal(new HostError("model 'nope' not found", "not_found_error", Status: 404), Backend.ReadError(Wire.Recording("ollama/v1.messages.unknown")));
        Assert.Equal("the engine broke", Backend.ReadError(Wire.Recording("ollama/v1.messages.engine_error")).Message);
        Assert.Equal("max_tokens is required and must be positive", Backend.ReadError(Wire.Recording("ollama/v1.messages.no_max_tokens")).Message);
        var events = Wire.Read(Backend, out var whole, Wire.Recording("ollama/v1.messages.engine_dies.stream"));
        Assert.False(whole);
        Assert.Equal("half ", WholeAnswer.Of(events).Choices[0].Answer);
        Assert.Equal(503, Backend.ReadError("""{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"""u8).Status);
        Assert.Equal("context_length_exceeded",
            Backend.ReadError("""{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 9 tokens > 8 maximum"}}"""u8).Code);
    }

    [Theory]
    [InlineData(ProxyErrorKind.QueueFull, 529, "overloaded_error")]
    [InlineData(ProxyErrorKind.Unauthenticated, 401, "authentication_error")]
    [InlineData(ProxyErrorKind.UnknownModel, 404, "not_found_error")]
    [InlineData(ProxyErrorKind.RateLimited, 429, "rate_limit_error")]
    [InlineData(ProxyErrorKind.BodyTooLarge, 413, "request_too_large")]
    [InlineData(ProxyErrorKind.HostFailed, 502, "api_error")]
    public void Error_Has_the_status_and_the_word_of_Anthropic(object kind, int status, string type)
    {
        var error = new ProxyError((ProxyErrorKind)kind, "why");

        Assert.Equal(status, Client.StatusOf(error));
        Assert.Equal($$$"""{"type":"error","error":{"type":"{{{type}}}","message":"why"},"request_id":"t"}""",
            Wire.Text(output => Client.WriteError(error, "t", output)));
        Assert.Equal($$$"""event: error{{{"\n"}}}data: {"type":"error","error":{"type":"{{{type}}}","message":"why"},"request_id":"t"}{{{"\n\n"}}}""",
            Wire.Text(output => Client.WriteStreamError(error, "t", output)));
    }

    [Fact]
    public void Too_long_a_prompt_Is_said_in_the_words_that_agents_look_for()
    {
        var refused = new ProxyError(ProxyErrorKind.HostRefused, "the request exceeds the available context size")
        {
            Status = 400,
            Code = "context_length_exceeded"
        };

        Assert.StartsWith("prompt is too long: ", (string)JsonNode.Parse(Wire.Text(output => Client.WriteError(refused, "t", output)))!["error"]!["message"]!,
            StringComparison.Ordinal);
    }
}
