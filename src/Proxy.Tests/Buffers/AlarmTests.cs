using Microsoft.Extensions.Time.Testing;
using Proxy.Buffers;

namespace Proxy.Tests.Buffers;

public sealed class AlarmTests
{
    private readonly FakeTimeProvider time = new();

    [Fact]
    public void Ring_before_the_wait_is_kept_Once()
    {
        using var alarm = new Alarm(time);
        alarm.Ring();
        alarm.Ring();

        Assert.True(alarm.WaitAsync(Timeout.InfiniteTimeSpan).AsTask().IsCompleted);
        Assert.False(alarm.WaitAsync(Timeout.InfiniteTimeSpan).AsTask().IsCompleted);
    }

    [Fact]
    public async Task Rings_at_the_latest_after_the_time_that_the_reader_asked_for()
    {
        using var alarm = new Alarm(time);
        await WaitsAsync(alarm, TimeSpan.FromSeconds(10), TimeSpan.FromSeconds(10));
        // A timer that is set for later must not hold up a reader that wants to be woken earlier.
        var late = alarm.WaitAsync(TimeSpan.FromMinutes(5)).AsTask();
        alarm.Ring();
        await late;
        await WaitsAsync(alarm, TimeSpan.FromSeconds(3), TimeSpan.FromSeconds(3));
    }

    [Fact]
    public async Task Timer_that_is_set_is_used_again_It_may_ring_early()
    {
        using var alarm = new Alarm(time);
        for (var i = 0; i < 3; i++)
        {
            var waiting = alarm.WaitAsync(TimeSpan.FromSeconds(10)).AsTask();
            time.Advance(TimeSpan.FromSeconds(3));
            Assert.False(waiting.IsCompleted);
            alarm.Ring();
            await waiting;
        }

        await WaitsAsync(alarm, TimeSpan.FromSeconds(10), TimeSpan.FromSeconds(1)); // for the first wait
        await WaitsAsync(alarm, TimeSpan.FromSeconds(10), TimeSpan.FromSeconds(10));
    }

    /// <summary>A reader, woken from two threads at once, misses no ring: each of its waits ends, however the rings fall.</summary>
    [Fact]
    public async Task No_ring_is_lost()
    {
        using var alarm = new Alarm(TimeProvider.System);
        var (rung, seen) = (0, 0);
        const int All = 20_000;
        var ringing = Task.WhenAll(Enumerable.Range(0, 2).Select(which => Task.Run(() =>
        {
            for (var i = 0; i < All / 2; i++)
            {
                Interlocked.Increment(ref rung);
                if (which == 0) alarm.Ring();
                else alarm.RingElsewhere();
            }
        })));
        while (seen < All)
        {
            if (Volatile.Read(ref rung) is var now && now > seen) seen = now;
            else await alarm.WaitAsync(Timeout.InfiniteTimeSpan).AsTask().WaitAsync(TimeSpan.FromSeconds(10), TestContext.Current.CancellationToken);
        }

        await ringing;
        Assert.Equal(All, seen);
    }

    private async Task WaitsAsync(Alarm alarm, TimeSpan asked, TimeSpan expected)
    {
        var waiting = alarm.WaitAsync(asked).AsTask();
        time.Advance(expected - TimeSpan.FromMilliseconds(1));
        Assert.False(waiting.IsCompleted);
        time.Advance(TimeSpan.FromMilliseconds(2)); // a timer counts whole milliseconds
        await waiting;
    }
}
