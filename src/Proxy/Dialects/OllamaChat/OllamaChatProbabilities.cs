using System.Buffers;
using System.Text.Json;

namespace Proxy.Dialects.OllamaChat;

/// <summary>
/// Converts log probabilities from Ollama's list of tokens to the form that events carry (OpenAI's). OpenAI's form requires bytes and alternatives for each
/// token; Ollama may leave both out.
/// </summary>
internal static class OllamaChatProbabilities
{
    public static JsonElement Read(ReadOnlySpan<byte> list)
    {
        var tokens = WireJson.Parse(list);
        return WireJson.Parse(WireJson.Written(json =>
        {
            json.WriteStartObject();
            json.WriteStartObject("logprobs"u8);
            json.WriteStartArray("content"u8);
            foreach (var token in tokens.EnumerateArray().Where(IsToken)) WriteToken(json, token, alternatives: true);
            json.WriteEndArray();
            json.WriteNull("refusal"u8);
            json.WriteEndObject();
            json.WriteEndObject();
        }));
    }

    /// <summary>Writes the member <c>logprobs</c>, if there is a probability for at least one token of the answer.</summary>
    public static void Write(Utf8JsonWriter json, IReadOnlyList<JsonElement> pieces)
    {
        var any = false;
        foreach (var piece in pieces)
        {
            if (!piece.TryGetProperty("content"u8, out var list) || list.ValueKind is not JsonValueKind.Array) continue;
            foreach (var token in list.EnumerateArray().Where(IsToken))
            {
                if (!any) json.WriteStartArray("logprobs"u8);
                any = true;
                json.WriteAsItCame(token);
            }
        }

        if (any) json.WriteEndArray();
    }

    private static bool IsToken(JsonElement token) => token.ValueKind is JsonValueKind.Object;

    private static void WriteToken(Utf8JsonWriter json, JsonElement token, bool alternatives)
    {
        var text = token.TextOrEmpty("token"u8);
        json.WriteStartObject();
        json.WriteString("token"u8, text);
        if (token.TryGetProperty("logprob"u8, out var probability)) json.WriteAsItCame("logprob", probability);
        if (token.TryGetProperty("bytes"u8, out var bytes)) json.WriteAsItCame("bytes", bytes);
        else json.WriteBytes("bytes"u8, text);
        if (alternatives)
        {
            json.WriteStartArray("top_logprobs"u8);
            if (token.TryGetProperty("top_logprobs"u8, out var top) && top.ValueKind is JsonValueKind.Array)
            {
                foreach (var other in top.EnumerateArray().Where(IsToken)) WriteToken(json, other, alternatives: false);
            }

            json.WriteEndArray();
        }

        json.WriteEndObject();
    }
}
