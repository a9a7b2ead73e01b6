using System.Text.Json;
using System.Text.Json.Nodes;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary><c>/v1/responses</c> over hosts that do not speak it and one that does.</summary>
public sealed class ResponsesTests(ResponsesTests.Door door) : IClassFixture<ResponsesTests.Door>
{
    private const string Calls = """{"tool_calls":[{"index":0,"id":"call_a","type":"function","function":{"name":"exec","arguments":"{\"cmd\":"}}]}""";
    private const string More = """{"tool_calls":[{"index":0,"function":{"arguments":"\"ls\"}"}}]}""";

    public sealed class Door : FrontDoor
    {
        protected override int Lanes => 12;

        protected override int OllamaLanes => 3;

        /// <summary>A host that speaks the dialect itself.</summary>
        internal FakeBackend Native { get; private set; } = null!;

        /// <summary>A host that refuses <c>stream_options</c>.</summary>
        internal FakeBackend Plain { get; private set; } = null!;

        protected override string Sections()
        {
            Native = Host();
            Plain = Host();
            return $$"""
            [aliases]
            "by-another-name" = "native"
            [[backends]]
            name = "plain"
            url = "{{Plain.Url}}"
            dialects = ["openai"]
            models = ["plain"]
            stream_usage = false
            [[backends]]
            name = "native"
            url = "{{Native.Url}}"
            dialects = ["responses"]
            models = ["native"]
            [[backends]]
            name = "echo"
            url = "builtin:echo"
            models = ["echo"]
            """;
        }
    }

    [Fact]
    public async Task Chat_host_streams_Client_gets_the_events_of_a_response()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.StreamAsync(OpenAi.Sse, [.. OpenAi.Stream("Hé", "llo ", "😀")[..^1], Usage, OpenAi.Done]));

        var (reply, line) = await door.CallAsync("/v1/responses", Request(lane.Solo, stream: true, """, "instructions":"be brief","max_output_tokens":50"""));

        Assert.Equal("ok none 200", line.Verdict);
        Assert.Equal(("9", "7"), (line["tokens_in"], line["tokens_out"]));
        Assert.StartsWith(OpenAi.Sse, reply.ContentType, StringComparison.Ordinal);
        Assert.Equal(
            [
                "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added", "response.output_text.delta",
                "response.output_text.delta", "response.output_text.delta",
                "response.output_text.done", "response.content_part.done", "response.output_item.done", "response.completed",
            ], Types(reply));
        Assert.Equal(Enumerable.Range(0, 11), reply.Events.Select(data => (int)JsonNode.Parse(data)!["sequence_number"]!));
        var response = JsonNode.Parse(reply.Events[^1])!["response"]!;
        Assert.Equal("Hello 😀".Replace('e', 'é'), (string?)response["output"]![0]!["content"]![0]!["text"]);
        Assert.Equal(lane.Solo, (string?)response["model"]);
        Assert.Equal("be brief", (string?)response["instructions"]);
        Assert.Equal(16, (int)response["usage"]!["total_tokens"]!);
        Assert.Equal($"resp_{reply.Header("x-trace-id")}", (string?)response["id"]);
        var asked = lane.A.Calls[0];
        Assert.Equal("/v1/chat/completions", asked.Target);
        Assert.True(asked.Json.GetProperty("stream_options").GetProperty("include_usage").GetBoolean());
        Assert.Equal(50, asked.Json.GetProperty("max_tokens").GetInt32());
        Assert.All(reply.Events, OpenApiSchema.OpenAi.ValidResponseEvent);
    }

    [Fact]
    public async Task Chat_host_calls_a_tool_Client_gets_a_function_call_and_its_result_goes_back()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.StreamAsync(OpenAi.Sse, OpenAi.Role(), Delta(Calls), Delta(More), Delta("{}", "\"tool_calls\""), OpenAi.Done));
        const string Tools =
            """, "tools":[{"type":"function","name":"exec","parameters":{"type":"object"},"strict":false},{"type":"web_search"}],"tool_choice":"auto" """;

        var (first, _) = await door.CallAsync("/v1/responses", Request(lane.Solo, stream: true, Tools));

        var call = JsonNode.Parse(first.Events[^1])!["response"]!["output"]![0]!;
        Assert.Equal(("function_call", "call_a", "exec", """{"cmd":"ls"}"""),
            ((string?)call["type"], (string?)call["call_id"], (string?)call["name"], (string?)call["arguments"]));
        Assert.Contains("response.function_call_arguments.done", Types(first));
        Assert.All(first.Events, OpenApiSchema.OpenAi.ValidResponseEvent);

        lane.A.Answer(exchange => exchange.JsonAsync(OpenAi.Whole("done")));
        var input = new JsonArray { JsonNode.Parse("""{"role":"user","content":"hello"}"""), call.DeepClone(), new JsonObject
        {
            ["type"] = "function_call_output", ["call_id"] = "call_a", ["output"] = "a.txt",
        } };
        var (second, line) = await door.CallAsync("/v1/responses", new JsonObject { ["model"] = lane.Solo, ["input"] = input }.ToJsonString());

        Assert.Equal("ok none 200", line.Verdict);
        Assert.Equal("done", second.Json.GetProperty("output")[0].GetProperty("content")[0].GetProperty("text").GetString());
        OpenApiSchema.OpenAi.Valid("Response", second.Text);
        Assert.Equal(["user", "assistant", "tool"], lane.A.Calls[1].Json.GetProperty("messages").EnumerateArray()
            .Select(message => message.GetProperty("role").GetString()));
        Assert.Equal("exec", Assert.Single(lane.A.Calls[0].Json.GetProperty("tools").EnumerateArray()).GetProperty("function").GetProperty("name").GetString());
    }

    [Fact]
    public async Task Chat_host_calls_a_custom_tool_Client_gets_its_text_and_the_result_goes_back()
    {
        const string Text = "*** Begin Patch\n+\"x\"\n";
        var lane = door.Take();
        var arguments = OpenAi.Quote(new JsonObject { ["input"] = Text }.ToJsonString());
        lane.A.Answer(exchange => exchange.StreamAsync(OpenAi.Sse, OpenAi.Role(),
            Delta($$$"""{"tool_calls":[{"index":0,"id":"call_a","type":"function","function":{"name":"apply_patch","arguments":{{{arguments}}}}}]}"""),
            Delta("{}", "\"tool_calls\""), OpenAi.Done));
        const string Tools = """, "tools":[{"type":"custom","name":"apply_patch","format":{"type":"grammar","syntax":"lark","definition":"start: x"}}]""";

        var (first, _) = await door.CallAsync("/v1/responses", Request(lane.Solo, stream: true, Tools));

        Assert.Contains("response.custom_tool_call_input.delta", Types(first));
        Assert.All(first.Events, OpenApiSchema.OpenAi.ValidResponseEvent);
        var call = JsonNode.Parse(first.Events[^1])!["response"]!["output"]![0]!;
        Assert.Equal(("custom_tool_call", "call_a", "apply_patch", Text),
            ((string?)call["type"], (string?)call["call_id"], (string?)call["name"], (string?)call["input"]));

        lane.A.Answer(exchange => exchange.JsonAsync(OpenAi.Whole("done")));
        var input = new JsonArray
        {
            JsonNode.Parse("""{"role":"user","content":"hello"}"""), call.DeepClone(), JsonNode.Parse("""{"role":"developer","content":"be quick"}"""),
            JsonNode.Parse("""{"type":"custom_tool_call_output","call_id":"call_a","output":"Done"}"""),
        };
        var (_, line) = await door.CallAsync("/v1/responses", new JsonObject { ["model"] = lane.Solo, ["input"] = input }.ToJsonString());

        Assert.Equal("ok none 200", line.Verdict);
        var asked = lane.A.Calls[1].Json;
        Assert.Equal(["user", "assistant", "tool", "user"], asked.GetProperty("messages").EnumerateArray()
            .Select(message => message.GetProperty("role").GetString()));
        Assert.Equal(Text, JsonElement.Parse(asked.GetProperty("messages")[1].GetProperty("tool_calls")[0].GetProperty("function").GetProperty("arguments")
            .GetString()!).GetProperty("input").GetString());
        Assert.False(asked.GetProperty("stream").GetBoolean());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Ollama_host_answers_Client_gets_a_response(bool stream)
    {
        var lane = door.TakeOllama();
        lane.A.Answer(
            exchange => stream ? exchange.StreamAsync(Ollama.Lines, Ollama.Stream("Hé", "llo")) : exchange.JsonAsync(Ollama.Last(text: "Héllo").TrimEnd()));

        var (reply, line) = await door.CallAsync("/v1/responses", Request(lane.Solo, stream));

        Assert.Equal("ok none 200", line.Verdict);
        Assert.Equal("/api/chat", lane.A.Calls[0].Target);
        var response = stream ? JsonNode.Parse(reply.Events[^1])!["response"]! : JsonNode.Parse(reply.Text)!;
        Assert.Equal("Héllo", (string?)response["output"]![0]!["content"]![0]!["text"]);
        Assert.Equal((9, 7), ((int)response["usage"]!["input_tokens"]!, (int)response["usage"]!["output_tokens"]!));
        OpenApiSchema.OpenAi.Valid("Response", response.ToJsonString());
    }

    [Fact]
    public async Task Host_refuses_to_be_asked_for_usage_It_is_not_asked()
    {
        door.Plain.Answer(exchange => exchange.StreamAsync(OpenAi.Sse, OpenAi.Stream("hi")));

        var (reply, line) = await door.CallAsync("/v1/responses", Request("plain", stream: true));

        Assert.Equal("ok none 200", line.Verdict);
        Assert.False(Assert.Single(door.Plain.Calls).Json.TryGetProperty("stream_options", out _));
        Assert.False(JsonNode.Parse(reply.Events[^1])!["response"]!.AsObject().ContainsKey("usage"));
    }

    [Fact]
    public async Task Host_stops_at_the_limit_Response_is_incomplete()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.StreamAsync(OpenAi.Sse, OpenAi.Role(), OpenAi.Token("half"), Delta("{}", "\"length\""), OpenAi.Done));

        var (reply, _) = await door.CallAsync("/v1/responses", Request(lane.Solo, stream: true));

        Assert.Equal("response.incomplete", Types(reply)[^1]);
        Assert.Equal("max_output_tokens", (string?)JsonNode.Parse(reply.Events[^1])!["response"]!["incomplete_details"]!["reason"]);
    }

    [Fact]
    public async Task Host_breaks_off_in_the_stream_Client_gets_an_error_and_a_failed_response_in_sequence()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.StreamAsync(OpenAi.Sse, OpenAi.Role(), OpenAi.Token("half")));

        var (reply, line) = await door.CallAsync("/v1/responses", Request(lane.Solo, stream: true));

        Assert.Equal("backend_error backend 200", line.Verdict);
        Assert.Equal(["error", "response.failed"], Types(reply)[^2..]);
        Assert.Equal(Enumerable.Range(0, reply.Events.Count), reply.Events.Select(data => (int)JsonNode.Parse(data)!["sequence_number"]!));
        Assert.Equal("half", (string?)JsonNode.Parse(reply.Events[^1])!["response"]!["output"]![0]!["content"]![0]!["text"]);
        Assert.All(reply.Events, OpenApiSchema.OpenAi.ValidResponseEvent);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Host_refuses_Client_gets_OpenAIs_error_with_the_hosts_status(bool stream)
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.JsonAsync(OpenAi.Error("too long", "invalid_request_error", "\"context_length_exceeded\""), 400));

        var (reply, line) = await door.CallAsync("/v1/responses", Request(lane.Solo, stream));

        Assert.Equal(400, reply.Status);
        Assert.Equal("context_length_exceeded", reply.Json.GetProperty("error").GetProperty("code").GetString());
        Assert.Equal("too long", reply.Json.GetProperty("error").GetProperty("message").GetString());
        Assert.Equal("refused client 400", line.Verdict);
        OpenApiSchema.OpenAi.Valid("ErrorResponse", reply.Text);
    }

    [Fact]
    public async Task Host_speaks_the_dialect_Bytes_stay_and_the_name_is_changed_in_every_event()
    {
        const string Stream =
            "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\",\"model\":\"native\",\"x\":1.50}}\n\n"
            + "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"é\",\"item_id\":\"m\"}\n\n"
            + "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\"resp_1\",\"model\":\"native\",\"usage\":"
            + "{\"input_tokens\":9,\"output_tokens\":7,\"total_tokens\":16}}}\n\n";
        door.Native.Answer(exchange => exchange.StreamAsync(OpenAi.Sse, Stream));
        var body = Request("native", stream: true, """, "odd":{"a":1.50}""");

        var (same, line) = await door.CallAsync("/v1/responses", body);
        var (renamed, _) = await door.CallAsync("/v1/responses", Request("by-another-name", stream: true));

        Assert.Equal(Stream, same.Text);
        Assert.Equal("ok none 200", line.Verdict);
        Assert.Equal(("9", "7"), (line["tokens_in"], line["tokens_out"]));
        Assert.Contains(door.Native.Calls, call => call.Text == body && call.Target == "/v1/responses");
        Assert.Equal(Stream.Replace("\"model\":\"native\"", "\"model\":\"by-another-name\"", StringComparison.Ordinal), renamed.Text);
    }

    [Fact]
    public async Task Tokens_are_counted_by_the_host_that_can_and_estimated_elsewhere()
    {
        var lane = door.Take();
        const string Long = "one two three four five six seven eight nine ten";
        door.Native.Questions["/v1/responses/input_tokens"] = """{"object":"response.input_tokens","input_tokens":22}""";

        var counted = await door.PostAsync("/v1/responses/input_tokens", """{"model":"native","input":"hello"}""");
        var estimated = await door.PostAsync("/v1/responses/input_tokens", $$"""{"model":"{{lane.Solo}}","input":"{{Long}}"}""");
        var nobody = await door.PostAsync("/v1/responses/input_tokens", """{"model":"nobody","input":"hello"}""");

        Assert.Equal("""{"object":"response.input_tokens","input_tokens":22}""", counted.Text);
        Assert.Null(counted.Header("x-token-count"));
        Assert.Equal("estimate", estimated.Header("x-token-count"));
        Assert.InRange(estimated.Json.GetProperty("input_tokens").GetInt32(), 10, 200);
        Assert.Empty(lane.A.Calls);
        Assert.Equal((404, "model_not_found"), (nobody.Status, nobody.ErrorCode));
        OpenApiSchema.OpenAi.Valid("TokenCountsResource", estimated.Text);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Echo_says_the_input_back(bool stream)
    {
        var reply = await door.PostAsync("/v1/responses", Request("echo", stream));

        var response = stream ? JsonNode.Parse(reply.Events[^1])!["response"]! : JsonNode.Parse(reply.Text)!;
        Assert.Equal("hello", (string?)response["output"]![0]!["content"]![0]!["text"]);
        Assert.Equal("completed", (string?)response["status"]);
        if (stream) Assert.All(reply.Events, OpenApiSchema.OpenAi.ValidResponseEvent);
        else OpenApiSchema.OpenAi.Valid("Response", reply.Text);
    }

    [Fact]
    public async Task Input_is_missing_Client_is_told()
    {
        var lane = door.Take();

        var (reply, _) = await door.CallAsync("/v1/responses", $$"""{"model":"{{lane.Solo}}","messages":[]}""");

        Assert.Equal(400, reply.Status);
        Assert.Equal("input", reply.Json.GetProperty("error").GetProperty("param").GetString());
        Assert.Empty(lane.A.Calls);
    }

    private static string Usage => """data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795000000,"model":"served","choices":[],"usage":"""
        + """{"prompt_tokens":9,"completion_tokens":7,"total_tokens":16}}""" + "\n\n";

    private static string Request(string model, bool stream, string more = "") =>
        $$"""{"model":"{{model}}","input":"hello","stream":{{(stream ? "true" : "false")}}{{more}}}""";

    private static string Delta(string delta, string finish = "null") =>
        $$"""data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795000000,"model":"served","choices":["""
            + $$"""{"index":0,"delta":{{delta}},"finish_reason":{{finish}}}]}""" + "\n\n";

    private static List<string> Types(RawReply reply) => [.. reply.Events.Select(data => JsonElement.Parse(data).GetProperty("type").GetString()!)];
}
