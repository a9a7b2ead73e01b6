using System.Runtime.InteropServices;
using Proxy.Buffers;

namespace Proxy.Composition;

/// <summary>
/// Returns memory to the system after large calls. A process that serves little allocates little, so without this the garbage collector would not run for hours
/// after a large body. Compares two counters every few seconds, and collects only after a large call, when the process has been quiet for a while.
/// </summary>
internal sealed partial class MemoryTrimmer : IDisposable
{
    public static readonly TimeSpan Period = TimeSpan.FromSeconds(5);

    /// <summary>Time after the last large call at which the kept arrays are freed.</summary>
    private static readonly TimeSpan Quiet = TimeSpan.FromSeconds(10);

    /// <summary>
    /// The shared pool drops a thread's array after two collections that are 30 seconds apart have seen it; a third collection then frees it.
    /// </summary>
    private static readonly TimeSpan[] Rounds = [Quiet, Quiet + TimeSpan.FromSeconds(35), Quiet + TimeSpan.FromSeconds(40)];

    /// <summary>Bytes allocated in one period above which it counts as a large call, whatever they are for. Less is not worth a collection.</summary>
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
    /// <param name="counters">Number of uses of large arrays, and bytes allocated, since the start.</param>
    /// <param name="collect">Frees unused memory.</param>
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
        // "Aggressive" returns free memory to the system at once. With little alive it takes some milliseconds.
        GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
        try
        {
            _ = malloc_trim(0); // memory of the models and the decompressors
        }
        catch (EntryPointNotFoundException)
        {
            // A C library without this call keeps little memory anyway.
        }
    }

    [LibraryImport("libc")]
    private static partial int malloc_trim(nuint pad);
}
