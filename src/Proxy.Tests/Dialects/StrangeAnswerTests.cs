using System.Text.Json.Nodes;
using Proxy.Chat;
using Proxy.Dialects;

namespace Proxy.Tests.Dialects;

/// <summary>Answers in unusual forms: lists as content, thoughts in other members, errors in other fields, two objects in one frame.</summary>
public sealed class StrangeAnswerTests
{
    private static readonly BackendDialect OpenAi = DialectTable.Backend(DialectName.OpenAiChat)!;
    private static readonly BackendDialect Anthropic = DialectTable.Backend(DialectName.Anthropic)!;
    private static readonly BackendDialect Ollama = DialectTable.Backend(DialectName.OllamaChat)!;
    private static readonly BackendDialect Responses = DialectTable.Backend(DialectName.OpenAiResponses)!;

    private const string MistralParts = """[{"type":"thinking","thinking":[{"type":"text","text":"Hm. "},{"type":"text","text":"So."}],"closed":true},{"type":"text","text":"Forty"},{"type":"reference","reference_ids":[1]},{"type":"text","text":"-two"}]""";

    [Fact]
    public void Content_that_is_a_list_of_parts_Is_thoughts_and_text()
    {
        var whole = new List<ChatEvent>();
        Assert.True(OpenAi.TryReadWhole(Wire.Bytes($$"""{"choices":[{"index":0,"message":{"role":"assistant","content":{{MistralParts}}},"finish_reason":"stop"}]}"""), whole));
        var streamed = Wire.Read(OpenAi, Deltas(
            """{"role":"assistant","content":""}""", """{"content":[{"type":"thinking","thinking":[{"type":"text","text":"Hm. "}]}]}""",
            """{"content":[{"type":"thinking","thinking":[{"type":"text","text":"So."}]}]}""",
            """{"content":"Forty"}""", """{"content":[{"type":"reference","reference_ids":[1]},{"type":"text","text":"-two"}]}"""));

        foreach (var events in new[] { whole, streamed })
        {
            var said = WholeAnswer.Of(events).Choices[0];
            Assert.Equal(("Hm. So.", "Forty-two", FinishReason.Stop), (said.Reasoning, said.Answer, said.Reason));
            var blocks = JsonNode.Parse(Wire.Text(output => DialectTable.Client(DialectName.Anthropic)!.WriteWhole(events, Wire.Stamp, output)))!["content"]!
                .AsArray();
            Assert.Equal(["thinking Hm. So.", "text Forty-two"], blocks.Select(block => $"{block!["type"]} {block["thinking"] ?? block["text"]}"));
            Assert.Equal(["reference"], Skipped(events));
        }
    }

    [Theory]
    [InlineData("""["Forty","-two"]""", "", "Forty-two")]
    [InlineData("""[{"type":"thinking","thinking":"Hm."},{"type":"text","text":"x"}]""", "Hm.", "x")]
    [InlineData("""[{"type":"text","text":"x"},{"type":"thinking","thinking":["Hm."]},{"type":"text","text":"y"}]""", "Hm.", "xy")]
    [InlineData("""[{"type":"text"},{"type":"thinking","thinking":[]},null,7,[]]""", "", "")]
    [InlineData("[]", "", "")]
    public void Parts_of_content_Are_read_in_every_form(string content, string reasoning, string answer)
    {
        var events = Wire.Read(OpenAi, Deltas($$"""{"content":{{content}}}"""));

        var said = WholeAnswer.Of(events).Choices[0];
        Assert.Equal((reasoning, answer), (said.Reasoning, said.Answer));
        Assert.Empty(Skipped(events));
    }

    [Fact]
    public void Lists_of_parts_cut_at_every_byte_Give_the_same_events()
    {
        var bytes = Wire.Bytes(Deltas($$"""{"content":{{MistralParts}}}""", """{"content":[{"type":"text","text":"é😀"}]}"""));
        var expected = Wire.Lines(Wire.Read(OpenAi, out _, bytes));

        for (var cut = 0; cut <= bytes.Length; cut++) Assert.Equal(expected, Wire.Lines(Wire.Read(OpenAi, out _, bytes[..cut], bytes[cut..])));
    }

    [Theory]
    [InlineData("""{"reasoning_details":[{"type":"reasoning.text","text":"Hm. ","signature":"s"},{"type":"reasoning.encrypted","data":"x"}]}""",
        """{"reasoning_details":[{"type":"reasoning.summary","summary":"So."}],"content":"x"}""")]
    [InlineData("""{"reasoning":"Hm. ","reasoning_details":[{"type":"reasoning.text","text":"Hm. "}]}""",
        """{"reasoning_details":[{"type":"reasoning.text","text":"So."}],"reasoning":"So.","content":"x"}""")]
    [InlineData("""{"reasoning":"Hm. So."}""", """{"reasoning_details":[{"type":"reasoning.text","text":"Hm. So."}],"content":"x"}""")]
    public void Reasoning_details_Are_read_where_they_alone_have_the_thoughts(string first, string second)
    {
        var said = WholeAnswer.Of(Wire.Read(OpenAi, Deltas(first, second))).Choices[0];

        Assert.Equal(("Hm. So.", "x"), (said.Reasoning, said.Answer));
    }

    [Theory]
    [InlineData("\"delta\":{\"content\":\"Hel\"},\"message\":{\"content\":\"Hel\"}", "\"message\":{\"content\":\"Hello\"},\"delta\":{\"content\":\"lo\"}",
        "\"delta\":{},\"message\":{\"content\":\"Hello\"}")]
    [InlineData("\"delta\":{\"role\":\"assistant\"},\"message\":{\"content\":\"\"}", "\"delta\":{\"content\":\"Hello\"}",
        "\"message\":{\"content\":\"Hello\"}")]
    [InlineData("\"delta\":{\"role\":\"assistant\"}", "\"delta\":null", "\"delta\":{},\"message\":{\"content\":\"Hello\"}")]
    public void Delta_goes_before_the_message_that_grows_beside_it(string first, string second, string third)
    {
        var events = Wire.Read(OpenAi,
            string.Concat(new[] { first, second, third }.Select(members => $$"""data: {"choices":[{"index":0,{{members}}}]}""" + "\n\n")) + "data: [DONE]\n\n");

        Assert.Equal("Hello", WholeAnswer.Of(events).Choices[0].Answer);
    }

    [Fact]
    public void Message_that_grows_beside_its_calls_Is_no_second_call()
    {
        var events = Wire.Read(OpenAi,
            "data: " + """{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":"}}]},"message":{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{\"x\":"}}]}}]}""" + "\n\n" +
            "data: " + """{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]},"message":{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{\"x\":1}"}}]},"finish_reason":"tool_calls"}]}""" + "\n\ndata: [DONE]\n\n");

        ClientCalls.AssertEveryClientGets([new("a", "f", """{"x":1}""")], events, "message beside delta");
    }

    [Theory]
    [InlineData("")]
    [InlineData(" ")]
    [InlineData("\ndata: ")]
    public void Two_objects_in_one_event_Are_read_both(string between)
    {
        string Both(string first, string second) => $"data: {first}{between}{second}\n\n";

        var chat = Wire.Read(OpenAi,
            Both("""{"choices":[{"delta":{"content":"a"}}]}""", """{"choices":[{"delta":{"content":"b"},"finish_reason":"length"}]}""") + "data: [DONE]\n\n");
        var message = Wire.Read(Anthropic, Both("""{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"a"}}""",
            """{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"b"}}""")
            + Both("""{"type":"message_delta","delta":{"stop_reason":"max_tokens"}}""", """{"type":"message_stop"}"""));
        var response = Wire.Read(Responses, Both("""{"type":"response.output_text.delta","output_index":0,"delta":"a"}""",
            """{"type":"response.output_text.delta","output_index":0,"delta":"b"}""")
            + Both("""{"type":"response.output_text.delta","output_index":0,"delta":""}""",
                """{"type":"response.incomplete","response":{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"output":[]}}"""));

        foreach (var events in new[] { chat, message, response })
        {
            Assert.Equal("ab", WholeAnswer.Of(events).Choices[0].Answer);
            Assert.Equal(FinishReason.Length, Assert.IsType<ChatEvent.Finished>(events[^1]).Reason);
        }
    }

    [Fact]
    public void Two_objects_on_one_line_of_Ollama_Are_read_both()
    {
        var line = """{"message":{"role":"assistant","content":"a"},"done":false}{"message":{"role":"assistant","content":"b"},"done":true,"done_reason":"length"}""";

        var events = Wire.Read(Ollama, line + "\n");

        Assert.Equal("ab", WholeAnswer.Of(events).Choices[0].Answer);
        Assert.Equal(FinishReason.Length, Assert.IsType<ChatEvent.Finished>(events[^1]).Reason);
        Assert.True(Ollama.IsEnd(Wire.Bytes(line)));
    }

    [Fact]
    public void End_behind_another_object_Is_seen_as_the_end()
    {
        Assert.True(Anthropic.IsEnd("""{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":7}}{"type":"message_stop"}"""u8));
        Assert.True(Responses.IsEnd("""{"type":"response.output_text.delta","delta":"}{"}{"type":"response.completed","response":{}}"""u8));
        Assert.Equal(FrameKind.Content, OpenAi.Classify("""{"choices":[{"delta":{"role":"assistant"}}]}{"choices":[{"delta":{"content":"x"}}]}"""u8));
        Assert.Equal(FrameKind.Content, OpenAi.Classify("""{"choices":[{"delta":{"content":"}{"}}]}"""u8));
        Assert.Equal(FrameKind.Error, OpenAi.Classify("""{"choices":[{"delta":{"content":"x"}}]}{"error":"no"}"""u8));
    }

    [Theory]
    [InlineData("event: error\ndata: {\"message\":\"too hot\",\"code\":\"overheated\"}")]
    [InlineData("event: error\ndata: {\"type\":\"server_error\",\"message\":\"too hot\"}")]
    [InlineData("event: error\ndata: {\"detail\":\"too hot\"}")]
    [InlineData("event:error\ndata: too hot")]
    [InlineData("data: {\"message\":\"too hot\"}\nevent: error")]
    [InlineData("error: {\"code\":500,\"message\":\"too hot\",\"type\":\"server_error\"}")]
    [InlineData("error: {\"error\":{\"message\":\"too hot\"}}")]
    [InlineData("error:too hot")]
    [InlineData("event: error\ndata: {\"error\":{\"message\":\"too hot\"}}")]
    public void Error_in_a_hosts_own_form_Keeps_its_words(string frame)
    {
        foreach (var (backend, before) in new[] { (OpenAi, Delta("""{"content":"x"}""")),
            (Anthropic, "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"x\"}}\n\n"),
            (Responses, "data: {\"type\":\"response.output_text.delta\",\"delta\":\"x\"}\n\n") })
        {
            var events = Wire.Read(backend, before + frame + "\n\n");

            Assert.Equal("too hot", Assert.IsType<ChatEvent.Finished>(events[^1]).Error?.Message);
            using var cutter = FrameCutter.For(StreamFraming.ServerSentEvents);
            ReadOnlySpan<byte> pending = Wire.Bytes(frame + "\r\n\r\n");
            Assert.True(cutter.TryTake(ref pending, out _, out var payload));
            Assert.Equal(FrameKind.Error, backend.Classify(payload));
            Assert.Equal("too hot", backend.ReadError(payload).Message);
        }
    }

    [Fact]
    public void Bare_message_of_a_chat_host_Is_an_error_without_an_events_name()
    {
        var events = Wire.Read(OpenAi, Delta("""{"content":"x"}""") + "data: {\"message\":\"too hot\",\"code\":500}\n\n");

        Assert.Equal("too hot", Assert.IsType<ChatEvent.Finished>(events[^1]).Error?.Message);
    }

    [Theory]
    [InlineData("\"arguments\":null")]
    [InlineData("\"arguments\":\"\"")]
    [InlineData("\"description\":\"none\"")]
    public void No_arguments_of_Ollama_Are_an_empty_object(string arguments)
    {
        var events = Wire.Read(Ollama,
            $$$"""{"message":{"role":"assistant","content":"","tool_calls":[{"function":{"name":"f",{{{arguments}}}}}]},"done":true}""" + "\n");

        Assert.Equal(new ChatEvent.ToolCall(0, null, "f", "{}"), Assert.Single(events.OfType<ChatEvent.ToolCall>()));
    }

    [Fact]
    public void Deltas_of_blocks_that_were_never_begun_Are_read()
    {
        var events = Wire.Read(Anthropic, string.Concat(new[]
        {
            """{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Hm."}}""",
            """{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"s"}}""",
            """{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Hel"}}""",
            """{"type":"content_block_delta","index":1,"delta":{"text":"lo","type":"text_delta"}}""",
            """{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":7.0}}""", """{"type":"message_stop"}""",
        }.Select(data => $"data: {data}\n\n")));

        var said = WholeAnswer.Of(events).Choices[0];
        Assert.Equal(("Hm.", "Hello", FinishReason.Stop), (said.Reasoning, said.Answer, said.Reason));
        Assert.IsType<ChatEvent.Started>(events[0]);
        Assert.Contains("\"signature\":\"s\"", Wire.Text(output => DialectTable.Client(DialectName.Anthropic)!.WriteWhole(events, Wire.Stamp, output)),
            StringComparison.Ordinal);
        Assert.Equal(7, WholeAnswer.Of(events).Usage!.OutputTokens);
    }

    [Fact]
    public void Blocks_of_servers_tools_Take_their_deltas_with_them()
    {
        var events = Wire.Read(Anthropic, string.Concat(new[]
        {
            """{"type":"content_block_start","index":0,"content_block":{"type":"server_tool_use","id":"s","name":"web_search","input":{}}}""",
            """{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{}"}}""",
            """{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"no"}}""",
            """{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"a","name":"f","input":{}}}""",
            """{"type":"message_delta","delta":{"stop_reason":"tool_use"}}""", """{"type":"message_stop"}""",
        }.Select(data => $"data: {data}\n\n")));

        ClientCalls.AssertEveryClientGets([new("a", "f", "{}")], events, "server_tool_use");
        Assert.Equal("", WholeAnswer.Of(events).Choices[0].Answer);
    }

    [Fact]
    public void Counts_that_are_floats_Are_counts()
    {
        Assert.Equal(new Usage(9, 7) { CachedInputTokens = 4 },
            OpenAi.FindUsage("""{"usage":{"prompt_tokens":9.0,"completion_tokens":7.0,"prompt_tokens_details":{"cached_tokens":4.0}}}"""u8));
        Assert.Equal(new Usage(9, 7), OpenAi.FindUsage("""{"usage":{"prompt_tokens":9,"completion_tokens":7e0}}"""u8));
        Assert.Equal(new Usage(9, 7), Anthropic.FindUsage("""{"usage":{"input_tokens":9.0,"output_tokens":7.0}}"""u8));
        Assert.Equal(new Usage(9, 7) { CachedInputTokens = 4 },
            Responses.FindUsage("""{"usage":{"input_tokens":9.0,"output_tokens":7.0,"input_tokens_details":{"cached_tokens":4.0}}}"""u8));
        Assert.Equal(new Usage(9, 7) { TotalDuration = 5 },
            Ollama.FindUsage("""{"done":true,"prompt_eval_count":9.0,"eval_count":7.0,"total_duration":5.2}"""u8));
        var events = Wire.Read(OpenAi,
            Delta("""{"content":"x"}""") + "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9.0,\"completion_tokens\":7.0}}\n\ndata: [DONE]\n\n");
        Assert.Equal(new Usage(9, 7), WholeAnswer.Of(events).Usage);
    }

    private static IEnumerable<string> Skipped(IEnumerable<ChatEvent> events) => events.OfType<ChatEvent.Skipped>().Select(skipped => skipped.Kind);

    private static string Deltas(params string[] deltas) =>
        string.Concat(deltas.Select(Delta)) + "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

    private static string Delta(string delta) => ToolCallTests.Delta(delta, 0);
}
