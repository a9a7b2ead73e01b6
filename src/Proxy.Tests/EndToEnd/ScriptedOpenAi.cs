using System.Text.Json;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>A host that speaks only OpenAI and follows the script of the recorded Ollama server, which depends on the user's last message.</summary>
internal static class ScriptedOpenAi
{
    public const string Models = """
        {"object":"list","data":[{"id":"tiny","object":"model","created":1795415601,"owned_by":"vllm","max_model_len":8192},
         {"id":"agent","object":"model","created":1795415601,"owned_by":"vllm","max_model_len":8192},
         {"id":"embed","object":"model","created":1795415602,"owned_by":"vllm","max_model_len":8192}]}
        """;

    private const string Usage = """{"prompt_tokens":9,"completion_tokens":7,"total_tokens":16}""";

    /// <summary>In characters; a real host counts tokens.</summary>
    private const int LongestInput = 4000;

    private sealed record Line(string[] Thoughts, string[] Text, string[] Calls, string Reason);

    public static async Task AnswerAsync(FakeExchange exchange)
    {
        var request = exchange.Request.Json;
        var target = exchange.Request.Target.Split('?')[0];
        if (target == "/v1/embeddings") await EmbedAsync(exchange, request);
        else if (target is not ("/v1/chat/completions" or "/v1/completions")) await exchange.JsonAsync("""{"detail":"Not Found"}""", 404);
        else await SayAsync(exchange, request, chat: target == "/v1/chat/completions");
    }

    private static async Task SayAsync(FakeExchange exchange, JsonElement request, bool chat)
    {
        if (chat && (!request.TryGetProperty("messages", out var messages) || messages.GetArrayLength() == 0))
        {
            await exchange.JsonAsync("""{"error":{"message":"[] is too short - 'messages'","type":"invalid_request_error","param":null,"code":null}}""", 400);
            return;
        }

        var model = request.GetProperty("model").GetString()!;
        var word = LastWord(request, chat);
        var streams = request.TryGetProperty("stream", out var stream) && stream.ValueKind is JsonValueKind.True;
        switch (word)
        {
            case "err":
                await exchange.JsonAsync("""{"error":{"message":"the engine broke","type":"server_error","param":null,"code":500}}""", 500);
                return;
            case "die" when streams:
                await exchange.StreamAsync(OpenAi.Sse, Frame(chat, model, "half ", [], null, first: true));
                return;
            case "die":
                exchange.Reset();
                return;
        }

        var line = word switch
        {
            "use a tool" => new Line([], ["Let me look. "], ["""{"city":"Paris","days":1.5}"""], "tool_calls"),
            "use two tools" => new Line([], [], ["""{"city":"Paris"}""", """{"city":"Rome","days":2}"""], "tool_calls"),
            "length" => new Line([], ["one ", "two "], [], "length"),
            "json" or "json please" => new Line([], ["""{"city":"Paris"}"""], [], "stop"),
            _ when word.StartsWith("think", StringComparison.Ordinal) => new Line(["First I ", "consider."], ["The answer ", "is 42."], [], "stop"),
            _ => new Line([], ["Héllo ", "wörld ", "😀\n"], [], "stop"),
        };
        if (streams) await StreamAsync(exchange, request, chat, model, line);
        else await exchange.JsonAsync(Whole(chat, model, line));
    }

    private static Task StreamAsync(FakeExchange exchange, JsonElement request, bool chat, string model, Line line)
    {
        var frames = new List<string>();
        frames.AddRange(
            line.Thoughts.Select((thought, index) => Chunk(model, $$"""{"role":"assistant","content":"","reasoning":{{OpenAi.Quote(thought)}}}""", null)));
        frames.AddRange(line.Text.Select((text, index) => Frame(chat, model, text, line.Thoughts, null, first: index == 0)));
        frames.AddRange(line.Calls.Select((call, index) => Chunk(model, $$"""{"content":"","tool_calls":[{{Call(call, index)}}]}""", null)));
        frames.Add(chat ? Chunk(model, "{}", line.Reason) : Frame(chat, model, "", [], line.Reason, first: false));
        if (request.TryGetProperty("stream_options", out var options) && options.TryGetProperty("include_usage", out var wanted)
            && wanted.ValueKind is JsonValueKind.True)
            frames.Add($$"""data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795415610"""
                + $$""","model":"{{model}}","system_fingerprint":"fp_ollama","choices":[],"usage":{{Usage}}}""" + "\n\n");
        return exchange.StreamAsync(OpenAi.Sse, [.. frames, OpenAi.Done]);
    }

    private static string Frame(bool chat, string model, string text, string[] thoughts, string? reason, bool first) => chat
        ? Chunk(model, $$"""{{{(first && thoughts.Length == 0 ? "\"role\":\"assistant\"," : "")}}"content":{{OpenAi.Quote(text)}}}""", reason)
        : $$"""data: {"id":"cmpl-1","object":"text_completion","created":1795415612,"choices":["""
            + $$"""{"text":{{OpenAi.Quote(text)}},"index":0,"finish_reason":{{(reason is null ? "null" : OpenAi.Quote(reason))}}}]"""
            + $$""","model":"{{model}}","system_fingerprint":"fp_ollama"}""" + "\n\n";

    private static string Chunk(string model, string delta, string? reason) =>
        $$"""data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795415610,"model":"{{model}}","system_fingerprint":"fp_ollama","choices":["""
            + $$"""{"index":0,"delta":{{delta}},"finish_reason":{{(reason is null ? "null" : OpenAi.Quote(reason))}}}]}""" + "\n\n";

    private static string Whole(bool chat, string model, Line line)
    {
        var text = OpenAi.Quote(string.Concat(line.Text));
        var thought = line.Thoughts.Length > 0 ? $",\"reasoning\":{OpenAi.Quote(string.Concat(line.Thoughts))}" : "";
        var calls = line.Calls.Length > 0 ? $",\"tool_calls\":[{string.Join(",", line.Calls.Select(Call))}]" : "";
        return chat
            ? $$"""{"id":"chatcmpl-1","object":"chat.completion","created":1795415610,"model":"{{model}}","system_fingerprint":"fp_ollama","choices":["""
                + $$"""{"index":0,"message":{"role":"assistant","content":{{text}}{{thought}}{{calls}}},"finish_reason":"{{line.Reason}}"}]"""
                + $$""","usage":{{Usage}}}"""
            : $$"""{"id":"cmpl-1","object":"text_completion","created":1795415612,"model":"{{model}}","system_fingerprint":"fp_ollama","choices":["""
                + $$"""{"text":{{text}},"index":0,"finish_reason":"{{line.Reason}}"}],"usage":{{Usage}}}""";
    }

    private static string Call(string arguments, int index) =>
        $$$"""{"id":"call_{{{(char)('a' + index)}}}","index":{{{index}}},"type":"function","function":"""
            + $$$"""{"name":"get_weather","arguments":{{{OpenAi.Quote(arguments)}}} }}""";

    /// <summary>The user's last message; after a tool's result, the default.</summary>
    private static string LastWord(JsonElement request, bool chat)
    {
        if (!chat) return request.GetProperty("prompt").ValueKind is JsonValueKind.String ? request.GetProperty("prompt").GetString()! : "";
        var last = request.GetProperty("messages").EnumerateArray().Last();
        if (last.GetProperty("role").GetString() != "user") return "";
        var content = last.GetProperty("content");
        return content.ValueKind is JsonValueKind.String ? content.GetString()! : string.Concat(content.EnumerateArray()
            .Where(part => part.GetProperty("type").GetString() == "text").Select(part => part.GetProperty("text").GetString()));
    }

    private static Task EmbedAsync(FakeExchange exchange, JsonElement request)
    {
        var input = request.GetProperty("input");
        if (input.GetRawText().Length > LongestInput)
        {
            return exchange.JsonAsync(
                """{"error":{"message":"the input length exceeds the context length","type":"invalid_request_error","param":null,"code":null}}""", 400);
        }

        var count = input.ValueKind is JsonValueKind.Array ? input.GetArrayLength() : 1;
        var model = request.GetProperty("model").GetString();
        var value = request.TryGetProperty("encoding_format", out var format) && format.GetString() == "base64"
            ? "\"mpkZP83MTD8AAAAAAAAAgA==\"" : "[0.6,0.8,0,-0]";
        var data = string.Join(",", Enumerable.Range(0, count).Select(index => $$"""{"object":"embedding","embedding":{{value}},"index":{{index}}}"""));
        return exchange.JsonAsync($$$"""{"object":"list","data":[{{{data}}}],"model":"{{{model}}}","usage":"""
            + $$$"""{"prompt_tokens":{{{3 * count}}},"total_tokens":{{{3 * count}}} }}""");
    }
}
