using System.Text.Json.Nodes;
using Proxy.Chat;
using Proxy.Dialects.OpenAiResponses;
using Proxy.Dialects;

namespace Proxy.Tests.Dialects;

/// <summary>Features that only <c>/v1/responses</c> has.</summary>
public sealed class OpenAiResponsesTests
{
    private static readonly ClientDialect Client = DialectTable.Client(DialectName.OpenAiResponses)!;
    private static readonly BackendDialect Backend = DialectTable.Backend(DialectName.OpenAiResponses)!;

    /// <summary>Codex's request for its second turn, shortened.</summary>
    public const string Codex =
        """
        {"model":"m","input":[
          {"type":"message","id":"msg_1","role":"developer","content":[{"type":"input_text","text":"You are an agent."}]},
          {"type":"message","role":"developer","content":[{"type":"input_text","text":"Skills."}]},
          {"type":"message","role":"user","content":[{"type":"input_text","text":"fix it"}]},
          {"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"Look first."}],"encrypted_content":"Look first."},
          {"type":"message","role":"assistant","content":[{"type":"output_text","text":"I look."}]},
          {"type":"function_call","name":"exec_command","arguments":"{\"cmd\":\"ls\"}","call_id":"call_a"},
          {"type":"function_call","name":"exec_command","arguments":"{\"cmd\":\"pwd\"}","call_id":"call_b"},
          {"type":"function_call_output","call_id":"call_a","output":"a.txt"},
          {"type":"function_call_output","call_id":"call_b","output":[{"type":"input_text","text":"/w"}]}],
         "tools":[{"type":"function","name":"exec_command","description":"Runs","strict":false,"parameters":{"type":"object","properties":{"cmd":{"type":"string"}}}},
          {"type":"custom","name":"apply_patch","description":"Edits","format":{"type":"grammar","syntax":"lark","definition":"start: x"}},
          {"type":"namespace","name":"agents","description":"others","tools":[{"type":"function","name":"close","parameters":{},"strict":false}]},
          {"type":"web_search","external_web_access":true}],
         "tool_choice":"auto","parallel_tool_calls":true,"reasoning":{"effort":"high","summary":"auto"},"store":false,"stream":true,"include":["reasoning.encrypted_content"],
         "prompt_cache_key":"k","client_metadata":{"a":"b"}}
        """;

    /// <summary>A request with every member that is understood.</summary>
    public const string Everything =
        """
        {"model":"m","instructions":"Réponds 😀","input":[
          {"role":"user","content":[{"type":"input_text","text":"Look:"},{"type":"input_image","image_url":"data:image/png;base64,iVBORw0KGgo=","detail":"auto"}]},
          {"type":"function_call","id":"fc_1","name":"get_weather","arguments":"{\"city\":\"Zürich\",\"days\":1.50}","call_id":"call_a","status":"completed"},
          {"type":"function_call_output","call_id":"call_a","output":"sunny"},
          {"role":"assistant","content":[{"type":"refusal","refusal":"I will not."}]},
          {"role":"user","content":"and?"}],
         "tools":[{"type":"function","name":"get_weather","description":"Weather","parameters":{"type":"object","properties":{"city":{"type":"string"}}}}],
         "tool_choice":{"type":"function","name":"get_weather"},"parallel_tool_calls":true,
         "text":{"format":{"type":"json_schema","name":"city","strict":true,"schema":{"type":"object"}}},
         "reasoning":{"effort":"low"},"temperature":0.5,"top_p":0.25,"max_output_tokens":100,"top_logprobs":2,"include":["message.output_text.logprobs"],
         "metadata":{"a":"b"},"store":true,"stream":true,"stream_options":{"include_obfuscation":false},"user":"u","truncation":"disabled","previous_response_id":null,"background":false}
        """;

    [Fact]
    public void Turn_of_Codex_Is_said_to_a_chat_host()
    {
        var request = RequestTests.Read(DialectName.OpenAiResponses, Codex);

        var written = JsonNode.Parse(RequestTests.Write(DialectName.OpenAiChat, request, out var lost))!;

        Assert.Equal(
            """
            [{"role":"system","content":"You are an agent.\n\nSkills."},{"role":"user","content":"fix it"},{"role":"assistant","content":"I look.","tool_calls":[{"id":"call_a","type":"function","function":{"name":"exec_command","arguments":"{\u0022cmd\u0022:\u0022ls\u0022}"}},{"id":"call_b","type":"function","function":{"name":"exec_command","arguments":"{\u0022cmd\u0022:\u0022pwd\u0022}"}}],"reasoning_content":"Look first.","reasoning":"Look first."},{"role":"tool","content":"a.txt","tool_call_id":"call_a"},{"role":"tool","content":"/w","tool_call_id":"call_b"}]
            """.Trim(), written["messages"]!.ToJsonString());
        Assert.Equal(["exec_command", "apply_patch", "agents__close"], written["tools"]!.AsArray().Select(tool => (string?)tool!["function"]!["name"]));
        Assert.Equal("high", (string?)written["reasoning_effort"]);
        Assert.True((bool)written["stream_options"]!["include_usage"]!);
        Assert.Equal("auto", (string?)written["tool_choice"]);
        Assert.Equal(["client_metadata", "prompt_cache_key", "tools[] of another type", "tools[].description of a namespace"],
            lost.Distinct().Order(StringComparer.Ordinal));
    }

    [Fact]
    public void All_that_is_understood_Is_said_without_loss()
    {
        var request = RequestTests.Read(DialectName.OpenAiResponses, Everything);

        var written = JsonNode.Parse(RequestTests.Write(DialectName.OpenAiChat, request, out var lost))!;

        Assert.Empty(lost);
        Assert.True(JsonNode.DeepEquals(JsonNode.Parse(
            """
            {"model":"m","messages":[
              {"role":"system","content":"Réponds 😀"},
              {"role":"user","content":[{"type":"text","text":"Look:"},{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgo="}}]},
              {"role":"assistant","content":"","tool_calls":[{"id":"call_a","type":"function","function":{"name":"get_weather","arguments":"{\"city\":\"Zürich\",\"days\":1.50}"}}]},
              {"role":"tool","content":"sunny","tool_call_id":"call_a"},
              {"role":"assistant","content":"","refusal":"I will not."},
              {"role":"user","content":"and?"}],
             "stream":true,"stream_options":{"include_usage":true},
             "tools":[{"type":"function","function":{"name":"get_weather","description":"Weather","parameters":{"type":"object","properties":{"city":{"type":"string"}}}}}],
             "tool_choice":{"type":"function","function":{"name":"get_weather"}},"parallel_tool_calls":true,
             "response_format":{"type":"json_schema","json_schema":{"name":"city","strict":true,"schema":{"type":"object"}}},
             "reasoning_effort":"low","logprobs":true,"top_logprobs":2,"user":"u","temperature":0.5,"top_p":0.25,"max_tokens":100}
            """), written), written.ToJsonString());
    }

    [Theory]
    [InlineData("\"hello\"", """[{"role":"user","content":"hello"}]""")]
    [InlineData("""[{"role":"user","content":"a"},{"role":"developer","content":"b"}]""", """[{"role":"user","content":"a\n\nb"}]""")]
    [InlineData("""[{"role":"system","content":"a"}]""", """[{"role":"system","content":"a"}]""")]
    [InlineData("""[{"type":"reasoning","id":"r","summary":[],"content":[{"type":"reasoning_text","text":"hm"}]},{"type":"function_call","call_id":"c","name":"f","arguments":"{}"},{"type":"reasoning","id":"r2","summary":[{"type":"summary_text","text":"so"}]},{"role":"assistant","content":"x"}]""",
        """[{"role":"assistant","content":"","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}],"reasoning_content":"hm","reasoning":"hm"},{"role":"assistant","content":"x","reasoning_content":"so","reasoning":"so"}]""")]
    [InlineData("""[{"type":"reasoning","id":"r","summary":[],"encrypted_content":"gAAAABsecret"},{"role":"assistant","content":"x"},{"role":"assistant","content":"y"}]""", """[{"role":"assistant","content":"x"},{"role":"assistant","content":"y"}]""")]
    [InlineData("""[{"type":"custom_tool_call","call_id":"c","name":"apply_patch","input":"*** \"x\""},{"type":"custom_tool_call_output","call_id":"c","output":"ok"},{"type":"web_search_call","id":"w","status":"completed"}]""",
        """[{"role":"assistant","content":"","tool_calls":[{"id":"c","type":"function","function":{"name":"apply_patch","arguments":"{\"input\":\"*** \\\"x\\\"\"}"}}]},{"role":"tool","content":"ok","tool_call_id":"c"}]""")]
    public void Items_Become_messages(string input, string messages)
    {
        var request = RequestTests.Read(DialectName.OpenAiResponses, $$"""{"model":"m","input":{{input}}}""");

        var written = JsonNode.Parse(RequestTests.Write(DialectName.OpenAiChat, request, out _))!["messages"]!;

        Assert.True(JsonNode.DeepEquals(JsonNode.Parse(messages), written), written.ToJsonString());
    }

    [Theory]
    [InlineData("""{"model":"m"}""", "input", "no \"input\"")]
    [InlineData("""{"model":"m","input":7}""", "input", "must be a list")]
    [InlineData("""{"model":"m","input":[{"type":"item_reference","id":"msg_1"}]}""", "input[0]", "not supported")]
    [InlineData("""{"model":"m","input":[{"role":"user","content":[{"type":"input_image","file_id":"f"}]}]}""", "input[0].content[0].image_url",
        "send the image itself")]
    [InlineData("""{"model":"m","input":[{"role":"robot","content":"x"}]}""", "input[0].role", "'robot'")]
    [InlineData("""{"model":"m","input":[{"type":"function_call","name":"f","arguments":"{}"}]}""", "input[0].call_id", "must be a string")]
    [InlineData("""{"model":"m","input":"x","previous_response_id":"resp_1"}""", "previous_response_id", "not possible here")]
    [InlineData("""{"model":"m","input":"x","conversation":{"id":"conv_1"}}""", "conversation", "not possible here")]
    [InlineData("""{"model":"m","input":"x","background":true}""", "background", "not possible here")]
    [InlineData("""{"model":"m","input":"x","prompt":{"id":"pmpt_1"}}""", "prompt", "template")]
    [InlineData("""{"model":"m","input":"x","temperature":"hot"}""", "temperature", "must be a number")]
    public void Request_that_cannot_be_answered_Says_why(string body, string param, string why)
    {
        var problem = Client.ReadRequest(Wire.Bytes(body), out var request);

        Assert.Null(request);
        Assert.Equal(param, problem!.Param);
        Assert.Equal(ProxyErrorKind.InvalidRequest, problem.Kind);
        Assert.Contains(why, problem.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"model":"m","input":"x","previous_response_id":"resp_1"}""", true, "resp_1", false)]
    [InlineData("""{"model":"m","input":"x","previous\u005fresponse_id":"resp_1"}""", true, "resp_1", false)]
    [InlineData("""{"background":true,"model":"m"}""", true, null, true)]
    [InlineData("""{"background":false,"previous_response_id":null,"conversation":null,"input":[{"background":true}],"model":"m"}""", true, null, false)]
    [InlineData("""{"model":"m","store" : true,"input":"x"}""", true, null, false)]
    [InlineData("""{"model":"m","store": false,"input":"x"}""", false, null, false)]
    [InlineData("""{"model":"m","input":"x \u00e9"}""", false, null, false)]
    public void Wishes_Are_found(string body, bool mayBe, string? previous, bool background)
    {
        var bytes = Wire.Bytes(body);

        Assert.Equal(mayBe, ResponseWishes.MayBeIn(bytes));
        Assert.Null(ResponseWishes.Read(bytes, out var wishes));
        Assert.Equal((previous, background), (wishes.Previous, wishes.Background));
    }

    [Theory]
    [InlineData("""{"input":[{"content":"\"background\": true","background":true}],"conversation":"c","model":"m"}""", "conversation")]
    [InlineData("""{"model":"m","store":"yes"}""", "store")]
    [InlineData("""{"model":"m","background":1}""", "background")]
    [InlineData("""{"model":"m","previous_response_id":{"id":"resp_1"}}""", "previous_response_id")]
    [InlineData("""{"model":"m","previous_response_id":"resp_1","previous_response_id":"resp_2"}""", "previous_response_id")]
    public void Wish_that_is_not_possible_Is_refused(string body, string param) =>
        Assert.Equal(param, ResponseWishes.Read(Wire.Bytes(body), out _)?.Param);

    [Theory]
    [InlineData("""{"model":"m","input":"x","background":true}""", """{"stream":true,"model":"m","input":"x","background":false}""")]
    [InlineData("""{"stream":false, "background" : true,"model":"m","input":"x"}""", """{"stream":true, "background" : false,"model":"m","input":"x"}""")]
    [InlineData("""{"input":"x","model":"m","previous_response_id":"r"}""",
        """{"input":[1,2,{"role":"user","content":"x"}],"model":"m","previous_response_id":null}""")]
    [InlineData("""{"previous_response_id":"r","input":[ 3 ],"model":"m"}""", """{"previous_response_id":null,"input":[1,2, 3 ],"model":"m"}""")]
    [InlineData("""{"previous_response_id":"r","input":[ ],"model":"m"}""", """{"previous_response_id":null,"input":[1,2],"model":"m"}""")]
    public void Body_for_the_hosts_Has_the_earlier_conversation(string body, string written)
    {
        var bytes = Wire.Bytes(body);
        ResponseWishes.Read(bytes, out var wishes);

        using var result = wishes.Written(bytes, wishes.Previous is null ? default : "1,2"u8);

        Assert.Equal(written, System.Text.Encoding.UTF8.GetString(result.Span));
    }

    [Fact]
    public void Request_rewritten_in_its_own_dialect_Says_the_same()
    {
        var request = RequestTests.Read(DialectName.OpenAiResponses, Codex);

        var written = RequestTests.Write(DialectName.OpenAiResponses, request, out var lost);

        Assert.Empty(lost);
        var (before, after) = (JsonNode.Parse(Codex)!.AsObject(), JsonNode.Parse(written)!.AsObject());
        foreach (var (name, value) in before)
        {
            if (name != "input") Assert.True(JsonNode.DeepEquals(value, after[name]), $"{name}: {after[name]?.ToJsonString()}");
        }

        var again = RequestTests.Read(DialectName.OpenAiResponses, written);
        Assert.Equal(RequestTests.Write(DialectName.OpenAiChat, request, out _), RequestTests.Write(DialectName.OpenAiChat, again, out _));
    }

    [Fact]
    public void Chat_request_Is_said_as_items()
    {
        var chat = """
            {"model":"m","messages":[{"role":"developer","content":"d"},{"role":"user","content":[{"type":"text","text":"Look"},{"type":"image_url","image_url":{"url":"https://x/y.png"}}]},
             {"role":"assistant","content":"a","reasoning_content":"r","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c","content":"t"}],
             "tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"required","response_format":{"type":"json_object"},"max_completion_tokens":5,"reasoning_effort":"low"}
            """;
        var request = RequestTests.Read(DialectName.OpenAiChat, chat);

        var written = JsonNode.Parse(RequestTests.Write(DialectName.OpenAiResponses, request, out var lost))!;

        Assert.Empty(lost);
        Assert.True(JsonNode.DeepEquals(JsonNode.Parse(
            """
            {"model":"m","input":[{"type":"message","role":"developer","content":[{"type":"input_text","text":"d"}]},
              {"type":"message","role":"user","content":[{"type":"input_text","text":"Look"},{"type":"input_image","image_url":"https://x/y.png","detail":"auto"}]},
              {"type":"reasoning","id":"rs_2","summary":[],"content":[{"type":"reasoning_text","text":"r"}]},
              {"type":"message","role":"assistant","content":[{"type":"output_text","text":"a"}]},
              {"type":"function_call","call_id":"c","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"c","output":"t"}],
             "stream":false,"store":false,"tools":[{"type":"function","name":"f","parameters":null,"strict":false}],"tool_choice":"required",
             "text":{"format":{"type":"json_object"}},"reasoning":{"effort":"low"},"max_output_tokens":5}
            """), written), written.ToJsonString());
    }

    [Fact]
    public void Only_the_tools_that_are_allowed_Are_offered()
    {
        var request = RequestTests.Read(DialectName.OpenAiResponses,
            """{"model":"m","input":"x","tools":[{"type":"function","name":"a"},{"type":"function","name":"b"}],"tool_choice":{"type":"allowed_tools","mode":"required","tools":[{"type":"function","name":"b"}]}}""");

        Assert.Equal("b", Assert.Single(request.Tools).Name);
        Assert.Equal(new ToolChoice("required"), request.ToolChoice);
    }

    [Fact]
    public void Without_a_function_No_choice_of_tools_is_sent()
    {
        var request = RequestTests.Read(DialectName.OpenAiResponses,
            """{"model":"m","input":"x","tools":[{"type":"web_search"}],"tool_choice":"auto","parallel_tool_calls":true}""");

        var written = JsonNode.Parse(RequestTests.Write(DialectName.OpenAiChat, request, out _))!.AsObject();

        Assert.False(written.ContainsKey("tools") || written.ContainsKey("tool_choice") || written.ContainsKey("parallel_tool_calls"), written.ToJsonString());
    }

    [Fact]
    public void Answer_repeats_what_was_asked()
    {
        var stamp = Wire.Stamp with { Request = RequestTests.Read(DialectName.OpenAiResponses, Everything) };

        var answer = JsonNode.Parse(Wire.Text(output => Client.WriteWhole([new ChatEvent.Token("x"), new ChatEvent.Finished(FinishReason.Stop)], stamp,
            output)))!;

        var asked = JsonNode.Parse(Everything)!;
        foreach (var name in new[] { "instructions", "tool_choice", "temperature", "top_p", "max_output_tokens", "top_logprobs", "metadata", "text",
            "reasoning", "user" })
            Assert.True(JsonNode.DeepEquals(asked[name], answer[name]), $"{name}: {answer[name]?.ToJsonString()}");
        Assert.Equal("""{"type":"function","name":"get_weather","description":"Weather","parameters":{"type":"object","properties":{"city":{"type":"string"}}},"strict":null}""", answer["tools"]![0]!.ToJsonString());
        Assert.False((bool)answer["store"]!);
    }

    [Fact]
    public void Reasoning_is_told_as_what_was_asked_for()
    {
        List<ChatEvent> events = [new ChatEvent.Token("Hm. ", TokenKind.Reasoning), new ChatEvent.Token("So.", TokenKind.Reasoning), new ChatEvent.Token("42"),
            new ChatEvent.Finished(FinishReason.Stop)];

        var plain = Frames(Wire.Write(Client, events, Wire.Stamp));
        var summarised = Frames(Wire.Write(Client, events, Wire.Stamp with { Request = RequestTests.Read(DialectName.OpenAiResponses, Codex) }));

        Assert.Equal(["response.reasoning_text.delta", "response.reasoning_text.delta", "response.reasoning_text.done"],
            Types(plain).Where(type => type.Contains("reasoning", StringComparison.Ordinal)));
        Assert.Equal(["response.reasoning_summary_part.added", "response.reasoning_summary_text.delta", "response.reasoning_summary_text.delta",
            "response.reasoning_summary_text.done", "response.reasoning_summary_part.done"],
            Types(summarised).Where(type => type.Contains("reasoning", StringComparison.Ordinal)));
        Assert.Equal("""[{"type":"reasoning_text","text":"Hm. So."}]""", plain[^1]["response"]!["output"]![0]!["content"]!.ToJsonString());
        Assert.Equal("""[{"type":"summary_text","text":"Hm. So."}]""", summarised[^1]["response"]!["output"]![0]!["summary"]!.ToJsonString());
        Assert.Equal("Hm. So.", (string?)summarised[^1]["response"]!["output"]![0]!["encrypted_content"]);
        Assert.Null(plain[^1]["response"]!["output"]![0]!["encrypted_content"]);
    }

    [Fact]
    public void Stream_Counts_its_events_without_a_gap_and_names_each()
    {
        foreach (var folder in Wire.Scenarios)
        {
            var stream = File.ReadAllText(Path.Combine(folder, "responses.sse"));
            var frames = Frames(stream);

            Assert.Equal(Enumerable.Range(0, frames.Count), frames.Select(frame => (int)frame["sequence_number"]!));
            Assert.Equal(stream.Split('\n').Where(line => line.StartsWith("event: ", StringComparison.Ordinal)).Select(line => line["event: ".Length..]),
                Types(frames));
            Assert.Equal("response.created", Types(frames).First());
        }
    }

    [Theory]
    [InlineData((int)ProxyErrorKind.HostFailed, null, "server_error")]
    [InlineData((int)ProxyErrorKind.QueueFull, null, "server_error")]
    [InlineData((int)ProxyErrorKind.RateLimited, null, "rate_limit_exceeded")]
    [InlineData((int)ProxyErrorKind.InvalidRequest, null, "invalid_prompt")]
    [InlineData((int)ProxyErrorKind.ContextLengthExceeded, null, "context_length_exceeded")]
    [InlineData((int)ProxyErrorKind.HostRefused, "context_length_exceeded", "context_length_exceeded")]
    public void Failure_in_a_stream_Is_an_error_that_SDKs_raise_and_a_response_that_failed(int kind, string? code, string said)
    {
        var error = new ProxyError((ProxyErrorKind)kind, "broken") { Code = code };
        var running = Frames(Wire.Text(output =>
        {
            var writer = Client.NewEventWriter(Wire.Stamp);
            writer.Write(new ChatEvent.Token("half"), output);
            writer.Write(new ChatEvent.Finished(FinishReason.Error, Error: error), output);
            writer.Write(new ChatEvent.Token("never"), output);
            writer.End(output);
        }));
        var late = Frames(Wire.Text(output => Client.WriteStreamError(error, "trace", output)));

        foreach (var frames in new[] { running, late })
        {
            Assert.Equal(["error", "response.failed"], Types(frames).TakeLast(2));
            Assert.Equal("broken", (string?)frames[^2]["error"]!["message"]);
            Assert.Equal("broken", (string?)frames[^2]["message"]);
            Assert.Equal(said, (string?)frames[^1]["response"]!["error"]!["code"]);
            Assert.Equal("failed", (string?)frames[^1]["response"]!["status"]);
        }

        Assert.Equal("half", (string?)running[^1]["response"]!["output"]![0]!["content"]![0]!["text"]);
        Assert.Equal("incomplete", (string?)running[^1]["response"]!["output"]![0]!["status"]);
        Assert.Equal(2, late.Count);
    }

    [Theory]
    [InlineData("""{"type":"response.created","response":{"error":null}}""", "Preamble")]
    [InlineData("""{"type":"response.in_progress","response":{}}""", "Preamble")]
    [InlineData("""{"type":"response.output_item.added","item":{"type":"message"}}""", "Preamble")]
    [InlineData("""{"type":"response.output_item.added","item":{"type":"function_call"}}""", "Content")]
    [InlineData("""{"type":"response.content_part.added"}""", "Preamble")]
    [InlineData("""{"delta":"response.completed","type":"response.output_text.delta"}""", "Content")]
    [InlineData("""{"delta":"\"type\":\"response.completed\"","type":"response.output_text.delta"}""", "Content")]
    [InlineData("""{"type": "response.completed","response":{}}""", "End")]
    [InlineData("""{"response":{"type":"x"},"type":"response.incomplete"}""", "End")]
    [InlineData("""{"type":"response.failed","response":{"error":{"message":"x"}}}""", "Error")]
    [InlineData("""{"type":"error","message":"x"}""", "Error")]
    [InlineData("""{"error":{"message":"x"}}""", "Error")]
    [InlineData("[DONE]", "Preamble")]
    [InlineData("<html>", "Error")]
    public void Frame_Is_classified(string frame, string kind)
    {
        Assert.Equal(kind, Backend.Classify(Wire.Bytes(frame)).ToString());
        Assert.Equal(kind == "End", Backend.IsEnd(Wire.Bytes(frame)));
    }

    [Theory]
    [InlineData("""{"id":"resp_1","output":[],"status":"completed","error":null}""", true)]
    [InlineData("""{"id":"resp_1","output":[],"status":"incomplete"}""", true)]
    [InlineData("""{"id":"resp_1","output":[],"status":"failed","error":{"message":"x"}}""", false)]
    [InlineData("""{"id":"resp_1","output":[],"status":"in_progress"}""", false)]
    [InlineData("""{"error":{"message":"x"}}""", false)]
    [InlineData("""{"output":[]""", false)]
    [InlineData("", false)]
    public void Body_Is_an_answer_or_not(string body, bool answer) => Assert.Equal(answer, Backend.IsWholeAnswer(Wire.Bytes(body)));

    [Fact]
    public void Failed_response_Is_read_for_its_words()
    {
        var said = Backend.ReadError(Wire.Bytes("""{"type":"response.failed","response":{"error":{"code":"context_length_exceeded","message":"too long"}}}"""));

        Assert.Equal(("too long", "context_length_exceeded", 400), (said.Message, said.Code, said.Status));
        Assert.Equal("no", Backend.ReadError(Wire.Bytes("""{"error":{"message":"no","type":"x"}}""")).Message);
    }

    [Theory]
    [InlineData("llama.cpp/responses.stream", "The database writes a stream of France is made from the work begins.", "", 22, 15)]
    [InlineData("ollama/v1.responses.stream", "Héllo wörld 😀\n", "", 9, 7)]
    [InlineData("ollama/v1.responses.think.stream", "The answer is 42.", "First I consider.", null, null)]
    public void Stream_of_a_real_host_Is_read(string recording, string answer, string reasoning, int? input, int? output)
    {
        var bytes = Wire.Recording(recording);

        var said = WholeAnswer.Of(Wire.Read(Backend, out var whole, bytes));

        Assert.True(whole);
        Assert.Equal(answer, said.Choices[0].Answer);
        Assert.Equal(reasoning, said.Choices[0].Reasoning);
        Assert.StartsWith("resp_", said.Id, StringComparison.Ordinal);
        if (input is null) return;
        Assert.Equal((input, output), (said.Usage!.InputTokens, said.Usage.OutputTokens));
        Assert.Equal(said.Usage, Backend.FindUsage(bytes));
    }

    [Fact]
    public void Calls_of_a_real_host_Are_read_streamed_and_whole()
    {
        var streamed = WholeAnswer.Of(Wire.Read(Backend, out _, Wire.Recording("ollama/v1.responses.tool.stream"))).Choices[0];
        var events = new List<ChatEvent>();
        Assert.True(Backend.TryReadWhole(Wire.Recording("ollama/v1.responses.two_tools.once"), events));
        var whole = WholeAnswer.Of(events).Choices[0];

        Assert.Equal(("call_a", "get_weather", """{"city":"Paris","days":1.5}"""),
            (streamed.ToolCalls[0].Id, streamed.ToolCalls[0].Name, streamed.ToolCalls[0].Arguments));
        Assert.Equal("Let me look. ", streamed.Answer);
        Assert.Equal(FinishReason.ToolCalls, streamed.Reason);
        Assert.Equal([("call_a", """{"city":"Paris"}"""), ("call_b", """{"city":"Rome","days":2}""")],
            whole.ToolCalls.Select(call => (call.Id!, call.Arguments)));
    }

    /// <summary>
    /// Our stream has the events, order and members of the real servers' streams. Members that those have beyond OpenAI's schema are not required.
    /// </summary>
    [Theory]
    [InlineData("ollama/v1.responses.stream", "usage_asked")]
    [InlineData("llama.cpp/responses.stream", "usage_asked")]
    public void Our_stream_Has_the_order_and_members_of_real_ones(string recording, string scenario)
    {
        var theirs = Frames(System.Text.Encoding.UTF8.GetString(Wire.Recording(recording)));
        var ours = Frames(File.ReadAllText(Path.Combine(Wire.Transcripts, scenario, "responses.sse")));

        Assert.Equal(Types(theirs).Distinct(), Types(ours).Distinct());
        foreach (var frame in theirs)
        {
            var same = ours.First(other => (string?)other["type"] == (string?)frame["type"]).AsObject();
            Assert.Subset(same.Select(member => member.Key).ToHashSet(), frame.AsObject().Select(member => member.Key).ToHashSet());
            if (frame["response"] is not JsonObject response || same["response"] is not JsonObject own) continue;
            // members of Chat Completions, not of OpenAI's Responses
            Assert.Empty(response.Where(member => member.Value is not null).Select(member => member.Key).Except(own.Select(member => member.Key))
                .Except(["frequency_penalty", "presence_penalty"]));
        }
    }

    private static List<JsonNode> Frames(string stream) =>
        [.. stream.Split('\n').Where(line => line.StartsWith("data: {", StringComparison.Ordinal)).Select(line => JsonNode.Parse(line["data: ".Length..])!)];

    private static IEnumerable<string> Types(IEnumerable<JsonNode> frames) => frames.Select(frame => (string)frame["type"]!);
}
