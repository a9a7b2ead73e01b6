using System.Text.Json;

namespace Proxy.Inference.Tokenizing;

/// <summary>A value of a JSON file together with its path, for error messages.</summary>
internal readonly record struct JsonPlace(JsonElement Value, string File, string Path)
{
    public bool IsNull => Value.ValueKind is JsonValueKind.Null or JsonValueKind.Undefined;

    /// <summary>A required member.</summary>
    public JsonPlace this[string name]
    {
        get
        {
            var member = Optional(name);
            return member.IsNull ? throw Wrong($"has no \"{name}\"") : member;
        }
    }

    /// <summary>A member; <see cref="IsNull"/> if it is absent or null.</summary>
    public JsonPlace Optional(string name)
    {
        if (Value.ValueKind != JsonValueKind.Object) throw Wrong("is not an object");
        return new(Value.TryGetProperty(name, out var member) ? member : default, File, Path.Length == 0 ? name : $"{Path}.{name}");
    }

    public string Text => Value.ValueKind == JsonValueKind.String ? ReadText() : throw Wrong("is not a string");

    public string Type => this["type"].Text;

    public int Number => Value.ValueKind == JsonValueKind.Number && Value.TryGetInt32(out var number) ? number : throw Wrong("is not a whole number");

    public double Score => Value.ValueKind == JsonValueKind.Number && Value.TryGetDouble(out var number) ? number : throw Wrong("is not a number");

    public bool Flag(string name, bool otherwise) => Optional(name) is { IsNull: false } member ? member.True : otherwise;

    public bool True => Value.ValueKind switch { JsonValueKind.True => true, JsonValueKind.False => false, _ => throw Wrong("is neither true nor false") };

    public string? TextOrNull(string name) => Optional(name) is { IsNull: false } member ? member.Text : null;

    public IEnumerable<JsonPlace> Items
    {
        get
        {
            if (Value.ValueKind != JsonValueKind.Array) throw Wrong("is not a list");
            return Each(this);
            static IEnumerable<JsonPlace> Each(JsonPlace list)
            {
                var index = 0;
                foreach (var item in list.Value.EnumerateArray()) yield return new(item, list.File, $"{list.Path}[{index++}]");
            }
        }
    }

    public IEnumerable<(string Name, JsonPlace Value)> Members
    {
        get
        {
            if (Value.ValueKind != JsonValueKind.Object) throw Wrong("is not an object");
            return Each(this);
            static IEnumerable<(string, JsonPlace)> Each(JsonPlace place)
            {
                foreach (var member in place.Value.EnumerateObject()) yield return (place.Read(() => member.Name), new(member.Value, place.File, place.Path));
            }
        }
    }

    /// <summary>The exception for a wrong value here.</summary>
    public TokenizerException Wrong(string what) => new($"{File}: {(Path.Length == 0 ? "the file" : Path)} {what}");

    /// <summary>The exception for an unknown type.</summary>
    public TokenizerException Unknown(string type) => new($"{File}: {Path}.type '{type}' is not known");

    private string ReadText()
    {
        var value = Value;
        return Read(() => value.GetString()!);
    }

    private string Read(Func<string> text)
    {
        try
        {
            return text();
        }
        catch (InvalidOperationException)
        {
            throw Wrong("holds half a surrogate pair");
        }
    }
}
