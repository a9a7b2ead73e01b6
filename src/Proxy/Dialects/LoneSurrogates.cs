using System.Buffers.Text;

namespace Proxy.Dialects;

/// <summary>
/// Halves of surrogate pairs, which clients leave behind where they cut a text inside an emoji. They are no Unicode, so no host of another dialect can be sent them: each becomes U+FFFD.
/// </summary>
internal static class LoneSurrogates
{
    private const int EscapeLength = 6;

    /// <summary>The JSON with each half replaced in its place, whether it is escaped or stands there as bytes; the same memory where there is none.</summary>
    public static ReadOnlyMemory<byte> Replaced(ReadOnlyMemory<byte> json) => Copy(json.Span) ?? json;

    /// <inheritdoc cref="Replaced(ReadOnlyMemory{byte})"/>
    public static ReadOnlySpan<byte> Replaced(ReadOnlySpan<byte> json) => Copy(json) is { } copy ? copy : json;

    /// <summary>The same for JSON that stands in a text, as a call's arguments do.</summary>
    public static string Replaced(string json)
    {
        if (!json.Contains("\\ud", StringComparison.OrdinalIgnoreCase)) return json;
        return ReplacedEscapes(System.Text.Encoding.UTF8.GetBytes(json)) is { } replaced ? System.Text.Encoding.UTF8.GetString(replaced) : json;
    }

    private static byte[]? Copy(ReadOnlySpan<byte> json)
    {
        var copy = ReplacedEscapes(json);
        return ReplacedBytes(copy ?? json, copy);
    }

    private static byte[]? ReplacedEscapes(ReadOnlySpan<byte> json)
    {
        if (json.IndexOf("\\ud"u8) < 0 && json.IndexOf("\\uD"u8) < 0) return null;
        byte[]? copy = null;
        for (var at = json.IndexOf((byte)'\\'); at < json.Length; at++)
        {
            if (json[at..].IndexOf((byte)'\\') is not (var next and >= 0)) break;
            at += next;
            var unit = UnitAt(json, at);
            if (!char.IsSurrogate(unit))
            {
                at++; // past what is escaped, which may be a backslash
            }
            else if (char.IsHighSurrogate(unit) && char.IsLowSurrogate(UnitAt(json, at + EscapeLength)))
            {
                at += (2 * EscapeLength) - 1;
            }
            else
            {
                copy ??= json.ToArray();
                "\\ufffd"u8.CopyTo(copy.AsSpan(at));
                at += EscapeLength - 1;
            }
        }

        return copy;
    }

    /// <summary>What UTF-8 would be if it had a form for halves: three bytes, of which the second cannot follow the first in any text.</summary>
    private static byte[]? ReplacedBytes(ReadOnlySpan<byte> json, byte[]? copy)
    {
        for (var at = 0; json[at..].IndexOf((byte)0xED) is var next and >= 0; at++)
        {
            at += next;
            if (at + 2 >= json.Length || json[at + 1] is < 0xA0 or > 0xBF || json[at + 2] is < 0x80 or > 0xBF) continue;
            copy ??= json.ToArray();
            "\ufffd"u8.CopyTo(copy.AsSpan(at));
        }

        return copy;
    }

    /// <summary>The character that is escaped by its number there; 0 where none is.</summary>
    private static char UnitAt(ReadOnlySpan<byte> json, int at) =>
        at + EscapeLength <= json.Length && json[at] == '\\' && json[at + 1] == 'u' && Utf8Parser.TryParse(json.Slice(at + 2, 4), out ushort unit, out var length, 'x') && length == 4 ? (char)unit : '\0';
}
