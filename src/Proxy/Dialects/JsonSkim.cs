using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Proxy.Dialects;

/// <summary>
/// Skips over JSON without interpreting it, at a fraction of the cost of a reader that stops at every token. Every method takes the position where its item
/// begins and returns the position where it ends. What it skips is valid JSON, except that UTF-8 inside strings is not checked, as in
/// <see cref="System.Text.Json.Utf8JsonReader"/>. <see cref="No"/> may also mean that the text is only unusual, so a reader has to decide.
/// </summary>
internal static class JsonSkim
{
    public const int No = -1;

    /// <summary>The maximum depth: one bit for each level tells an object from an array.</summary>
    private const int Deepest = 64;

    /// <summary>The byte at this position; 0 after the end.</summary>
    public static byte Peek(ReadOnlySpan<byte> json, int at) => (uint)at < (uint)json.Length ? json[at] : (byte)0;

    /// <summary>Skips white space.</summary>
    public static int Space(ReadOnlySpan<byte> json, int at)
    {
        Look(json, ref at);
        return at;
    }

    /// <summary>Skips white space and returns the byte after it; 0 after the end.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static byte Look(ReadOnlySpan<byte> json, ref int at)
    {
        var next = Peek(json, at);
        if (next > ' ') return next;
        at = PassSpace(json, at);
        return Peek(json, at);
    }

    private static int PassSpace(ReadOnlySpan<byte> json, int at)
    {
        while ((uint)at < (uint)json.Length && json[at] is (byte)' ' or (byte)'\n' or (byte)'\r' or (byte)'\t') at++;
        return at;
    }

    /// <summary>Skips a string, from quote to quote. <paramref name="escaped"/> is true if it contains an escape, so that its bytes are not its text.</summary>
    public static int String(ReadOnlySpan<byte> json, int at, out bool escaped)
    {
        escaped = false;
        if (Peek(json, at) != '"') return No;
        at = EndOfPlain(json, at + 1);
        if (Peek(json, at) == '"') return at + 1;
        escaped = true;
        return EscapedString(json, at);
    }

    private static int EscapedString(ReadOnlySpan<byte> json, int at)
    {
        while (Peek(json, at) == '\\')
        {
            at = Escape(json, at);
            if (at == No) return No;
            at = EndOfPlain(json, at);
        }

        return Peek(json, at) == '"' ? at + 1 : No;
    }

    /// <summary>Skips a value of any kind.</summary>
    public static int Value(ReadOnlySpan<byte> json, int at)
    {
        var depth = 0;
        var objects = 0UL; // the innermost level is the lowest bit
        while (true)
        {
            if ((objects & 1) != 0) at = PassName(json, at);

            // A value begins here.
            switch (Peek(json, at))
            {
                case (byte)'"':
                    at = String(json, at, out _);
                    break;
                case (byte)'{':
                    at++;
                    if (Look(json, ref at) == '}')
                    {
                        at++;
                        break;
                    }

                    if (depth++ == Deepest) return No;
                    objects = objects << 1 | 1;
                    continue;
                case (byte)'[':
                    at++;
                    if (Look(json, ref at) == ']')
                    {
                        at++;
                        break;
                    }

                    if (depth++ == Deepest) return No;
                    objects <<= 1;
                    continue;
                case (byte)'t':
                    at = Word(json, at, "true"u8);
                    break;
                case (byte)'f':
                    at = Word(json, at, "false"u8);
                    break;
                case (byte)'n':
                    at = Word(json, at, "null"u8);
                    break;
                default:
                    at = Number(json, at);
                    break;
            }

            // A value has ended here. The objects and arrays around it may end here too.
            while (true)
            {
                if (at == No || depth == 0) return at;
                var next = Look(json, ref at);
                at++;
                if (next == ',') break;
                if (next != ((objects & 1) != 0 ? '}' : ']')) return No;
                objects >>= 1;
                depth--;
            }

            Look(json, ref at);
        }
    }

    /// <summary>
    /// Finds the next member of an object. Starts at the opening brace or at a comma, and moves to the next comma or the closing brace. False at the closing
    /// brace, and at anything other than a plain member (an escaped name, for example).
    /// </summary>
    public static bool Member(ReadOnlySpan<byte> json, ref int at, out ReadOnlySpan<byte> name, out Range value)
    {
        name = default;
        value = default;
        return Next(json, ref at, (byte)'{', (byte)'}') && Name(json, ref at, out name) && PassValue(json, ref at, (byte)'}', out value);
    }

    /// <summary>Finds the next element of an array, in the same way.</summary>
    public static bool Element(ReadOnlySpan<byte> json, ref int at, out Range value)
    {
        value = default;
        return Next(json, ref at, (byte)'[', (byte)']') && PassValue(json, ref at, (byte)']', out value);
    }

    /// <summary>
    /// Starts an iteration in which the caller skips the values: moves from the opening bracket to the first item. False at the closing bracket of an empty
    /// list, and if there is no opening bracket.
    /// </summary>
    public static bool Enter(ReadOnlySpan<byte> json, ref int at, byte opening, byte closing)
    {
        var found = Peek(json, at) == opening;
        at = found ? at + 1 : No;
        return Look(json, ref at) != closing && found;
    }

    /// <summary>
    /// Moves from the end of a value over the comma to the next item. False if there is no comma; the position is then at the closing bracket, if the text is
    /// valid.
    /// </summary>
    public static bool Another(ReadOnlySpan<byte> json, ref int at)
    {
        if (Look(json, ref at) != ',') return false;
        at++;
        Look(json, ref at);
        return true;
    }

    /// <summary>Reads a member's name and moves to its value. False if it is not a plain name.</summary>
    public static bool Name(ReadOnlySpan<byte> json, ref int at, out ReadOnlySpan<byte> name)
    {
        name = default;
        var from = at;
        var end = at = String(json, from, out var escaped);
        if (escaped || Look(json, ref at) != ':')
        {
            at = No;
            return false;
        }

        name = json[(from + 1)..(end - 1)];
        at++;
        Look(json, ref at);
        return true;
    }

    private static bool Next(ReadOnlySpan<byte> json, ref int at, byte opening, byte closing) =>
        Peek(json, at) == ',' ? Another(json, ref at) : Peek(json, at) == opening && Enter(json, ref at, opening, closing);

    private static bool PassValue(ReadOnlySpan<byte> json, ref int at, byte closing, out Range value)
    {
        var from = at;
        at = Value(json, from);
        value = default;
        if (at == No) return false;
        value = from..at;
        if (Look(json, ref at) is var next && next != ',' && next != closing) at = No; // only a comma or the closing bracket may follow a value
        return true;
    }

    private static int Word(ReadOnlySpan<byte> json, int at, ReadOnlySpan<byte> word) => json[at..].StartsWith(word) ? at + word.Length : No;

    /// <summary>Skips a member's name and colon, up to the value.</summary>
    private static int PassName(ReadOnlySpan<byte> json, int at)
    {
        at = String(json, at, out _);
        if (Look(json, ref at) != ':') return No;
        at++;
        Look(json, ref at);
        return at;
    }

    /// <summary>
    /// Finds the first character in a string that does not stand for itself: a quote, a backslash, a control character, or the end. One vector comparison finds
    /// it in most names and words.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int EndOfPlain(ReadOnlySpan<byte> json, int at)
    {
        if (at > json.Length - Vector128<byte>.Count) return EndOfLong(json, at);
        var found = Special(ref MemoryMarshal.GetReference(json), at).ExtractMostSignificantBits();
        return found != 0 ? at + BitOperations.TrailingZeroCount(found) : EndOfLong(json, at + Vector128<byte>.Count);
    }

    private static int EndOfLong(ReadOnlySpan<byte> json, int start)
    {
        ref var first = ref MemoryMarshal.GetReference(json);
        nint at = start;
        var last = json.Length - Vector128<byte>.Count;
        while (at <= last - 48 && ArePlain(ref first, at)) at += 64;
        for (; at <= last; at += Vector128<byte>.Count)
        {
            var found = Special(ref first, at).ExtractMostSignificantBits();
            if (found != 0) return (int)at + BitOperations.TrailingZeroCount(found);
        }

        if (last >= 0)
        {
            // Fewer than sixteen bytes are left: load the last sixteen and ignore the ones already checked.
            var found = Special(ref first, last).ExtractMostSignificantBits() >> (int)(at - last);
            return found != 0 ? (int)at + BitOperations.TrailingZeroCount(found) : json.Length;
        }

        while ((uint)start < (uint)json.Length && json[start] is >= (byte)' ' and not ((byte)'"' or (byte)'\\')) start++;
        return start;
    }

    /// <summary>
    /// Marks the bytes among sixteen that do not stand for themselves in a string. Flipping bit 1 swaps the quote (0x22) with the space (0x20), so one
    /// comparison with 0x20 finds both control characters and quotes.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<byte> Special(ref byte first, nint at)
    {
        var text = Vector128.LoadUnsafe(ref first, (nuint)at);
        return AtMost(text ^ Vector128.Create((byte)2), 0x20) | Vector128.Equals(text, Vector128.Create((byte)'\\'));
    }

    /// <summary>True if 64 bytes all stand for themselves. Does the same test on the minimum of each four bytes: 34 instructions instead of 56.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool ArePlain(ref byte first, nint at)
    {
        var (a, b) = (Vector128.LoadUnsafe(ref first, (nuint)at), Vector128.LoadUnsafe(ref first, (nuint)at + 16));
        var (c, d) = (Vector128.LoadUnsafe(ref first, (nuint)at + 32), Vector128.LoadUnsafe(ref first, (nuint)at + 48));
        var turn = Vector128.Create((byte)2);
        var least = Vector128.Min(Vector128.Min(a ^ turn, b ^ turn), Vector128.Min(c ^ turn, d ^ turn));
        var slash = Vector128.Create((byte)'\\');
        var slashes = Vector128.Equals(a, slash) | Vector128.Equals(b, slash) | Vector128.Equals(c, slash) | Vector128.Equals(d, slash);
        return (AtMost(least, 0x20) | slashes).ExtractMostSignificantBits() == 0;
    }

    private static Vector128<byte> AtMost(Vector128<byte> bytes, byte most) => Vector128.Equals(Vector128.Min(bytes, Vector128.Create(most)), bytes);

    private static int Escape(ReadOnlySpan<byte> json, int at)
    {
        if (Peek(json, at + 1) is not (byte)'u') return "\"\\/bfnrt"u8.Contains(Peek(json, at + 1)) ? at + 2 : No;
        for (var i = at + 2; i < at + 6; i++)
        {
            if (!char.IsAsciiHexDigit((char)Peek(json, i))) return No;
        }

        return at + 6;
    }

    private static int Number(ReadOnlySpan<byte> json, int at)
    {
        var next = Peek(json, at);
        if (next == '-') next = Peek(json, ++at);
        if (next == '0') next = Peek(json, ++at);
        else if (!Digits(json, ref at, ref next)) return No;
        if (next == '.')
        {
            next = Peek(json, ++at);
            if (!Digits(json, ref at, ref next)) return No;
        }

        if (next is not ((byte)'e' or (byte)'E')) return at;
        next = Peek(json, ++at);
        if (next is (byte)'+' or (byte)'-') next = Peek(json, ++at);
        return Digits(json, ref at, ref next) ? at : No;
    }

    /// <summary>Skips digits; true if there is at least one. <paramref name="next"/> is the byte after them.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool Digits(ReadOnlySpan<byte> json, ref int at, ref byte next)
    {
        var from = at;
        while (char.IsAsciiDigit((char)next)) next = Peek(json, ++at);
        return at > from;
    }
}
