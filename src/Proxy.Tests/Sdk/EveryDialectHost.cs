using System.Text.Json;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Sdk;

/// <summary>
/// One model behind three hosts, each of which speaks one dialect. The answer depends on the last message: <c>think</c>, <c>long</c>, <c>refuse</c> or
/// <c>die</c>. With tools it calls one twice, and then repeats their results; for an image it repeats the bytes; otherwise it says hello.
/// </summary>
internal static class EveryDialectHost
{
    private const string OpenAiUsage = """{"prompt_tokens":9,"completion_tokens":7,"total_tokens":16}""";
    private const string OllamaUsage = "\"total_duration\":340155604,\"load_duration\":264697414,\"prompt_eval_count\":9,\"prompt_eval_duration\":12500000,\"eval_count\":7,\"eval_duration\":70100000";

    private static readonly (string Id, string Arguments)[] Calls = [("call_a", """{"city":"Paris"}"""), ("call_b", """{"city":"Rome"}""")];

    private sealed record Asked(string Last, bool Tools, string[] Results, string? Image);

    private sealed record Said(string Thought, string[] Text, bool Calls = false, bool Cut = false);

    public static async Task OpenAiAsync(FakeExchange exchange)
    {
        var request = exchange.Request.Json;
        if (exchange.Request.Target == "/v1/embeddings")
        {
            var vectors = Inputs(request).Select((text, index) => $$"""{"object":"embedding","index":{{index}},"embedding":{{Vector(text)}}}""");
            await exchange.JsonAsync($$$"""{"object":"list","model":"served","data":[{{{string.Join(",", vectors)}}}],"usage":{"prompt_tokens":5,"total_tokens":5}}""");
            return;
        }

        if (!await AtAsync(exchange, "/v1/chat/completions")) return;

        var asked = Chat(request);
        if (asked.Last == "refuse")
            await exchange.JsonAsync(OpenAi.Error("I take no such prompt", "invalid_request_error", "\"context_length_exceeded\""), 400);
        else if (asked.Last == "die") await DieAsync(exchange, OpenAi.Sse, OpenAi.Role() + OpenAi.Token("half"));
        else await SayAsync(Model(asked));

        Task SayAsync(Said said)
        {
            var finish = said.Calls ? "tool_calls" : said.Cut ? "length" : "stop";
            if (!Streams(request))
            {
                var calls = said.Calls ? $",\"tool_calls\":[{string.Join(",", Calls.Select(call => Call(call.Id, call.Arguments)))}]" : "";
                return exchange.JsonAsync($$$"""{"id":"chatcmpl-1","object":"chat.completion","created":1795000000,"model":"served","choices":[{"index":0,"message":{"role":"assistant","content":{{{Text(said)}}},"reasoning_content":{{{OpenAi.Quote(said.Thought)}}}{{{calls}}}},"finish_reason":"{{{finish}}}"}],"usage":{{{OpenAiUsage}}}}""");
            }

            List<string> deltas = ["""{"role":"assistant","content":""}"""];
            if (said.Thought.Length > 0) deltas.Add($$"""{"reasoning_content":{{OpenAi.Quote(said.Thought)}}}""");
            deltas.AddRange(said.Text.Select(text => $$"""{"content":{{OpenAi.Quote(text)}}}"""));
            foreach (var (index, (id, arguments)) in said.Calls ? Calls.Index() : [])
            {
                deltas.Add($$"""{"tool_calls":[{"index":{{index}},{{Call(id, "")[1..]}}]}""");
                deltas.AddRange(arguments.Chunk(6)
                    .Select(piece => $$$"""{"tool_calls":[{"index":{{{index}}},"function":{"arguments":{{{OpenAi.Quote(new string(piece))}}}}}]}"""));
            }

            return exchange.StreamAsync(OpenAi.Sse,
            [
                .. deltas.Select(delta => Chunk($$"""[{"index":0,"delta":{{delta}},"finish_reason":null}]""")),
                Chunk($$$"""[{"index":0,"delta":{},"finish_reason":"{{{finish}}}"}]"""),
                .. request.TryGetProperty("stream_options", out _) ? [Chunk($"[],\"usage\":{OpenAiUsage}")] : Array.Empty<string>(),
                OpenAi.Done,
            ]);
        }

        static string Text(Said said) => said.Text.Length > 0 ? OpenAi.Quote(string.Concat(said.Text)) : "null";
        static string Call(string id, string arguments) =>
            $$$"""{"id":"{{{id}}}","type":"function","function":{"name":"get_weather","arguments":{{{OpenAi.Quote(arguments)}}}}}""";
        static string Chunk(string choices) =>
            $$"""data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795000000,"model":"served","choices":{{choices}}}""" + "\n\n";
    }

    public static async Task OllamaAsync(FakeExchange exchange)
    {
        var request = exchange.Request.Json;
        if (exchange.Request.Target == "/api/embed")
        {
            await exchange.JsonAsync($$"""{"model":"served","embeddings":[{{string.Join(",", Inputs(request).Select(Vector))}}],"total_duration":1,"load_duration":1,"prompt_eval_count":5}""");
            return;
        }

        if (!await AtAsync(exchange, "/api/chat")) return;

        var asked = Chat(request);
        if (asked.Last == "refuse") await exchange.JsonAsync("""{"error":"I take no such prompt"}""", 400);
        else if (asked.Last == "die") await DieAsync(exchange, Ollama.Lines, Ollama.Token("half"));
        else await SayAsync(Model(asked));

        Task SayAsync(Said said)
        {
            var calls = string.Join(",", Calls.Select((call, index) => $$$"""{"id":"{{{call.Id}}}","function":{"index":{{{index}}},"name":"get_weather","arguments":{{{call.Arguments}}}}}"""));
            var last = $"\"done\":true,\"done_reason\":\"{(said.Cut ? "length" : "stop")}\",{OllamaUsage}";
            var thought = said.Thought.Length > 0 ? $",\"thinking\":{OpenAi.Quote(said.Thought)}" : "";
            var called = said.Calls ? $",\"tool_calls\":[{calls}]" : "";
            List<string> contents = [.. said.Text.Select(OpenAi.Quote)];
            if (thought.Length > 0) contents.Insert(0, "\"\"" + thought);
            if (called.Length > 0) contents.Add("\"\"" + called);
            return Streams(request, unsaid: true)
                ? exchange.StreamAsync(Ollama.Lines,
                [
                    .. contents.Select(content => Line(content, "\"done\":false")),
                    Line("\"\"", last),
                ])
                : exchange.JsonAsync(Line(OpenAi.Quote(string.Concat(said.Text)) + thought + called, last).TrimEnd());
        }

        static string Line(string content, string rest) =>
            $$$"""{"model":"served","created_at":"2026-11-23T06:33:23.058195638Z","message":{"role":"assistant","content":{{{content}}}},{{{rest}}}}""" + "\n";
    }

    public static async Task AnthropicAsync(FakeExchange exchange)
    {
        var request = exchange.Request.Json;
        if (!await AtAsync(exchange, "/v1/messages")) return;

        var blocks = Parts(request.GetProperty("messages").EnumerateArray().Last().GetProperty("content"));
        var asked = new Asked(
            string.Concat(Of("text").Select(block => block.GetProperty("text").GetString())),
            request.TryGetProperty("tools", out var tools) && tools.GetArrayLength() > 0,
            [.. Of("tool_result").Select(block => string.Concat(Parts(block.GetProperty("content")).Select(part => part.GetProperty("text").GetString())))],
            Of("image").Select(block => block.GetProperty("source").GetProperty("data").GetString()).FirstOrDefault());
        if (asked.Last == "refuse") await exchange.JsonAsync(Anthropic.Error("invalid_request_error", "I take no such prompt"), 400);
        else if (asked.Last == "die")
            await DieAsync(exchange, Anthropic.Sse, Anthropic.Start() + Anthropic.Open(0, """{"type":"text","text":""}""") + Anthropic.Text(0, "half"));
        else await SayAsync(Model(asked));

        IEnumerable<JsonElement> Of(string type) => blocks.Where(block => block.GetProperty("type").GetString() == type);

        Task SayAsync(Said said)
        {
            var reason = said.Calls ? "tool_use" : said.Cut ? "max_tokens" : "end_turn";
            var model = request.GetProperty("model").GetString()!;
            var frames = new List<string> { Anthropic.Start(model) };
            var whole = new List<string>();
            if (said.Thought.Length > 0)
                Block("""{"type":"thinking","thinking":"","signature":""}""",
                    $$"""{"type":"thinking","thinking":{{OpenAi.Quote(said.Thought)}},"signature":"c2ln"}""",
                    $$"""{"type":"thinking_delta","thinking":{{OpenAi.Quote(said.Thought)}}}""", """{"type":"signature_delta","signature":"c2ln"}""");
            if (said.Text.Length > 0)
                Block("""{"type":"text","text":""}""", $$"""{"type":"text","text":{{OpenAi.Quote(string.Concat(said.Text))}}}""",
                    [.. said.Text.Select(text => $$"""{"type":"text_delta","text":{{OpenAi.Quote(text)}}}""")]);
            foreach (var (id, arguments) in said.Calls ? Calls : [])
                Block(Use(id, "{}"), Use(id, arguments),
                    [.. arguments.Chunk(6).Select(piece => $$"""{"type":"input_json_delta","partial_json":{{OpenAi.Quote(new string(piece))}}}""")]);
            return Streams(request)
                ? exchange.StreamAsync(Anthropic.Sse, [.. frames, Anthropic.Stop(reason)])
                : exchange.JsonAsync($$$"""{"id":"msg_host","type":"message","role":"assistant","model":"{{{model}}}","content":[{{{string.Join(",", whole)}}}],"stop_reason":"{{{reason}}}","stop_sequence":null,"usage":{"input_tokens":9,"output_tokens":7}}""");

            void Block(string open, string content, params string[] deltas)
            {
                frames.AddRange([Anthropic.Open(whole.Count, open), .. deltas.Select(delta => Anthropic.Delta(whole.Count, delta)),
                    Anthropic.Close(whole.Count)]);
                whole.Add(content);
            }
        }

        static string Use(string id, string arguments) =>
            $$$"""{"type":"tool_use","id":"{{{id}}}","name":"get_weather","input":{{{arguments}}},"caller":{"type":"direct"}}""";
    }

    private static Said Model(Asked asked) => asked switch
    {
        { Image: { } image } => new("", [image]),
        { Results.Length: > 0 } => new("", [string.Join(", ", asked.Results)]),
        { Tools: true } => new("", ["Let me look. "], Calls: true),
        { Last: "think" } => new("Let me think.", ["I thought."]),
        { Last: "long" } => new("", ["too lo"], Cut: true),
        _ => new("", ["Hé", "llo ", "😀"]),
    };

    /// <summary>The last turn of a chat in OpenAI's dialect or in Ollama's, which differ in how they send images.</summary>
    private static Asked Chat(JsonElement request)
    {
        var messages = request.GetProperty("messages").EnumerateArray().Reverse().ToArray();
        var parts = Parts(messages[0].GetProperty("content"));
        var image = messages[0].TryGetProperty("images", out var images)
            ? images[0].GetString()
            : parts.Where(part => part.GetProperty("type").GetString() == "image_url")
                .Select(part => part.GetProperty("image_url").GetProperty("url").GetString()!.Split("base64,")[^1]).FirstOrDefault();
        return new(
            Text(parts),
            request.TryGetProperty("tools", out var tools) && tools.ValueKind is JsonValueKind.Array && tools.GetArrayLength() > 0,
            [.. messages.TakeWhile(message => message.GetProperty("role").GetString() == "tool").Reverse()
                .Select(message => Text(Parts(message.GetProperty("content"))))],
            image);

        static string Text(JsonElement[] parts) =>
            string.Concat(parts.Where(part => part.GetProperty("type").GetString() == "text").Select(part => part.GetProperty("text").GetString()));
    }

    /// <summary>The parts of a content; a string counts as one text part.</summary>
    private static JsonElement[] Parts(JsonElement content) => content.ValueKind switch
    {
        JsonValueKind.Array => [.. content.EnumerateArray()],
        JsonValueKind.String => [JsonElement.Parse($$"""{"type":"text","text":{{content.GetRawText()}}}""")],
        _ => [],
    };

    private static string[] Inputs(JsonElement request) =>
        request.GetProperty("input") is { ValueKind: JsonValueKind.Array } many
            ? [.. many.EnumerateArray().Select(text => text.GetString()!)]
            : [request.GetProperty("input").GetString()!];

    /// <summary>A vector that differs between the two kinds of texts.</summary>
    private static string Vector(string text) => text.Contains("cat", StringComparison.Ordinal) ? "[0.6,0.8]" : "[-0.8,0.6]";

    private static bool Streams(JsonElement request, bool unsaid = false) => request.TryGetProperty("stream", out var stream) ? stream.GetBoolean() : unsaid;

    private static async Task<bool> AtAsync(FakeExchange exchange, string path)
    {
        if (exchange.Request.Target == path) return true;

        await exchange.JsonAsync("""{"error":{"message":"this host knows no such path"}}""", 404);
        return false;
    }

    private static async Task DieAsync(FakeExchange exchange, string contentType, string half)
    {
        if (!Streams(exchange.Request.Json, contentType == Ollama.Lines))
        {
            exchange.Reset();
            return;
        }

        await exchange.HeadAsync(contentType);
        await exchange.ChunkAsync(half);
        await Task.Delay(100);
        exchange.Reset();
    }
}
