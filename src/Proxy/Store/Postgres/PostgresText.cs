using System.Text;

namespace Proxy.Store.Postgres;

/// <summary>Texts as PostgreSQL can hold them. It refuses the NUL character, half of a surrogate pair, and long texts in an index.</summary>
internal static class PostgresText
{
    /// <summary>The longest text in an index, in UTF-16 units. An entry of an index may have 2,700 bytes, and none has more than one long text.</summary>
    private const int LongestIndexed = 500;

    public static string Clean(string text)
    {
        var span = text.AsSpan();
        return span.Contains('\0') || span.IndexOfAnyInRange('\uD800', '\uDFFF') >= 0
            ? Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(text)).Replace('\0', '\uFFFD') : text;
    }

    public static string? CleanOrNull(string? text) => text is null ? null : Clean(text);

    /// <summary>A text that stands in an index, cut if it is too long for one.</summary>
    public static string Indexed(string text) => Clean(text.Length > LongestIndexed ? text[..LongestIndexed] : text);
}
