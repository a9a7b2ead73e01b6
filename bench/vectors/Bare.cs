using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Proxy.Bench;

/// <summary>
/// The yardstick: int8 rows that follow each other in memory, multiplied with an int8 query on all cores, of which only the best score is kept.
/// </summary>
internal sealed unsafe class Bare(sbyte* rows, int count, int dimensions)
{
    public long Bytes => (long)count * dimensions;

    public static Bare Make(int count, int dimensions, int seed)
    {
        var rows = (sbyte*)NativeMemory.AlignedAlloc((nuint)((long)count * dimensions), 64);
        var random = new Random(seed);
        for (var i = 0; i < count; i++) random.NextBytes(new Span<byte>(rows + ((long)i * dimensions), dimensions));
        return new(rows, count, dimensions);
    }

    public int Scan()
    {
        var threads = Environment.ProcessorCount;
        var best = new int[threads];
        Parallel.For(0, threads, thread =>
        {
            var (from, to) = ((int)((long)count * thread / threads), (int)((long)count * (thread + 1) / threads));
            var most = int.MinValue;
            for (var i = from; i < to; i++) most = Math.Max(most, Dot(rows, rows + ((long)i * dimensions)));
            best[thread] = most;
        });
        return best.Max();
    }

    public void Free() => NativeMemory.AlignedFree(rows);

    private int Dot(sbyte* query, sbyte* row)
    {
        Vector128<int> a = default, b = default;
        for (var i = 0; i < dimensions; i += 16)
        {
            var (rowLow, rowHigh) = Vector128.Widen(Vector128.Load(row + i));
            var (low, high) = Vector128.Widen(Vector128.Load(query + i));
            if (Sse2.IsSupported)
            {
                a += Sse2.MultiplyAddAdjacent(rowLow, low);
                b += Sse2.MultiplyAddAdjacent(rowHigh, high);
            }
            else
            {
                var (x, y) = Vector128.Widen(rowLow * low);
                var (v, w) = Vector128.Widen(rowHigh * high);
                a += x + y;
                b += v + w;
            }
        }

        return Vector128.Sum(a + b);
    }
}
