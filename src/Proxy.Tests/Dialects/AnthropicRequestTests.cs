using System.Text.Json.Nodes;
using Proxy.Chat;
using Proxy.Dialects;
using Proxy.Dialects.Anthropic;

namespace Proxy.Tests.Dialects;

/// <summary>Features that only requests of Anthropic's dialect have: turns made of blocks, signed thoughts, a thinking budget.</summary>
public sealed class AnthropicRequestTests
{
    private const string AnthropicRequest =
        """
        {"model":"m","max_tokens":100,"system":"Réponds 😀","messages":[
          {"role":"user","content":[{"type":"text","text":"Look:"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBORw0KGgo="}}]},
          {"role":"assistant","content":[{"type":"tool_use","id":"call_a","name":"get_weather","input":{"city":"Zürich","days":1.50}},{"type":"tool_use","id":"call_b","name":"get_time","input":{}}]},
          {"role":"user","content":[{"type":"tool_result","tool_use_id":"call_b","content":"noon"},{"type":"tool_result","tool_use_id":"call_a","content":"sunny"},{"type":"text","text":"and?"}]}],
         "stream":true,
         "tools":[{"name":"get_weather","description":"Weather","input_schema":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}}],
         "tool_choice":{"type":"any","disable_parallel_tool_use":true},
         "output_config":{"format":{"type":"json_schema","schema":{"type":"object","properties":{"city":{"type":"string"}}}}},
         "metadata":{"user_id":"u"},
         "temperature":0.7,"top_p":0.9,"top_k":40,"stop_sequences":["a","b"]}
        """;

    private const string OpenAiRequest =
        """
        {"model":"m","messages":[
          {"role":"system","content":"Réponds 😀"},
          {"role":"user","content":[{"type":"text","text":"Look:"},{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgo="}}]},
          {"role":"assistant","content":"","tool_calls":[{"id":"call_a","type":"function","function":{"name":"get_weather","arguments":"{\"city\":\"Zürich\",\"days\":1.50}"}},{"id":"call_b","type":"function","function":{"name":"get_time","arguments":"{}"}}]},
          {"role":"tool","tool_call_id":"call_b","content":"noon"},
          {"role":"tool","tool_call_id":"call_a","content":"sunny"},
          {"role":"user","content":"and?"}],
         "stream":true,"stream_options":{"include_usage":true},
         "tools":[{"type":"function","function":{"name":"get_weather","description":"Weather","parameters":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}}}],
         "tool_choice":"required","parallel_tool_calls":false,
         "response_format":{"type":"json_schema","json_schema":{"name":"answer","schema":{"type":"object","properties":{"city":{"type":"string"}}}}},
         "user":"u",
         "temperature":0.7,"top_p":0.9,"top_k":40,"max_tokens":100,"stop":["a","b"]}
        """;

    private static readonly BackendDialect Backend = DialectTable.Backend(DialectName.Anthropic)!;
    private static readonly ClientDialect Client = DialectTable.Client(DialectName.Anthropic)!;

    [Fact]
    public void OpenAi_request_Is_said_to_Anthropic()
    {
        var written = RequestTests.Write(DialectName.Anthropic, RequestTests.Read(DialectName.OpenAiChat, OpenAiRequest), out var lost);

        RequestTests.Same(AnthropicRequest, written);
        Assert.Empty(lost);
        Assert.Contains("1.50", written, StringComparison.Ordinal);

        Assert.Equal((4096, null), Limits("""{"model":"m","messages":[{"role":"user","content":"x"}]}"""));
        Assert.Equal((4096, "disabled"), Limits("""{"model":"m","messages":[{"role":"user","content":"x"}],"reasoning_effort":"none"}"""));
        Assert.Equal((4096 + 16384, "enabled 16384"), Limits("""{"model":"m","messages":[{"role":"user","content":"x"}],"reasoning_effort":"high"}"""));
        Assert.Equal((5000, "enabled 2500"),
            Limits("""{"model":"m","messages":[{"role":"user","content":"x"}],"reasoning_effort":"high","max_completion_tokens":5000}"""));
        Assert.Equal((2000, null), Limits("""{"model":"m","messages":[{"role":"user","content":"x"}],"reasoning_effort":"low","max_tokens":2000}"""));

        static (int, string?) Limits(string body)
        {
            var request = JsonNode.Parse(RequestTests.Write(DialectName.Anthropic, RequestTests.Read(DialectName.OpenAiChat, body), out _))!;
            return ((int)request["max_tokens"]!,
                request["thinking"] is { } thinking ? string.Join(' ', thinking.AsObject().Select(member => member.Value!.ToString())) : null);
        }
    }

    [Fact]
    public void Anthropic_request_Is_said_to_OpenAi()
    {
        var written = RequestTests.Write(DialectName.OpenAiChat, RequestTests.Read(DialectName.Anthropic, AnthropicRequest), out var lost);

        RequestTests.Same(OpenAiRequest, written);
        Assert.Empty(lost);

        // Clients send back the member "caller", which our own answers add to every call.
        var called = AnthropicRequest.Replace("\"input\":{}}", "\"input\":{},\"caller\":{\"type\":\"direct\"}}", StringComparison.Ordinal);
        Assert.NotEqual(AnthropicRequest, called);
        RequestTests.Same(OpenAiRequest, RequestTests.Write(DialectName.OpenAiChat, RequestTests.Read(DialectName.Anthropic, called), out lost));
        Assert.Empty(lost);

        Assert.Equal(("none", ""), Effort("""{"type":"disabled"}""", ""));
        Assert.Equal(("low", ""), Effort("""{"type":"enabled","budget_tokens":1024}""", ""));
        Assert.Equal(("medium", ""), Effort("""{"type":"enabled","budget_tokens":10000}""", ""));
        Assert.Equal(("high", ""), Effort("""{"type":"enabled","budget_tokens":31999}""", ""));
        Assert.Equal(("high", ""), Effort("""{"type":"adaptive"}""", ""","output_config":{"effort":"max"}"""));
        Assert.Equal((null, "think"), Effort("""{"type":"adaptive"}""", ""));

        static (string?, string) Effort(string thinking, string more)
        {
            var body = """{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}],"thinking":""" + thinking + more + "}";
            return ((string?)JsonNode.Parse(RequestTests.Write(DialectName.OpenAiChat, RequestTests.Read(DialectName.Anthropic, body),
                out var lost))!["reasoning_effort"], string.Join(' ', lost));
        }
    }

    [Fact]
    public void Anthropic_request_Is_said_to_Responses()
    {
        var written = RequestTests.Write(DialectName.OpenAiResponses, RequestTests.Read(DialectName.Anthropic, AnthropicRequest), out var lost);

        RequestTests.Same(
            """
            {"model":"m","input":[
              {"type":"message","role":"system","content":[{"type":"input_text","text":"Réponds 😀"}]},
              {"type":"message","role":"user","content":[{"type":"input_text","text":"Look:"},{"type":"input_image","image_url":"data:image/png;base64,iVBORw0KGgo=","detail":"auto"}]},
              {"type":"function_call","call_id":"call_a","name":"get_weather","arguments":"{\"city\":\"Zürich\",\"days\":1.50}"},
              {"type":"function_call","call_id":"call_b","name":"get_time","arguments":"{}"},
              {"type":"function_call_output","call_id":"call_b","output":"noon"},
              {"type":"function_call_output","call_id":"call_a","output":"sunny"},
              {"type":"message","role":"user","content":[{"type":"input_text","text":"and?"}]}],
             "stream":true,"store":false,
             "tools":[{"type":"function","name":"get_weather","description":"Weather","parameters":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]},"strict":false}],
             "tool_choice":"required","parallel_tool_calls":false,
             "text":{"format":{"type":"json_schema","name":"answer","schema":{"type":"object","properties":{"city":{"type":"string"}}}}},
             "user":"u","temperature":0.7,"top_p":0.9,"max_output_tokens":100}
            """, written);
        Assert.Equal(["top_k", "stop"], lost);

        Assert.Equal(("none", ""), Effort("""{"type":"disabled"}""", ""));
        Assert.Equal(("medium", ""), Effort("""{"type":"enabled","budget_tokens":10000}""", ""));
        Assert.Equal(("high", ""), Effort("""{"type":"adaptive"}""", ""","output_config":{"effort":"max"}"""));
        Assert.Equal((null, "think"), Effort("""{"type":"adaptive"}""", ""));

        static (string?, string) Effort(string thinking, string more)
        {
            var body = """{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}],"thinking":""" + thinking + more + "}";
            return ((string?)JsonNode.Parse(RequestTests.Write(DialectName.OpenAiResponses, RequestTests.Read(DialectName.Anthropic, body),
                out var lost))!["reasoning"]?["effort"], string.Join(' ', lost));
        }
    }

    [Fact]
    public void Ollama_request_Is_said_to_Anthropic()
    {
        var request = RequestTests.Read(DialectName.OllamaChat,
            """
            {"model":"m","think":true,"messages":[{"role":"user","content":"Look:","images":["iVBORw0KGgo="]},
              {"role":"assistant","content":"","thinking":"t","tool_calls":[{"function":{"name":"f","arguments":{"a":1.50}}}]},{"role":"tool","content":"1","tool_name":"f"},{"role":"user","content":"and?"}],
             "format":{"type":"object"},"options":{"num_predict":-1,"stop":"x"}}
            """);

        var written = RequestTests.Write(DialectName.Anthropic, request, out var lost);

        RequestTests.Same(
            """
            {"model":"m","max_tokens":4096,"stream":true,"messages":[
              {"role":"user","content":[{"type":"text","text":"Look:"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBORw0KGgo="}}]},
              {"role":"assistant","content":[{"type":"tool_use","id":"call_1_0","name":"f","input":{"a":1.50}}]},
              {"role":"user","content":[{"type":"tool_result","tool_use_id":"call_1_0","content":"1"},{"type":"text","text":"and?"}]}],
             "output_config":{"format":{"type":"json_schema","schema":{"type":"object"}}},"stop_sequences":["x"]}
            """, written);
        Assert.Equal(["thinking", "messages[].reasoning"], lost); // in a tool turn the API would require the signed thought back

        RequestTests.Same(
            """{"model":"m","max_tokens":12288,"thinking":{"type":"enabled","budget_tokens":8192},"stream":true,"messages":[{"role":"user","content":"x"}]}""",
            RequestTests.Write(DialectName.Anthropic,
                RequestTests.Read(DialectName.OllamaChat, """{"model":"m","think":true,"messages":[{"role":"user","content":"x"}]}"""), out lost));
        Assert.Empty(lost);
    }

    [Theory]
    [InlineData(AnthropicRequest)]
    [InlineData("""{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}],"thinking":{"type":"enabled","budget_tokens":1024,"display":"omitted"},"service_tier":"auto","metadata":{"user_id":"u","x":1},"cache_control":{"type":"ephemeral"}}""")]
    [InlineData("""{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}],"thinking":{"type":"adaptive"},"output_config":{"effort":"high","new":1},"output_format":{"type":"json_schema","schema":{}}}""")]
    [InlineData("""{"model":"m","max_tokens":1,"system":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}},{"type":"text","text":"b"}],"messages":[{"role":"user","content":[{"type":"text","text":"x","cache_control":{"type":"ephemeral"}}]}]}""")]
    [InlineData("""{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"},{"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"s=="},{"type":"redacted_thinking","data":"d"},{"type":"text","text":"a"},{"type":"thinking","thinking":"","signature":"u"},{"type":"tool_use","id":"i","name":"f","input":{"a":1.50},"cache_control":{"type":"ephemeral"}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"i","is_error":true,"content":[{"type":"text","text":"no"},{"type":"image","source":{"type":"url","url":"https://x/y.png"}}],"cache_control":{"type":"ephemeral"}}]}]}""")]
    [InlineData("""{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"document","source":{"type":"text","media_type":"text/plain","data":"x"},"title":"t"},{"type":"image","source":{"type":"file","file_id":"f"}},{"type":"text","text":"x"}]},{"role":"assistant","content":[{"type":"server_tool_use","id":"s","name":"web_search","input":{}},{"type":"web_search_tool_result","tool_use_id":"s","content":[]},{"type":"text","text":"a","citations":[]}]},{"role":"user","content":"y"}]}""")]
    [InlineData("""{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}],"tools":[{"type":"custom","name":"f","input_schema":{}},{"type":"web_search_20250305","name":"web_search","max_uses":2},{"name":"g","input_schema":{"type":"object"},"strict":true,"input_examples":[]}],"tool_choice":{"type":"tool","name":"f","disable_parallel_tool_use":false}}""")]
    [InlineData("""{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}],"tools":[{"name":"g","input_schema":{"type":"object"}}],"tool_choice":{"type":"none"}}""")]
    public void Anthropic_request_rewritten_Says_the_same(string body)
    {
        var written = RequestTests.Write(DialectName.Anthropic, RequestTests.Read(DialectName.Anthropic, body), out var lost);

        RequestTests.Same(body, written);
        Assert.Empty(lost);
    }

    [Theory]
    [InlineData("""{"model":"m","max_tokens":1}""", "messages")]
    [InlineData("""{"model":"m","max_tokens":1,"messages":[]}""", "messages")]
    [InlineData("""{"model":"m","messages":[{"role":"user","content":"x"}]}""", "max_tokens")]
    [InlineData("""{"model":"m","max_tokens":0,"messages":[{"role":"user","content":"x"}]}""", "max_tokens")]
    [InlineData("""{"model":"m","max_tokens":"1","messages":[{"role":"user","content":"x"}]}""", "max_tokens")]
    [InlineData("""{"max_tokens":1,"messages":[{"role":"user","content":"x"}]}""", "model")]
    [InlineData("""{"model":"m","max_tokens":1,"messages":[{"content":"x"}]}""", "messages[0].role")]
    [InlineData("""{"model":"m","max_tokens":1,"messages":[{"role":"tool","content":"x"}]}""", "messages[0].role")]
    [InlineData("""{"model":"m","max_tokens":1,"messages":[{"role":"user"}]}""", "messages[0].content")]
    [InlineData("""{"model":"m","max_tokens":1,"messages":[{"role":"user","content":7}]}""", "messages[0].content")]
    [InlineData("""{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"text":"x"}]}]}""", "messages[0].content[0].type")]
    [InlineData("""{"model":"m","max_tokens":1,"messages":[{"role":"user","content":["x"]}]}""", "messages[0].content[0]")]
    [InlineData("""{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"tool_result","content":"x"}]}]}""",
        "messages[0].content[0].tool_use_id")]
    [InlineData("""{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}],"tool_choice":{"type":"must"}}""", "tool_choice.type")]
    [InlineData("""{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}],"tool_choice":{"type":"tool"}}""", "tool_choice.name")]
    [InlineData("""{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}],"thinking":{}}""", "thinking.type")]
    public void Wrong_member_Is_named(string body, string param)
    {
        var problem = Client.ReadRequest(Wire.Bytes(body), out var request);

        Assert.Null(request);
        Assert.Equal(ProxyErrorKind.InvalidRequest, problem!.Kind);
        Assert.Equal(param, problem.Param);
        Assert.Contains(param, problem.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Call_that_only_counts_Needs_no_limit()
    {
        Assert.Null(new AnthropicClientDialect(counts: true).ReadRequest(Wire.Bytes("""{"model":"m","messages":[{"role":"user","content":"x"}]}"""),
            out var request));
        Assert.Null(request!.Sampling.MaxTokens);
    }

    [Fact]
    public void Request_cut_at_every_byte_Is_refused_and_never_throws()
    {
        var body = Wire.Bytes(AnthropicRequest);
        for (var length = 0; length < body.Length; length++)
        {
            Assert.NotNull(Client.ReadRequest(body.AsMemory(0, length), out var request));
            Assert.Null(request);
        }
    }

    [Fact]
    public void Neighbours_of_one_side_Are_one_message_to_Anthropic()
    {
        var request = RequestTests.Read(DialectName.OpenAiChat,
            """
            {"model":"m","messages":[{"role":"system","content":"a"},{"role":"user","content":"1"},{"role":"developer","content":"b"},{"role":"user","content":[{"type":"text","text":""},{"type":"text","text":"2"}]},
              {"role":"assistant","content":""},{"role":"user","content":"3"},{"role":"assistant","content":"x"},{"role":"assistant","content":null,"refusal":"no"}]}
            """);

        var written = JsonNode.Parse(RequestTests.Write(DialectName.Anthropic, request, out var lost))!;

        Assert.Equal("a", (string?)written["system"]);
        Assert.Equal("""[{"role":"user","content":[{"type":"text","text":"1"},{"type":"text","text":"b\n\n2"}]},{"role":"user","content":"3"},{"role":"assistant","content":[{"type":"text","text":"x"},{"type":"text","text":"no"}]}]""", written["messages"]!.ToJsonString());
        Assert.Empty(lost);
    }

    [Theory]
    [InlineData("functions.search:0")]
    [InlineData("call/1|é")]
    [InlineData("call_a-B9")]
    [InlineData("toolu_b64_Zm9v")]
    public void Id_of_a_call_Is_safe_to_Anthropics_clients_and_hosts_and_the_hosts_own_again(string id)
    {
        List<ChatEvent> events = [new ChatEvent.ToolCall(0, id, "f", "{}"), new ChatEvent.Finished(FinishReason.ToolCalls)];
        var whole = JsonNode.Parse(Wire.Text(output => Client.WriteWhole(events, Wire.Stamp, output)))!["content"]![0]!;
        var streamed = JsonNode.Parse(Wire.Write(Client, events, Wire.Stamp).Split('\n')
            .First(line => line.StartsWith("data: {\"type\":\"content_block_start\"", StringComparison.Ordinal))["data: ".Length..])!["content_block"]!;
        var safe = (string)whole["id"]!;

        Assert.Equal(safe, (string?)streamed["id"]);
        Assert.Matches("^[a-zA-Z0-9_-]+$", safe);
        if (!id.AsSpan().ContainsAny(".:/")) Assert.Equal(id, safe);

        var next = new JsonObject
        {
            ["model"] = "m",
            ["max_tokens"] = 1,
            ["messages"] = new JsonArray(
                new JsonObject { ["role"] = "assistant", ["content"] = new JsonArray(whole.DeepClone()) },
                new JsonObject { ["role"] = "user",
                    ["content"] = new JsonArray(new JsonObject { ["type"] = "tool_result", ["tool_use_id"] = safe, ["content"] = "1" }) }),
        };
        var messages = JsonNode.Parse(RequestTests.Write(DialectName.OpenAiChat, RequestTests.Read(DialectName.Anthropic, next.ToJsonString()),
            out _))!["messages"]!;
        Assert.Equal((id, id), ((string?)messages[0]!["tool_calls"]![0]!["id"], (string?)messages[1]!["tool_call_id"]));

        var chat = RequestTests.Read(DialectName.OpenAiChat, new JsonObject { ["model"] = "m", ["messages"] = messages.DeepClone() }.ToJsonString());
        var blocks = JsonNode.Parse(RequestTests.Write(DialectName.Anthropic, chat, out _))!["messages"]!;
        Assert.Equal((safe, safe), ((string?)blocks[0]!["content"]![0]!["id"], (string?)blocks[1]!["content"]![0]!["tool_use_id"]));
    }

    [Fact]
    public void What_Anthropic_cannot_be_asked_Is_refused()
    {
        foreach (var (more, param) in new[]
        {
            (""","messages":[],"logprobs":true""", "logprobs"),
            (""","messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{}}]}]""", "messages[0].content[0]"),
            (""","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/svg+xml,%3Csvg/%3E"}}]}]""",
                "messages[0].content[0].image_url.url"),
        })
        {
            var problem = Backend.Unsayable(RequestTests.Read(DialectName.OpenAiChat, "{\"model\":\"m\"" + more + "}"));
            Assert.Equal(param, problem!.Param);
            Assert.Equal(400, problem.Status);
        }

        Assert.Null(Backend.Unsayable(RequestTests.Read(DialectName.OpenAiChat,
            """{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x/y.png"}}]}]}""")));
    }

    [Fact]
    public void Block_that_only_Anthropic_knows_Is_refused()
    {
        var request = RequestTests.Read(DialectName.Anthropic,
            """{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"text","text":"x"},{"type":"document","source":{}}]}]}""");

        Assert.Contains("document", DialectTable.Backend(DialectName.OpenAiChat)!.Unsayable(request)!.Message, StringComparison.Ordinal);
        Assert.Equal("messages[0].content[1]", DialectTable.Backend(DialectName.OllamaChat)!.Unsayable(request)!.Param);
        Assert.Contains("document", DialectTable.Backend(DialectName.OpenAiResponses)!.Unsayable(request)!.Message, StringComparison.Ordinal);
        Assert.Null(Backend.Unsayable(request));
    }

    [Fact]
    public void Image_of_a_tools_answer_Is_shown_by_the_user_to_OpenAi()
    {
        var request = RequestTests.Read(DialectName.Anthropic,
            """
            {"model":"m","max_tokens":1,"messages":[
              {"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"s"},{"type":"tool_use","id":"a","name":"f","input":{}},{"type":"tool_use","id":"b","name":"f","input":{}}]},
              {"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":[{"type":"text","text":"see"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}]},{"type":"tool_result","tool_use_id":"b","content":"2"},{"type":"text","text":"and?"}]}]}
            """);

        var messages = JsonNode.Parse(RequestTests.Write(DialectName.OpenAiChat, request, out var lost))!["messages"]!.AsArray();

        Assert.Equal("t", (string)messages[0]!["reasoning_content"]!);
        Assert.Equal("""{"role":"tool","content":"see","tool_call_id":"a"}""", messages[1]!.ToJsonString());
        Assert.Equal("""{"role":"tool","content":"2","tool_call_id":"b"}""", messages[2]!.ToJsonString());
        Assert.Equal("""{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}""", messages[3]!.ToJsonString());
        Assert.Equal("""{"role":"user","content":"and?"}""", messages[4]!.ToJsonString());
        Assert.Equal(["messages[].content[].signature"], lost);
    }
}
