using System.Buffers.Binary;
using System.Globalization;
using System.Text;

namespace Proxy.Inference.Tokenizing;

/// <summary>
/// SentencePiece's compiled rules: a double-array trie (Darts) over UTF-8 that leads to replacements, each terminated by a 0. A grapheme cluster of less than
/// six
/// bytes is looked up as a whole first, then code point by code point. As in the reference, the shortest key with which the looked-up text begins decides for
/// all of it.
/// </summary>
internal sealed class PrecompiledNormalizer : Normalizer
{
    private const int WholeCluster = 6;

    private readonly uint[] units;
    private readonly string?[] replacements;

    /// <param name="map">The charsmap, decoded from base64.</param>
    public PrecompiledNormalizer(ReadOnlySpan<byte> map)
    {
        if (map.Length < 4 || BinaryPrimitives.ReadUInt32LittleEndian(map) is var size && (size % 4 != 0 || size > map.Length - 4))
        {
            throw new TokenizerException("is cut off");
        }

        units = new uint[size / 4];
        for (var i = 0; i < units.Length; i++) units[i] = BinaryPrimitives.ReadUInt32LittleEndian(map[(4 + i * 4)..]);

        // Stored by the place at which they begin, because keys may share the end of a replacement.
        var pool = map[(4 + (int)size)..];
        replacements = new string?[pool.Length];
        foreach (var unit in units)
        {
            var start = (int)(unit & 0x7FFFFFFF);
            if (unit >> 31 == 0 || start >= pool.Length || replacements[start] is not null) continue;
            var end = pool[start..].IndexOf((byte)0);
            replacements[start] = Encoding.UTF8.GetString(pool.Slice(start, end < 0 ? pool.Length - start : end));
        }
    }

    public override void Apply(TextScratch scratch)
    {
        var text = scratch.Text;
        var output = scratch.StartSpare();
        Span<byte> utf8 = stackalloc byte[16];
        for (var at = 0; at < text.Length;)
        {
            var rest = text.Chars[at..];
            // Two ASCII chars never form one cluster, except CR LF.
            var length = rest.Length > 1 && rest[0] < 128 && rest[1] < 128 && rest[0] != '\r' ? 1 : StringInfo.GetNextTextElementLength(rest);
            if (length < WholeCluster && Encoding.UTF8.GetByteCount(rest[..length]) is var bytes and < WholeCluster
                && Find(utf8[..Encoding.UTF8.GetBytes(rest[..length], utf8)]) is { } whole)
            {
                Put(whole, text, at, length, output);
                at += length;
                continue;
            }

            for (var end = at + length; at < end;)
            {
                var rune = text.RuneAt(at, out var runeLength);
                if (Find(utf8[..new Rune(rune).EncodeToUtf8(utf8)]) is { } single)
                {
                    Put(single, text, at, runeLength, output);
                }
                else
                {
                    output.Append(text, at, runeLength);
                }

                at += runeLength;
            }
        }

        scratch.Swap();
    }

    /// <summary>Each new code point gets the origin of the old one at its place; additional ones get that of the last.</summary>
    private static void Put(string replacement, TextBuffer text, int at, int length, TextBuffer output)
    {
        var end = at + length;
        foreach (var rune in replacement.EnumerateRunes())
        {
            output.AppendRune(rune.Value, text.From(at), text.To(at));
            text.RuneAt(at, out var runeLength);
            if (at + runeLength < end) at += runeLength;
        }
    }

    private string? Find(ReadOnlySpan<byte> key)
    {
        if (units.Length == 0) return null;
        var place = Offset(units[0]);
        foreach (var value in key)
        {
            if (value == 0) return null;
            place ^= value;
            if (place >= units.Length) return null;
            var unit = units[place];
            if ((unit & 0x800000FF) != value) return null;
            place ^= Offset(unit);
            if (((unit >> 8) & 1) == 0) continue;
            var found = place < units.Length ? units[place] & 0x7FFFFFFF : uint.MaxValue;
            return found < replacements.Length ? replacements[found] : null;
        }

        return null;
    }

    private static uint Offset(uint unit) => (unit >> 10) << (int)((unit & (1 << 9)) >> 6);
}
