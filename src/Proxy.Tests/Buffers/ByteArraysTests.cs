using Proxy.Buffers;

namespace Proxy.Tests.Buffers;

/// <summary>The whole process shares the pooled arrays, so no other test may run at the same time.</summary>
[Collection(nameof(ByteArraysTests))]
[CollectionDefinition(nameof(ByteArraysTests), DisableParallelization = true)]
public sealed class ByteArraysTests
{
    [Fact]
    public void Large_array_Is_kept_for_the_next_of_its_size_until_all_are_dropped()
    {
        ByteArrays.DropLarge();
        var uses = ByteArrays.LargeUses;
        var first = ByteArrays.Rent(5_000_000);
        Assert.True(first.Length >= 5_000_000);
        ByteArrays.Return(first);

        var small = ByteArrays.Rent(1_000_000); // far smaller, so a different array
        Assert.NotSame(first, small);
        Assert.Same(first, ByteArrays.Rent(4_900_000));
        Assert.NotSame(first, ByteArrays.Rent(4_900_000));
        Assert.Equal(5, ByteArrays.LargeUses - uses);

        ByteArrays.Return(first);
        ByteArrays.DropLarge();
        Assert.NotSame(first, ByteArrays.Rent(4_900_000));
    }

    [Fact]
    public void Small_array_Is_the_shared_pools()
    {
        var uses = ByteArrays.LargeUses;

        ByteArrays.Return(ByteArrays.Rent(ByteArrays.LongestSmall));

        Assert.Equal(uses, ByteArrays.LargeUses);
    }

    [Fact]
    public void What_was_dropped_Is_collected()
    {
        var gone = Leave();

        ByteArrays.DropLarge();
        GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);

        Assert.False(gone.IsAlive);

        [System.Runtime.CompilerServices.MethodImpl(System.Runtime.CompilerServices.MethodImplOptions.NoInlining)]
        static WeakReference Leave()
        {
            var array = ByteArrays.Rent(8 << 20);
            ByteArrays.Return(array);
            return new WeakReference(array);
        }
    }
}
