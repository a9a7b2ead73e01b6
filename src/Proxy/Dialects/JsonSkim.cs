using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Proxy.Dialects;

/// <summary>
/// Goes over JSON without reading what it says, at a fraction of what a reader that stops at every token takes. Every step takes where it begins and returns where it ends.
/// What it passes is valid JSON (UTF-8 in strings unseen, as with <see cref="System.Text.Json.Utf8JsonReader"/>); where it says no, the text may only be unusual, and a reader has to decide.
/// </summary>
internal static class JsonSkim
{
    public const int No = -1;

    /// <summary>One bit a level tells an object from an array.</summary>
    private const int Deepest = 64;

    /// <summary>The byte that stands there; 0 behind the end.</summary>
    public static byte Peek(ReadOnlySpan<byte> json, int at) => (uint)at < (uint)json.Length ? json[at] : (byte)0;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Space(ReadOnlySpan<byte> json, int at) => Peek(json, at) > ' ' ? at : PassSpace(json, at);

    private static int PassSpace(ReadOnlySpan<byte> json, int at)
    {
        while ((uint)at < (uint)json.Length && json[at] is (byte)' ' or (byte)'\n' or (byte)'\r' or (byte)'\t') at++;
        return at;
    }

    /// <summary>Passes a string, from quote to quote. <paramref name="escaped"/>: it does not say what it reads.</summary>
    public static int String(ReadOnlySpan<byte> json, int at, out bool escaped)
    {
        escaped = false;
        if (Peek(json, at) != '"') return No;
        at++;
        while (true)
        {
            at = EndOfPlain(json, at);
            switch (Peek(json, at))
            {
                case (byte)'"':
                    return at + 1;
                case (byte)'\\':
                    escaped = true;
                    at = Escape(json, at);
                    if (at == No) return No;
                    break;
                default:
                    return No;
            }
        }
    }

    /// <summary>Passes a value, whatever it is.</summary>
    public static int Value(ReadOnlySpan<byte> json, int at)
    {
        var depth = 0;
        var objects = 0UL;
        while (true)
        {
            // A value begins here.
            switch (Peek(json, at))
            {
                case (byte)'"':
                    at = String(json, at, out _);
                    break;
                case (byte)'{':
                    at = Space(json, at + 1);
                    if (Peek(json, at) == '}')
                    {
                        at++;
                        break;
                    }

                    if (depth == Deepest) return No;
                    objects |= 1UL << depth++;
                    at = Name(json, at);
                    if (at == No) return No;
                    continue;
                case (byte)'[':
                    at = Space(json, at + 1);
                    if (Peek(json, at) == ']')
                    {
                        at++;
                        break;
                    }

                    if (depth == Deepest) return No;
                    objects &= ~(1UL << depth++);
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

            // A value ended here: so may those that hold it.
            while (true)
            {
                if (at == No || depth == 0) return at;
                at = Space(json, at);
                var inObject = (objects & (1UL << (depth - 1))) != 0;
                var next = Peek(json, at++);
                if (next == ',')
                {
                    at = Space(json, at);
                    if (inObject) at = Name(json, at);
                    if (at == No) return No;
                    break;
                }

                if (next != (inObject ? '}' : ']')) return No;
                depth--;
            }
        }
    }

    /// <summary>
    /// The next member of an object: stands at its opening brace or at a comma, and goes on to the next of them. False at the closing brace, where it then stands, and at anything
    /// that is not plainly a member, an escaped name among them.
    /// </summary>
    public static bool Member(ReadOnlySpan<byte> json, ref int at, out ReadOnlySpan<byte> name, out Range value)
    {
        value = default;
        return MemberName(json, ref at, out name) && PassValue(json, ref at, (byte)'}', out value);
    }

    /// <summary>The same up to the member's value, which the caller has to pass, and what is <see cref="Behind"/> it.</summary>
    public static bool MemberName(ReadOnlySpan<byte> json, ref int at, out ReadOnlySpan<byte> name)
    {
        name = default;
        if (!Next(json, ref at, (byte)'{', (byte)'}')) return false;
        var from = at;
        var end = String(json, from, out var escaped);
        at = Space(json, end);
        if (escaped || Peek(json, at) != ':')
        {
            at = No;
            return false;
        }

        name = json[(from + 1)..(end - 1)];
        at = Space(json, at + 1);
        return true;
    }

    /// <summary>The next element of an array, in the same way.</summary>
    public static bool Element(ReadOnlySpan<byte> json, ref int at, out Range value)
    {
        value = default;
        return Next(json, ref at, (byte)'[', (byte)']') && PassValue(json, ref at, (byte)']', out value);
    }

    /// <summary>From the opening bracket or a comma to what follows it. False at the closing one, behind the opening one too.</summary>
    private static bool Next(ReadOnlySpan<byte> json, ref int at, byte opening, byte closing)
    {
        var first = Peek(json, at) == opening;
        if (!first && Peek(json, at) != ',') return false;
        at = Space(json, at + 1);
        return !first || Peek(json, at) != closing;
    }

    /// <summary>From where a value ended to the comma or the closing bracket; nothing else may follow one.</summary>
    public static int Behind(ReadOnlySpan<byte> json, int at, byte closing)
    {
        at = Space(json, at);
        return Peek(json, at) == ',' || Peek(json, at) == closing ? at : No;
    }

    private static bool PassValue(ReadOnlySpan<byte> json, ref int at, byte closing, out Range value)
    {
        var from = at;
        at = Value(json, from);
        value = default;
        if (at == No) return false;
        value = from..at;
        at = Behind(json, at, closing);
        return true;
    }

    private static int Word(ReadOnlySpan<byte> json, int at, ReadOnlySpan<byte> word) => json[at..].StartsWith(word) ? at + word.Length : No;

    /// <summary>Passes a member's name and its colon, up to the value.</summary>
    private static int Name(ReadOnlySpan<byte> json, int at)
    {
        at = String(json, at, out _);
        if (at == No) return No;
        at = Space(json, at);
        return Peek(json, at) == ':' ? Space(json, at + 1) : No;
    }

    /// <summary>Where in a string something stands that does not stand for itself: a quote, a backslash, a control character, or the end.</summary>
    private static int EndOfPlain(ReadOnlySpan<byte> json, int at)
    {
        ref var first = ref MemoryMarshal.GetReference(json);
        for (; at + Vector128<byte>.Count <= json.Length; at += Vector128<byte>.Count)
        {
            var text = Vector128.LoadUnsafe(ref first, (nuint)at);
            var found = Vector128.Equals(text, Vector128.Create((byte)'"')) | Vector128.Equals(text, Vector128.Create((byte)'\\'))
                | Vector128.Equals(Vector128.Min(text, Vector128.Create((byte)0x1f)), text);
            if (found != Vector128<byte>.Zero) return at + BitOperations.TrailingZeroCount(found.ExtractMostSignificantBits());
        }

        while ((uint)at < (uint)json.Length && json[at] is >= (byte)' ' and not ((byte)'"' or (byte)'\\')) at++;
        return at;
    }

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
        if (Peek(json, at) == '-') at++;
        at = Peek(json, at) == '0' ? at + 1 : Digits(json, at);
        if (Peek(json, at) == '.') at = Digits(json, at + 1);
        if (Peek(json, at) is not ((byte)'e' or (byte)'E')) return at;
        at++;
        if (Peek(json, at) is (byte)'+' or (byte)'-') at++;
        return Digits(json, at);
    }

    /// <summary>At least one.</summary>
    private static int Digits(ReadOnlySpan<byte> json, int at)
    {
        var from = at;
        while (char.IsAsciiDigit((char)Peek(json, at))) at++;
        return at > from ? at : No;
    }
}
