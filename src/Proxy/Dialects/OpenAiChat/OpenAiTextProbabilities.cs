using System.Buffers;
using System.Runtime.InteropServices;
using System.Text.Json;

namespace Proxy.Dialects.OpenAiChat;

/// <summary>
/// Converts log probabilities between the lists of a completion (<c>tokens</c>, <c>token_logprobs</c>, <c>top_logprobs</c>, <c>text_offset</c>) and the form
/// that events carry, which is that of Chat Completions.
/// </summary>
internal static class OpenAiTextProbabilities
{
    /// <summary>Reads them into the form that events carry. Null if there are no tokens. Some hosts already answer completions in that form.</summary>
    public static JsonElement? Read(ReadOnlySpan<byte> value)
    {
        var lists = WireJson.Parse(value);
        if (lists.TryGetProperty("content"u8, out _)) return WireJson.Opaque("logprobs"u8, value);
        if (!lists.TryGetProperty("tokens"u8, out var tokens) || tokens.ValueKind is not JsonValueKind.Array || tokens.GetArrayLength() == 0) return null;

        return WireJson.Parse(WireJson.Written(json =>
        {
            json.WriteStartObject();
            json.WriteStartObject("logprobs"u8);
            json.WriteStartArray("content"u8);
            var at = 0;
            foreach (var token in tokens.EnumerateArray())
            {
                json.WriteStartObject();
                WriteToken(json, token.ToString(), Item(lists, "token_logprobs"u8, at));
                json.WriteStartArray("top_logprobs"u8);
                if (Item(lists, "top_logprobs"u8, at++) is { ValueKind: JsonValueKind.Object } others)
                {
                    foreach (var other in others.EnumerateObject())
                    {
                        json.WriteStartObject();
                        WriteToken(json, other.Name, other.Value);
                        json.WriteEndObject();
                    }
                }

                json.WriteEndArray();
                json.WriteEndObject();
            }

            json.WriteEndArray();
            json.WriteNull("refusal"u8);
            json.WriteEndObject();
            json.WriteEndObject();
        }));
    }

    /// <summary>Writes the member's value: the lists, or null if there are no tokens.</summary>
    /// <param name="json">Positioned after the member's name.</param>
    /// <param name="pieces">The log probabilities of each event, in order.</param>
    /// <param name="offset">The position of the first token in the answer, in characters; on return, the position after the last token.</param>
    public static void Write(Utf8JsonWriter json, IReadOnlyList<JsonElement> pieces, ref int offset)
    {
        var tokens = new List<JsonElement>();
        foreach (var piece in pieces)
        {
            if (piece.TryGetProperty("content"u8, out var list) && list.ValueKind is JsonValueKind.Array) tokens.AddRange(list.EnumerateArray());
        }

        if (tokens.Count == 0)
        {
            json.WriteNullValue();
            return;
        }

        json.WriteStartObject();
        json.WriteStartArray("tokens"u8);
        foreach (var token in tokens) json.WriteStringValue(Text(token));
        json.WriteEndArray();
        json.WriteStartArray("token_logprobs"u8);
        foreach (var token in tokens) WriteNumber(json, token);
        json.WriteEndArray();
        json.WriteStartArray("top_logprobs"u8);
        foreach (var token in tokens) WriteAlternatives(json, token);
        json.WriteEndArray();
        json.WriteStartArray("text_offset"u8);
        foreach (var token in tokens)
        {
            json.WriteNumberValue(offset);
            foreach (var _ in Text(token).EnumerateRunes()) offset++;
        }

        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static void WriteAlternatives(Utf8JsonWriter json, JsonElement token)
    {
        json.WriteStartObject();
        if (Member(token, "top_logprobs"u8) is { ValueKind: JsonValueKind.Array } top)
        {
            var named = new HashSet<string>();
            foreach (var other in top.EnumerateArray())
            {
                if (!named.Add(Text(other))) continue; // tokens whose bytes are not valid text can look alike
                json.WritePropertyName(Text(other));
                WriteNumber(json, other);
            }
        }

        json.WriteEndObject();
    }

    private static void WriteNumber(Utf8JsonWriter json, JsonElement token)
    {
        if (Member(token, "logprob"u8) is { ValueKind: JsonValueKind.Number } number)
            json.WriteRawValue(JsonMarshal.GetRawUtf8Value(number), skipInputValidation: true);
        else json.WriteNumberValue(0);
    }

    private static void WriteToken(Utf8JsonWriter json, string text, JsonElement? probability)
    {
        json.WriteString("token"u8, text);
        if (probability is { ValueKind: JsonValueKind.Number } number) json.WriteAsItCame("logprob", number);
        else json.WriteNumber("logprob"u8, 0); // the first token of a prompt has no probability
        json.WriteBytes("bytes"u8, text);
    }

    /// <summary>The token's text; U+FFFD if it is not Unicode, such as half of a character.</summary>
    private static string Text(JsonElement token)
    {
        try
        {
            return Member(token, "token"u8) is { ValueKind: JsonValueKind.String } text ? text.GetString()! : "";
        }
        catch (InvalidOperationException)
        {
            return "\ufffd";
        }
    }

    /// <summary>Null if there is no such member, or if its neighbours' names cannot be read.</summary>
    private static JsonElement? Member(JsonElement token, ReadOnlySpan<byte> name)
    {
        try
        {
            return token.TryGetProperty(name, out var value) ? value : null;
        }
        catch (InvalidOperationException) // it is no object, or a name in it is not Unicode
        {
            return null;
        }
    }

    private static JsonElement? Item(JsonElement lists, ReadOnlySpan<byte> name, int at) =>
        lists.TryGetProperty(name, out var list) && list.ValueKind is JsonValueKind.Array && at < list.GetArrayLength() ? list[at] : null;
}
