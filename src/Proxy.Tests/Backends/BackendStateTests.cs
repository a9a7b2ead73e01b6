using Microsoft.Extensions.Time.Testing;
using Proxy.Backends;

namespace Proxy.Tests.Backends;

public sealed class BackendStateTests
{
    private readonly FakeTimeProvider time = new();
    private readonly BackendState state;

    public BackendStateTests() => state = new BackendState("gpu", time);

    [Fact]
    public void Three_failures_in_a_row_Open_the_breaker_and_say_so_once()
    {
        Assert.False(state.MarkFailed("first", connection: false));
        Assert.False(state.MarkFailed("second", connection: false));
        Assert.True(state.Available);
        Assert.Null(state.Reason);

        Assert.True(state.MarkFailed("third", connection: false));
        Assert.False(state.MarkFailed("fourth", connection: false));
        Assert.Equal((false, BreakerState.Open), (state.Available, state.Breaker));
        Assert.NotNull(state.Reason);
    }

    [Fact]
    public void A_call_is_served_between_Failures_are_not_in_a_row()
    {
        for (var i = 0; i < 10; i++)
        {
            state.MarkFailed("x", connection: false);
            state.MarkFailed("x", connection: false);
            state.MarkServed();
        }

        Assert.True(state.Available);
    }

    [Fact]
    public void Reachable_but_every_call_fails_Breaker_opens_although_probes_succeed()
    {
        for (var i = 0; i < BackendState.Tolerance; i++)
        {
            Assert.True(state.Available);
            state.MarkFailed("it answers nonsense", connection: false);
            state.MarkUp();
        }

        Assert.False(state.Available);
    }

    [Fact]
    public void Connection_was_lost_The_next_probe_closes_the_breaker_at_once()
    {
        Open(connection: true);

        Assert.True(state.MarkUp());
        Assert.True(state.Available);
        Assert.Null(state.Reason);
        state.MarkFailed("x", connection: true);
        state.MarkFailed("x", connection: true);
        Assert.True(state.Available); // the count of failures was reset
    }

    [Fact]
    public void Calls_failed_The_pause_doubles_up_to_fifteen_seconds()
    {
        foreach (var pause in (ReadOnlySpan<int>)[1, 2, 4, 8, 15, 15])
        {
            Open(connection: false);
            time.Advance(TimeSpan.FromSeconds(pause) - TimeSpan.FromMilliseconds(1));
            Assert.False(state.MarkUp());
            Assert.False(state.Available);
            time.Advance(TimeSpan.FromMilliseconds(1));
            Assert.True(state.MarkUp());
            Assert.True(state.Available);
        }

        state.MarkServed();
        Open(connection: false);
        time.Advance(TimeSpan.FromSeconds(1));
        Assert.True(state.MarkUp());
    }

    [Fact]
    public void Pause_is_over_One_call_at_a_time_tries_it_out()
    {
        Open(connection: false);
        time.Advance(TimeSpan.FromSeconds(1));
        state.MarkUp();
        Assert.Equal((BreakerState.HalfOpen, true, true), (state.Breaker, state.Available, state.MayTake));

        state.Take();
        Assert.False(state.MayTake);
        state.Return(); // the trial call ended without a result, because its client left
        Assert.True(state.MayTake);

        state.Take();
        time.Advance(TimeSpan.FromSeconds(5)); // the trial's answer may just be long, so another call may be tried
        Assert.True(state.MayTake);

        state.MarkServed();
        state.Take();
        Assert.Equal((BreakerState.Closed, true), (state.Breaker, state.MayTake));
    }

    [Fact]
    public void Trial_fails_The_breaker_opens_again_at_once()
    {
        Open(connection: false);
        time.Advance(TimeSpan.FromSeconds(1));
        state.MarkUp();

        Assert.True(state.MarkFailed("still broken", connection: false));

        Assert.Equal((BreakerState.Open, "still broken"), (state.Breaker, state.Reason));
        time.Advance(TimeSpan.FromSeconds(1));
        Assert.False(state.MarkUp()); // this time it stays open for twice as long
    }

    [Fact]
    public void Probe_fails_and_comes_back_Each_is_news_once()
    {
        Assert.False(state.MarkUp()); // it was already considered up
        Assert.Equal(BackendHealth.Up, state.Health);
        Assert.True(state.MarkDown("refused"));
        Assert.False(state.MarkDown("refused again"));
        Assert.Equal((false, "refused again"), (state.Available, state.Reason));
        Assert.True(state.MarkUp());
        Assert.False(state.MarkUp());
    }

    private void Open(bool connection)
    {
        for (var i = 0; i < BackendState.Tolerance; i++) state.MarkFailed("x", connection);
        Assert.False(state.Available);
    }
}
