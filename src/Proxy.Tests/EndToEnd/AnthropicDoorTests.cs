using System.Text;
using System.Text.Json;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>Anthropic's clients over hosts of every dialect, and clients of every dialect over an Anthropic host.</summary>
public sealed class AnthropicDoorTests(AnthropicDoorTests.Door door) : IClassFixture<AnthropicDoorTests.Door>
{
    private const string Version = "anthropic-version: 2023-06-01";

    public sealed class Door : FrontDoor
    {
        private readonly Dictionary<string, FakeBackend> hosts = [];

        protected override int Lanes => 8;

        protected override int OllamaLanes => 2;

        protected override string Top => """
            [aliases]
            "claude-alias" = "native-m"
            """;

        internal FakeBackend this[string name] => hosts[name];

        protected override string Sections()
        {
            var sections = new StringBuilder();
            foreach (var (name, dialects) in new[] { ("native", "\"anthropic\""), ("native2", "\"anthropic\""), ("native3", "\"anthropic\""), ("native4",
                "\"anthropic\""), ("native5", "\"anthropic\""), ("both", "\"openai\", \"anthropic\""), ("counts", "\"anthropic\""), ("llama", "\"openai\"") })
            {
                hosts[name] = Host();
                sections.AppendLine($"""
                    [[backends]]
                    name = "{name}"
                    url = "{hosts[name].Url}"
                    dialects = [{dialects}]
                    key = "host-key"
                    prefixes = ["{name}-"]
                    """);
            }

            hosts["llama"].Pages["/props"] = """{"default_generation_settings":{"n_ctx":4096},"total_slots":2,"chat_template":"x"}""";
            hosts["llama"].Pages["/v1/models"] =
                """{"object":"list","data":[{"id":"llama-m","object":"model","created":1795000000,"owned_by":"llamacpp","meta":{"n_ctx_train":8192}}]}""";
            foreach (var (name, capabilities) in new[] { ("thinker", "\"completion\",\"thinking\""), ("talker", "\"completion\"") })
            {
                var host = hosts[name] = Host();
                host.Pages["/api/version"] = """{"version":"0.12.0"}""";
                host.Pages["/api/tags"] = $$"""{"models":[{"name":"{{name}}:latest","model":"{{name}}:latest"}]}""";
                host.Pages["/api/ps"] = """{"models":[]}""";
                host.Questions["/api/show"] = $$"""{"details":{"family":"llama"},"model_info":{},"capabilities":[{{capabilities}}]}""";
                sections.AppendLine($"""
                    [[backends]]
                    name = "{name}"
                    url = "{host.Url}"
                    dialects = ["ollama"]
                    """);
            }

            sections.AppendLine("""
                [[backends]]
                name = "echo"
                url = "builtin:echo"
                models = ["echo"]
                """);
            return sections.ToString();
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task OpenAi_host_Anthropic_client_gets_its_own_dialect(bool stream)
    {
        var lane = door.Take();
        const string Counts = """data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795000000,"model":"served","choices":[],"usage":"""
            + """{"prompt_tokens":9,"completion_tokens":7,"total_tokens":16}}""" + "\n\n";
        lane.A.Answer(exchange => stream
            ? exchange.StreamAsync(OpenAi.Sse, [.. OpenAi.Stream("Hé", "llo 😀")[..^1], Counts + OpenAi.Done])
            : exchange.JsonAsync(OpenAi.Whole("Héllo 😀")));

        var (reply, line) = await door.CallAsync("/v1/messages?beta=true", Anthropic.Request(lane.Solo, stream, ""","system":"be brief" """), Version);

        Assert.True(reply.Status == 200, reply.Text);
        Assert.Equal(reply.TraceId, reply.Header("request-id"));
        var asked = lane.A.Calls[0];
        Assert.Equal("/v1/chat/completions", asked.Target);
        Assert.Equal("system", asked.Json.GetProperty("messages")[0].GetProperty("role").GetString());
        Assert.Equal(stream, asked.Json.TryGetProperty("stream_options", out _));
        if (stream)
        {
            var events = Anthropic.Events(reply);
            Assert.Equal("Héllo 😀", Anthropic.Read(reply));
            Assert.Equal(
                ["message_start", "content_block_start", "content_block_delta", "content_block_delta", "content_block_stop", "message_delta", "message_stop"],
                events.Select(e => e.GetProperty("type").GetString()!));
            Assert.Equal(lane.Solo, events[0].GetProperty("message").GetProperty("model").GetString());
            Assert.Equal("""{"input_tokens":9,"output_tokens":7}""", events[^2].GetProperty("usage").GetRawText());
        }
        else
        {
            Assert.Equal($$$"""{"id":"chatcmpl-1","type":"message","role":"assistant","model":"{{{lane.Solo}}}","content":["""
                + $$$"""{"type":"text","text":"Héllo 😀"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":9,"output_tokens":7}}""",
                reply.Text);
        }

        Assert.Equal("9 7 /v1/messages", $"{line["tokens_in"]} {line["tokens_out"]} {line["surface"]}");
    }

    [Fact]
    public async Task Turn_of_an_agent_Reaches_a_chat_host_in_the_order_that_its_template_takes()
    {
        var lane = door.Take();
        const string Call = """ "content":null,"tool_calls":[{"id":"functions.f:0","type":"function","function":{"name":"f","arguments":"{}"}}] """;
        lane.A.Answer(exchange => exchange.JsonAsync(OpenAi.Whole("").Replace("\"content\":\"\"", Call, StringComparison.Ordinal)
            .Replace("\"stop\"", "\"tool_calls\"", StringComparison.Ordinal)));
        const string Tools = """ "tools":[{"name":"f","input_schema":{"type":"object"}}] """;
        var (called, _) = await door.CallAsync("/v1/messages", Anthropic.Request(lane.Solo, more: $",{Tools}"), Version);
        var block = called.Json.GetProperty("content")[0];

        var (reply, _) = await door.CallAsync("/v1/messages", $$$"""
            {"model":"{{{lane.Solo}}}","max_tokens":64,"system":"be brief","messages":[
              {"role":"user","content":"cut in half: \ud83d"},{"role":"assistant","content":[{{{block.GetRawText()}}}]},
              {"role":"user","content":[{"type":"text","text":"here:"},
                {"type":"tool_result","tool_use_id":"{{{block.GetProperty("id").GetString()}}}","content":"1"}]},
              {"role":"system","content":"remember"}],
             "tools":[{"type":"web_search_20250305","name":"web_search"}],"tool_choice":{"type":"tool","name":"web_search"}}
            """, Version);

        Assert.True(reply.Status == 200, reply.Text);
        Assert.Matches("^[a-zA-Z0-9_-]+$", block.GetProperty("id").GetString()!);
        var asked = lane.A.Calls[1].Json;
        Assert.True(JsonElement.DeepEquals(JsonElement.Parse("""
            [{"role":"system","content":"be brief"},{"role":"user","content":"cut in half: \ufffd"},
             {"role":"assistant","content":"","tool_calls":[{"id":"functions.f:0","type":"function","function":{"name":"f","arguments":"{}"}}]},
             {"role":"tool","content":"1","tool_call_id":"functions.f:0"},{"role":"user","content":"here:\n\nremember"}]
            """), asked.GetProperty("messages")), asked.GetRawText());
        Assert.False(asked.TryGetProperty("tools", out _) || asked.TryGetProperty("tool_choice", out _), asked.GetRawText());
    }

    [Fact]
    public async Task Ollama_host_Tool_turn_of_an_Anthropic_client_Goes_to_its_native_api()
    {
        var lane = door.TakeOllama();
        lane.A.Answer(exchange => exchange.StreamAsync(Ollama.Lines, Ollama.Token("Let me look. "), Ollama.Last().Replace("\"content\":\"\"",
            "\"content\":\"\",\"tool_calls\":[{\"id\":\"call_b\",\"function\":{\"index\":0,\"name\":\"f\",\"arguments\":{\"city\":\"Rome\"}}}]",
            StringComparison.Ordinal)));
        var body = Anthropic.Request(
            lane.Solo, true, ""","thinking":{"type":"enabled","budget_tokens":1024},"tools":[{"name":"f","input_schema":{"type":"object"}}]""")
            .Replace("\"content\":\"hello\"}", "\"content\":\"hello\"},{\"role\":\"assistant\",\"content\":["
                + "{\"type\":\"tool_use\",\"id\":\"call_a\",\"name\":\"f\",\"input\":{\"city\":\"Paris\"}}]},{\"role\":\"user\",\"content\":["
                + "{\"type\":\"tool_result\",\"tool_use_id\":\"call_a\",\"content\":\"sunny\"}]}", StringComparison.Ordinal);

        var (reply, _) = await door.CallAsync("/v1/messages", body, Version);

        Assert.True(reply.Status == 200, reply.Text);
        var asked = lane.A.Calls[0];
        Assert.Equal("/api/chat", asked.Target);
        Assert.False(asked.Json.TryGetProperty("think", out _)); // a model that cannot think would refuse it, and this host does not report capabilities
        Assert.Equal("""{"role":"tool","content":"sunny","tool_name":"f","tool_call_id":"call_a"}""", asked.Json.GetProperty("messages")[2].GetRawText());
        var events = Anthropic.Events(reply);
        Assert.Equal("Let me look. ", Anthropic.Read(reply));
        Assert.Contains(events, e => e.TryGetProperty("content_block", out var block)
            && block.GetRawText() == """{"type":"tool_use","id":"call_b","name":"f","input":{},"caller":{"type":"direct"}}""");
        Assert.Contains(events,
            e => e.TryGetProperty("delta", out var delta) && delta.TryGetProperty("partial_json", out var json) && json.GetString() == """{"city":"Rome"}""");
        Assert.Equal("tool_use", events[^2].GetProperty("delta").GetProperty("stop_reason").GetString());
    }

    [Theory]
    [InlineData("thinker", "enabled", ""","budget_tokens":1024""", "true", "thinking.budget_tokens")]
    [InlineData("thinker", "adaptive", "", "true", "")]
    [InlineData("thinker", "disabled", "", "false", "")]
    [InlineData("talker", "enabled", ""","budget_tokens":1024""", null, "thinking.budget_tokens")]
    [InlineData("talker", "adaptive", "", null, "")]
    [InlineData("talker", "disabled", "", "false", "")]
    public async Task Ollama_host_says_that_its_model_thinks_Anthropic_client_asks_it_to(string model, string type, string more, string? think, string lost)
    {
        var ollama = door[model];
        ollama.Answer(exchange => exchange.StreamAsync(Ollama.Lines, Ollama.Stream("fine")));
        await Patience.Until(
            async () => (await door.GetAsync("/v1/models")).Text.Contains($"{model}:latest", StringComparison.Ordinal), "the host's models are known");

        var (reply, _) = await door.CallAsync("/v1/messages", Anthropic.Request(model, true, $$""","thinking":{"type":"{{type}}"{{more}}}"""), Version);

        Assert.True(reply.Status == 200, reply.Text);
        Assert.Equal(think, ollama.Calls[^1].Json.TryGetProperty("think", out var asked) ? asked.GetRawText() : null);
        Assert.Equal(lost, string.Join(", ", door.Proxy.Log.Lines.Where(entry => ProxyLog.Text(entry, "event") == "fields_lost"
            && ProxyLog.Text(entry, "trace_id") == reply.TraceId).Select(entry => ProxyLog.Text(entry, "lost"))));
    }

    [Fact]
    public async Task Agents_mark_in_the_system_prompt_Reaches_no_host()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.JsonAsync(OpenAi.Whole("fine")));
        var native = door["native5"];
        native.Answer(exchange => exchange.StreamAsync(Anthropic.Sse, Anthropic.Stream("fine")));
        const string System = ""","system":"x-anthropic-billing-header: cc_version=2.1.38.e5a; cch=fa690;\n" """;

        await door.CallAsync("/v1/messages", Anthropic.Request(lane.Solo, false, System), Version);
        await door.CallAsync("/v1/messages", Anthropic.Request("native5-m", true, System), Version);

        Assert.Contains("cch=00000;", lane.A.Calls[0].Text, StringComparison.Ordinal);
        Assert.Equal(Anthropic.Request("native5-m", true, System.Replace("fa690", "00000", StringComparison.Ordinal)), native.Calls[^1].Text);
    }

    [Fact]
    public async Task Anthropic_host_Anthropic_client_Gets_its_bytes_and_only_the_name_is_another()
    {
        var sent = string.Concat(Anthropic.Stream("Hé", "llo"));
        door["native"].Answer(exchange => exchange.StreamAsync(Anthropic.Sse, sent));

        var (same, line) = await door.CallAsync("/v1/messages", Anthropic.Request("native-m", true), Version, "anthropic-beta: x-1", "x-api-key: mine");
        var (renamed, _) = await door.CallAsync("/v1/messages", Anthropic.Request("claude-alias", true));

        Assert.Equal(sent, same.Text);
        Assert.Equal(sent.Replace("\"model\":\"served\"", "\"model\":\"claude-alias\"", StringComparison.Ordinal), renamed.Text);
        Assert.Equal("25 7", $"{line["tokens_in"]} {line["tokens_out"]}"); // cached tokens count as prompt tokens
        var calls = door["native"].Calls.Where(call => call.Target == "/v1/messages").ToList();
        Assert.Equal(Anthropic.Request("native-m", true), calls[0].Text);
        Assert.Equal("2023-06-01 x-1 host-key ",
            $"{calls[0].Header("anthropic-version")} {calls[0].Header("anthropic-beta")} {calls[0].Header("x-api-key")} {calls[0].Header("authorization")}");
        Assert.Equal("2023-06-01", calls[1].Header("anthropic-version")); // the proxy's, because the client sent none
        Assert.Equal(Anthropic.Request("native-m", true), calls[1].Text);
    }

    [Fact]
    public async Task Host_of_both_dialects_Is_asked_in_the_clients_own()
    {
        door["both"]
            .Answer(exchange => exchange.JsonAsync(exchange.Request.Target == "/v1/messages" ? Anthropic.Whole("x", "both-m") : OpenAi.Whole("y", "both-m")));

        var (messages, _) = await door.CallAsync("/v1/messages", Anthropic.Request("both-m"), Version);
        var (chat, _) = await door.ChatAsync("both-m", stream: false);

        Assert.Equal(Anthropic.Whole("x", "both-m"), messages.Text);
        Assert.Equal(OpenAi.Whole("y", "both-m"), chat.Text);
        Assert.All(door["both"].Calls, call => Assert.Equal("host-key Bearer host-key", $"{call.Header("x-api-key")} {call.Header("authorization")}"));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Anthropic_host_Client_of_OpenAi_gets_thoughts_calls_and_counts(bool stream)
    {
        door["native2"].Answer(exchange => exchange.Request.Json.GetProperty("stream").GetBoolean()
            ? exchange.StreamAsync(Anthropic.Sse,
                Anthropic.Start(), "event: ping\ndata: {\"type\":\"ping\"}\n\n",
                Anthropic.Open(0, """{"type":"thinking","thinking":"","signature":""}"""), Anthropic.Delta(0,
                    """{"type":"thinking_delta","thinking":"First."}"""),
                Anthropic.Delta(0, """{"type":"signature_delta","signature":"s=="}"""), Anthropic.Close(0),
                Anthropic.Open(1, """{"type":"tool_use","id":"toolu_1","name":"f","input":{}}"""),
                Anthropic.Delta(1, """{"type":"input_json_delta","partial_json":"{\"a\":"}"""),
                Anthropic.Delta(1, """{"type":"input_json_delta","partial_json":"1}"}"""), Anthropic.Close(1),
                Anthropic.Stop("tool_use"))
            : exchange.JsonAsync("""{"id":"msg_host","type":"message","role":"assistant","model":"served","content":["""
                + """{"type":"thinking","thinking":"First.","signature":"s=="},{"type":"tool_use","id":"toolu_1","name":"f","input":"""
                + """{"a":1}}],"stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":9,"cache_read_input_tokens":16,"output_tokens":7}}"""));

        var (reply, line) = await door.ChatAsync("native2-m", stream, ""","stream_options":{"include_usage":true}""");

        Assert.True(reply.Status == 200, reply.Text);
        Assert.Equal("2023-06-01", door["native2"].Calls[^1].Header("anthropic-version"));
        Assert.Equal(4096, door["native2"].Calls[^1].Json.GetProperty("max_tokens").GetInt32());
        var usage = stream ? JsonElement.Parse(reply.Events[^2]).GetProperty("usage") : reply.Json.GetProperty("usage");
        Assert.Equal("25 7 16", $"{usage.GetProperty("prompt_tokens")} {usage.GetProperty("completion_tokens")} "
            + $"{usage.GetProperty("prompt_tokens_details").GetProperty("cached_tokens")}");
        Assert.Contains("\"reasoning_content\":\"First.\"", reply.Text, StringComparison.Ordinal);
        Assert.Contains("\"finish_reason\":\"tool_calls\"", reply.Text, StringComparison.Ordinal);
        Assert.Contains("toolu_1", reply.Text, StringComparison.Ordinal);
        Assert.Equal("25 7", $"{line["tokens_in"]} {line["tokens_out"]}");
    }

    [Theory]
    [InlineData("error")]
    [InlineData("silence")]
    [InlineData("reset")]
    public async Task Host_of_OpenAi_breaks_in_the_middle_Client_gets_an_error_event(string how)
    {
        var lane = door.Take();
        lane.A.Answer(async exchange =>
        {
            await exchange.HeadAsync(OpenAi.Sse);
            await exchange.ChunkAsync(OpenAi.Role() + OpenAi.Token("half") + (how == "error" ? OpenAi.ErrorFrame("out of memory") : ""));
            if (how == "reset")
            {
                await Task.Delay(100);
                exchange.Reset();
            }
            else
            {
                await exchange.EndAsync();
            }
        });

        var (reply, line) = await door.CallAsync("/v1/messages", Anthropic.Request(lane.Solo, true), Version);

        var last = Anthropic.Events(reply)[^1];
        Assert.Equal("half", Anthropic.Read(reply));
        Assert.Equal("error api_error", $"{last.GetProperty("type")} {last.GetProperty("error").GetProperty("type")}");
        Assert.Equal(reply.TraceId, last.GetProperty("request_id").GetString());
        Assert.Equal("backend_error backend 200", line.Verdict);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Anthropic_host_breaks_in_the_middle_Every_client_is_told(bool own)
    {
        var host = door[own ? "native3" : "native4"];
        var model = own ? "native3-m" : "native4-m";
        host.Once(
            exchange => exchange.StreamAsync(Anthropic.Sse, Anthropic.Start(), Anthropic.Open(0, """{"type":"text","text":""}"""), Anthropic.Text(0, "half")));
        host.Once(exchange => exchange.StreamAsync(Anthropic.Sse, Anthropic.Start(), Anthropic.Open(0, """{"type":"text","text":""}"""),
            Anthropic.Text(0, "half"), Anthropic.ErrorEvent("overloaded_error", "Overloaded")));

        foreach (var said in new[] { "without saying", "Overloaded" })
        {
            var (reply, line) = own ? await door.CallAsync("/v1/messages", Anthropic.Request(model, true), Version) : await door.ChatAsync(model, stream: true);

            Assert.Contains(said, own ? Anthropic.Events(reply)[^1].GetProperty("error").GetProperty("message").GetString() : OpenAi.ReadError(reply)
                .GetProperty("message").GetString(), StringComparison.Ordinal);
            Assert.Equal("backend_error backend 200", line.Verdict);
        }
    }

    [Fact]
    public async Task Anthropic_host_is_overloaded_Each_client_is_told_in_its_own_number()
    {
        door["native5"].Answer(exchange => exchange.JsonAsync(Anthropic.Error("overloaded_error", "Overloaded"), 529, "retry-after: 3"));

        var (messages, _) = await door.CallAsync("/v1/messages", Anthropic.Request("native5-m"), Version);
        var (chat, _) = await door.ChatAsync("native5-m", stream: false);

        Assert.Equal("529 overloaded_error Overloaded 3", $"{messages.Status} {messages.ErrorType} {messages.ErrorMessage} {messages.Header("retry-after")}");
        Assert.Equal("503 Overloaded", $"{chat.Status} {chat.ErrorMessage}");
    }

    [Fact]
    public async Task Refusals_Are_in_Anthropics_form()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.JsonAsync(OpenAi.Error("the request exceeds the available context size", "exceed_context_size_error"), 400));

        await Refused("/v1/messages", Anthropic.Request("nobody"), 404, "not_found_error");
        await Refused("/v1/messages", Anthropic.Request(lane.Solo)
            .Replace("\"max_tokens\":64,", "", StringComparison.Ordinal), 400, "invalid_request_error", "max_tokens");
        await Refused("/v1/messages", "{", 400, "invalid_request_error");
        await Refused("/v1/messages", Anthropic.Request(lane.Solo), 400, "invalid_request_error", "prompt is too long");
        await Refused("/v1/messages/batches", "{}", 404, "not_found_error");
        await Refused("/v1/messages/count_tokens", "{}", 400, "invalid_request_error", "model");
        await Refused("/v1/messages/count_tokens", Anthropic.Request("nobody"), 404, "not_found_error");
        var wrongMethod = await door.GetAsync("/v1/messages");
        Assert.Equal("405 invalid_request_error", $"{wrongMethod.Status} {wrongMethod.ErrorType}");

        async Task Refused(string path, string body, int status, string type, string says = "")
        {
            var reply = await door.PostAsync(path, body, Version);
            Assert.Equal($"{status} error {type}", $"{reply.Status} {reply.Json.GetProperty("type")} {reply.ErrorType}");
            Assert.Contains(says, reply.ErrorMessage, StringComparison.Ordinal);
            Assert.Equal(reply.Header("request-id"), reply.Json.GetProperty("request_id").GetString());
        }
    }

    [Fact]
    public async Task Tokens_Are_counted_by_the_host_that_can()
    {
        door["counts"].Answer(
            exchange => exchange.Request.Target == "/v1/messages/count_tokens" ? exchange.JsonAsync("""{"input_tokens":22}""") : exchange.JsonAsync("{}", 500));
        door["llama"].Answer(exchange => exchange.Request.Target == "/v1/chat/completions/input_tokens"
            ? exchange.JsonAsync("""{"object":"response.input_tokens","input_tokens":33}""") : exchange.JsonAsync("{}", 404));
        var body = """{"model":"counts-m","messages":[{"role":"user","content":"hi"}]}""";

        var native = await door.PostAsync("/v1/messages/count_tokens?beta=true", body, Version);
        var llama = await door.PostAsync("/v1/messages/count_tokens", body.Replace("counts-m", "llama-m", StringComparison.Ordinal), Version);

        Assert.Equal("""200 {"input_tokens":22} """, $"{native.Status} {native.Text} {native.Header("x-token-count")}");
        Assert.Equal(body, door["counts"].Calls[^1].Text);
        Assert.Equal("host-key 2023-06-01", $"{door["counts"].Calls[^1].Header("x-api-key")} {door["counts"].Calls[^1].Header("anthropic-version")}");
        Assert.Equal("""200 {"input_tokens":33} """, $"{llama.Status} {llama.Text} {llama.Header("x-token-count")}");
        Assert.Equal("hi", door["llama"].Calls[^1].Json.GetProperty("messages")[0].GetProperty("content").GetString());
    }

    [Fact]
    public async Task Tokens_that_no_host_counts_Are_estimated_too_high_and_marked()
    {
        var lane = door.TakeOllama();
        var text = string.Concat(Enumerable.Repeat("The quick brown fox jumps over the lazy dog. ", 100)); // 10 tokens each

        var reply = await door.PostAsync("/v1/messages/count_tokens", Anthropic.Request(lane.Solo, text: text), Version);

        Assert.Equal("200 estimate", $"{reply.Status} {reply.Header("x-token-count")}");
        Assert.InRange(reply.Json.GetProperty("input_tokens").GetInt32(), 1010, 2000);
        Assert.Empty(lane.A.Calls);
    }

    [Fact]
    public async Task Models_Are_listed_in_Anthropics_shape_for_who_says_its_version()
    {
        var list = await door.GetAsync("/v1/models", Version);
        var one = await door.GetAsync("/v1/models/llama-m", Version);
        var none = await door.GetAsync("/v1/models/nobody", Version);
        var openAi = await door.GetAsync("/v1/models");

        Assert.False(list.Json.GetProperty("has_more").GetBoolean());
        var data = list.Json.GetProperty("data");
        Assert.Equal(data[0].GetProperty("id").GetString(), list.Json.GetProperty("first_id").GetString());
        Assert.Equal(data[data.GetArrayLength() - 1].GetProperty("id").GetString(), list.Json.GetProperty("last_id").GetString());
        Assert.Equal(
            """{"type":"model","id":"llama-m","display_name":"llama-m","created_at":"2026-11-18T11:06:40Z","lifecycle":"active","max_input_tokens":4096}""",
            one.Text);
        Assert.Contains(data.EnumerateArray(), model => model.GetRawText() == one.Text);
        Assert.Equal("404 not_found_error", $"{none.Status} {none.ErrorType}");
        Assert.Equal("list", openAi.Json.GetProperty("object").GetString());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Echo_Answers_in_this_dialect(bool stream)
    {
        var (reply, _) = await door.CallAsync("/v1/messages", Anthropic.Request("echo", stream, text: "one two"));

        Assert.Equal("one two", stream ? Anthropic.Read(reply) : reply.Json.GetProperty("content")[0].GetProperty("text").GetString());
    }
}
