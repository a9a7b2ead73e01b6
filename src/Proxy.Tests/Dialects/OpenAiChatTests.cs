using System.Text.Json.Nodes;
using Proxy.Chat;
using Proxy.Dialects;
using Proxy.Dialects.OpenAiChat;

namespace Proxy.Tests.Dialects;

public sealed class OpenAiChatTests
{
    private static readonly BackendDialect Backend = DialectTable.Backend(DialectName.OpenAiChat)!;
    private static readonly ClientDialect Client = DialectTable.Client(DialectName.OpenAiChat)!;

    [Theory]
    [InlineData("""{"choices":[{"index":0,"delta":{"role":"assistant"}}]}""", FrameKind.Preamble)]
    [InlineData("""{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}""", FrameKind.Preamble)]
    [InlineData("""{"choices":[{"index":0,"delta":{"role":"assistant","content":null,"tool_calls":[],"refusal":null}}]}""", FrameKind.Preamble)]
    [InlineData("""{"choices":[],"prompt_filter_results":[{"a":1}]}""", FrameKind.Preamble)]
    [InlineData("""{"choices":[{"delta":null,"finish_reason":null}],"error":null}""", FrameKind.Preamble)]
    [InlineData("""{"choices":[{"index":0,"delta":{"content":"x"}}]}""", FrameKind.Content)]
    [InlineData("""{"choices":[{"delta":{"content":""}},{"delta":{"content":"x"}}]}""", FrameKind.Content)]
    [InlineData("""{"choices":[{"delta":{"reasoning":"x"}}]}""", FrameKind.Content)]
    [InlineData("""{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}""", FrameKind.Content)]
    [InlineData("""{"choices":[{"delta":{"audio":{"id":"a"}}}]}""", FrameKind.Content)]
    [InlineData("""{"choices":[{"delta":{},"finish_reason":"stop"}]}""", FrameKind.Content)]
    [InlineData("""{"error":{"message":"no"}}""", FrameKind.Error)]
    [InlineData("""{"choices":[{"delta":{"content":"x"}}],"error":"no"}""", FrameKind.Error)]
    [InlineData("""{"object":"error","message":"no"}""", FrameKind.Error)]
    [InlineData("<html>", FrameKind.Error)]
    [InlineData("\"a string\"", FrameKind.Error)]
    [InlineData("""{"choices":[{"delta":{"content":"x""", FrameKind.Error)]
    [InlineData("[DONE]", FrameKind.End)]
    [InlineData(" [DONE]\r\n", FrameKind.End)]
    [InlineData("""{"choices":[{"delta":{"content":"[DONE]"}}]}""", FrameKind.Content)]
    [InlineData("""{"choices":[{"delta":{"content":"{\"error\":1}"}}]}""", FrameKind.Content)]
    public void Frame_Is_what_it_says(string frame, object kind)
    {
        Assert.Equal(kind, Backend.Classify(Wire.Bytes(frame)));
        Assert.Equal((FrameKind)kind is FrameKind.End, Backend.IsEnd(Wire.Bytes(frame)));
    }

    [Theory]
    [InlineData("""{"choices":[{"message":{"content":"x"},"finish_reason":"stop"}]}""", true)]
    [InlineData(" {\"choices\":[{\"message\":{\"content\":\"say \\\"error\\\"\"}}]}\n", true)]
    [InlineData("""{"error":null,"choices":[{"message":{"content":"x"}}]}""", true)]
    [InlineData("""{"error":{"message":"no"},"choices":[]}""", false)]
    [InlineData("""{"choices":[{"message":{"content":"x"}}]""", false)]
    [InlineData("""{"message":"no"}""", false)]
    [InlineData("<html>\"choices\"</html>", false)]
    [InlineData("", false)]
    public void Body_Is_an_answer_or_not(string body, bool answer) => Assert.Equal(answer, Backend.IsWholeAnswer(Wire.Bytes(body)));

    /// <summary>
    /// A body without content counts as an answer as long as <c>error"</c> does not occur in it, so the classification shows whether the word is found, at
    /// every position.
    /// </summary>
    [Fact]
    public void Word_error_at_any_place_Is_seen_and_nothing_like_it_is()
    {
        for (var before = 0; before < 80; before++)
        {
            for (var behind = 0; behind < 80; behind++)
            {
                Assert.False(Backend.IsWholeAnswer(Body("error")), $"{before} {behind}");
                foreach (var other in (string[])["rror", "errar", "errors", "errorr", "error\\", "orrer"])
                    Assert.True(Backend.IsWholeAnswer(Body(other)), $"{other} {before} {behind}");

                byte[] Body(string word) => Wire.Bytes($$"""{"choices":[],"{{new string('r', before)}}{{word}}":"{{new string('r', behind)}} "}""");
            }
        }
    }

    /// <summary>The fast path and the JSON reader read the same counts, whatever the values are. An escaped name forces the reader.</summary>
    [Fact]
    public void Quick_counts_Are_what_the_reader_reads()
    {
        string[] values = ["0", "7", "-5", "-0", "00", "07", "123456789", "999999999", "1234567890", "2147483647", "2147483648", "99999999999999999999", "1e3",
            "1.0", "5 ", " 5", "5x", "null", "true", "\"5\"", "{}", "[1]", "", "{\"a\":5}"];
        foreach (var value in values)
        {
            foreach (var end in (string[])["}", ",\"x\":1}", "", ","])
            {
                Compare($"\"completion_tokens\":3,\"prompt_tokens\":{value}{end}");
                Compare($"\"prompt_tokens\":3,\"completion_tokens\":{value}{end}");
                Compare($"\"prompt_tokens\":3,\"completion_tokens\":4,\"prompt_tokens_details\":{value}{end}");
                Compare($"\"prompt_tokens\":3,\"completion_tokens\":4,\"completion_tokens_details\":{{\"a\":[1],\"reasoning_tokens\":{value}{end}}}");
                Compare($"\"prompt_tokens\":3,\"completion_tokens\":4,\"prompt_tokens_details\":{{\"cached_tokens\":1,\"cached_tokens\":{value}{end}}}");
                Compare($"\"prompt_tokens\":3,\"completion_tokens\":4,\"prompt_tokens\":{value}{end}");
            }
        }

        static void Compare(string members) =>
            Assert.Equal(Backend.FindUsage(Wire.Bytes("{\"usage\":{\"\\u0078\":0," + members + "}")),
                Backend.FindUsage(Wire.Bytes("{\"usage\":{" + members + "}")));
    }

    [Theory]
    [InlineData("""{"usage":{"prompt_tokens":9,"completion_tokens":7,"total_tokens":16}}""", 9, 7)]
    [InlineData("""{"usage":{"prompt_tokens":9,"completion_tokens":7},"usage"{"prompt_tokens":1,"completion_tokens":1}}""", 9, 7)]
    [InlineData("""{"choices":[{"delta":{"content":"\"usage\":{\"prompt_tokens\":1}"}}],"usage" : {"completion_tokens":7,"details":{"a":[1]},"prompt_tokens":9},"x":1}""", 9, 7)]
    [InlineData("""{"usage":{"prompt_tokens":9,"completion_tokens":7},"x_host":{"usage":null}}""", 9, 7)]
    [InlineData("""{"usage":null}""", null, null)]
    [InlineData("""{"usage":{}}""", null, null)]
    [InlineData("""{"choices":[{"delta":{"content":"\"usage\":"}}]}""", null, null)]
    [InlineData("""{"usage":{"prompt_tokens":9,""", null, null)]
    [InlineData("", null, null)]
    public void Token_counts_Are_found_by_a_scan(string frame, int? input, int? output)
    {
        var usage = Backend.FindUsage(Wire.Bytes(frame));

        Assert.Equal(input, usage?.InputTokens);
        Assert.Equal(output, usage?.OutputTokens);
    }

    [Fact]
    public void Token_counts_of_a_frame_cut_anywhere_Never_throw()
    {
        var frame = Wire.Bytes("""{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":7,"prompt_tokens_details":{"cached_tokens":4,"x":[{}]},"completion_tokens_details":{"reasoning_tokens":3}}}""");

        for (var length = 0; length <= frame.Length; length++)
        {
            var usage = Backend.FindUsage(frame.AsSpan(0, length));
            if (length >= frame.Length - 1) Assert.Equal(new Usage(9, 7) { CachedInputTokens = 4, ReasoningTokens = 3 }, usage);
            else Assert.Null(usage);
        }
    }

    [Theory]
    [InlineData("""{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{1"}}]}""",
        """{"tool_calls":[{"index":0,"function":{"arguments":"}"}}]}""", "a f {1}")]
    [InlineData("""{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}]}""",
        """{"tool_calls":[{"index":1,"id":"b","function":{"name":"g","arguments":"{}"}}]}""", "a f {};b g {}")]
    [InlineData("""{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}]}""",
        """{"tool_calls":[{"index":0,"id":"b","function":{"name":"g","arguments":"{}"}}]}""", "a f {};b g {}")]
    [InlineData("""{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{1"}}]}""",
        """{"tool_calls":[{"function":{"arguments":"}"}},{"id":"b","function":{"name":"g","arguments":"{}"}}]}""", "a f {1};b g {}")]
    [InlineData("""{"tool_calls":[{"function":{"name":"f","arguments":"{}"}}]}""", """{"tool_calls":[{"function":{"name":"g","arguments":"{}"}}]}""",
        " f {}; g {}")]
    [InlineData("""{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{1"}}]}""",
        """{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"}"}}]}""", "a f {1}")]
    [InlineData("""{"tool_calls":[{"index":0,"id":"","function":{"name":"f","arguments":"{1"}}]}""",
        """{"tool_calls":[{"index":0,"id":"","function":{"name":"","arguments":"}"}}]}""", " f {1}")]
    [InlineData("""{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":{"x": 1.50}}}]}""", """{"tool_calls":[]}""", "a f {\"x\": 1.50}")]
    [InlineData("""{"tool_calls":[{"index":3,"id":"a","function":{"name":"f","arguments":null}}]}""",
        """{"tool_calls":[{"index":3,"function":{"arguments":"{}"}}]}""", "a f {}")]
    public void Tool_calls_Are_told_apart_by_id_where_indexes_do_not(string first, string second, string calls)
    {
        var events = Wire.Read(Backend, string.Concat(new[] { first, second }.Select(delta => "data: {\"choices\":[{\"delta\":" + delta + "}]}\n\n")) + "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n");

        var said = WholeAnswer.Of(events).Choices[0];
        Assert.Equal(calls, string.Join(';', said.ToolCalls.Select(call => $"{call.Id} {call.Name} {call.Arguments}")));
        Assert.Equal(Enumerable.Range(0, said.ToolCalls.Count), said.ToolCalls.Select(call => call.Index));
        Assert.Equal(FinishReason.ToolCalls, Assert.IsType<ChatEvent.Finished>(events[^1]).Reason); // corrected from "stop"
        Assert.All(events.OfType<ChatEvent.ToolCall>().GroupBy(piece => piece.Index),
            pieces => Assert.All(pieces.Skip(1), piece => Assert.Null(piece.Id ?? piece.Name)));
    }

    [Theory]
    [InlineData("stop", FinishReason.Stop)]
    [InlineData("length", FinishReason.Length)]
    [InlineData("content_filter", FinishReason.ContentFilter)]
    [InlineData("function_call", FinishReason.Stop)] // there is no call
    [InlineData("tool_calls", FinishReason.Stop)]
    [InlineData("eos", FinishReason.Stop)]
    [InlineData("max_tokens", FinishReason.Length)]
    public void Reason_Is_understood_whatever_the_hosts_word(string word, object reason)
    {
        var events = Wire.Read(Backend, $$"""data: {"choices":[{"delta":{"content":"x"},"finish_reason":"{{word}}"}]}""" + "\n\ndata: [DONE]\n\n");

        Assert.Equal(reason, Assert.IsType<ChatEvent.Finished>(events[^1]).Reason);
    }

    [Fact]
    public void Length_after_a_call_Stays_length()
    {
        var events = Wire.Read(Backend, """data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{"}}]},"finish_reason":"length"}]}""" + "\n\ndata: [DONE]\n\n");

        Assert.Equal(FinishReason.Length, Assert.IsType<ChatEvent.Finished>(events[^1]).Reason);
    }

    [Fact]
    public void Reasoning_under_both_names_Is_read_once()
    {
        var events = Wire.Read(Backend, """data: {"choices":[{"delta":{"content":"a","reasoning_content":"t","reasoning":"t"}}]}""" + "\n\n");

        Assert.Equal(["t", "a"], events.OfType<ChatEvent.Token>().Select(token => token.Text));
    }

    [Theory]
    [InlineData("""{"error":{"message":"too hot","type":"server_error","code":"overheated"}}""", "too hot", "overheated", "server_error")]
    [InlineData("""{"error":"too hot"}""", "too hot", null, null)]
    [InlineData("""{"object":"error","message":"too hot","type":"BadRequestError","code":400}""", "too hot", null, "BadRequestError")]
    public void Error_in_the_stream_Ends_it(string frame, string message, string? code, string? type)
    {
        var events = Wire.Read(Backend, "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\ndata: " + frame
            + "\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"y\"}}]}\n\ndata: [DONE]\n\n");

        var finished = Assert.IsType<ChatEvent.Finished>(events[^1]);
        Assert.Equal(message, finished.Error!.Message);
        Assert.Equal(code, finished.Error.Code);
        Assert.Equal(type, finished.Error.HostType);
        Assert.Equal("x", WholeAnswer.Of(events).Choices[0].Answer);
    }

    [Theory]
    [InlineData("garbage")]
    [InlineData("{\"choices\":[{\"delta\":{\"content\":\"x\"")]
    [InlineData("[1]")]
    public void Garbage_Ends_the_stream_with_an_error_that_quotes_it(string garbage)
    {
        var events = Wire.Read(Backend, $"data: {garbage}\n\n");

        var finished = Assert.IsType<ChatEvent.Finished>(Assert.Single(events));
        Assert.Equal(ProxyErrorKind.HostFailed, finished.Error!.Kind);
        Assert.Contains(garbage, finished.Error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Without_a_finish_reason_Answer_stopped()
    {
        var events = Wire.Read(Backend, "data: {\"id\":\"\",\"created\":0,\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\ndata: [DONE]\n\n");

        Assert.Equal("""
            {"type":"started"}
            {"type":"token","text":"x"}
            {"type":"finished","reason":"stop"}

            """, Wire.Lines(events));
    }

    [Fact]
    public void Error_kinds_All_have_OpenAis_members_and_the_status()
    {
        foreach (var kind in Enum.GetValues<ProxyErrorKind>())
        {
            var error = new ProxyError(kind, "why \"é\"") { Param = "model" };
            var written = JsonNode.Parse(Wire.Text(output => Client.WriteError(error, "t", output)))!["error"]!.AsObject();

            Assert.Equal(["message", "type", "param", "code", "status"], written.Select(member => member.Key));
            Assert.Equal("why \"é\"", (string)written["message"]!);
            Assert.Equal(ProxyErrorTable.Of(kind).OpenAiType, (string)written["type"]!);
            Assert.Equal("model", (string)written["param"]!);
            Assert.Equal(ProxyErrorTable.Of(kind).Code, (string)written["code"]!);
            Assert.Equal(error.Status, (int)written["status"]!);
        }
    }

    [Fact]
    public void Refusal_of_the_host_Keeps_its_type_code_and_status()
    {
        var error = new ProxyError(ProxyErrorKind.HostRefused, "too long")
        {
            HostType = "exceed_context_size_error",
            Code = "context_length_exceeded",
            Status = 422
        };

        Assert.Equal("""{"error":{"message":"too long","type":"exceed_context_size_error","param":null,"code":"context_length_exceeded","status":422}}""",
            Wire.Text(output => Client.WriteError(error, "t", output)));
        Assert.Equal("data: {\"error\":{\"message\":\"too long\",\"type\":\"exceed_context_size_error\",\"param\":null,\"code\":\"context_length_exceeded\",\"status\":422}}\n\n", Wire.Text(output => Client.WriteStreamError(error, "t", output)));
    }

    [Fact]
    public void Broken_stream_Has_no_end_marker()
    {
        var stream = Wire.Write(Client,
            [new ChatEvent.Token("x"), new ChatEvent.Finished(FinishReason.Error, Error: new(ProxyErrorKind.HostFailed, "gone")), new ChatEvent.Token("y")],
            Wire.Stamp);

        Assert.EndsWith("\"status\":502}}\n\n", stream, StringComparison.Ordinal);
        Assert.DoesNotContain("[DONE]", stream, StringComparison.Ordinal);
    }

    [Fact]
    public void Quiet_Is_a_comment()
    {
        Assert.Equal(": keep-alive\n\n", System.Text.Encoding.UTF8.GetString(Client.KeepAlive));
        Assert.StartsWith(": keep-alive\n\ndata: ", Wire.Write(Client, [ChatEvent.Quiet.Now, new ChatEvent.Token("x")], Wire.Stamp), StringComparison.Ordinal);
    }

    [Fact]
    public void Models_name_in_the_answer_Is_the_one_that_was_asked_for()
    {
        List<ChatEvent> events = [new ChatEvent.Started("i", "served-name", 7), new ChatEvent.Token("x"), new ChatEvent.Finished(FinishReason.Stop)];
        var stamp = Wire.Stamp with { Model = "asked \"é\"" };

        Assert.Equal("asked \"é\"", (string)JsonNode.Parse(Wire.Text(output => Client.WriteWhole(events, stamp, output)))!["model"]!);
        Assert.DoesNotContain("served-name", Wire.Write(Client, events, stamp), StringComparison.Ordinal);
    }

    [Fact]
    public void Token_Is_read_and_written_with_its_own_text_and_little_else()
    {
        var frame = Wire.Bytes("""{"choices":[{"finish_reason":null,"index":0,"delta":{"content":" weather"}}],"created":1795398046,"id":"chatcmpl-464g2JlvijMozKhcih6KCnNMjn82ELbj","model":"tiny-bigram","object":"chat.completion.chunk"}""");
        var reader = Backend.NewEventReader();
        var writer = Client.NewEventWriter(Wire.Stamp);
        var events = new List<ChatEvent>();
        var output = new System.Buffers.ArrayBufferWriter<byte>(1 << 16);
        for (var i = 0; i < 100; i++) Cross(); // warm-up: everything that is composed once is composed now

        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 1000; i++) Cross();
        var each = (GC.GetAllocatedBytesForCurrentThread() - before) / 1000;

        Assert.InRange(each, 1, 224); // the text (40) and its event (72); before the JIT optimises the framework's code, 96 of its own

        void Cross()
        {
            events.Clear();
            output.ResetWrittenCount();
            reader.Read(frame, events);
            foreach (var happened in events) writer.Write(happened, output);
        }
    }

    [Fact]
    public void Model_list_Has_context_only_where_it_is_known()
    {
        var models = new List<ModelListing> { new("a/é") { Created = DateTimeOffset.FromUnixTimeSeconds(7), OwnedBy = "vllm", ContextLength = 32768 },
            new("b") };

        Assert.StartsWith("""{"object":"list","data":[{"id":"a/é","object":"model","created":7,"owned_by":"vllm","context_length":32768,"context_window":32768,"max_model_len":32768},{"id":"b","object":"model","created":0,"owned_by":"proxy"}],"models":[{""", Wire.Text(output => OpenAiModelList.Write(models, output)), StringComparison.Ordinal);
        Assert.Equal("""{"id":"b","object":"model","created":0,"owned_by":"proxy"}""", Wire.Text(output => OpenAiModelList.WriteOne(models[1], output)));
        Assert.Equal("""{"object":"list","data":[],"models":[]}""", Wire.Text(output => OpenAiModelList.Write([], output)));
    }

    [Theory]
    [InlineData(400, "validation_error", "host_refused")]
    [InlineData(429, "rate_limit_error", "rate_limit_exceeded")]
    [InlineData(503, "backend_error", "host_refused")]
    public void Refusal_to_which_the_host_gave_no_name_Is_called_by_its_status(int status, string type, string code)
    {
        var error = new ProxyError(ProxyErrorKind.HostRefused, "no") { Status = status };

        Assert.Equal($$$"""{"error":{"message":"no","type":"{{{type}}}","param":null,"code":"{{{code}}}","status":{{{status}}}}}""",
            Wire.Text(output => Client.WriteError(error, "t", output)));
    }

    [Fact]
    public void Model_list_Has_all_that_Codex_demands_of_a_model()
    {
        var models = new List<ModelListing> { new("a/é") { ContextLength = 32768, Capabilities = ["completion", "thinking", "vision"] },
            new("embedder") { Kind = ModelKind.Embed }, new("b") };

        var listed = JsonNode.Parse(Wire.Text(output => OpenAiModelList.Write(models, output)))!["models"]!.AsArray();

        Assert.Equal(["a/é", "b"], listed.Select(model => (string?)model!["slug"]));
        foreach (var model in listed)
        {
            // Codex 0.169 rejects the whole listing if one of these members is missing.
            foreach (var member in new[] { "slug", "display_name", "supported_reasoning_levels", "shell_type", "visibility", "supported_in_api", "priority",
                "base_instructions", "support_verbosity", "truncation_policy", "supports_parallel_tool_calls", "experimental_supported_tools" })
                Assert.True(model![member] is not null, member);
            Assert.True(((string)model!["base_instructions"]!).Length > 500, "Codex has no instructions but these");
        }

        Assert.Equal(32768, (int)listed[0]!["context_window"]!);
        Assert.Equal(["low", "medium", "high"], listed[0]!["supported_reasoning_levels"]!.AsArray().Select(level => (string?)level!["effort"]));
        Assert.Equal(["text", "image"], listed[0]!["input_modalities"]!.AsArray().Select(kind => (string?)kind));
        Assert.Null(listed[1]!["context_window"]);
        Assert.Equal(["text"], listed[1]!["input_modalities"]!.AsArray().Select(kind => (string?)kind));
    }
}
