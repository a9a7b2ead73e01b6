using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text;
using Proxy.Buffers;

namespace Proxy.Chat;

/// <summary>
/// The credentials that the proxy sends to one host. Some hosts repeat them in error messages, where neither the client nor the log may see them. Only errors
/// are searched.
/// </summary>
internal sealed class HostSecrets
{
    /// <summary>The replacement for a credential.</summary>
    public const string Struck = "[redacted]";

    /// <summary>Shorter values are placeholders ("none", "ollama") that would also match ordinary words.</summary>
    private const int Shortest = 8;

    private readonly byte[][] secrets;

    private HostSecrets(byte[][] secrets) => this.secrets = secrets;

    /// <summary>Null if there is nothing to hide. Each word of a value such as "Bearer …" is hidden by itself.</summary>
    public static HostSecrets? Of(IEnumerable<string> values)
    {
        var secrets = values.SelectMany(static value => value.Split(' ', StringSplitOptions.RemoveEmptyEntries))
            .Where(static word => word.Length >= Shortest)
            .Distinct()
            .OrderByDescending(static word => word.Length) // one credential may be the beginning of another
            .Select(Encoding.UTF8.GetBytes)
            .ToArray();
        return secrets.Length == 0 ? null : new(secrets);
    }

    public HostError Strike(HostError said) => said with
    {
        Message = Strike(said.Message),
        Type = said.Type is null ? null : Strike(said.Type),
        Code = said.Code is null ? null : Strike(said.Code),
        Param = said.Param is null ? null : Strike(said.Param),
    };

    public string Strike(string text) => TryStrike(Encoding.UTF8.GetBytes(text), out var struck) ? Encoding.UTF8.GetString(struck) : text;

    /// <summary>
    /// True if a credential occurs in <paramref name="text"/>, plainly or with JSON escapes. <paramref name="struck"/> is then the text without it.
    /// </summary>
    public bool TryStrike(ReadOnlySpan<byte> text, [NotNullWhen(true)] out byte[]? struck)
    {
        struck = null;
        foreach (var secret in secrets)
        {
            var source = struck ?? text;
            if (!Find(source, 0, secret, out var found)) continue;
            using var output = new PooledBody(source.Length);
            var from = 0;
            do
            {
                output.Write(source[from..found.Start]);
                output.Write("[redacted]"u8);
                from = found.End.Value;
            }
            while (Find(source, from, secret, out found));
            output.Write(source[from..]);
            struck = output.Span.ToArray();
        }

        return struck is not null;
    }

    private static bool Find(ReadOnlySpan<byte> text, int from, ReadOnlySpan<byte> secret, out Range found)
    {
        for (var at = from; at < text.Length; at++)
        {
            var next = text[at..].IndexOfAny(secret[0], (byte)'\\');
            if (next < 0) break;
            at += next;
            if (EndOf(text, at, secret) is not { } end) continue;
            found = at..end;
            return true;
        }

        found = default;
        return false;
    }

    /// <summary>The end of the secret that begins at <paramref name="at"/>. Null if none begins there.</summary>
    private static int? EndOf(ReadOnlySpan<byte> text, int at, ReadOnlySpan<byte> secret)
    {
        foreach (var wanted in secret)
        {
            if (at >= text.Length) return null;
            var length = text[at] == '\\' && Unescaped(text[at..], out var escape) == wanted ? escape : text[at] == wanted ? 1 : 0;
            if (length == 0) return null;
            at += length;
        }

        return at;
    }

    /// <summary>The ASCII character that a JSON escape stands for; -1 for any other.</summary>
    private static int Unescaped(ReadOnlySpan<byte> text, out int length)
    {
        length = 2;
        if (text.Length < 2) return -1;
        if (text[1] is (byte)'/' or (byte)'"' or (byte)'\\') return text[1];
        length = 6;
        return text.Length >= 6 && text[1] == 'u' && ushort.TryParse(text[2..6], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var code)
            && code < 128 ? code : -1;
    }
}
