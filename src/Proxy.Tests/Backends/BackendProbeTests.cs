using Proxy.Backends;
using Proxy.Config;

namespace Proxy.Tests.Backends;

public sealed class BackendProbeTests : IAsyncLifetime
{
    private readonly CancellationTokenSource stopping = new();
    private readonly House house = new(House.At("a") with { Slots = 1 }, House.At("b"), BackendConfig.Echo);
    private readonly Dictionary<string, int> asked = [];
    private readonly Dictionary<string, Func<CancellationToken, Task<HostReport>>> answers = [];
    private Task running = Task.CompletedTask;
    private BackendProbe probe = null!;

    public ValueTask InitializeAsync()
    {
        foreach (var name in (string[])["a", "b"]) answers[name] = _ => Serves("m");
        probe = new BackendProbe(house.Directory, house.Slots, (backend, cancellation) =>
        {
            lock (asked) asked[backend.Name] = asked.GetValueOrDefault(backend.Name) + 1;
            return answers[backend.Name](cancellation);
        }, house.Log, house.Time);
        return default;
    }

    public async ValueTask DisposeAsync()
    {
        await stopping.CancelAsync();
        house.Time.Advance(TimeSpan.FromSeconds(1));
        await running;
        stopping.Dispose();
        house.Dispose();
    }

    private static Task<HostReport> Serves(params string[] models) =>
        Task.FromResult(new HostReport([DialectFamily.OpenAi], [.. models.Select(m => new HostModel(m, null, null, null))], null, null));

    private static Func<CancellationToken, Task<HostReport>> Refuses =>
        static _ => Task.FromException<HostReport>(new HttpRequestException("connection refused"));

    private void Start() => running = probe.RunAsync(stopping.Token);

    /// <summary>Advances the clock second by second, so that every loop of the probe sees each second.</summary>
    private async Task PassAsync(int seconds)
    {
        for (var i = 0; i < seconds; i++)
        {
            house.Time.Advance(TimeSpan.FromSeconds(1));
            for (var turn = 0; turn < 20; turn++) await Task.Yield();
        }
    }

    private int Asked(string name)
    {
        lock (asked) return asked.GetValueOrDefault(name);
    }

    [Fact]
    public async Task Started_Every_host_is_asked_once_and_its_models_are_found()
    {
        Assert.Null(house.Directory.Table.Resolve("m"));

        Start();
        await probe.FirstRound;

        Assert.Equal(["a", "b"], house.Directory.Table.Resolve("m")!.Candidates.Select(b => b.Name));
        Assert.Equal((1, 1, 0), (Asked("a"), Asked("b"), Asked("echo")));
        Assert.Equal(BackendHealth.Up, house["a"].State.Health);
    }

    [Fact]
    public async Task Host_is_up_It_is_asked_every_ten_seconds()
    {
        Start();
        await PassAsync(9);
        Assert.Equal(1, Asked("a"));

        await PassAsync(3);
        Assert.Equal(2, Asked("a"));
    }

    [Fact]
    public async Task Host_is_down_It_is_asked_every_second_and_both_changes_are_said_once()
    {
        answers["a"] = Refuses;
        Start();
        await PassAsync(5);
        Assert.InRange(Asked("a"), 5, 7);
        Assert.False(house["a"].State.Available);
        Assert.Single(house.Log.All, line => line.StartsWith("backend_down: Backend a went down: connection refused", StringComparison.Ordinal));

        answers["a"] = _ => Serves("m");
        await PassAsync(3);

        Assert.True(house["a"].State.Available);
        Assert.Single(house.Log.All, line => line.StartsWith("backend_up: Backend a", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Host_comes_back_Who_waits_for_it_is_served()
    {
        Start();
        await probe.FirstRound;
        using var held = (await house.Slots.TakeAsync("m", [house["a"]], 9, TimeSpan.FromHours(1), default)).Lease!;
        answers["b"] = Refuses;
        await PassAsync(12);
        Assert.False(house["b"].State.Available);
        var waiting = house.Slots.TakeAsync("m", [house["a"], house["b"]], 9, TimeSpan.FromHours(1), default).AsTask();
        Assert.False(waiting.IsCompleted);

        answers["b"] = _ => Serves("m");
        await PassAsync(2);

        Assert.Equal("b", (await waiting.WaitAsync(TimeSpan.FromSeconds(10))).Lease!.Backend.Name);
    }

    [Fact]
    public async Task Host_is_too_busy_for_a_probe_It_stays_up_while_it_serves()
    {
        answers["a"] = static _ => Task.FromException<HostReport>(new TaskCanceledException("slow"));
        var lease = (await house.Slots.TakeAsync("m", [house["a"]], 9, TimeSpan.FromHours(1), default)).Lease!;
        Start();
        await PassAsync(2);
        Assert.True(house["a"].State.Available);

        lease.Dispose();
        await PassAsync(12);

        Assert.False(house["a"].State.Available);
    }

    [Fact]
    public async Task Host_is_frozen_with_its_calls_Three_unanswered_probes_mean_down()
    {
        var lease = (await house.Slots.TakeAsync("m", [house["a"]], 9, TimeSpan.FromHours(1), default)).Lease!;
        Start();
        await probe.FirstRound;
        answers["a"] = static _ => Task.FromException<HostReport>(new HostProbeException("no answer to /v1/models within 5s") { TimedOut = true });

        await PassAsync(23);
        Assert.True(house["a"].State.Available); // two failures are not enough

        await PassAsync(12);
        Assert.False(house["a"].State.Available);
        Assert.Single(house.Log.All,
            line => line.StartsWith("backend_down: Backend a went down: no answer to /v1/models within 5s, 3 times in a row", StringComparison.Ordinal));
        Assert.Equal(["suspect"], house.Hosts["a"].Told);

        answers["a"] = _ => Serves("m");
        await PassAsync(2);

        Assert.True(house["a"].State.Available);
        Assert.Equal(["suspect", "end"], house.Hosts["a"].Told);
        lease.Dispose();
    }

    [Fact]
    public async Task Probes_are_not_answered_but_a_call_brings_tokens_Host_stays_up()
    {
        using var lease = (await house.Slots.TakeAsync("m", [house["a"]], 9, TimeSpan.FromHours(1), default)).Lease!;
        Start();
        await probe.FirstRound;
        answers["a"] = static _ => Task.FromException<HostReport>(new HostProbeException("no answer") { TimedOut = true });

        for (var i = 0; i < 8; i++)
        {
            house.Hosts["a"].Received++;
            await PassAsync(20); // two failed probes, with a served token between them
        }

        Assert.True(house["a"].State.Available);
        Assert.DoesNotContain("end", house.Hosts["a"].Told);
    }

    [Fact]
    public async Task Host_says_that_it_cannot_be_used_yet_Its_calls_go_on_when_it_can()
    {
        Start();
        await probe.FirstRound;
        answers["a"] = static _ => Task.FromException<HostReport>(new HostProbeException("answers 503 at /v1/models: loading") { Answered = true });
        await PassAsync(12);
        Assert.False(house["a"].State.Available);

        answers["a"] = _ => Serves("m");
        await PassAsync(2);

        Assert.True(house["a"].State.Available);
        Assert.DoesNotContain("end", house.Hosts["a"].Told);
    }

    [Fact]
    public async Task This_process_has_no_descriptor_left_for_a_probe_Host_stays_up()
    {
        Start();
        await probe.FirstRound;
        answers["a"] = static _ => Task.FromException<HostReport>(new HostProbeException("Too many open files") { IsOurs = true });

        await PassAsync(40);

        Assert.True(house["a"].State.Available);
        Assert.DoesNotContain(house.Log.All, line => line.StartsWith("backend_down", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Host_serves_another_model_The_table_knows_it()
    {
        Start();
        await probe.FirstRound;
        var before = house.Directory.Table;
        await PassAsync(12);
        Assert.Same(before, house.Directory.Table); // nothing has changed, so the table is not rebuilt

        answers["a"] = _ => Serves("m", "n");
        await PassAsync(12);

        Assert.Equal("a", Assert.Single(house.Directory.Table.Resolve("n")!.Candidates).Name);
    }

    [Fact]
    public async Task One_host_is_silent_The_first_round_is_over_after_two_seconds()
    {
        var silent = new TaskCompletionSource<HostReport>();
        answers["a"] = cancellation => silent.Task.WaitAsync(cancellation);
        Start();
        var first = probe.FirstRound;
        await PassAsync(1);
        Assert.False(first.IsCompleted);

        await PassAsync(1);

        await Assert.ThrowsAsync<TimeoutException>(() => first);
        Assert.Equal(["m"], (await new ModelCatalog(house.Directory, probe).ListAsync(static name => name == "m")).Select(m => m.Name));
    }

    [Fact]
    public async Task Reload_adds_and_removes_hosts_The_probe_follows()
    {
        answers["c"] = _ => Serves("new");
        Start();
        await probe.FirstRound;

        house.Directory.Apply(new ProxyConfig { Backends = [House.At("c"), House.At("b")] });
        await PassAsync(3);
        var before = Asked("a");
        await PassAsync(25);

        Assert.Equal(before, Asked("a"));
        Assert.InRange(Asked("c"), 2, 4);
        Assert.NotNull(house.Directory.Table.Resolve("new"));
    }
}
