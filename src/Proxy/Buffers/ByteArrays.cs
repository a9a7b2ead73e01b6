using System.Buffers;

namespace Proxy.Buffers;

/// <summary>
/// Rents byte arrays. Small arrays come from the runtime's shared pool, which keeps unused arrays for minutes and releases them one at a time. Large ones, for
/// large bodies and answers, are pooled here, so that <see cref="DropLarge"/> can release all of them at once.
/// </summary>
internal static class ByteArrays
{
    /// <summary>Arrays longer than this count as large.</summary>
    public const int LongestSmall = 512 << 10;

    /// <summary>The most bytes that the pool keeps for reuse.</summary>
    private const long MostKept = 192 << 20;

    /// <summary>
    /// A garbage collection is requested after this many bytes have been discarded, because the collector by itself would let several such arrays accumulate
    /// first.
    /// </summary>
    private const long MostLost = 256 << 20;

    private static readonly Lock gate = new();
    private static readonly List<byte[]> kept = [];
    private static long keptBytes;
    private static long lostBytes;
    private static long largeUses;

    /// <summary>How often a large array has been rented or returned so far.</summary>
    public static long LargeUses => Volatile.Read(ref largeUses);

    /// <summary>An array of at least this length; its content is undefined.</summary>
    public static byte[] Rent(int length) => length <= LongestSmall ? ArrayPool<byte>.Shared.Rent(length) : RentLarge(length);

    public static void Return(byte[] array)
    {
        if (array.Length <= LongestSmall)
        {
            ArrayPool<byte>.Shared.Return(array);
            return;
        }

        lock (gate)
        {
            largeUses++;
            // Prefer one long array over the shorter ones that it grew from.
            while (keptBytes + array.Length > MostKept && kept.Count > 0 && kept.MinBy(static known => known.Length) is { } least
                && least.Length < array.Length)
            {
                kept.Remove(least);
                (keptBytes, lostBytes) = (keptBytes - least.Length, lostBytes + least.Length);
            }

            if (keptBytes + array.Length <= MostKept)
            {
                kept.Add(array);
                keptBytes += array.Length;
                return;
            }

            lostBytes += array.Length;
            if (lostBytes < MostLost) return;
            lostBytes = 0;
        }

        GC.Collect(GC.MaxGeneration, GCCollectionMode.Forced, blocking: false);
    }

    /// <summary>Releases all pooled large arrays that are not in use.</summary>
    public static void DropLarge()
    {
        lock (gate)
        {
            kept.Clear();
            kept.TrimExcess();
            keptBytes = 0;
        }
    }

    private static byte[] RentLarge(int length)
    {
        lock (gate)
        {
            largeUses++;
            var best = -1;
            for (var i = 0; i < kept.Count; i++)
            {
                // Not an array more than twice as long: a caller that needs its full length would miss it.
                if (kept[i].Length >= length && kept[i].Length / 2 <= length && (best < 0 || kept[i].Length < kept[best].Length)) best = i;
            }

            if (best >= 0)
            {
                var found = kept[best];
                kept.RemoveAt(best);
                keptBytes -= found.Length;
                return found;
            }
        }

        const int Step = 1 << 20;
        return GC.AllocateUninitializedArray<byte>(length <= Array.MaxLength - Step ? (length + Step - 1) / Step * Step : length);
    }
}
