using Microsoft.Extensions.Time.Testing;
using Proxy.Http.Console;
using Proxy.Telemetry;

namespace Proxy.Tests.Http.Console;

public sealed class RecentCallsTests
{
    private static CallRecord Call(int number, string? model = "m", CallOutcome outcome = CallOutcome.Ok, string surface = "/v1/models") =>
        new() { TraceId = $"T{number}", CorrelationId = "c", Surface = surface, Started = 0, Model = model, Outcome = outcome };

    [Fact]
    public void Calls_finish_The_last_ones_are_kept_and_each_is_given_once()
    {
        var recent = new RecentCalls(new FakeTimeProvider());
        for (var number = 1; number <= RecentCalls.Kept + 50; number++) recent.Add(Call(number), TimeSpan.FromMilliseconds(number));

        var all = recent.After(0);
        recent.Add(Call(999), TimeSpan.Zero);

        Assert.Equal((RecentCalls.Kept, "T51", $"T{RecentCalls.Kept + 50}"), (all.Count, all[0].Record.TraceId, all[^1].Record.TraceId));
        Assert.Equal("T999", Assert.Single(recent.After(all[^1].Number)).Record.TraceId);
        Assert.Empty(recent.After(all[^1].Number + 1));
        Assert.Empty(recent.After(long.MaxValue - 1));
        Assert.Equal(RecentCalls.Kept, recent.After(-5).Count);
    }

    [Fact]
    public void Listings_that_end_well_are_left_out()
    {
        var recent = new RecentCalls(new FakeTimeProvider());
        recent.Add(Call(1, model: null), TimeSpan.Zero);
        recent.Add(Call(2, model: null, CallOutcome.Refused), TimeSpan.Zero);
        recent.Add(Call(3, model: null, surface: "/v1/vector_stores/{vector_store_id}/search"), TimeSpan.Zero);

        Assert.Equal(["T2", "T3"], recent.After(0).Select(call => call.Record.TraceId));
    }

    [Fact]
    public void Call_is_added_Nothing_is_allocated()
    {
        var recent = new RecentCalls(TimeProvider.System);
        var call = Call(1);
        recent.Add(call, TimeSpan.Zero);

        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var number = 0; number < 1000; number++) recent.Add(call, TimeSpan.Zero);

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }
}
