using System.Text.Json;

namespace Proxy.Tests.Harness;

/// <summary>Ollama's wire format, as a host writes it.</summary>
internal static class Ollama
{
    public const string Lines = "application/x-ndjson";

    public static string Request(string model, bool? stream = null, string more = "", string text = "hello") =>
        $$"""{"model":{{OpenAi.Quote(model)}},"messages":[{"role":"user","content":{{OpenAi.Quote(text)}}}]"""
            + $$"""{{(stream is { } wanted ? $",\"stream\":{(wanted ? "true" : "false")}" : "")}}{{more}}}""";

    public static string Token(string text, string model = "served") =>
        $$$"""{"model":{{{OpenAi.Quote(model)}}},"created_at":"2026-11-23T06:33:23.058195638Z","message":"""
            + $$$"""{"role":"assistant","content":{{{OpenAi.Quote(text)}}}},"done":false}""" + "\n";

    public static string Last(string model = "served", string text = "") =>
        $$$"""{"model":{{{OpenAi.Quote(model)}}},"created_at":"2026-11-23T06:33:23.105833668Z","message":"""
            + $$$"""{"role":"assistant","content":{{{OpenAi.Quote(text)}}}},"done":true,"done_reason":"stop","total_duration":340155604"""
            + $$$""","load_duration":264697414,"prompt_eval_count":9,"prompt_eval_duration":12500000,"eval_count":7,"eval_duration":70100000}""" + "\n";

    /// <summary>A line of <c>/api/generate</c>.</summary>
    public static string Piece(string text) =>
        $$"""{"model":"served","created_at":"2026-11-23T06:33:28.204575202Z","response":{{OpenAi.Quote(text)}},"done":false}""" + "\n";

    public static string LastPiece(string text = "", string reason = "stop") =>
        $$"""{"model":"served","created_at":"2026-11-23T06:33:28.249069903Z","response":{{OpenAi.Quote(text)}},"done":true"""
            + $$""","done_reason":"{{reason}}","context":[0,1,2],"total_duration":332819750,"prompt_eval_count":9,"prompt_eval_duration":12500000"""
            + $$""","eval_count":7,"eval_duration":70100000}""" + "\n";

    public static string[] Stream(params string[] tokens) => [.. tokens.Select(token => Token(token)), Last()];

    /// <summary>The text that a client's user reads from a stream.</summary>
    public static string Read(RawReply reply) =>
        string.Concat(reply.JsonLines.Where(line => line.TryGetProperty("message", out _))
            .Select(line => line.GetProperty("message").GetProperty("content").GetString()));

    public static string ReadError(RawReply reply)
    {
        var lines = reply.JsonLines;
        return lines.Count > 0 && lines[^1].TryGetProperty("error", out var error)
            ? error.GetString()!
            : throw new InvalidOperationException($"the stream does not end with an error: '{reply.Text}'");
    }
}
