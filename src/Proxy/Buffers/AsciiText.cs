using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Proxy.Buffers;

/// <summary>Text to bytes where one byte a character will do, looked at and copied in one pass. Headers and log lines are hardly ever anything else.</summary>
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
        var at = 0;
        if (text.Length >= Vector128<ushort>.Count)
        {
            ref var from = ref Unsafe.As<char, ushort>(ref MemoryMarshal.GetReference(text.AsSpan()));
            ref var to = ref MemoryMarshal.GetReference(bytes);
            var other = Vector128<ushort>.Zero;
            while (true)
            {
                var next = Vector128.LoadUnsafe(ref from, (nuint)at);
                var place = next - Vector128.Create((ushort)' ');
                other |= ~Vector128.Equals(Vector128.Min(place, Vector128.Create((ushort)('~' - ' '))), place);
                if (isWord) other |= Vector128.Equals(next, Vector128.Create((ushort)' ')) | Vector128.Equals(next, Vector128.Create((ushort)'"')) | Vector128.Equals(next, Vector128.Create((ushort)'='));
                Vector128.Narrow(next, next).GetLower().StoreUnsafe(ref to, (nuint)at);
                if (at == text.Length - Vector128<ushort>.Count) return other == Vector128<ushort>.Zero;
                at = Math.Min(at + Vector128<ushort>.Count, text.Length - Vector128<ushort>.Count); // the last step may go over some again
            }
        }

        for (; at < text.Length; at++)
        {
            var next = text[at];
            if (next is < ' ' or > '~' || (isWord && (next is ' ' or '"' or '='))) return false;
            bytes[at] = (byte)next;
        }

        return true;
    }
}
