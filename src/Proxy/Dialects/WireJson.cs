using System.Buffers;
using System.Runtime.InteropServices;
using System.Text.Json;
using Proxy.Buffers;

namespace Proxy.Dialects;

/// <summary>The form in which every dialect writes JSON: compact, on one line, text as raw UTF-8.</summary>
internal static class WireJson
{
    private static readonly JsonWriterOptions Writing = new() { Encoder = RawTextEncoder.Instance, SkipValidation = true };

    public static readonly JsonReaderOptions Reading = new() { MaxDepth = EnvelopePeek.MaxDepth };

    public static readonly JsonDocumentOptions ReadingWhole = new() { MaxDepth = EnvelopePeek.MaxDepth };

    /// <summary>A reader at the first token of the value.</summary>
    public static Utf8JsonReader Open(ReadOnlySpan<byte> value)
    {
        var json = new Utf8JsonReader(value, Reading);
        json.Read();
        return json;
    }

    /// <summary>The text of an object's member; empty if it has none, or none that is valid text.</summary>
    public static string TextOrEmpty(this JsonElement value, ReadOnlySpan<byte> name)
    {
        if (!value.TryGetProperty(name, out var text) || text.ValueKind is not JsonValueKind.String) return "";
        try
        {
            return text.GetString()!;
        }
        catch (InvalidOperationException) // half of a surrogate pair, or bytes that are not UTF-8
        {
            return "";
        }
    }

    public static Utf8JsonWriter NewWriter(IBufferWriter<byte> output) => new(output, Writing);

    /// <summary>Writes a value byte for byte except line breaks. In JSON line breaks occur only between tokens, and in a frame they would end it.</summary>
    public static void WriteAsItCame(this Utf8JsonWriter json, ReadOnlySpan<byte> value)
    {
        if (value.IndexOfAny((byte)'\n', (byte)'\r') < 0)
        {
            json.WriteRawValue(value, skipInputValidation: true);
            return;
        }

        var oneLine = ByteArrays.Rent(value.Length);
        var length = 0;
        foreach (var part in value)
        {
            if (part is not ((byte)'\n' or (byte)'\r')) oneLine[length++] = part;
        }

        json.WriteRawValue(oneLine.AsSpan(0, length), skipInputValidation: true);
        ByteArrays.Return(oneLine);
    }

    /// <inheritdoc cref="WriteAsItCame(Utf8JsonWriter, ReadOnlySpan{byte})"/>
    public static void WriteAsItCame(this Utf8JsonWriter json, JsonElement value) => json.WriteAsItCame(JsonMarshal.GetRawUtf8Value(value));

    public static void WriteAsItCame(this Utf8JsonWriter json, string name, JsonElement value)
    {
        json.WritePropertyName(name);
        json.WriteAsItCame(value);
    }

    public static void WriteAll(this Utf8JsonWriter json, IReadOnlyList<KeyValuePair<string, JsonElement>> members)
    {
        for (var i = 0; i < members.Count; i++) json.WriteAsItCame(members[i].Key, members[i].Value);
    }

    /// <summary>
    /// Handles members that only their own dialect knows: writes them unchanged for a host of that dialect, otherwise names them as lost, with
    /// <paramref name="place"/> in front.
    /// </summary>
    public static void WriteOrLose(this Utf8JsonWriter json, IReadOnlyList<KeyValuePair<string, JsonElement>> members, bool own, string place,
        List<string> lost)
    {
        if (own) json.WriteAll(members);
        else lost.AddNames(place, members);
    }

    /// <summary>Names lost members, with <paramref name="place"/> in front.</summary>
    public static void AddNames(this List<string> lost, string place, IReadOnlyList<KeyValuePair<string, JsonElement>> members)
    {
        foreach (var member in members) lost.Add(place + member.Key);
    }

    /// <summary>Names a member as lost if the request has it.</summary>
    public static void AddIf(this List<string> lost, bool present, string name)
    {
        if (present) lost.Add(name);
    }

    /// <summary>
    /// Writes a text that may be as long as an answer. It is written in segments, because the writer reserves six times the length of a text that it escapes.
    /// </summary>
    public static void WriteLongString(this Utf8JsonWriter json, ReadOnlySpan<byte> name, string text)
    {
        const int Piece = 32 << 10;
        if (text.Length <= Piece)
        {
            json.WriteString(name, text);
            return;
        }

        json.WritePropertyName(name);
        for (var at = 0; at < text.Length; at += Piece)
        {
            var rest = text.AsSpan(at);
            json.WriteStringValueSegment(rest.Length > Piece ? rest[..Piece] : rest, isFinalSegment: rest.Length <= Piece);
        }
    }

    /// <summary>Writes a list of texts; nothing if it is empty.</summary>
    public static void WriteTexts(this Utf8JsonWriter json, ReadOnlySpan<byte> name, IReadOnlyList<string> texts)
    {
        if (texts.Count > 0) json.WriteList(name, texts);
    }

    /// <summary>Writes a list of texts, even an empty one.</summary>
    public static void WriteList(this Utf8JsonWriter json, ReadOnlySpan<byte> name, params IEnumerable<string> texts)
    {
        json.WriteStartArray(name);
        foreach (var text in texts) json.WriteStringValue(text);
        json.WriteEndArray();
    }

    /// <summary>Writes the member if it has a value.</summary>
    public static void WriteOptional(this Utf8JsonWriter json, ReadOnlySpan<byte> name, string? value)
    {
        if (value is not null) json.WriteString(name, value);
    }

    /// <inheritdoc cref="WriteOptional(Utf8JsonWriter, ReadOnlySpan{byte}, string)"/>
    public static void WriteOptional(this Utf8JsonWriter json, ReadOnlySpan<byte> name, long? value)
    {
        if (value is { } number) json.WriteNumber(name, number);
    }

    /// <inheritdoc cref="WriteOptional(Utf8JsonWriter, ReadOnlySpan{byte}, string)"/>
    public static void WriteOptional(this Utf8JsonWriter json, ReadOnlySpan<byte> name, double? value)
    {
        if (value is { } number) json.WriteNumber(name, number);
    }

    /// <inheritdoc cref="WriteOptional(Utf8JsonWriter, ReadOnlySpan{byte}, string)"/>
    public static void WriteOptional(this Utf8JsonWriter json, ReadOnlySpan<byte> name, bool? value)
    {
        if (value is { } flag) json.WriteBoolean(name, flag);
    }

    /// <inheritdoc cref="WriteOptional(Utf8JsonWriter, ReadOnlySpan{byte}, string)"/>
    public static void WriteOptional(this Utf8JsonWriter json, string name, JsonElement? value)
    {
        if (value is { } some) json.WriteAsItCame(name, some);
    }

    /// <summary>Begins an object with its member <c>type</c>.</summary>
    public static void WriteStartOfType(this Utf8JsonWriter json, ReadOnlySpan<byte> type)
    {
        json.WriteStartObject();
        json.WriteString("type"u8, type);
    }

    /// <summary>Begins the member <paramref name="name"/>, an object with a member <c>type</c>.</summary>
    public static void WriteStartOfType(this Utf8JsonWriter json, ReadOnlySpan<byte> name, ReadOnlySpan<byte> type)
    {
        json.WritePropertyName(name);
        json.WriteStartOfType(type);
    }

    /// <summary>Writes an object that has only the member <paramref name="member"/>.</summary>
    public static void WriteObject(this Utf8JsonWriter json, ReadOnlySpan<byte> name, ReadOnlySpan<byte> member, string? value)
    {
        json.WriteStartObject(name);
        json.WriteString(member, value);
        json.WriteEndObject();
    }

    /// <inheritdoc cref="WriteObject(Utf8JsonWriter, ReadOnlySpan{byte}, ReadOnlySpan{byte}, string)"/>
    public static void WriteObject(this Utf8JsonWriter json, ReadOnlySpan<byte> name, ReadOnlySpan<byte> member, int value)
    {
        json.WriteStartObject(name);
        json.WriteNumber(member, value);
        json.WriteEndObject();
    }

    public static void WriteEmptyObject(this Utf8JsonWriter json, ReadOnlySpan<byte> name)
    {
        json.WriteStartObject(name);
        json.WriteEndObject();
    }

    /// <summary>The members of an object, without the two named ones.</summary>
    public static List<KeyValuePair<string, JsonElement>> Others(this JsonElement value, string known, string alsoKnown = "type")
    {
        var others = new List<KeyValuePair<string, JsonElement>>();
        foreach (var member in value.EnumerateObject())
        {
            if (member.Name != known && member.Name != alsoKnown) others.Keep(member);
        }

        return others;
    }

    /// <summary>Adds the member as it came.</summary>
    public static void Keep(this List<KeyValuePair<string, JsonElement>> members, JsonProperty member) => members.Keep(member.Name, member.Value);

    public static void Keep(this List<KeyValuePair<string, JsonElement>> members, string name, JsonElement value) => members.Add(new(name, value.Clone()));

    public static bool Has(this IReadOnlyList<KeyValuePair<string, JsonElement>> members, string name) => members.Find(name) is not null;

    public static JsonElement? Find(this IReadOnlyList<KeyValuePair<string, JsonElement>> members, string name)
    {
        for (var i = 0; i < members.Count; i++)
        {
            if (members[i].Key == name) return members[i].Value;
        }

        return null;
    }

    /// <summary>The member of <see cref="Chat.ChatEvent.Opaque"/> with that name.</summary>
    public static JsonElement? Member(this JsonElement? opaque, ReadOnlySpan<byte> name) =>
        opaque is { ValueKind: JsonValueKind.Object } members && members.TryGetProperty(name, out var value) && value.ValueKind is not JsonValueKind.Null
            ? value
            : null;

    /// <summary>Writes a text's UTF-8 bytes as a list of numbers.</summary>
    public static void WriteBytes(this Utf8JsonWriter json, ReadOnlySpan<byte> name, string text)
    {
        json.WriteStartArray(name);
        foreach (var value in System.Text.Encoding.UTF8.GetBytes(text)) json.WriteNumberValue(value);
        json.WriteEndArray();
    }

    /// <summary>An object with one member, for <see cref="Chat.ChatEvent.Opaque"/>.</summary>
    public static JsonElement Opaque(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value)
    {
        var buffer = new ArrayBufferWriter<byte>(name.Length + value.Length + 5);
        buffer.Write("{\""u8);
        buffer.Write(name);
        buffer.Write("\":"u8);
        buffer.Write(value);
        buffer.Write("}"u8);
        return Parse(buffer.WrittenSpan);
    }

    /// <inheritdoc cref="Opaque(ReadOnlySpan{byte}, ReadOnlySpan{byte})"/>
    public static JsonElement Opaque(ReadOnlySpan<byte> name, string value) => Opaque(name, Written(json => json.WriteStringValue(value)));

    /// <summary>The bytes that <paramref name="write"/> writes.</summary>
    public static ReadOnlySpan<byte> Written(Action<Utf8JsonWriter> write)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = NewWriter(buffer)) write(json);
        return buffer.WrittenSpan;
    }

    /// <summary>Parses a value that owns its memory.</summary>
    public static JsonElement Parse(ReadOnlySpan<byte> value)
    {
        var reader = new Utf8JsonReader(value, Reading);
        return JsonElement.ParseValue(ref reader);
    }

    /// <summary>True if a text is one JSON object, as tool arguments should be.</summary>
    public static bool IsObject(string text)
    {
        if (!text.AsSpan().TrimStart().StartsWith('{')) return false;
        var bytes = ByteArrays.Rent(text.Length * 3);
        try
        {
            var reader = new Utf8JsonReader(bytes.AsSpan(0, System.Text.Encoding.UTF8.GetBytes(text, bytes)), Reading);
            reader.Read();
            reader.Skip();
            return !reader.Read();
        }
        catch (JsonException) // the reader throws this for invalid JSON
        {
            return false;
        }
        finally
        {
            ByteArrays.Return(bytes);
        }
    }
}
