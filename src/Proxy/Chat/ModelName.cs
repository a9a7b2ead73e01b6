using System.Collections.Concurrent;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Proxy.Chat;

/// <summary>Writes a model's name as JSON, and finds its position in JSON.</summary>
internal static class ModelName
{
    private const int Remembered = 1024;
    private static readonly ConcurrentDictionary<string, byte[]> Written = new();

    /// <summary>
    /// The longest name that is looked up, in bytes of UTF-8. It bounds the memory of everything that is stored by name, whatever clients send.
    /// </summary>
    public const int LongestBytes = 512;

    /// <summary>The <see cref="ProxyError.Code"/> for a longer name.</summary>
    public const string TooLongCode = "model_name_too_long";

    /// <summary>What the name of a pipeline begins with where it stands for a model.</summary>
    public const string PipelinePrefix = "pipeline/";

    private const int LongestShown = 128;

    /// <summary>The tag that Ollama and its clients append to a name without one.</summary>
    public const string Latest = ":latest";

    /// <summary>True if the names are equal, or differ only in <see cref="Latest"/>.</summary>
    public static bool Same(string a, string b) =>
        a.Length == b.Length ? a == b : a.Length < b.Length ? IsTagged(b, a) : IsTagged(a, b);

    /// <summary>The name without <see cref="Latest"/>.</summary>
    public static string Bare(string name) => name.EndsWith(Latest, StringComparison.Ordinal) ? name[..^Latest.Length] : name;

    /// <summary>The error for a client's name that is too long to be looked up. Null if it is not.</summary>
    /// <param name="name">The name as the client wrote it, without JSON escapes.</param>
    /// <param name="param">The member that holds it.</param>
    public static ProxyError? Refusal(string name, string param = "model") => Fits(name) ? null : TooLong(param);

    /// <summary>The error for a name longer than <see cref="LongestBytes"/>.</summary>
    public static ProxyError TooLong(string param = "model") =>
        new(ProxyErrorKind.InvalidRequest, $"\"{param}\" is longer than {LongestBytes} bytes, the maximum for a model's name")
        {
            Param = param,
            Code = TooLongCode
        };

    /// <summary>True if the name has at most <see cref="LongestBytes"/> bytes.</summary>
    public static bool Fits(string name) =>
        name.Length <= LongestBytes / 3 || (name.Length <= LongestBytes && Encoding.UTF8.GetByteCount(name) <= LongestBytes);

    /// <summary>The name for a message or the log, shortened if it is long.</summary>
    public static string Shown(string name) =>
        name.Length <= LongestShown ? name : $"{name.AsSpan(0, char.IsHighSurrogate(name[LongestShown - 1]) ? LongestShown - 1 : LongestShown)}…";

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
    /// The position of the answer's <c>model</c> value, quotes included: at the top level, or inside the object of a first or last event (<c>message</c>,
    /// <c>response</c>). Null if there is none, or if the text is not a JSON object.
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
            // Not JSON: the host's bytes are passed on unchanged, and the client's parser reports the error.
            return null;
        }

        return wrapped;
    }

    /// <summary>Reads to the end of the object that the reader has entered.</summary>
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
