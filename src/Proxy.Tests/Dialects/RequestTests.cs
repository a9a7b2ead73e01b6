using System.Text.Json.Nodes;
using Proxy.Chat;
using Proxy.Dialects;
using Proxy.Dialects.Embeddings;
using Proxy.Dialects.OllamaChat;
using Proxy.Dialects.Rerank;

namespace Proxy.Tests.Dialects;

/// <summary>Requests converted from one dialect to another, and back to their own.</summary>
public sealed class RequestTests
{
    private const string Png = "iVBORw0KGgo=";

    /// <summary>A request that any OpenAI client could send and that Ollama can express completely.</summary>
    private const string OpenAiRequest =
        """
        {"model":"m","messages":[
          {"role":"system","content":"Réponds 😀"},
          {"role":"user","content":[{"type":"text","text":"Look:"},{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgo="}}]},
          {"role":"assistant","content":null,"tool_calls":[{"id":"call_a","type":"function","function":{"name":"get_weather","arguments":"{\"city\":\"Zürich\",\"days\":1.50}"}},{"id":"call_b","type":"function","function":{"name":"get_time","arguments":"{}"}}]},
          {"role":"tool","tool_call_id":"call_b","content":"noon"},
          {"role":"tool","tool_call_id":"call_a","content":"sunny"},
          {"role":"user","content":"and?"}],
         "stream":true,"stream_options":{"include_usage":true},
         "tools":[{"type":"function","function":{"name":"get_weather","description":"Weather","parameters":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}}}],
         "tool_choice":"auto",
         "response_format":{"type":"json_schema","json_schema":{"name":"city","schema":{"type":"object","properties":{"city":{"type":"string"}}}}},
         "reasoning_effort":"high",
         "temperature":0.7,"top_p":0.9,"top_k":40,"min_p":0.05,"max_tokens":100,"seed":42,"stop":["a","b"],"frequency_penalty":0.1,"presence_penalty":0.2,"repeat_penalty":1.1,
         "logprobs":true,"top_logprobs":2}
        """;

    private const string OllamaRequest =
        """
        {"model":"m","messages":[
          {"role":"system","content":"Réponds 😀"},
          {"role":"user","content":"Look:","images":["iVBORw0KGgo="]},
          {"role":"assistant","content":"","tool_calls":[{"id":"call_a","function":{"name":"get_weather","arguments":{"city":"Zürich","days":1.50}}},{"id":"call_b","function":{"name":"get_time","arguments":{}}}]},
          {"role":"tool","content":"noon","tool_name":"get_time","tool_call_id":"call_b"},
          {"role":"tool","content":"sunny","tool_name":"get_weather","tool_call_id":"call_a"},
          {"role":"user","content":"and?"}],
         "tools":[{"type":"function","function":{"name":"get_weather","description":"Weather","parameters":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}}}],
         "stream":true,
         "format":{"type":"object","properties":{"city":{"type":"string"}}},
         "think":"high","logprobs":true,"top_logprobs":2,
         "options":{"num_predict":100,"temperature":0.7,"top_p":0.9,"top_k":40,"min_p":0.05,"seed":42,"frequency_penalty":0.1,"presence_penalty":0.2,"repeat_penalty":1.1,"stop":["a","b"]}}
        """;

    [Fact]
    public void OpenAi_request_Is_said_to_Ollama_without_loss()
    {
        var request = Read(DialectName.OpenAiChat, OpenAiRequest);

        var written = Write(DialectName.OllamaChat, request, out var lost);

        Same(OllamaRequest, written);
        Assert.Empty(lost);
        Assert.Contains("1.50", written, StringComparison.Ordinal);
        Assert.Contains("Réponds 😀", written, StringComparison.Ordinal);
    }

    [Fact]
    public void Ollama_request_Is_said_to_OpenAi_without_loss()
    {
        var request = Read(DialectName.OllamaChat, OllamaRequest);

        var written = JsonNode.Parse(Write(DialectName.OpenAiChat, request, out var lost))!;

        Assert.Empty(lost);
        var expected = JsonNode.Parse(OpenAiRequest)!;
        Assert.Equal(1.1, (double)written["repetition_penalty"]!); // vLLM's name for it, besides llama.cpp's
        written.AsObject().Remove("repetition_penalty");
        Assert.Equal("answer", (string)written["response_format"]!["json_schema"]!["name"]!); // the name is required
        expected["response_format"]!["json_schema"]!["name"] = "answer";
        expected["messages"]![2]!["content"] = ""; // Ollama has no null here
        expected.AsObject().Remove("tool_choice"); // auto is the default
        Assert.Equal(Sorted(expected), Sorted(written));
    }

    [Theory]
    [InlineData(DialectName.OpenAiChat, OpenAiRequest)]
    [InlineData(DialectName.OllamaChat, OllamaRequest)]
    public void Rewritten_in_its_own_dialect_Request_says_the_same(object dialect, string body)
    {
        var written = Write((DialectName)dialect, Read((DialectName)dialect, body), out var lost);

        Assert.Empty(lost);
        Same(body, written);
    }

    [Theory]
    [InlineData("""{"model":"m","messages":[{"role":"user","content":"x"}],"logit_bias":{"5":-1.50},"metadata":null,"x-new":[1,{"é":"\u00e9"}]}""")]
    [InlineData("""{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"x","cache_control":{"type":"ephemeral"}}],"weird":1}]}""")]
    [InlineData("""{"model":"m","messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"AA==","format":"wav"}},{"type":"text","text":"x"}]}]}""")]
    [InlineData("""{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x/y.png","detail":"low"}}]}]}""")]
    [InlineData("""{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/svg+xml,%3Csvg/%3E","min_pixels":4}}]}]}""")]
    [InlineData("""{"model":"m","messages":[{"role":"function","name":"f","content":"1"},{"role":"wizard","content":"2"},{"role":"developer","content":"3"}]}""")]
    [InlineData("""{"model":"m","messages":[{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{}"}}],"functions":[{"name":"f"}],"function_call":"auto"}""")]
    [InlineData("""{"model":"m","messages":[{"role":"assistant","content":"a","reasoning_content":"t"},{"role":"assistant","content":"a","reasoning":"t"},{"role":"assistant","content":"a","reasoning":"t","reasoning_content":"t"}]}""")]
    [InlineData("""{"model":"m","messages":[{"role":"assistant","content":null,"refusal":"no","audio":{"id":"a"}}]}""")]
    [InlineData("""{"model":"m","messages":[{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":""},"extra_content":{"google":{"thought_signature":"s"}}}]}]}""")]
    [InlineData("""{"model":"m","messages":[{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"custom","custom":{"name":"f","input":"x"}}]}]}""")]
    [InlineData("""{"model":"m","messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"f","strict":true}},{"type":"web_search","filters":{}},{"type":"function","function":{"name":"g","x":1},"cache_control":{}}]}""")]
    [InlineData("""{"model":"m","messages":[{"role":"user","content":"x"}],"tool_choice":{"type":"function","function":{"name":"f"}},"parallel_tool_calls":false}""")]
    [InlineData("""{"model":"m","messages":[{"role":"user","content":"x"}],"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto"}}}""")]
    [InlineData("""{"model":"m","messages":[{"role":"user","content":"x"}],"response_format":{"type":"json_object"}}""")]
    [InlineData("""{"model":"m","messages":[{"role":"user","content":"x"}],"response_format":{"type":"json_object","schema":{"type":"object"}}}""")]
    [InlineData("""{"model":"m","messages":[{"role":"user","content":"x"}],"response_format":{"type":"json_schema","json_schema":{"name":"n","description":"d","strict":true,"schema":{"type":"object"},"new":1}}}""")]
    [InlineData("""{"model":"m","messages":[{"role":"user","content":"x"}],"response_format":{"type":"grammar","grammar":"root ::= x"}}""")]
    [InlineData("""{"model":"m","messages":[{"role":"user","content":"x"}],"max_completion_tokens":5}""")]
    [InlineData("""{"model":"m","messages":[{"role":"user","content":"x"}],"max_tokens":7,"max_completion_tokens":5}""")]
    [InlineData("""{"model":"m","messages":[{"role":"user","content":"x"}],"max_completion_tokens":5,"max_tokens":7}""")]
    [InlineData("""{"model":"m","messages":[{"role":"user","content":"x"}],"repetition_penalty":1.2}""")]
    [InlineData("""{"model":"m","messages":[{"role":"user","content":"x"}],"n":2,"user":"u","reasoning_effort":"none","top_k":-1}""")]
    [InlineData("""{"model":"m","messages":[{"role":"user","content":"x"}],"stream":true,"stream_options":{"include_usage":true,"continuous_usage_stats":true}}""")]
    [InlineData("""{"model":"m","messages":[{"role":"user","content":"x"}],"stream":true,"stream_options":{"include_obfuscation":false}}""")]
    public void OpenAi_request_rewritten_Keeps_what_we_do_not_know(string body)
    {
        var written = Write(DialectName.OpenAiChat, Read(DialectName.OpenAiChat, body), out var lost);

        Same(body, written);
        Assert.Empty(lost);
    }

    [Theory]
    [InlineData("""{"model":"m","messages":[{"role":"user","content":"x","weird":1}],"stream":false,"keep_alive":"5m","truncate":true,"options":{"mirostat":2,"num_gpu":1,"num_predict":-1}}""")]
    [InlineData("""{"model":"m","messages":[{"role":"wizard","content":"x"}],"stream":false,"format":"xml","keep_alive":-1,"options":{}}""")]
    [InlineData("""{"model":"m","messages":[{"role":"assistant","content":"","thinking":"t","tool_calls":[{"function":{"name":"f","arguments":{"a":1.50}}}]},{"role":"tool","content":"x","tool_name":"f"}],"stream":true,"format":"json","think":false,"options":{}}""")]
    public void Ollama_request_rewritten_Keeps_what_we_do_not_know(string body)
    {
        var written = Write(DialectName.OllamaChat, Read(DialectName.OllamaChat, body), out var lost);

        Same(body, written);
        Assert.Empty(lost);
    }

    [Theory]
    [InlineData(DialectName.OpenAiChat, """{"model":"m"}""", "messages")]
    [InlineData(DialectName.OpenAiChat, """{"model":"m","messages":"hi"}""", "messages")]
    [InlineData(DialectName.OpenAiChat, """{"messages":[]}""", "model")]
    [InlineData(DialectName.OpenAiChat, """{"model":"m","messages":["hi"]}""", "messages[0]")]
    [InlineData(DialectName.OpenAiChat, """{"model":"m","messages":[{"content":"hi"}]}""", "messages[0].role")]
    [InlineData(DialectName.OpenAiChat, """{"model":"m","messages":[{"role":"user","content":7}]}""", "messages[0].content")]
    [InlineData(DialectName.OpenAiChat, """{"model":"m","messages":[{"role":"user","content":[{"text":"x"}]}]}""", "messages[0].content[0].type")]
    [InlineData(DialectName.OpenAiChat, """{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{}}]}]}""",
        "messages[0].content[0].image_url.url")]
    [InlineData(DialectName.OpenAiChat, """{"model":"m","messages":[],"temperature":"hot"}""", "temperature")]
    [InlineData(DialectName.OpenAiChat, """{"model":"m","messages":[],"max_tokens":1.5}""", "max_tokens")]
    [InlineData(DialectName.OpenAiChat, """{"model":"m","messages":[],"max_tokens":99999999999}""", "max_tokens")]
    [InlineData(DialectName.OpenAiChat, """{"model":"m","messages":[],"stop":[1]}""", "stop")]
    [InlineData(DialectName.OpenAiChat, """{"model":"m","messages":[],"tools":{}}""", "tools")]
    [InlineData(DialectName.OpenAiChat, """{"model":"m","messages":[],"response_format":"json"}""", "response_format")]
    [InlineData(DialectName.OllamaChat, """{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"x"}]}]}""", "messages[0].content")]
    [InlineData(DialectName.OllamaChat, """{"model":"m","options":{"num_ctx":"many"}}""", "options.num_ctx")]
    [InlineData(DialectName.OllamaChat, """{"model":"m","options":7}""", "options")]
    [InlineData(DialectName.OllamaChat, """{"model":"m","messages":[{"role":"user","images":"x"}]}""", "messages[0].images")]
    public void Wrong_member_Is_named(object dialect, string body, string param)
    {
        var problem = DialectTable.Client((DialectName)dialect)!.ReadRequest(Wire.Bytes(body), out var request);

        Assert.Null(request);
        Assert.Equal(ProxyErrorKind.InvalidRequest, problem!.Kind);
        Assert.Equal(param, problem.Param);
        Assert.Contains(param == "messages" && !body.Contains("messages", StringComparison.Ordinal) ? "messages" : param, problem.Message,
            StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(DialectName.OpenAiChat)]
    [InlineData(DialectName.OllamaChat)]
    public void Request_cut_at_every_byte_Is_refused_and_never_throws(object dialect)
    {
        var client = DialectTable.Client((DialectName)dialect)!;
        var body = Wire.Bytes((DialectName)dialect is DialectName.OpenAiChat ? OpenAiRequest : OllamaRequest);

        for (var length = 0; length < body.Length; length++)
        {
            Assert.NotNull(client.ReadRequest(body.AsMemory(0, length), out var request));
            Assert.Null(request);
        }
    }

    [Fact]
    public void Request_outlives_the_body_it_was_read_from()
    {
        var body = Wire.Bytes("""{"model":"m","messages":[{"role":"user","content":"x","weird":{"a":1}}],"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}],"logit_bias":{"5":1}}""");
        Assert.Null(DialectTable.Client(DialectName.OpenAiChat)!.ReadRequest(body, out var request));
        var before = Write(DialectName.OpenAiChat, request!, out _);

        body.AsSpan().Fill((byte)'#');

        Assert.Equal(before, Write(DialectName.OpenAiChat, request!, out _));
    }

    [Theory]
    [InlineData("""{"type":"image_url","image_url":{"url":"https://example.org/a.png"}}""", "messages[0].content[1].image_url.url")]
    [InlineData("""{"type":"image_url","image_url":{"url":"data:image/svg+xml,%3Csvg/%3E"}}""", "messages[0].content[1].image_url.url")]
    [InlineData("""{"type":"input_audio","input_audio":{"data":"AA==","format":"wav"}}""", "messages[0].content[1]")]
    public void Part_that_Ollama_cannot_be_given_Is_refused(string part, string param)
    {
        var request = Read(DialectName.OpenAiChat, """{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"see"},""" + part + "]}]}");

        var problem = DialectTable.Backend(DialectName.OllamaChat)!.Unsayable(request);

        Assert.Equal(param, problem!.Param);
        Assert.Equal(400, problem.Status);
        Assert.Null(DialectTable.Backend(DialectName.OpenAiChat)!.Unsayable(request));
    }

    [Fact]
    public void Image_without_a_type_Gets_the_one_its_bytes_show()
    {
        foreach (var (base64, type) in new[] { (Png, "image/png"), ("/9j/4AAQ", "image/jpeg"), ("R0lGODdh", "image/gif"), ("UklGRgAA", "image/webp"),
            ("AAAA", "image/png") })
        {
            var request = Read(DialectName.OllamaChat,
                """{"model":"m","messages":[{"role":"user","content":"x","images":["B64"]}]}""".Replace("B64", base64, StringComparison.Ordinal));
            var written = JsonNode.Parse(Write(DialectName.OpenAiChat, request, out _))!;
            Assert.Equal($"data:{type};base64,{base64}", (string)written["messages"]![0]!["content"]![1]!["image_url"]!["url"]!);
        }
    }

    [Fact]
    public void Ollamas_calls_without_ids_Are_given_ids_that_their_results_share()
    {
        var request = Read(DialectName.OllamaChat,
            """
            {"model":"m","messages":[
              {"role":"assistant","content":"","tool_calls":[{"function":{"name":"f","arguments":{}}},{"function":{"name":"g","arguments":{}}},{"function":{"name":"f","arguments":{"x":1}}}]},
              {"role":"tool","content":"of g","tool_name":"g"},
              {"role":"tool","content":"of f","tool_name":"f"},
              {"role":"tool","content":"of the other f"}]}
            """);

        var messages = JsonNode.Parse(Write(DialectName.OpenAiChat, request, out _))!["messages"]!.AsArray();

        var ids = messages[0]!["tool_calls"]!.AsArray().Select(call => (string)call!["id"]!).ToList();
        Assert.Equal(3, ids.Distinct().Count());
        Assert.Equal([ids[1], ids[0], ids[2]], messages.Skip(1).Select(message => (string)message!["tool_call_id"]!));
    }

    [Theory]
    [InlineData("none", false)]
    [InlineData("minimal", "low")]
    [InlineData("low", "low")]
    [InlineData("medium", "medium")]
    [InlineData("high", "high")]
    [InlineData("xhigh", "max")]
    public void Effort_Becomes_think(string effort, object think)
    {
        var request = Read(DialectName.OpenAiChat, "{\"model\":\"m\",\"messages\":[],\"reasoning_effort\":\"" + effort + "\"}");

        Assert.Equal(think, JsonNode.Parse(Write(DialectName.OllamaChat, request, out _))!["think"]!.GetValueKind() is System.Text.Json.JsonValueKind.False
            ? false
            : (string)JsonNode.Parse(Write(DialectName.OllamaChat, request, out _))!["think"]!);
    }

    [Theory]
    [InlineData("none", 0)]
    [InlineData("required", 2)]
    [InlineData("auto", 2)]
    public void Tool_choice_none_Leaves_the_tools_out(string choice, int tools)
    {
        var request = Read(DialectName.OpenAiChat, """{"model":"m","messages":[],"tools":[{"type":"function","function":{"name":"f"}},{"type":"function","function":{"name":"g"}}],"tool_choice":"CHOICE"}""".Replace("CHOICE", choice, StringComparison.Ordinal));

        var written = JsonNode.Parse(Write(DialectName.OllamaChat, request, out var lost))!;

        Assert.Equal(tools, (written["tools"] as JsonArray)?.Count ?? 0);
        Assert.Equal(choice == "required" ? ["tool_choice"] : [], lost);
    }

    [Fact]
    public void Tool_chosen_by_name_Is_the_only_one_that_Ollama_gets()
    {
        var request = Read(DialectName.OpenAiChat, """{"model":"m","messages":[],"tools":[{"type":"function","function":{"name":"f"}},{"type":"function","function":{"name":"g"}}],"tool_choice":{"type":"function","function":{"name":"g"}}}""");

        var written = JsonNode.Parse(Write(DialectName.OllamaChat, request, out var lost))!;

        Assert.Equal("g", (string)Assert.Single(written["tools"]!.AsArray())!["function"]!["name"]!);
        Assert.Equal(["tool_choice"], lost);
    }

    [Theory]
    [InlineData(DialectName.OllamaChat, """{"model":"m","stream":false,"messages":[{"role":"user","content":"x"}]}""", DialectName.OpenAiChat)]
    [InlineData(DialectName.Anthropic, """{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}]}""", DialectName.OpenAiChat)]
    [InlineData(DialectName.OpenAiResponses, """{"model":"m","input":"x"}""", DialectName.OpenAiChat)]
    [InlineData(DialectName.OpenAiChat, """{"model":"m","messages":[{"role":"user","content":"x"}]}""", DialectName.Anthropic)]
    [InlineData(DialectName.OpenAiChat, """{"model":"m","messages":[{"role":"user","content":"x"}]}""", DialectName.OpenAiResponses)]
    [InlineData(DialectName.OpenAiChat, """{"model":"m","messages":[{"role":"user","content":"x"}]}""", DialectName.OllamaChat)]
    [InlineData(DialectName.OllamaGenerate, """{"model":"m","stream":false,"raw":true,"prompt":"x"}""", DialectName.OpenAiCompletions)]
    public void Whole_answer_is_wanted_Host_is_told_not_to_stream(object client, string body, object host)
    {
        Assert.Equal("false", JsonNode.Parse(Write((DialectName)host, Read((DialectName)client, body), out _))!["stream"]?.ToJsonString());
    }

    [Fact]
    public void Assistant_without_words_Says_an_empty_text_to_OpenAi()
    {
        var request = Read(DialectName.Anthropic, """{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"},{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"a"}]}]}""");

        Assert.Equal(["x", "", ""],
            JsonNode.Parse(Write(DialectName.OpenAiChat, request, out _))!["messages"]!.AsArray().Select(message => (string?)message!["content"]));
    }

    [Theory]
    [InlineData(DialectName.Anthropic, DialectName.OpenAiChat)]
    [InlineData(DialectName.OpenAiChat, DialectName.Anthropic)]
    public void Lone_text_that_is_to_be_cached_Stays_a_string(object client, object host)
    {
        var request = Read((DialectName)client, """
            {"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}]},{"role":"assistant","content":[{"type":"text","text":"b","cache_control":{"type":"ephemeral"}}]}]}
            """);

        Assert.Equal(["a", "b"],
            JsonNode.Parse(Write((DialectName)host, request, out var lost))!["messages"]!.AsArray().Select(message => (string?)message!["content"]));
        Assert.Equal(["messages[].content[].cache_control"], lost.Distinct());
    }

    [Theory]
    [InlineData("""{"type":"web_search_20250305","name":"web_search"}""", """{"type":"tool","name":"web_search"}""", 0)]
    [InlineData("""{"type":"web_search_20250305","name":"web_search"}""", """{"type":"any","disable_parallel_tool_use":true}""", 0)]
    [InlineData("""{"type":"web_search_20250305","name":"web_search"},{"name":"f","input_schema":{"type":"object"}}""",
        """{"type":"tool","name":"web_search"}""", 1)]
    public void Tool_that_is_chosen_is_not_offered_Choice_is_left_out(string tools, string choice, int left)
    {
        var request = Read(DialectName.Anthropic,
            $$"""{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}],"tools":[{{tools}}],"tool_choice":{{choice}}}""");

        foreach (var host in new[] { DialectName.OpenAiChat, DialectName.OpenAiResponses, DialectName.OllamaChat })
        {
            var written = JsonNode.Parse(Write(host, request, out var lost))!.AsObject();

            Assert.False(written.ContainsKey("tool_choice") || written.ContainsKey("parallel_tool_calls"), written.ToJsonString());
            Assert.Equal(left, written["tools"]?.AsArray().Count ?? 0);
            Assert.Equal(["tools[] of another type"], lost);
        }
    }

    [Theory]
    [InlineData("a\\ud83d", "a\ufffd")]
    [InlineData("\\uDE00\\uD83D\\ude00\\uD83D", "\ufffd😀\ufffd")]
    [InlineData("\\\\ud83d \\u0064", "\\ud83d d")]
    [InlineData("\\ud83d\\n\\ud83dx", "\ufffd\n\ufffdx")]
    [InlineData("한국 \\ud7ff", "한국 \ud7ff")]
    public void Half_a_surrogate_pair_Is_replaced(string escaped, string text)
    {
        var openAi = Read(DialectName.OpenAiChat, $$$"""{"model":"m","messages":[{"role":"user","content":"{{{escaped}}}"}],"tools":[{"type":"function","function":{"name":"f","description":"{{{escaped}}}"}}]}""");
        var anthropic = Read(DialectName.Anthropic, $$$"""{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"{{{escaped}}}"},{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{"x":"{{{escaped}}}"}}]}]}""");

        var written = JsonNode.Parse(Write(DialectName.OllamaChat, openAi, out _))!;
        Assert.Equal((text, text), ((string?)written["messages"]![0]!["content"], (string?)written["tools"]![0]!["function"]!["description"]));
        written = JsonNode.Parse(Write(DialectName.OpenAiChat, anthropic, out _))!;
        Assert.Equal(text, (string?)written["messages"]![0]!["content"]);
        Assert.Equal(text, (string?)JsonNode.Parse((string)written["messages"]![1]!["tool_calls"]![0]!["function"]!["arguments"]!)!["x"]);
    }

    [Fact]
    public void Half_a_surrogate_pair_in_arguments_or_in_bytes_Is_replaced()
    {
        var arguments = Read(DialectName.OpenAiChat, """{"model":"m","messages":[{"role":"assistant","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\":\"\\ud83d\"}"}}]}]}""");
        byte[] body = [.. """{"model":"m","messages":[{"role":"user","content":"a"""u8, 0xED, 0xA0, 0xBD, .. "\"}]}"u8];

        Assert.Null(DialectTable.Client(DialectName.OpenAiChat)!.ReadRequest(body, out var bytes));
        Assert.Equal("\ufffd",
            (string?)JsonNode.Parse(Write(DialectName.OllamaChat, arguments, out _))!["messages"]![0]!["tool_calls"]![0]!["function"]!["arguments"]!["x"]);
        Assert.Equal("a\ufffd", (string?)JsonNode.Parse(Write(DialectName.OllamaChat, bytes!, out _))!["messages"]![0]!["content"]);
    }

    [Fact]
    public void Any_text_with_halves_of_pairs_Is_whole_again()
    {
        for (var i = 0; i < 500; i++)
        {
            var seed = Random.Shared.Next();
            var random = new Random(seed);
            var units = Enumerable.Range(0, random.Next(1, 20))
                .Select(_ => (char)(random.Next(4) switch
                {
                    0 => random.Next(0xD800, 0xDC00),
                    1 => random.Next(0xDC00, 0xE000),
                    2 => 'a' + random.Next(26),
                    _ => '\\'
                })).ToArray();
            var escaped = string.Concat(units.Select(c => c is '\\'
                ? "\\\\"
                : char.IsSurrogate(c) || random.Next(2) == 0 ? $"\\u{(random.Next(2) == 0 ? $"{(int)c:x4}" : $"{(int)c:X4}")}" : c.ToString()));

            var request = Read(DialectName.OpenAiChat, $$$"""{"model":"m","messages":[{"role":"user","content":"{{{escaped}}}"}]}""");

            var text = Assert.IsType<ContentPart.Text>(Assert.Single(request.Messages[0].Content)).Value;
            Assert.True(System.Text.Encoding.UTF8.GetString(System.Text.Encoding.UTF8.GetBytes(new string(units))) == text, $"seed {seed}: {escaped}");
        }
    }

    [Fact]
    public void Half_a_surrogate_pair_in_what_is_embedded_or_ranked_Is_replaced()
    {
        Assert.Null(new OpenAiEmbeddingsClientDialect().Read("""{"model":"m","input":["a\ud83d","b"]}"""u8, out var embedding));
        Assert.Null(new JinaRerankClientDialect(default).Read("""{"model":"m","query":"\udc00","documents":["c\ud83d"]}"""u8, out var ranking));

        Assert.Equal(["a\ufffd", "b"], embedding!.Request.Inputs.Select(input => input.Text));
        Assert.Equal(("\ufffd", "c\ufffd"), (ranking!.Request.Query, ranking.Request.Documents[0]));
    }

    [Fact]
    public void Context_length_Becomes_num_ctx()
    {
        var request = Read(DialectName.OpenAiChat, """{"model":"m","messages":[]}""");

        var written = JsonNode.Parse(Write(DialectName.OllamaChat, request with { Sampling = request.Sampling with { ContextLength = 32768 } }, out _))!;

        Assert.Equal(32768, (int)written["options"]!["num_ctx"]!);
        Assert.False((bool)written["stream"]!); // written explicitly, because Ollama streams unless told not to
    }

    [Theory]
    [InlineData("""{"model":"m"}""", true, "load")]
    [InlineData("""{"model":"m","messages":[]}""", true, "load")]
    [InlineData("""{"model":"m","messages":null,"keep_alive":"5m"}""", true, "load")]
    [InlineData("""{"model":"m","messages":[],"keep_alive":0}""", true, "unload")]
    [InlineData("""{"model":"m","messages":[],"keep_alive":"0s"}""", true, "unload")]
    [InlineData("""{"model":"m","messages":[{"role":"user","content":""}]}""", false, null)]
    public void Chat_without_messages_Loads(string body, bool asked, string? reason)
    {
        var request = Read(DialectName.OllamaChat, body);

        Assert.Equal(asked, OllamaLoad.IsAsked(request));
        if (reason is null) return;
        var whole = JsonNode.Parse(Wire.Text(output => DialectTable.Client(DialectName.OllamaChat)!
            .WriteWhole(OllamaLoad.Answer(request), Wire.Stamp, output)))!;
        var real = JsonNode.Parse(Wire.Recording("ollama/chat." + reason))!;
        real["created_at"] = whole["created_at"]!.DeepClone();
        Assert.Equal(real.ToJsonString(), whole.ToJsonString());
        Assert.Equal(whole.ToJsonString(),
            JsonNode.Parse(Wire.Write(DialectTable.Client(DialectName.OllamaChat)!, OllamaLoad.Answer(request), Wire.Stamp))!.ToJsonString());
    }

    internal static ChatRequest Read(DialectName dialect, string body)
    {
        Assert.Null(DialectTable.Client(dialect)!.ReadRequest(Wire.Bytes(body), out var request));
        return request!;
    }

    internal static string Write(DialectName dialect, ChatRequest request, out List<string> lost)
    {
        var named = new List<string>();
        lost = named;
        return Wire.Text(output => DialectTable.Backend(dialect)!.WriteRequest(request, request.Model, output, named));
    }

    internal static void Same(string expected, string actual) => Assert.Equal(Sorted(JsonNode.Parse(expected)!), Sorted(JsonNode.Parse(actual)!));

    /// <summary>The same JSON for any order of members. Numbers keep their written form, except for differences that a double cannot represent.</summary>
    private static string Sorted(JsonNode? node) => node switch
    {
        JsonObject members =>
            "{" + string.Join(",",
                members.OrderBy(member => member.Key, StringComparer.Ordinal).Select(member => member.Key + ":" + Sorted(member.Value))) + "}",
        JsonArray items => "[" + string.Join(",", items.Select(Sorted)) + "]",
        null => "null",
        _ => node.ToJsonString(),
    };
}
