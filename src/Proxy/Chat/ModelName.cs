using System.Collections.Concurrent;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Proxy.Chat;

/// <summary>A model's name as it stands in JSON: writing it, and finding where it stands.</summary>
internal static class ModelName
{
    private const int Remembered = 1024;
    private static readonly ConcurrentDictionary<string, byte[]> Written = new();

    /// <summary>What Ollama and its clients add to a name that has no tag.</summary>
    public const string Latest = ":latest";

    /// <summary>The same name, with <see cref="Latest"/> or without.</summary>
    public static bool Same(string a, string b) =>
        a.Length == b.Length ? a == b : a.Length < b.Length ? IsTagged(b, a) : IsTagged(a, b);

    /// <summary>The name without <see cref="Latest"/>.</summary>
    public static string Bare(string name) => name.EndsWith(Latest, StringComparison.Ordinal) ? name[..^Latest.Length] : name;

    private static bool IsTagged(string tagged, string bare) =>
        tagged.Length == bare.Length + Latest.Length && tagged.EndsWith(Latest, StringComparison.Ordinal) && tagged.StartsWith(bare, StringComparison.Ordinal);

    /// <summary>The name as a JSON string in UTF-8, quotes included.</summary>
    public static ReadOnlyMemory<byte> Json(string name)
    {
        if (Written.TryGetValue(name, out var known)) return known;
        var json = Encoding.UTF8.GetBytes($"\"{JavaScriptEncoder.UnsafeRelaxedJsonEscaping.Encode(name)}\"");
        if (Written.Count < Remembered) Written[name] = json;
        return json;
    }

    /// <summary>
    /// Where the answer's <c>model</c> stands, quotes included: at the top level, or in the object that a first or last event wraps (<c>message</c>, <c>response</c>).
    /// Null when there is none, or it is no JSON object.
    /// </summary>
    public static Range? Find(ReadOnlySpan<byte> json)
    {
        if (json.TrimStart(" \t\r\n"u8) is not [(byte)'{', ..]) return null;
        Range? wrapped = null;
        try
        {
            var reader = new Utf8JsonReader(json);
            reader.Read();
            while (reader.Read() && reader.TokenType is JsonTokenType.PropertyName)
            {
                var isModel = reader.ValueTextEquals("model"u8);
                var wraps = !isModel && (reader.ValueTextEquals("message"u8) || reader.ValueTextEquals("response"u8));
                reader.Read();
                if (isModel && reader.TokenType is JsonTokenType.String) return (int)reader.TokenStartIndex..(int)reader.BytesConsumed;
                if (wraps && reader.TokenType is JsonTokenType.StartObject) wrapped = FindInside(ref reader) ?? wrapped;
                else reader.Skip();
            }
        }
        catch (JsonException)
        {
            // Not JSON: a host's bytes are passed on as they are, and the client's parser is the judge of them.
            return null;
        }

        return wrapped;
    }

    /// <summary>Reads on to the end of the object that the reader has entered.</summary>
    private static Range? FindInside(ref Utf8JsonReader reader)
    {
        Range? found = null;
        while (reader.Read() && reader.TokenType is JsonTokenType.PropertyName)
        {
            var isModel = reader.ValueTextEquals("model"u8);
            reader.Read();
            if (isModel && reader.TokenType is JsonTokenType.String) found = (int)reader.TokenStartIndex..(int)reader.BytesConsumed;
            reader.Skip();
        }

        return found;
    }
}
