using Microsoft.Extensions.Time.Testing;
using Proxy.Transport;

namespace Proxy.Tests.Transport;

public sealed class CoarseTickerTests
{
    private readonly FakeTimeProvider time = new();

    [Fact]
    public void Registered_Is_told_every_100_ms_until_it_leaves()
    {
        using var ticker = new CoarseTicker(time);
        var counter = new Counter();
        var start = ticker.Now;

        ticker.Register(counter);
        for (var period = 0; period < 10; period++) time.Advance(CoarseTicker.Period);
        ticker.Unregister(counter);
        time.Advance(TimeSpan.FromMilliseconds(1000));

        Assert.Equal([.. Enumerable.Range(1, 10).Select(tick => start + tick * 100)], counter.Ticks);
    }

    [Fact]
    public void Everybody_left_Timer_stops_and_starts_again_with_the_next()
    {
        var counting = new CountingTime();
        using var ticker = new CoarseTicker(counting);
        var first = new Counter();
        ticker.Register(first);
        ticker.Unregister(first);
        counting.Fake.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(Timeout.InfiniteTimeSpan, counting.LastPeriod);

        var second = new Counter();
        ticker.Register(second);
        counting.Fake.Advance(TimeSpan.FromMilliseconds(200));

        Assert.Equal(CoarseTicker.Period, counting.LastPeriod);
        Assert.Equal((0, 2), (first.Ticks.Count, second.Ticks.Count));
    }

    [Fact]
    public void Any_of_many_leaves_The_others_are_told_on()
    {
        using var ticker = new CoarseTicker(time);
        var counters = Enumerable.Range(0, 200).Select(_ => new Counter()).ToArray();
        foreach (var counter in counters) ticker.Register(counter);

        for (var i = 0; i < counters.Length; i += 3) ticker.Unregister(counters[i]);
        ticker.Unregister(counters[0]); // unregistering twice does nothing
        ticker.Register(counters[1]);
        time.Advance(CoarseTicker.Period);

        Assert.Equal(counters.Select((_, i) => i % 3 == 0 ? 0 : 1), counters.Select(counter => counter.Ticks.Count));
    }

    [Fact]
    public void Leaves_during_its_own_tick_Is_not_told_again()
    {
        using var ticker = new CoarseTicker(time);
        var counter = new Counter();
        counter.OnTick = () => ticker.Unregister(counter);

        ticker.Register(counter);
        time.Advance(TimeSpan.FromSeconds(1));

        Assert.Single(counter.Ticks);
    }

    [Fact]
    public void Real_clock_Is_that_of_TickCount64()
    {
        using var ticker = new CoarseTicker(TimeProvider.System);

        Assert.InRange(ticker.Now, Environment.TickCount64 - 1000, Environment.TickCount64);
    }

    private sealed class Counter : ITicked
    {
        int ITicked.TickMark { get; set; }

        public List<long> Ticks { get; } = [];

        public Action? OnTick { get; set; }

        public void Tick(long now)
        {
            Ticks.Add(now);
            OnTick?.Invoke();
        }
    }

    private sealed class CountingTime : TimeProvider
    {
        public FakeTimeProvider Fake { get; } = new();

        public TimeSpan LastPeriod { get; private set; }

        public override long TimestampFrequency => Fake.TimestampFrequency;

        public override long GetTimestamp() => Fake.GetTimestamp();

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) =>
            new Watched(this, Fake.CreateTimer(callback, state, dueTime, period));

        private sealed class Watched(CountingTime owner, ITimer inner) : ITimer
        {
            public bool Change(TimeSpan dueTime, TimeSpan period)
            {
                owner.LastPeriod = period;
                return inner.Change(dueTime, period);
            }

            public void Dispose() => inner.Dispose();

            public ValueTask DisposeAsync() => inner.DisposeAsync();
        }
    }
}
