using Proxy.Tests.Dialects;

namespace Proxy.Tests.Harness;

/// <summary>A host that answers every chat API with the transcript <c>plain</c>, as a stream or as a document.</summary>
internal static class TranscriptHost
{
    public static Task AnswerAsync(FakeExchange exchange)
    {
        var name = exchange.Request.Target switch
        {
            "/v1/chat/completions" => "openai",
            "/v1/completions" => "completions",
            "/v1/responses" => "responses",
            "/api/chat" => "ollama",
            "/api/generate" => "generate",
            _ => "anthropic",
        };
        var streams = exchange.Request.Json.TryGetProperty("stream", out var wish) && wish.GetBoolean();
        if (!streams) return exchange.JsonAsync(Read($"{name}.whole.json").Trim());
        return name is "ollama" or "generate"
            ? exchange.StreamAsync(Ollama.Lines, Read($"{name}.jsonl"))
            : exchange.StreamAsync(OpenAi.Sse, Read($"{name}.sse"));
    }

    private static string Read(string file) => File.ReadAllText(Path.Combine(Wire.Transcripts, "plain", file));
}
