using Microsoft.Extensions.Time.Testing;
using Proxy.Composition;

namespace Proxy.Tests.Composition;

public sealed class MemoryTrimmerTests : IDisposable
{
    private readonly FakeTimeProvider time = new();
    private readonly MemoryTrimmer trimmer;
    private long uses;
    private long allocated;
    private int collections;

    public MemoryTrimmerTests() => trimmer = new(time, () => (uses, allocated), () => collections++);

    public void Dispose() => trimmer.Dispose();

    [Fact]
    public void Nothing_large_happens_Nothing_is_collected()
    {
        for (var i = 0; i < 100; i++)
        {
            allocated += 1 << 20; // small calls only
            Pass(5);
        }

        Assert.Equal(0, collections);
    }

    [Fact]
    public void After_the_last_large_call_Memory_is_given_back_within_a_minute_and_then_no_more()
    {
        uses = 2;
        Pass(5);
        Assert.Equal(0, collections);
        Pass(10);
        Assert.Equal(1, collections);
        Pass(45);
        Assert.Equal(3, collections);
        Pass(3600);
        Assert.Equal(3, collections);
    }

    [Fact]
    public void Large_calls_go_on_It_waits_for_their_end_and_small_ones_beside_them_do_not_matter()
    {
        for (var i = 0; i < 20; i++)
        {
            uses++;
            Pass(5);
        }

        Assert.Equal(0, collections);
        for (var i = 0; i < 2; i++)
        {
            allocated += 1 << 20;
            Pass(5);
        }

        Assert.Equal(1, collections);
    }

    [Fact]
    public void Much_is_allocated_in_small_pieces_It_counts_as_large()
    {
        allocated = 64 << 20;
        Pass(5);
        Pass(10);

        Assert.Equal(1, collections);
    }

    private void Pass(int seconds)
    {
        for (var i = 0; i < seconds; i += 5) time.Advance(MemoryTrimmer.Period);
    }
}
