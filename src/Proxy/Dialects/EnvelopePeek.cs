using System.Text;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects;

/// <summary>
/// Finds what routing needs in a request body with one forward scan, without building a document. A body that two parsers could read differently is refused,
/// because the parser that authorises and the one that serves must see the same model.
/// </summary>
internal static class EnvelopePeek
{
    /// <summary>Deeper nesting than any known tool schema needs, and a limit on what the parsers of the hosts have to handle.</summary>
    public const int MaxDepth = 256;

    /// <summary>Returns the problem with the body, or null and the envelope.</summary>
    /// <param name="modelOptional">A body without a model gets the model <c>""</c> and an empty slice, instead of a refusal.</param>
    public static ProxyError? Read(ReadOnlySpan<byte> body, out ChatEnvelope? envelope, bool modelOptional = false)
    {
        envelope = null;
        if (body.IsEmpty) return Invalid("the body is empty; send a JSON object with a \"model\"");

        try
        {
            return Skim(body, out envelope) ? null : Scan(body, modelOptional, ref envelope);
        }
        catch (JsonException problem) // Utf8JsonReader throws this for invalid JSON
        {
            envelope = null;
            return Invalid($"the body is not valid JSON (line {problem.LineNumber + 1}, byte {problem.BytePositionInLine + 1}): {Reason(problem)}");
        }
        catch (InvalidOperationException) // a string that is not UTF-8, or half of a surrogate pair
        {
            envelope = null;
            return Invalid("the body is not valid JSON: a name or the model is not valid Unicode text");
        }
    }

    /// <summary>
    /// Fast path for a body in its usual form: skips over the JSON instead of stopping at every token. False for any other body, whether invalid or merely
    /// unusual; the JSON reader then decides and names the problem.
    /// </summary>
    internal static bool Skim(ReadOnlySpan<byte> body, out ChatEnvelope? envelope)
    {
        envelope = null;
        string? model = null;
        Range modelSlice = default;
        Range? optionsSlice = null;
        bool? stream = null;
        var streamSeen = false;
        int? messages = null, input = null;

        var at = JsonSkim.Space(body, 0);
        for (var more = JsonSkim.Enter(body, ref at, (byte)'{', (byte)'}'); more; more = JsonSkim.Another(body, ref at))
        {
            if (!JsonSkim.Name(body, ref at, out var name)) return false;
            var from = at;
            switch (name.Length)
            {
                case 5 when name.SequenceEqual("model"u8):
                    if (model is not null) return false;
                    at = JsonSkim.String(body, from, out var escaped);
                    if (escaped || at - from is <= 2 or > LongestKeptName) return false;
                    model = Kept(body[(from + 1)..(at - 1)]);
                    if (model is null) return false;
                    modelSlice = from..at;
                    break;
                case 6 when name.SequenceEqual("stream"u8):
                    if (streamSeen) return false;
                    streamSeen = true;
                    stream = JsonSkim.Peek(body, from) switch { (byte)'t' => true, (byte)'f' => false, _ => null };
                    if (stream is null && JsonSkim.Peek(body, from) != 'n') return false;
                    at = JsonSkim.Value(body, from);
                    break;
                case 8 when name.SequenceEqual("messages"u8):
                    if (messages is not null) return false;
                    at = Elements(body, from, out messages);
                    break;
                case 5 when name.SequenceEqual("input"u8):
                case 6 when name.SequenceEqual("prompt"u8):
                    if (JsonSkim.Peek(body, from) == '[' && !IsTokens(body, from))
                    {
                        at = Elements(body, from, out input);
                        break;
                    }

                    at = JsonSkim.Value(body, from);
                    if (JsonSkim.Peek(body, from) is (byte)'"' or (byte)'[') input = at - from == 2 ? 0 : 1; // an empty text counts as no message
                    break;
                case 14 when name.SequenceEqual("stream_options"u8):
                    at = JsonSkim.Value(body, from);
                    if (optionsSlice is not null || at == JsonSkim.No || body[from] != '{') return false;
                    optionsSlice = from..at;
                    break;
                case 5 when (name[0] | 0x20) == 'm' && Ascii.EqualsIgnoreCase(name, "model"u8):
                    return false;
                default:
                    at = JsonSkim.Value(body, from);
                    break;
            }
        }

        if (JsonSkim.Peek(body, at) != '}' || JsonSkim.Space(body, at + 1) < body.Length || model is null) return false;

        var includeUsage = false;
        if (optionsSlice is { } options)
        {
            var reader = new Utf8JsonReader(body[options], WireJson.Reading);
            reader.Read();
            includeUsage = ReadIncludeUsage(ref reader);
        }

        envelope = new ChatEnvelope(model, stream, modelSlice) { IncludeUsage = includeUsage, StreamOptionsSlice = optionsSlice, Messages = messages ?? input };
        return true;
    }

    /// <summary>True for a list of numbers. It is one text in the form of tokens; such lists are long, so their elements are not counted.</summary>
    private static bool IsTokens(ReadOnlySpan<byte> body, int at) => JsonSkim.Peek(body, JsonSkim.Space(body, at + 1)) is >= (byte)'0' and <= (byte)'9';

    private static int Elements(ReadOnlySpan<byte> body, int at, out int? count)
    {
        count = null;
        var elements = 0;
        for (var more = JsonSkim.Enter(body, ref at, (byte)'[', (byte)']'); more; more = JsonSkim.Another(body, ref at))
        {
            elements++;
            at = JsonSkim.Value(body, at);
        }

        count = elements;
        return JsonSkim.Peek(body, at) == ']' ? at + 1 : JsonSkim.No;
    }

    internal static ProxyError? Scan(ReadOnlySpan<byte> body, bool modelOptional, ref ChatEnvelope? envelope)
    {
        var json = new Utf8JsonReader(body, new JsonReaderOptions { MaxDepth = MaxDepth });
        json.Read();
        if (json.TokenType != JsonTokenType.StartObject) return Invalid("the body must be a JSON object");

        string? model = null;
        Range modelSlice = default;
        Range? optionsSlice = null;
        bool? stream = null;
        bool streamSeen = false, messagesSeen = false, includeUsage = false;
        int? messages = null, input = null;

        while (json.Read() && json.TokenType == JsonTokenType.PropertyName)
        {
            if (json.ValueTextEquals("model"u8))
            {
                if (model is not null) return Twice("model");
                json.Read();
                if (json.TokenType != JsonTokenType.String) return Invalid("\"model\" must be a string", "model");
                if (json.ValueSpan.Length > LongestEscapedName) return ModelName.TooLong();
                model = Name(ref json);
                if (ModelName.Refusal(model!) is { } tooLong) return tooLong;
                if (string.IsNullOrWhiteSpace(model)) return Invalid("\"model\" is empty; say which model should answer", "model");
                modelSlice = Slice(ref json);
            }
            else if (IsModelInOtherLetters(ref json))
            {
                return Invalid("\"model\" must be in lower case and occur once; some hosts ignore case and would read this member as the model", "model");
            }
            else if (json.ValueTextEquals("stream"u8))
            {
                if (streamSeen) return Twice("stream");
                streamSeen = true;
                json.Read();
                if (json.TokenType is not (JsonTokenType.True or JsonTokenType.False or JsonTokenType.Null)) return Invalid("\"stream\" must be true or false", "stream");
                stream = json.TokenType is JsonTokenType.Null ? null : json.TokenType is JsonTokenType.True;
            }
            else if (json.ValueTextEquals("stream_options"u8))
            {
                if (optionsSlice is not null) return Twice("stream_options");
                json.Read();
                var start = (int)json.TokenStartIndex;
                includeUsage = ReadIncludeUsage(ref json);
                optionsSlice = start..(int)json.BytesConsumed;
            }
            else if (json.ValueTextEquals("messages"u8))
            {
                if (messagesSeen) return Twice("messages");
                messagesSeen = true;
                json.Read();
                if (json.TokenType == JsonTokenType.StartArray) messages = CountElements(ref json);
                else json.Skip();
            }
            else if (json.ValueTextEquals("input"u8) || json.ValueTextEquals("prompt"u8))
            {
                input = CountTexts(body, ref json) ?? input;
            }
            else
            {
                json.Skip();
            }
        }

        json.Read(); // throws if anything but white space follows the object
        if (model is null && !modelOptional) return Invalid("the body has no \"model\"; say which model should answer", "model");

        envelope = new ChatEnvelope(model ?? "", stream, modelSlice)
        {
            IncludeUsage = includeUsage,
            StreamOptionsSlice = optionsSlice,
            Messages = messages ?? input,
        };
        return null;
    }

    // Ollama's parser ignores case, so it reads "Model" as "model": a body with both would be served by a model that was never authorised.
    private static bool IsModelInOtherLetters(ref Utf8JsonReader json) => json.ValueIsEscaped
        ? string.Equals(json.GetString(), "model", StringComparison.OrdinalIgnoreCase)
        : Ascii.EqualsIgnoreCase(json.ValueSpan, "model"u8);

    private static bool ReadIncludeUsage(ref Utf8JsonReader json)
    {
        if (json.TokenType != JsonTokenType.StartObject)
        {
            json.Skip();
            return false;
        }

        var wanted = false;
        while (json.Read() && json.TokenType == JsonTokenType.PropertyName)
        {
            var asks = json.ValueTextEquals("include_usage"u8);
            json.Read();
            if (asks) wanted = json.TokenType == JsonTokenType.True;
            json.Skip();
        }

        return wanted;
    }

    /// <summary>The texts of an <c>input</c> or <c>prompt</c>; null where it is neither a text nor a list.</summary>
    private static int? CountTexts(ReadOnlySpan<byte> body, ref Utf8JsonReader json)
    {
        json.Read();
        if (json.TokenType == JsonTokenType.String) return json.ValueSpan.IsEmpty ? 0 : 1; // an empty text is none
        var isList = json.TokenType == JsonTokenType.StartArray;
        if (isList && !IsTokens(body, (int)json.TokenStartIndex)) return CountElements(ref json);
        json.Skip();
        return isList ? 1 : null;
    }

    private static int CountElements(ref Utf8JsonReader json)
    {
        var count = 0;
        while (json.Read() && json.TokenType != JsonTokenType.EndArray)
        {
            count++;
            json.Skip();
        }

        return count;
    }

    private static Range Slice(ref Utf8JsonReader json) => (int)json.TokenStartIndex..(int)json.BytesConsumed;

    // A proxy sees the same few names all day. The most recent ones are kept, so that a call allocates no string for its name.
    private const int LongestKeptName = 96;

    // One byte may be written as \u0061, which is six bytes.
    private const int LongestEscapedName = 6 * ModelName.LongestBytes;
    private static readonly string?[] RecentNames = new string?[64];

    private static string? Name(ref Utf8JsonReader json)
    {
        var bytes = json.ValueSpan;
        return json.ValueIsEscaped || bytes.Length > LongestKeptName ? json.GetString() : Kept(bytes) ?? json.GetString();
    }

    /// <summary>Returns the kept string for this name. Null if the name is not ASCII or only white space; such names are not kept.</summary>
    /// <param name="bytes">At most <see cref="LongestKeptName"/> bytes.</param>
    private static string? Kept(ReadOnlySpan<byte> bytes)
    {
        var hash = 2166136261u;
        foreach (var value in bytes) hash = (hash ^ value) * 16777619u;
        ref var kept = ref RecentNames[hash % (uint)RecentNames.Length];
        var name = kept;
        if (name is not null && Ascii.Equals(bytes, name)) return name;
        if (!Ascii.IsValid(bytes)) return null;
        name = Encoding.ASCII.GetString(bytes);
        return string.IsNullOrWhiteSpace(name) ? null : kept = name;
    }

    // Removes the line and byte position at the end of the reader's message: it counts lines from 0, and ours is already there.
    private static string Reason(JsonException problem)
    {
        var message = problem.Message;
        var end = message.IndexOf(" LineNumber:", StringComparison.Ordinal);
        return end < 0 ? message : message[..end];
    }

    private static ProxyError Twice(string member) =>
        Invalid($"the body has \"{member}\" twice; parsers choose differently between duplicate keys, so it must occur once", member);

    private static ProxyError Invalid(string message, string? param = null) => new(ProxyErrorKind.InvalidRequest, message) { Param = param };
}
