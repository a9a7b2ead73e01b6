using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Proxy.Buffers;

/// <summary>Converts text to bytes when every character is ASCII, and checks and copies in one pass. Headers and log lines are almost always ASCII.</summary>
/// <remarks>
/// One value of a log line costs about 65 instructions: 4 to 26 characters take one or two vector steps. Steps of eight characters, and single characters below
/// that, cost 138.
/// </remarks>
internal static class AsciiText
{
    /// <summary>Copies visible ASCII and spaces. False if the text contains anything else; the content of <paramref name="bytes"/> is then undefined.</summary>
    public static bool TryCopy(string text, Span<byte> bytes) => TryCopy(text, bytes, isWord: false);

    /// <summary>Like <see cref="TryCopy(string, Span{byte})"/>, but also false for a space, a quote or an equals sign.</summary>
    public static bool TryCopyWord(string text, Span<byte> bytes) => TryCopy(text, bytes, isWord: true);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool TryCopy(string text, Span<byte> bytes, bool isWord)
    {
        bytes = bytes[..text.Length];
        ref var from = ref Unsafe.As<char, short>(ref MemoryMarshal.GetReference(text.AsSpan()));
        ref var to = ref MemoryMarshal.GetReference(bytes);
        if (text.Length >= 16)
        {
            var last = text.Length - 16;
            var other = Vector128<sbyte>.Zero;
            for (var at = 0; ; at = Math.Min(at + 16, last)) // the last step may overlap the one before
            {
                var next = Narrow(Vector128.LoadUnsafe(ref from, (nuint)at), Vector128.LoadUnsafe(ref from, (nuint)at + 8));
                next.AsByte().StoreUnsafe(ref to, (nuint)at);
                other |= Other(next, isWord);
                if (at == last) return other == Vector128<sbyte>.Zero;
            }
        }

        if (text.Length >= 8)
        {
            // The first eight and the last eight characters, which may overlap.
            var last = text.Length - 8;
            var next = Narrow(Vector128.LoadUnsafe(ref from), Vector128.LoadUnsafe(ref from, (nuint)last));
            Unsafe.WriteUnaligned(ref to, next.AsInt64()[0]);
            Unsafe.WriteUnaligned(ref Unsafe.Add(ref to, last), next.AsInt64()[1]);
            return Other(next, isWord) == Vector128<sbyte>.Zero;
        }

        if (text.Length >= 4)
        {
            // The first four and the last four characters, which may overlap.
            var last = text.Length - 4;
            var both = Vector128.Create(Unsafe.ReadUnaligned<long>(ref Unsafe.As<short, byte>(ref from)),
                Unsafe.ReadUnaligned<long>(ref Unsafe.As<short, byte>(ref Unsafe.Add(ref from, last)))).AsInt16();
            var next = Narrow(both, both);
            Unsafe.WriteUnaligned(ref to, next.AsInt32()[0]);
            Unsafe.WriteUnaligned(ref Unsafe.Add(ref to, last), next.AsInt32()[1]);
            return Other(next, isWord) == Vector128<sbyte>.Zero;
        }

        for (var at = 0; at < text.Length; at++)
        {
            var next = text[at];
            if (next is < ' ' or > '~' || (isWord && (next is ' ' or '"' or '='))) return false;
            bytes[at] = (byte)next;
        }

        return true;
    }

    /// <summary>One byte for each character. A character that is not ASCII saturates to 127 or becomes negative; <see cref="Other"/> finds both.</summary>
    private static Vector128<sbyte> Narrow(Vector128<short> left, Vector128<short> right) => Vector128.NarrowWithSaturation(left, right);

    private static Vector128<sbyte> Other(Vector128<sbyte> bytes, bool isWord)
    {
        var other = Vector128.LessThan(bytes, Vector128.Create((sbyte)(isWord ? '!' : ' '))) | Vector128.Equals(bytes, Vector128.Create((sbyte)127));
        return isWord ? other | Vector128.Equals(bytes, Vector128.Create((sbyte)'"')) | Vector128.Equals(bytes, Vector128.Create((sbyte)'=')) : other;
    }
}
