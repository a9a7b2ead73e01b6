using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Proxy.Buffers;

/// <summary>Text to bytes where one byte a character will do, looked at and copied in one pass. Headers and log lines are hardly ever anything else.</summary>
/// <remarks>A value of a call's log line takes some 65 instructions: 4 to 26 characters in one step or two. In steps of eight, and one by one below that, it took 138.</remarks>
internal static class AsciiText
{
    /// <summary>Copies visible ASCII and spaces. False where the text has anything else; then what is in <paramref name="bytes"/> means nothing.</summary>
    public static bool TryCopy(string text, Span<byte> bytes) => TryCopy(text, bytes, isWord: false);

    /// <summary>As <see cref="TryCopy(string, Span{byte})"/>, and false also for a space, a quote or an equals sign.</summary>
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
            for (var at = 0; ; at = Math.Min(at + 16, last)) // the last step may go over some again
            {
                var next = Narrow(Vector128.LoadUnsafe(ref from, (nuint)at), Vector128.LoadUnsafe(ref from, (nuint)at + 8));
                next.AsByte().StoreUnsafe(ref to, (nuint)at);
                other |= Other(next, isWord);
                if (at == last) return other == Vector128<sbyte>.Zero;
            }
        }

        if (text.Length >= 8)
        {
            // The first eight and the last eight, which may go over some again.
            var last = text.Length - 8;
            var next = Narrow(Vector128.LoadUnsafe(ref from), Vector128.LoadUnsafe(ref from, (nuint)last));
            Unsafe.WriteUnaligned(ref to, next.AsInt64()[0]);
            Unsafe.WriteUnaligned(ref Unsafe.Add(ref to, last), next.AsInt64()[1]);
            return Other(next, isWord) == Vector128<sbyte>.Zero;
        }

        if (text.Length >= 4)
        {
            // The first four and the last four.
            var last = text.Length - 4;
            var both = Vector128.Create(Unsafe.ReadUnaligned<long>(ref Unsafe.As<short, byte>(ref from)), Unsafe.ReadUnaligned<long>(ref Unsafe.As<short, byte>(ref Unsafe.Add(ref from, last)))).AsInt16();
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

    /// <summary>One byte a character; what is not ASCII becomes 127 or less than nothing, and neither is text.</summary>
    private static Vector128<sbyte> Narrow(Vector128<short> left, Vector128<short> right) => Vector128.NarrowWithSaturation(left, right);

    private static Vector128<sbyte> Other(Vector128<sbyte> bytes, bool isWord)
    {
        var other = Vector128.LessThan(bytes, Vector128.Create((sbyte)(isWord ? '!' : ' '))) | Vector128.Equals(bytes, Vector128.Create((sbyte)127));
        return isWord ? other | Vector128.Equals(bytes, Vector128.Create((sbyte)'"')) | Vector128.Equals(bytes, Vector128.Create((sbyte)'=')) : other;
    }
}
