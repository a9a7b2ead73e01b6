using System.Text.Json;

namespace Proxy.Dialects;

/// <summary>Reads the value that follows a member's name. Afterwards the reader is at the end of the value, whatever it is.</summary>
internal static class MemberValue
{
    /// <summary>The text. Null if it is empty or not a string.</summary>
    public static string? ReadText(this scoped ref Utf8JsonReader json)
    {
        json.Read();
        if (json.TokenType is JsonTokenType.String) return json.GetString() is { Length: > 0 } text ? text : null;
        json.Skip();
        return null;
    }

    /// <summary>The number. Null if it is not a whole number of 32 bits.</summary>
    public static int? ReadInt(this scoped ref Utf8JsonReader json)
    {
        json.Read();
        if (json.TokenType is JsonTokenType.Number && json.TryGetInt32(out var number)) return number;
        json.Skip();
        return null;
    }

    /// <summary>True if the value is of this kind.</summary>
    public static bool ReadIs(this scoped ref Utf8JsonReader json, JsonTokenType kind)
    {
        json.Read();
        var fits = json.TokenType == kind;
        json.Skip();
        return fits;
    }

    /// <summary>The value's bytes in the frame, the quotes of a string included. Empty if it is not of this kind.</summary>
    public static ReadOnlySpan<byte> ReadRaw(this scoped ref Utf8JsonReader json, ReadOnlySpan<byte> frame, JsonTokenType kind)
    {
        json.Read();
        var (start, fits) = ((int)json.TokenStartIndex, json.TokenType == kind);
        json.Skip();
        return fits ? frame[start..(int)json.BytesConsumed] : default;
    }

    /// <summary>True if the value is of this kind. <paramref name="place"/> is then a reader at its beginning, for when the other members are known.</summary>
    public static bool ReadLater(this scoped ref Utf8JsonReader json, JsonTokenType kind, scoped ref Utf8JsonReader place)
    {
        json.Read();
        var fits = json.TokenType == kind;
        if (fits) place = json;
        json.Skip();
        return fits;
    }

    /// <summary>True if the value is of this kind: the reader then stays at its beginning, and the caller reads to its end.</summary>
    public static bool Enter(this scoped ref Utf8JsonReader json, JsonTokenType kind)
    {
        json.Read();
        if (json.TokenType == kind) return true;
        json.Skip();
        return false;
    }
}
