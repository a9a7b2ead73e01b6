using System.Buffers;

namespace Proxy.Buffers;

/// <summary>
/// Rented byte arrays. Small ones are the runtime's shared pool's, which keeps what it has for minutes and gives up one array at a time. Those of a large body or answer are kept here,
/// where <see cref="DropLarge"/> gives all of them up at once.
/// </summary>
internal static class ByteArrays
{
    /// <summary>Longer ones are large.</summary>
    public const int LongestSmall = 512 << 10;

    /// <summary>No more than so many bytes wait to be rented again.</summary>
    private const long MostKept = 192 << 20;

    /// <summary>After so many bytes that were not kept a collection is asked for: the collector itself lets some such arrays come together first.</summary>
    private const long MostLost = 256 << 20;

    private static readonly Lock gate = new();
    private static readonly List<byte[]> kept = [];
    private static long keptBytes;
    private static long lostBytes;
    private static long largeUses;

    /// <summary>How often a large array was rented or returned so far.</summary>
    public static long LargeUses => Volatile.Read(ref largeUses);

    /// <summary>At least so long; what is in it is not said.</summary>
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
            // Rather one long one than those that it grew from.
            while (keptBytes + array.Length > MostKept && kept.Count > 0 && kept.MinBy(static known => known.Length) is { } least && least.Length < array.Length)
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

    /// <summary>Gives up what is not in use.</summary>
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
                // One that is much too long would be missed by whoever needs it.
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
