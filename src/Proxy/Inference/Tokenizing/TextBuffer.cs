using System.Diagnostics.CodeAnalysis;
using System.Text;

namespace Proxy.Inference.Tokenizing;

/// <summary>
/// A text during normalisation: UTF-16 without lone surrogates and, if requested, the part of the original from which each char comes.
/// Grows, is reused, belongs to one thread.
/// </summary>
internal sealed class TextBuffer
{
    private char[] chars = new char[256];
    private int[] from = [];
    private int[] to = [];

    public int Length { get; private set; }

    /// <summary>Whether origins are tracked; otherwise they cost nothing and read as 0.</summary>
    public bool Tracking { get; private set; }

    public ReadOnlySpan<char> Chars => chars.AsSpan(0, Length);

    /// <summary>The chars, to change in place without changing the length.</summary>
    public Span<char> Writable => chars.AsSpan(0, Length);

    public int Capacity => chars.Length;

    public void Clear(bool tracking)
    {
        Length = 0;
        Tracking = tracking;
        if (tracking && from.Length < chars.Length) (from, to) = (new int[chars.Length], new int[chars.Length]);
    }

    /// <summary>Start of the origin of char <paramref name="index"/>, in UTF-16 units.</summary>
    public int From(int index) => Tracking ? from[index] : 0;

    /// <summary>End of the origin of char <paramref name="index"/>.</summary>
    public int To(int index) => Tracking ? to[index] : 0;

    /// <summary>Appends original text; a lone surrogate becomes U+FFFD. <paramref name="start"/> is the text's position in the original.</summary>
    public void Load(ReadOnlySpan<char> text, int start)
    {
        EnsureRoom(text.Length);
        text.CopyTo(chars.AsSpan(Length));
        var loaded = chars.AsSpan(Length, text.Length);
        var next = loaded.IndexOfAnyInRange('\uD800', '\uDFFF');
        while (next >= 0 && next < loaded.Length)
        {
            if (!char.IsSurrogate(loaded[next])) next++;
            else if (next + 1 < loaded.Length && char.IsSurrogatePair(loaded[next], loaded[next + 1])) next += 2;
            else loaded[next++] = '\uFFFD';
        }

        if (Tracking)
        {
            for (var i = 0; i < text.Length; i++) (from[Length + i], to[Length + i]) = (start + i, start + i + 1);
            // The origin of both halves of a surrogate pair is the whole pair.
            for (var i = 0; i + 1 < text.Length; i++)
            {
                if (char.IsHighSurrogate(loaded[i])) (to[Length + i], from[Length + i + 1]) = (start + i + 2, start + i);
            }
        }

        Length += text.Length;
    }

    public void Append(char value, int originFrom, int originTo)
    {
        if (Length == chars.Length) EnsureRoom(1);
        chars[Length] = value;
        if (Tracking) (from[Length], to[Length]) = (originFrom, originTo);
        Length++;
    }

    public void AppendRune(int codePoint, int originFrom, int originTo)
    {
        if (codePoint <= 0xFFFF)
        {
            Append((char)codePoint, originFrom, originTo);
            return;
        }

        codePoint -= 0x10000;
        Append((char)(0xD800 + (codePoint >> 10)), originFrom, originTo);
        Append((char)(0xDC00 + (codePoint & 0x3FF)), originFrom, originTo);
    }

    /// <summary>Appends a part of another buffer, with its origins.</summary>
    public void Append(TextBuffer other, int start, int length)
    {
        EnsureRoom(length);
        other.chars.AsSpan(start, length).CopyTo(chars.AsSpan(Length));
        if (Tracking)
        {
            other.from.AsSpan(start, length).CopyTo(from.AsSpan(Length));
            other.to.AsSpan(start, length).CopyTo(to.AsSpan(Length));
        }

        Length += length;
    }

    /// <summary>The code point at <paramref name="index"/> and its length in chars.</summary>
    public int RuneAt(int index, out int length)
    {
        var c = chars[index];
        if (!char.IsHighSurrogate(c) || index + 1 >= Length)
        {
            length = 1;
            return c;
        }

        length = 2;
        return char.ConvertToUtf32(c, chars[index + 1]);
    }

    public void Truncate(int length) => Length = length;

    /// <summary>Replaces the code point at <paramref name="index"/> by one of the same length; the origin stays.</summary>
    public void ReplaceRune(int index, int codePoint)
    {
        if (codePoint <= 0xFFFF) chars[index] = (char)codePoint;
        else new Rune(codePoint).EncodeToUtf16(chars.AsSpan(index));
    }

    /// <summary>Moves the char at <paramref name="index"/> to <paramref name="target"/>, which is not after it, and changes its value.</summary>
    public void Move(int index, int target, char value)
    {
        chars[target] = value;
        if (Tracking) (from[target], to[target]) = (from[index], to[index]);
    }

    private void EnsureRoom(int more)
    {
        if (Length + more <= chars.Length) return;
        var size = Math.Max(Length + more, chars.Length * 2);
        Array.Resize(ref chars, size);
        if (!Tracking) return;
        Array.Resize(ref from, size);
        Array.Resize(ref to, size);
    }
}
