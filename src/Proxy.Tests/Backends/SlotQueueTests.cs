using Proxy.Backends;
using Proxy.Config;

namespace Proxy.Tests.Backends;

public sealed class SlotQueueTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(300);
    private readonly House house = new(House.At("a", "m", "x") with { Slots = 1 }, House.At("b", "m", "y") with { Slots = 2 });

    public void Dispose() => house.Dispose();

    private Task<SlotGrant> TakeAsync(string model, string on = "a", int bound = 256, TimeSpan? wait = null, CancellationToken cancellation = default)
        // with this limit, a lost wake-up fails the test instead of hanging it
        => house.Slots.TakeAsync(model, [.. on.Split(',').Select(name => house[name])], bound, wait ?? Patience, cancellation).AsTask()
            .WaitAsync(TimeSpan.FromSeconds(30), CancellationToken.None);

    [Fact]
    public async Task Free_slot_Is_given_at_once_and_back_once_only()
    {
        var first = await TakeAsync("m");
        var second = TakeAsync("m");
        var third = TakeAsync("m");
        Assert.False(second.IsCompleted);

        first.Lease!.Dispose();
        first.Lease.Dispose();

        Assert.NotNull((await second).Lease);
        Assert.False(third.IsCompleted); // there is only one slot, although the lease was disposed twice
        Assert.Equal(1, house["a"].State.InFlight);
    }

    [Fact]
    public async Task Backend_is_tried_out_The_others_wait_for_what_comes_of_it()
    {
        var state = house["b"].State;
        for (var i = 0; i < BackendState.Tolerance; i++) state.MarkFailed("x", connection: false);
        house.Time.Advance(TimeSpan.FromSeconds(1));
        state.MarkUp();

        var trial = await TakeAsync("y", on: "b");
        var next = TakeAsync("y", on: "b");
        Assert.NotNull(trial.Lease);
        Assert.False(next.IsCompleted); // although the backend has two slots

        state.MarkServed();
        house.Slots.Recheck();
        Assert.NotNull((await next).Lease);
    }

    [Fact]
    public async Task Backend_came_back_It_is_not_given_every_call_until_it_has_caught_up()
    {
        for (var i = 0; i < 100; i++) (await TakeAsync("x")).Lease!.Dispose();
        house["b"].State.Slots = 1;

        house.Slots.Level(house.Directory.Table.All);
        var served = new List<string>();
        for (var i = 0; i < 10; i++)
        {
            using var lease = (await TakeAsync("m", on: "a,b")).Lease!;
            served.Add(lease.Backend.Name);
        }

        Assert.Equal(5, served.Count(name => name == "a"));
    }

    [Fact]
    public async Task Many_wait_First_come_first_served()
    {
        var held = (await TakeAsync("m")).Lease!;
        var waiting = Enumerable.Range(0, 20).Select(_ => TakeAsync("m")).ToArray();
        foreach (var next in waiting)
        {
            Assert.All(waiting.SkipWhile(w => w != next), w => Assert.False(w.IsCompleted));
            held.Dispose();
            held = (await next).Lease!;
        }

        held.Dispose();
        Assert.Equal((0, 0), (house["a"].State.InFlight, house.Slots.Waiting));
    }

    [Fact]
    public async Task Line_is_full_The_next_is_refused_at_once_and_other_models_are_not()
    {
        using var held = (await TakeAsync("m")).Lease!;
        var waiting = (List<Task<SlotGrant>>)[TakeAsync("m", bound: 2), TakeAsync("m", bound: 2)];

        Assert.Equal(SlotRefusal.QueueFull, (await TakeAsync("m", bound: 2)).Refusal);
        var other = TakeAsync("x", bound: 2);
        Assert.False(other.IsCompleted);

        held.Dispose();
        (await waiting[0]).Lease!.Dispose(); // frees a place in the queue
        var again = TakeAsync("m", bound: 2);
        Assert.NotNull((await waiting[1]).Lease);
        Assert.False(again.IsCompleted);
        Assert.Equal(2, house.Slots.Waiting);
    }

    [Fact]
    public async Task Bound_is_zero_Nobody_waits()
    {
        using var held = (await TakeAsync("m", bound: 0)).Lease;

        Assert.NotNull(held);
        Assert.Equal(SlotRefusal.QueueFull, (await TakeAsync("m", bound: 0)).Refusal);
    }

    [Fact]
    public async Task Time_runs_out_The_waiter_is_refused_and_leaves_the_line()
    {
        var held = (await TakeAsync("m")).Lease!;
        var late = TakeAsync("m", wait: TimeSpan.FromSeconds(10));
        var patient = TakeAsync("m", wait: TimeSpan.FromSeconds(20));

        house.Time.Advance(TimeSpan.FromSeconds(10));

        Assert.Equal(SlotRefusal.TimedOut, (await late).Refusal);
        Assert.False(patient.IsCompleted);
        held.Dispose();
        Assert.NotNull((await patient).Lease);
        Assert.Equal(0, house.Slots.Waiting);
    }

    [Fact]
    public async Task Time_is_over_already_The_waiter_is_refused()
    {
        using var held = (await TakeAsync("m")).Lease!;

        Assert.Equal(SlotRefusal.TimedOut, (await TakeAsync("m", wait: TimeSpan.FromSeconds(-1))).Refusal);
        Assert.Equal(0, house.Slots.Waiting);
    }

    [Fact]
    public async Task Cancelled_in_the_line_Its_turn_goes_to_the_next()
    {
        var held = (await TakeAsync("m")).Lease!;
        using var leaving = new CancellationTokenSource();
        var gone = TakeAsync("m", cancellation: leaving.Token);
        var next = TakeAsync("m");

        await leaving.CancelAsync();
        Assert.Equal(SlotRefusal.Cancelled, (await gone).Refusal);
        held.Dispose();

        Assert.NotNull((await next).Lease);
        Assert.Equal(SlotRefusal.Cancelled, (await TakeAsync("m", cancellation: leaving.Token)).Refusal);
        Assert.Equal(0, house.Slots.Waiting);
    }

    [Fact]
    public async Task Several_backends_serve_it_Whichever_is_free_first_takes_the_waiter()
    {
        var onA = (await TakeAsync("m", "a")).Lease!;
        var onB = (Lease[])[(await TakeAsync("m", "b")).Lease!, (await TakeAsync("m", "b")).Lease!];
        var onlyA = TakeAsync("x", "a");
        var either = TakeAsync("m", "a,b");

        onB[1].Dispose(); // the first waiter cannot use this backend

        Assert.Equal("b", (await either).Lease!.Backend.Name);
        Assert.False(onlyA.IsCompleted);
        onA.Dispose();
        Assert.Equal("a", (await onlyA).Lease!.Backend.Name);
    }

    [Fact]
    public async Task All_down_Refused_at_once()
    {
        foreach (var name in (string[])["a", "b"])
        {
            for (var i = 0; i < BackendState.Tolerance; i++) house[name].State.MarkFailed("x", connection: false);
        }

        Assert.Equal(SlotRefusal.AllDown, (await TakeAsync("m", "a,b")).Refusal);
    }

    [Fact]
    public async Task Last_backend_goes_down_Who_waits_for_it_is_refused_at_once()
    {
        var held = (await TakeAsync("m", "a")).Lease!;
        var waiting = TakeAsync("m", "a");
        Assert.False(waiting.IsCompleted);

        for (var i = 0; i < BackendState.Tolerance; i++) house["a"].State.MarkFailed("x", connection: false);
        house.Slots.Recheck();

        Assert.Equal(SlotRefusal.AllDown, (await waiting).Refusal);
        held.Dispose();
    }

    [Fact]
    public async Task Backend_comes_back_Recheck_serves_whoever_waits_for_it()
    {
        using var held = (await TakeAsync("m", "a")).Lease!;
        house["b"].State.MarkDown("gone");
        var waiting = Enumerable.Range(0, 3).Select(_ => TakeAsync("m", "a,b")).ToArray();

        house.Slots.Recheck();
        Assert.All(waiting, w => Assert.False(w.IsCompleted));
        house["b"].State.MarkUp();
        house.Slots.Recheck();

        Assert.Equal("b", (await waiting[0]).Lease!.Backend.Name);
        Assert.Equal("b", (await waiting[1]).Lease!.Backend.Name);
        Assert.False(waiting[2].IsCompleted); // the backend has two slots
    }

    [Fact]
    public async Task Reload_meanwhile_A_slot_of_before_serves_who_came_after()
    {
        var held = (await TakeAsync("m")).Lease!;
        house.Directory.Apply(house.Directory.Table.Config with { DefaultBackend = "b" });
        var waiting = TakeAsync("m");
        Assert.False(waiting.IsCompleted);

        held.Dispose();

        Assert.Same(house["a"], (await waiting).Lease!.Backend);
    }

    [Fact]
    public async Task Reload_gives_more_slots_Who_waited_before_gets_them()
    {
        using var held = (await TakeAsync("m")).Lease!;
        var waiting = TakeAsync("m");
        house.Directory.Changed = house.Slots.Recheck;

        house.Directory.Apply(new ProxyConfig { Backends = [House.At("a", "m") with { Slots = 2 }] });

        Assert.NotNull((await waiting).Lease);
    }

    [Fact]
    public async Task Reload_takes_slots_Nothing_is_given_before_enough_came_back()
    {
        var held = (Lease[])[(await TakeAsync("m", "b")).Lease!, (await TakeAsync("m", "b")).Lease!];
        house.Directory.Apply(new ProxyConfig { Backends = [House.At("b", "m") with { Slots = 1 }] });
        var waiting = TakeAsync("m", "b");

        held[0].Dispose();
        Assert.False(waiting.IsCompleted);
        held[1].Dispose();

        Assert.NotNull((await waiting).Lease);
    }

    [Fact]
    public async Task Many_threads_No_wake_up_is_lost_and_no_slot_is_given_twice()
    {
        var most = new int[2];
        var running = new int[2];
        async Task CallAsync(int seed)
        {
            var random = new Random(seed);
            for (var i = 0; i < 300; i++)
            {
                using var leaving = new CancellationTokenSource();
                var on = random.Next(3) switch { 0 => "a", 1 => "b", _ => "a,b" };
                var taking = TakeAsync("m", on, 10_000, cancellation: leaving.Token);
                if (random.Next(8) == 0) await leaving.CancelAsync();
                if ((await taking).Lease is not { } lease) continue;
                var which = lease.Backend.Name == "a" ? 0 : 1;
                var now = Interlocked.Increment(ref running[which]);
                lock (most) most[which] = Math.Max(most[which], now);
                await Task.Yield();
                Interlocked.Decrement(ref running[which]);
                lease.Dispose();
            }
        }

        await Task.WhenAll(Enumerable.Range(0, 32).Select(seed => Task.Run(() => CallAsync(seed)))).WaitAsync(TimeSpan.FromSeconds(60));

        Assert.Equal([1, 2], most);
        Assert.Equal((0, 0, 0), (house.Slots.Waiting, house["a"].State.InFlight, house["b"].State.InFlight));
    }
}
