using System.Text.Json;

namespace Proxy.Dialects;

/// <summary>Finds and reads token counts in an object named <c>usage</c>.</summary>
internal static class UsageJson
{
    /// <summary>
    /// Finds the last such object in a frame or body by searching for its name, and shortens <paramref name="frame"/> to the part before it. Inside a string
    /// the quotes would be escaped, so a match is always a member's name.
    /// </summary>
    public static bool TryFind(ref ReadOnlySpan<byte> frame, out ReadOnlySpan<byte> counts)
    {
        while (frame.LastIndexOf("\"usage\""u8) is var at and >= 0)
        {
            var text = frame;
            frame = frame[..at];
            at = JsonSkim.Space(text, at + 7);
            if (JsonSkim.Peek(text, at) != ':') continue;
            at = JsonSkim.Space(text, at + 1);
            if (JsonSkim.Peek(text, at) != '{') continue;
            counts = text[at..];
            return true;
        }

        counts = default;
        return false;
    }

    /// <summary>The number that follows. Null if it is something else.</summary>
    public static int? ReadCount(ref Utf8JsonReader json)
    {
        json.Read();
        if (json.TokenType is JsonTokenType.Number) return json.TryGetInt32(out var count) ? count : json.TryGetDouble(out var counted) ? Whole(counted) : null;
        json.Skip();
        return null;
    }

    /// <summary>Rounds a count, because some hosts send counts as floating-point numbers. Null if it is too large.</summary>
    public static int? Whole(double count) => Math.Abs(count) <= int.MaxValue ? (int)Math.Round(count) : null;

    /// <summary>The count of a JSON number. Null if the value is not a number.</summary>
    public static int? Count(JsonElement number) =>
        number.ValueKind is not JsonValueKind.Number ? null
        : number.TryGetInt32(out var count) ? count
        : number.TryGetDouble(out var counted) ? Whole(counted)
        : null;

    /// <summary>The number with that name in the object that follows.</summary>
    public static int? ReadDetail(ref Utf8JsonReader json, ReadOnlySpan<byte> name)
    {
        json.Read();
        if (json.TokenType is not JsonTokenType.StartObject)
        {
            json.Skip();
            return null;
        }

        int? count = null;
        while (json.Read() && json.TokenType is JsonTokenType.PropertyName)
        {
            if (json.ValueTextEquals(name)) count = ReadCount(ref json);
            else json.Skip();
        }

        return count;
    }
}
