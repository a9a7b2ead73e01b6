using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects;

/// <summary>Reads the members of a request, checks their types and remembers the first wrong one. A member that is null counts as missing.</summary>
internal sealed class RequestFields
{
    public ProxyError? Problem { get; private set; }

    /// <summary>Members of the request that <see cref="ChatRequest"/> does not name. See <see cref="ChatRequest.Unknown"/>.</summary>
    public List<KeyValuePair<string, JsonElement>> Unknown { get; } = [];

    /// <summary>Members that are understood, in the spelling of the client. See <see cref="ChatRequest.AsItCame"/>.</summary>
    public List<KeyValuePair<string, JsonElement>> AsItCame { get; } = [];

    public double? Number(JsonElement value, string path) => value.ValueKind switch
    {
        JsonValueKind.Null => null,
        JsonValueKind.Number when value.TryGetDouble(out var number) && double.IsFinite(number) => number,
        _ => Wrong<double?>(path, "a number"),
    };

    public long? Integer(JsonElement value, string path)
    {
        if (value.ValueKind is JsonValueKind.Null) return null;
        if (value.ValueKind is JsonValueKind.Number)
        {
            if (value.TryGetInt64(out var whole)) return whole;
            if (value.TryGetDouble(out var number) && number == Math.Truncate(number) && Math.Abs(number) < 1e18) return (long)number; // 4096.0, 1e3
        }

        return Wrong<long?>(path, "a whole number");
    }

    public int? Count(JsonElement value, string path)
    {
        if (Integer(value, path) is not { } whole) return null;
        return whole is >= int.MinValue and <= int.MaxValue ? (int)whole : Wrong<int?>(path, "a smaller number");
    }

    public bool? Flag(JsonElement value, string path) => value.ValueKind switch
    {
        JsonValueKind.Null => null,
        JsonValueKind.True => true,
        JsonValueKind.False => false,
        _ => Wrong<bool?>(path, "true or false"),
    };

    public string? Text(JsonElement value, string path) => value.ValueKind switch
    {
        JsonValueKind.Null => null,
        JsonValueKind.String => value.GetString(),
        _ => Wrong<string?>(path, "a string"),
    };

    /// <summary>Reads a string or a list of strings.</summary>
    public IReadOnlyList<string> Texts(JsonElement value, string path)
    {
        if (value.ValueKind is JsonValueKind.Null) return [];
        if (value.ValueKind is JsonValueKind.String) return [value.GetString()!];
        if (value.ValueKind is JsonValueKind.Array && value.EnumerateArray().All(item => item.ValueKind is JsonValueKind.String))
            return [.. value.EnumerateArray().Select(item => item.GetString()!)];
        return Wrong<IReadOnlyList<string>>(path, "a string or a list of strings") ?? [];
    }

    public bool IsList(JsonElement value, string path) => value.ValueKind is JsonValueKind.Array || Wrong<bool>(path, "a list");

    public bool IsObject(JsonElement value, string path) => value.ValueKind is JsonValueKind.Object || Wrong<bool>(path, "an object");

    /// <summary>
    /// Converts each object of a list with <paramref name="read"/>, which gets the object and its path. Stops at the first item that is not an object.
    /// </summary>
    public List<T> Objects<T>(JsonElement value, string path, Func<JsonElement, string, T> read)
    {
        var made = new List<T>();
        if (!IsList(value, path)) return made;
        foreach (var item in value.EnumerateArray())
        {
            var at = $"{path}[{made.Count}]";
            if (!IsObject(item, at)) break;
            made.Add(read(item, at));
        }

        return made;
    }

    public void NeedModel(ChatRequest request, string missing = "the body has no \"model\"; say which model should answer")
    {
        if (string.IsNullOrWhiteSpace(request.Model)) Fail("model", missing);
    }

    public void Missing(string path) => Fail(path, $"\"{path}\" is missing");

    public void Fail(string path, string message) => Refuse(new ProxyError(ProxyErrorKind.InvalidRequest, message) { Param = path });

    public void Refuse(ProxyError problem) => Problem ??= problem;

    private T? Wrong<T>(string path, string expected)
    {
        Fail(path, $"\"{path}\" must be {expected}");
        return default;
    }
}
