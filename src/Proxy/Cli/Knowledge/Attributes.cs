using System.Buffers;
using System.Globalization;
using System.Text.Json;

namespace Proxy.Cli.Knowledge;

/// <summary>Attributes of files: JSON objects of texts, numbers and truth values, as the API takes them.</summary>
internal static class Attributes
{
    private const int Most = 16, LongestName = 64, LongestText = 512;

    public static JsonElement None { get; } = JsonElement.Parse("{}");

    /// <summary>Reads <c>name=value</c>. A value that is a number, true or false is that; to have it as a text, it is written in quotes.</summary>
    public static (JsonElement? Read, string? Problem) Read(IReadOnlyList<string> written)
    {
        var into = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(into))
        {
            json.WriteStartObject();
            foreach (var one in written)
            {
                if (one.IndexOf('=', StringComparison.Ordinal) is not (> 0 and var at)) return (null, $"--attributes takes NAME=VALUE, not \"{one}\".");
                Write(json, one[..at], one[(at + 1)..]);
            }

            json.WriteEndObject();
        }

        var read = JsonElement.Parse(into.WrittenSpan);
        return Problem(read) is { } problem ? (null, $"--attributes: {problem}.") : (read, null);
    }

    /// <summary>What the API would refuse; null: nothing.</summary>
    public static string? Problem(JsonElement attributes)
    {
        if (attributes.ValueKind is not JsonValueKind.Object) return "\"attributes\" is not an object";
        var names = new HashSet<string>(StringComparer.Ordinal);
        foreach (var attribute in attributes.EnumerateObject())
        {
            if (attribute.Name.Length is 0 or > LongestName) return $"the name of an attribute has 1 to {LongestName} characters";
            if (!names.Add(attribute.Name)) return $"the attribute \"{attribute.Name}\" is given twice";
            if (attribute.Value.ValueKind is not (JsonValueKind.String or JsonValueKind.Number or JsonValueKind.True or JsonValueKind.False))
                return $"the attribute \"{attribute.Name}\" is not a text, a number, true or false";
            if (attribute.Value.ValueKind is JsonValueKind.String && attribute.Value.GetString()!.Length > LongestText)
                return $"the attribute \"{attribute.Name}\" is longer than {LongestText} characters";
        }

        return names.Count > Most ? $"there are more than {Most} attributes" : null;
    }

    /// <summary>A document's own attributes, its address, and those common ones that it has no values of its own for.</summary>
    public static JsonElement Combine(JsonElement? common, JsonElement? own, string? url)
    {
        var into = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(into))
        {
            var names = new HashSet<string>(StringComparer.Ordinal);
            json.WriteStartObject();
            if (own is { } first)
            {
                foreach (var attribute in first.EnumerateObject())
                {
                    if (names.Add(attribute.Name)) attribute.WriteTo(json);
                }
            }

            if (url is { Length: > 0 and <= LongestText } && names.Add("url")) json.WriteString("url", url);
            if (common is { } rest)
            {
                foreach (var attribute in rest.EnumerateObject())
                {
                    if (names.Add(attribute.Name)) attribute.WriteTo(json);
                }
            }

            json.WriteEndObject();
        }

        return JsonElement.Parse(into.WrittenSpan);
    }

    private static void Write(Utf8JsonWriter json, string name, string value)
    {
        const NumberStyles Number = NumberStyles.AllowLeadingSign | NumberStyles.AllowDecimalPoint;
        if (value is "true" or "false") json.WriteBoolean(name, value == "true");
        else if (value.Length < 20 && decimal.TryParse(value, Number, CultureInfo.InvariantCulture, out var number))
            json.WriteNumber(name, number);
        else json.WriteString(name, value is ['"', .., '"'] ? value[1..^1] : value);
    }
}
