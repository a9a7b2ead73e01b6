using System.Runtime.InteropServices;
using Proxy.Buffers;

namespace Proxy.Composition;

/// <summary>
/// Gives memory back to the system after large calls. A process that serves little allocates little, so without this it would not collect what a large body
/// left for hours.
/// Looks every few seconds at two counters, and collects only after something large, once that has been quiet for a while.
/// </summary>
internal sealed partial class MemoryTrimmer : IDisposable
{
    public static readonly TimeSpan Period = TimeSpan.FromSeconds(5);

    /// <summary>So long after the last large call the kept arrays are given up.</summary>
    private static readonly TimeSpan Quiet = TimeSpan.FromSeconds(10);

    /// <summary>The shared pool gives up a thread's array that two collections have seen, 30 seconds apart; a third one then frees it.</summary>
    private static readonly TimeSpan[] Rounds = [Quiet, Quiet + TimeSpan.FromSeconds(35), Quiet + TimeSpan.FromSeconds(40)];

    /// <summary>Less allocated in a period is no work worth a collection; more in one is a large call, whatever it consists of.</summary>
    private const long Much = 16 << 20;

    private readonly Func<(long LargeUses, long Allocated)> counters;
    private readonly Action collect;
    private readonly ITimer timer;
    private (long LargeUses, long Allocated) before;
    private TimeSpan quiet;
    private int round = Rounds.Length;

    public MemoryTrimmer(TimeProvider time) : this(time, static () => (ByteArrays.LargeUses, GC.GetTotalAllocatedBytes()), Collect)
    {
    }

    /// <param name="time">The clock.</param>
    /// <param name="counters">Uses of large arrays, and bytes allocated, since the start.</param>
    /// <param name="collect">Gives up what is not in use.</param>
    internal MemoryTrimmer(TimeProvider time, Func<(long LargeUses, long Allocated)> counters, Action collect)
    {
        this.counters = counters;
        this.collect = collect;
        before = counters();
        timer = time.CreateTimer(static state => ((MemoryTrimmer)state!).Look(), this, Period, Period);
    }

    public void Dispose() => timer.Dispose();

    private void Look()
    {
        var now = counters();
        var isBusy = now.LargeUses != before.LargeUses || now.Allocated - before.Allocated > Much;
        before = now;
        if (isBusy)
        {
            (quiet, round) = (TimeSpan.Zero, 0);
            return;
        }

        if (round == Rounds.Length || (quiet += Period) < Rounds[round]) return;
        round++;
        collect();
        before = counters();
    }

    private static void Collect()
    {
        ByteArrays.DropLarge();
        // Aggressive: what is free is given back to the system at once. With little alive it takes some milliseconds.
        GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
        try
        {
            _ = malloc_trim(0); // what the models and the decoders took
        }
        catch (EntryPointNotFoundException)
        {
            // A C library that has no such call keeps little by itself.
        }
    }

    [LibraryImport("libc")]
    private static partial int malloc_trim(nuint pad);
}
