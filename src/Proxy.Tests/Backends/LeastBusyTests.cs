using Proxy.Backends;
using Proxy.Backends.Picking;
using Proxy.Config;

namespace Proxy.Tests.Backends;

public sealed class LeastBusyTests
{
    private static Backend Of(string name, int? slots, int busy, int weight = 1)
    {
        var state = new BackendState(name, TimeProvider.System) { InFlight = busy, Slots = slots };
        return new Backend(new BackendConfig { Name = name, Url = "http://h", Weight = weight, Slots = slots }, state, null, static _ => null);
    }

    [Fact]
    public void Slots_are_free_The_one_with_the_most_is_picked()
    {
        Assert.Equal("b", LeastBusy.Pick([Of("a", 2, 1), Of("b", 8, 5), Of("c", 1, 0)])!.Name);
    }

    [Fact]
    public void No_slot_is_free_Nobody_is_picked()
    {
        Assert.Null(LeastBusy.Pick([Of("a", 2, 2), Of("b", 1, 5)]));
        Assert.Null(LeastBusy.Pick([]));
    }

    [Fact]
    public void A_backend_is_down_It_is_not_picked_unless_nothing_else_is_left()
    {
        var down = Of("a", 9, 0);
        down.State.MarkDown("gone");
        var open = Of("c", 9, 0);
        for (var i = 0; i < BackendState.Tolerance; i++) open.State.MarkFailed("x", connection: false);

        Assert.Equal("b", LeastBusy.Pick([down, Of("b", 1, 0)])!.Name);
        Assert.Null(LeastBusy.Pick([down, open]));
        Assert.Equal("a", LeastBusy.Pick([open, down], evenDown: true)!.Name);
        Assert.Null(LeastBusy.Pick([open], evenDown: true));
    }

    [Fact]
    public void Equally_free_Calls_are_shared_by_weight()
    {
        Backend[] all = [Of("a", null, 0, weight: 3), Of("b", null, 0)];
        var given = new Dictionary<string, int> { ["a"] = 0, ["b"] = 0 };
        for (var i = 0; i < 400; i++) // one call at a time, so no backend is busy
        {
            var picked = LeastBusy.Pick(all)!;
            picked.State.Given++;
            given[picked.Name]++;
        }

        Assert.Equal((300, 100), (given["a"], given["b"]));
        foreach (var backend in all) (backend.State.Given, given[backend.Name]) = (0, 0);
        for (var i = 0; i < 400; i++) // all calls at once
        {
            var picked = LeastBusy.Pick(all)!;
            picked.State.InFlight++;
            given[picked.Name]++;
        }

        Assert.Equal((300, 100), (given["a"], given["b"]));
    }
}
