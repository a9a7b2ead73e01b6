using System.Buffers.Text;

namespace Proxy.Dialects;

/// <summary>
/// Replaces lone surrogates, which clients produce when they cut a text inside an emoji. They are not valid Unicode, so they cannot be sent to a host of
/// another dialect; each becomes U+FFFD.
/// </summary>
internal static class LoneSurrogates
{
    private const int EscapeLength = 6;

    /// <summary>Replaces each lone surrogate in place, whether it is escaped or encoded as bytes. Returns the same memory if there is none.</summary>
    public static ReadOnlyMemory<byte> Replaced(ReadOnlyMemory<byte> json) => Copy(json.Span) ?? json;

    /// <inheritdoc cref="Replaced(ReadOnlyMemory{byte})"/>
    public static ReadOnlySpan<byte> Replaced(ReadOnlySpan<byte> json) => Copy(json) is { } copy ? copy : json;

    /// <summary>The same for JSON inside a string, as in a call's arguments.</summary>
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
                at++; // skips the escaped character, which may itself be a backslash
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

    /// <summary>
    /// Replaces lone surrogates that are encoded as UTF-8 would encode them if it could: three bytes, of which the second never follows the first in valid
    /// UTF-8.
    /// </summary>
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

    /// <summary>The UTF-16 unit of a <c>\uXXXX</c> escape at this position; 0 if there is none.</summary>
    private static char UnitAt(ReadOnlySpan<byte> json, int at) =>
        at + EscapeLength <= json.Length && json[at] == '\\' && json[at + 1] == 'u'
            && Utf8Parser.TryParse(json.Slice(at + 2, 4), out ushort unit, out var length, 'x') && length == 4 ? (char)unit : '\0';
}
