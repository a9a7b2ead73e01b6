using System.Text.Json;

namespace Proxy.Tests.Harness;

/// <summary>OpenAI's wire format, as a host writes it.</summary>
internal static class OpenAi
{
    public const string Sse = "text/event-stream";
    public const string Done = "data: [DONE]\n\n";

    public static string Request(string model, bool stream = false, string more = "", string text = "hello") =>
        $$"""{"model":{{Quote(model)}},"messages":[{"role":"user","content":{{Quote(text)}}}],"stream":{{(stream ? "true" : "false")}}{{more}}}""";

    public static string Role(string model = "served") => Chunk(model, """{"role":"assistant","content":""}""");

    public static string Token(string text, string model = "served") => Chunk(model, $$"""{"content":{{Quote(text)}}}""");

    public static string Stop(string model = "served") => Chunk(model, "{}", "\"stop\"");

    /// <summary>A complete stream of these tokens.</summary>
    public static string[] Stream(params string[] tokens) => [Role(), .. tokens.Select(token => Token(token)), Stop(), Done];

    public static string Whole(string text, string model = "served") =>
        $$$"""{"id":"chatcmpl-1","object":"chat.completion","created":1795000000,"model":{{{Quote(model)}}},"choices":[{"index":0,"message":"""
            + $$$"""{"role":"assistant","content":{{{Quote(text)}}},"refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":"""
            + $$$"""{"prompt_tokens":9,"completion_tokens":7,"total_tokens":16}}""";

    public static string Error(string message, string type = "server_error", string code = "null") =>
        $$$"""{"error":{"message":{{{Quote(message)}}},"type":"{{{type}}}","param":null,"code":{{{code}}}}}""";

    public static string ErrorFrame(string message) => $"data: {Error(message)}\n\n";

    /// <summary>The text that a client's user reads from a stream.</summary>
    public static string Read(RawReply reply) =>
        string.Concat(reply.Events.Where(data => data != "[DONE]").Select(data => JsonElement.Parse(data))
            .Where(chunk => chunk.TryGetProperty("choices", out var choices) && choices.GetArrayLength() > 0)
            .Select(chunk => chunk.GetProperty("choices")[0].GetProperty("delta").TryGetProperty("content", out var content) ? content.GetString() : null));

    /// <summary>The error object of the stream's only error frame, which must be the last event before <c>[DONE]</c>.</summary>
    public static JsonElement ReadError(RawReply reply)
    {
        var last = reply.Events.LastOrDefault(data => data != "[DONE]")
            ?? throw new InvalidOperationException($"the stream has no event at all: '{reply.Text}'");
        return JsonElement.Parse(last).TryGetProperty("error", out var error)
            ? error : throw new InvalidOperationException($"the stream does not end with an error: '{reply.Text}'");
    }

    /// <summary>A JSON string with its characters unescaped, emoji included, as most hosts write it; .NET's encoder would escape them.</summary>
    public static string Quote(string text) =>
        '"' + text.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal)
            .Replace("\n", "\\n", StringComparison.Ordinal) + '"';

    private static string Chunk(string model, string delta, string finish = "null") =>
        $$"""data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795000000,"model":{{Quote(model)}},"choices":["""
            + $$"""{"index":0,"delta":{{delta}},"logprobs":null,"finish_reason":{{finish}}}]}""" + "\n\n";
}
