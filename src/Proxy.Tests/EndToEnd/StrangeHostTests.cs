using System.Text.Json.Nodes;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>Hosts with answers in unusual forms: clients of other dialects get the intended content, and errors keep their message.</summary>
public sealed class StrangeHostTests(StrangeHostTests.Door door) : IClassFixture<StrangeHostTests.Door>
{
    private const string Version = "anthropic-version: 2023-06-01";

    public sealed class Door : FrontDoor
    {
        protected override int Lanes => 20;

        /// <summary>A host that speaks only Responses.</summary>
        internal FakeBackend Responses { get; private set; } = null!;

        protected override string Sections()
        {
            Responses = Host();
            return $"""
                [[backends]]
                name = "responses"
                url = "{Responses.Url}"
                dialects = ["responses"]
                models = ["resp-model"]
                """;
        }
    }

    [Theory]
    [InlineData("/v1/messages")]
    [InlineData("/v1/responses")]
    [InlineData("/api/chat")]
    public async Task Host_says_the_names_of_two_calls_late_Client_is_told_each_with_its_name(string path)
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.StreamAsync(OpenAi.Sse,
            Calls("""{"index":0,"id":"call_a","type":"function","function":{"name":"","arguments":""}}"""),
            Calls("""{"index":0,"id":"other","function":{"name":"get_","arguments":""}}"""),
            Calls("""{"index":0,"function":{"name":"weather","arguments":""}}"""),
            Calls("""{"index":0,"id":"another","function":{"arguments":"{\"city\":\"Rome\"}"}}"""),
            Calls("""{"index":0,"id":"call_b","function":{"name":"get_time","arguments":"{}"}}"""), OpenAi.Stop(), OpenAi.Done));

        var (reply, line) = await door.CallAsync(path, Request(path, lane.Solo), Version);

        Assert.Equal("ok none 200", line.Verdict);
        Assert.Equal(["call_a get_weather {\"city\":\"Rome\"}", "call_b get_time {}"], Read(path, reply));
    }

    [Theory]
    [InlineData("/v1/chat/completions")]
    [InlineData("/v1/messages")]
    [InlineData("/api/chat")]
    public async Task Responses_host_gives_each_event_another_id_Client_reads_text_and_call_once(string path)
    {
        string[] data =
        [
            """{"type":"response.created","response":{"id":"resp_1","model":"served","created_at":1795000000}}""",
            """{"type":"response.output_item.added","output_index":0,"item":{"type":"message","id":"m1","content":[]}}""",
            """{"type":"response.output_text.delta","output_index":0,"item_id":"m2","content_index":0,"delta":"Hel"}""",
            """{"type":"response.output_text.delta","output_index":0,"item_id":"m3","content_index":0,"delta":"lo"}""",
            """{"type":"response.output_item.done","output_index":0,"item":{"type":"message","id":"m4","content":[{"type":"output_text","text":"Hello"}]}}""",
            """{"type":"response.output_item.added","output_index":1,"item":{"type":"function_call","id":"f1","call_id":"call_a","name":"","arguments":""}}""",
            """{"type":"response.function_call_arguments.delta","output_index":1,"item_id":"f2","delta":"{\"city\":\"Rome\"}"}""",
            """{"type":"response.output_item.done","output_index":1,"item":"""
                + """{"type":"function_call","id":"f3","call_id":"call_a","name":"get_weather","arguments":"{\"city\":\"Rome\"}"}}""",
            """{"type":"response.completed","response":{"id":"resp_1","status":"completed","output":[{"type":"message","id":"m9","content":["""
                + """{"type":"output_text","text":"Hello"}]},"""
                + """{"type":"function_call","id":"f9","call_id":"call_a","name":"get_weather","arguments":"{\"city\":\"Rome\"}"}]}}""",
        ];
        door.Responses.Answer(exchange => exchange.StreamAsync(OpenAi.Sse, [.. data.Select(one => $"data: {one}\n\n")]));

        var (reply, line) = await door.CallAsync(path, Request(path, "resp-model"), Version);

        Assert.Equal("ok none 200", line.Verdict);
        Assert.Equal(1, Count(reply.Text, "Hel"));
        Assert.Equal(1, Count(reply.Text, "\"lo\""));
        Assert.Equal(1, Count(reply.Text, "\"get_weather\""));
        Assert.Equal(1, Count(reply.Text, "Rome"));
        Assert.Contains("call_a", reply.Text, StringComparison.Ordinal);

        static int Count(string text, string word) => text.Split(word).Length - 1;
    }

    [Theory]
    [InlineData("/v1/messages", true)]
    [InlineData("/v1/messages", false)]
    [InlineData("/api/chat", true)]
    [InlineData("/api/chat", false)]
    public async Task Host_answers_with_a_list_of_parts_Client_reads_thoughts_and_text_and_what_is_left_out_is_counted(string path, bool stream)
    {
        var lane = door.Take();
        const string Parts =
            """[{"type":"thinking","thinking":[{"type":"text","text":"Hm."}]},{"type":"text","text":"Forty-two"},{"type":"reference","reference_ids":[1]}]""";
        lane.A.Answer(exchange => stream
            ? exchange.StreamAsync(OpenAi.Sse, OpenAi.Role(), Chunk($$"""{"content":{{Parts}}}"""), OpenAi.Stop(), OpenAi.Done)
            : exchange.JsonAsync(OpenAi.Whole("PARTS").Replace("\"PARTS\"", Parts, StringComparison.Ordinal)));
        var before = await SkippedAsync();

        var (reply, line) = await door.CallAsync(path, Request(path, lane.Solo, stream), Version);

        Assert.Equal("ok none 200", line.Verdict);
        Assert.Contains("Hm.", reply.Text, StringComparison.Ordinal);
        Assert.Contains("Forty-two", reply.Text, StringComparison.Ordinal);
        Assert.DoesNotContain("reference", reply.Text, StringComparison.Ordinal);
        Assert.True(await SkippedAsync() > before);
        Assert.Contains(door.Proxy.Log.Lines, entry => ProxyLog.Text(entry, "event") == "parts_skipped" && ProxyLog.Text(entry,
            "trace_id") == reply.TraceId && ProxyLog.Text(entry, "kinds") == "reference");
    }

    [Theory]
    [InlineData("/v1/chat/completions", "error: {\"code\":500,\"message\":\"the engine broke\",\"type\":\"server_error\"}\n\n")]
    [InlineData("/v1/messages", "error: {\"code\":500,\"message\":\"the engine broke\",\"type\":\"server_error\"}\n\n")]
    [InlineData("/v1/chat/completions", "event: error\ndata: {\"message\":\"the engine broke\"}\n\n")]
    [InlineData("/v1/responses", "event: error\ndata: {\"message\":\"the engine broke\"}\n\n")]
    [InlineData("/api/chat", "event: error\ndata: the engine broke\n\n")]
    public async Task Host_fails_midstream_in_a_form_of_its_own_Client_reads_its_words_in_the_dialects_error(string path, string frame)
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.StreamAsync(OpenAi.Sse, OpenAi.Role(), OpenAi.Token("half"), frame));

        var (reply, line) = await door.CallAsync(path, Request(path, lane.Solo), Version);

        Assert.Equal("backend_error backend 200", line.Verdict);
        var last = path == "/api/chat" ? reply.Text.TrimEnd('\n').Split('\n')[^1] : reply.Events[^1];
        var error = JsonNode.Parse(last)!;
        error = error["response"]?["error"] ?? error["error"]!;
        Assert.Contains("the engine broke", error is JsonValue ? (string)error! : (string)error["message"]!, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("/v1/chat/completions")]
    [InlineData("/v1/messages")]
    [InlineData("/api/chat")]
    public async Task Host_fails_in_llama_cpps_own_field_before_it_begins_Client_reads_its_words(string path)
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.StreamAsync(OpenAi.Sse, OpenAi.Role(),
            "error: {\"code\":400,\"message\":\"the request exceeds the available context size\",\"type\":\"exceed_context_size_error\"}\n\n"));

        var (reply, line) = await door.CallAsync(path, Request(path, lane.Solo), Version);

        Assert.Equal(400, reply.Status);
        Assert.Equal("refused client 400", line.Verdict);
        Assert.Contains(path == "/v1/messages" ? "prompt is too long" : "exceeds the available context size", reply.Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("/v1/messages", "end_turn")]
    [InlineData("/v1/responses", "completed")]
    [InlineData("/api/chat", "stop")]
    public async Task Host_stops_for_a_call_that_it_does_not_make_Clients_turn_ends(string path, string word)
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.JsonAsync(OpenAi.Whole("fine").Replace("\"stop\"", "\"tool_calls\"", StringComparison.Ordinal)));

        var (reply, _) = await door.CallAsync(path, Request(path, lane.Solo, stream: false), Version);

        var answer = JsonNode.Parse(reply.Text)!;
        Assert.Equal(word, (string?)(answer["stop_reason"] ?? answer["status"] ?? answer["done_reason"]));
    }

    private async Task<double> SkippedAsync() =>
        double.Parse((await door.GetAsync("/metrics")).Text.Split('\n')
            .Single(line => line.StartsWith("proxy_answer_parts_skipped_total ", StringComparison.Ordinal))
            .Split(' ')[1], System.Globalization.CultureInfo.InvariantCulture);

    private static string Request(string path, string model, bool stream = true) => path switch
    {
        "/v1/messages" => Anthropic.Request(model, stream),
        "/v1/responses" => $$"""{"model":"{{model}}","input":"hello","stream":{{(stream ? "true" : "false")}}}""",
        _ => OpenAi.Request(model, stream),
    };

    /// <summary>The calls that a client reads from its stream.</summary>
    private static List<string> Read(string path, RawReply reply)
    {
        var calls = new List<string>();
        switch (path)
        {
            case "/api/chat":
                var last = JsonNode.Parse(reply.Text.TrimEnd('\n').Split('\n')[^1])!;
                calls.AddRange(last["message"]!["tool_calls"]!.AsArray()
                    .Select(call => $"{call!["id"]} {call["function"]!["name"]} {call["function"]!["arguments"]!.ToJsonString()}"));
                break;
            case "/v1/responses":
                var announced = reply.Events.Select(data => JsonNode.Parse(data)!).Where(data => (string?)data["type"] == "response.output_item.added");
                Assert.All(announced, data => Assert.NotEqual("", (string?)data["item"]!["name"]));
                calls.AddRange(JsonNode.Parse(reply.Events[^1])!["response"]!["output"]!.AsArray()
                    .Select(item => $"{item!["call_id"]} {item["name"]} {item["arguments"]}"));
                break;
            default:
                foreach (var data in Anthropic.Events(reply))
                {
                    if (data.TryGetProperty("content_block", out var block))
                    {
                        calls.Add($"{block.GetProperty("id").GetString()} {block.GetProperty("name").GetString()} ");
                    }

                    if (data.TryGetProperty("delta", out var delta) && delta.TryGetProperty("partial_json", out var piece)) calls[^1] += piece.GetString();
                }

                break;
        }

        return calls;
    }

    private static string Calls(string entries) => Chunk($$"""{"tool_calls":[{{entries}}]}""");

    private static string Chunk(string delta) =>
        $$"""data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795000000,"model":"served","choices":["""
            + $$"""{"index":0,"delta":{{delta}},"finish_reason":null}]}""" + "\n\n";
}
