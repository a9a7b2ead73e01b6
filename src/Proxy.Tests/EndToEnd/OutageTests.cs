using System.Globalization;
using System.Text;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>
/// PostgreSQL or NATS is down for a while under load: no call fails, no record is lost, and the proxy's memory stays bounded. <c>PROXY_OUTAGE_SECONDS</c> says
/// for how long (long form: 60).
/// </summary>
[Trait("Category", "Slow")]
public sealed class OutageTests
{
    private const long MoreMemory = 96 << 20;

    private static readonly TimeSpan Down = TimeSpan.FromSeconds(
        int.TryParse(Environment.GetEnvironmentVariable("PROXY_OUTAGE_SECONDS"), CultureInfo.InvariantCulture, out var seconds) ? seconds : 5);

    [Fact]
    public async Task PostgreSQL_is_down_under_load_No_call_fails_and_no_record_is_lost()
    {
        await using var house = await CrashHouse.StartAsync();
        using var load = new SlowLoad(house);
        await load.ReachAsync(100);
        var before = house.Proxy.ResidentBytes;

        await house.KillAsync(Victim.Postgres);
        var highest = await HighestAsync(house, load, static () => Task.FromResult(true));
        var (spooled, bytes) = (await house.MetricAsync("proxy_spool_records"), await house.MetricAsync("proxy_spool_bytes"));
        await house.StartAgainAsync(Victim.Postgres);
        await load.ReachAsync(50);
        var calls = await load.EndAsync();
        await house.RecoverAsync("canary");

        var table = await CheckAsync(house, Victim.Postgres, calls, $"{spooled} rows, {bytes >> 10} KiB in the spool; {Memory(before, highest, house)}");
        Assert.True(spooled > 0, table.ToString());
        Assert.InRange(highest, 0, before + MoreMemory);
    }

    [Fact]
    public async Task NATS_is_down_under_load_No_call_fails_no_record_is_lost_and_what_is_not_published_is_counted()
    {
        await using var house = await CrashHouse.StartAsync();
        using var load = new SlowLoad(house);
        await using var bulk = new BulkLoad(house);
        await bulk.ReachAsync(300);
        await load.ReachAsync(100);
        var before = house.Proxy.ResidentBytes;

        await house.KillAsync(Victim.Nats);
        var highest = await HighestAsync(house, load, async () => await house.MetricAsync("proxy_nats_dropped_total") > 0);
        var waiting = await house.MetricAsync("proxy_nats_waiting_bytes");
        var large = await bulk.EndAsync();
        await house.StartAgainAsync(Victim.Nats);
        await load.ReachAsync(50);
        var calls = await load.EndAsync();
        await house.RecoverAsync("canary");
        await Patience.Until(async () => await house.MetricAsync("proxy_nats_waiting_bytes") == 0, "what waited is sent");
        var last = new CrashCall(house, "last", ClientKind.Plain, streams: true, new Random(1));
        await last.RunAsync();
        await Patience.Until(() => Task.FromResult(house.Dones.Contains(last.Acknowledged!.Value.TraceId)), "the last message arrives");
        var (sent, dropped) = (await house.MetricAsync("proxy_nats_messages_total"), await house.MetricAsync("proxy_nats_dropped_total"));

        // Messages that were on their way when NATS was killed were sent, but nothing hears them.
        var (heard, dones) = (house.Heard, house.Dones);
        var unheard = calls.Count(call => !dones.Contains(call.Acknowledged!.Value.TraceId)) + large.Count(id => !dones.Contains(id));
        var table = await CheckAsync(house, Victim.Nats, calls,
            $"{sent} messages sent, {heard} heard, {dropped} dropped; {unheard} of {calls.Count + large.Count} calls have no message; "
                + Memory(before, highest, house));
        Assert.Equal(large.Order(), (await house.RowsAsync("bulk-")).Where(static row => row.Status == "ok").Select(static row => row.TraceId).Order());
        Assert.InRange(waiting, 1, 32 << 20);
        Assert.InRange(heard, 1, sent);
        Assert.True(dropped > 0 && unheard <= dropped + (sent - heard), table.ToString());
        Assert.InRange(highest, 0, before + MoreMemory);
    }

    /// <returns>The highest resident memory while the server was down: for the time that the test has, and until a condition is true.</returns>
    private static async Task<long> HighestAsync(CrashHouse house, SlowLoad load, Func<Task<bool>> enough)
    {
        var highest = 0L;
        using var pace = new PeriodicTimer(TimeSpan.FromMilliseconds(100));
        for (var since = TimeProvider.System.GetTimestamp(); TimeProvider.System.GetElapsedTime(since) < Down; await pace.WaitForNextTickAsync())
            highest = Math.Max(highest, house.Proxy.ResidentBytes);
        await Patience.Until(enough, "the outage has the effect that is tested");
        await load.ReachAsync(50);
        return Math.Max(highest, house.Proxy.ResidentBytes);
    }

    private static async Task<CrashTable> CheckAsync(CrashHouse house, Victim victim, List<CrashCall> calls, string figures)
    {
        var table = new CrashTable(0);
        await new CrashChecks(house, table, SlowLoad.Name, victim, calls, DateTime.MinValue, DateTime.UtcNow).RunAsync();
        await CrashChecks.CheckUsageAsync(house, table);
        var text = $"{victim} was down for {Down.TotalSeconds:0} s under load: {figures}\n{table.Totals}";
        TestContext.Current.TestOutputHelper?.WriteLine(text);
        TestContext.Current.SendDiagnosticMessage(text);
        Assert.True(table.Violations.Count == 0, $"{string.Join('\n', table.Violations.Take(20))}\n{text}");
        return table;
    }

    private static string Memory(long before, long highest, CrashHouse house) =>
        $"resident {before >> 20} MiB before, {highest >> 20} MiB at most, {house.Proxy.ResidentBytes >> 20} MiB after";

    /// <summary>Clients of all kinds that make one call after the other, answered by the slow host.</summary>
    private sealed class SlowLoad : IDisposable
    {
        public const string Name = "load";
        private const int Clients = 24;

        private static readonly ClientKind[] Kinds = [ClientKind.Plain, ClientKind.Plain, ClientKind.Keyed, ClientKind.Keyed, ClientKind.Resuming];

        private readonly CancellationTokenSource ended = new();
        private readonly List<CrashCall> calls = [];
        private readonly CrashHouse house;
        private readonly Task[] clients;

        public SlowLoad(CrashHouse house)
        {
            this.house = house;
            clients = [.. Enumerable.Range(0, Clients).Select(i => Task.Run(() => RunAsync(Kinds[i % Kinds.Length], i % 2 == 0)))];
        }

        private int Over
        {
            get
            {
                lock (calls) return calls.Count(static call => call.IsOver);
            }
        }

        /// <summary>Waits until so many more calls have ended.</summary>
        public async Task ReachAsync(int more)
        {
            var goal = Over + more;
            await Patience.Until(() => Task.FromResult(Over >= goal || clients.Any(static client => client.IsFaulted)), $"{more} calls have ended");
        }

        public async Task<List<CrashCall>> EndAsync()
        {
            await ended.CancelAsync();
            await Patience.For(Task.WhenAll(clients), "the last calls' ends");
            return calls;
        }

        public void Dispose()
        {
            ended.Cancel();
            ended.Dispose();
        }

        private async Task RunAsync(ClientKind kind, bool streams)
        {
            while (!ended.IsCancellationRequested)
            {
                CrashCall call;
                lock (calls)
                {
                    call = new(house, $"{Name}-c{calls.Count}", kind, streams || kind is ClientKind.Resuming, new Random(calls.Count));
                    calls.Add(call);
                }

                await call.RunAsync();
            }
        }
    }

    /// <summary>Clients whose answers are large, so that their events do not fit into the memory for messages that wait.</summary>
    private sealed class BulkLoad : IAsyncDisposable
    {
        private readonly CancellationTokenSource ended = new();
        private readonly List<string> ids = [];
        private readonly Task[] clients;
        private int begun;

        private int Count
        {
            get
            {
                lock (ids) return ids.Count;
            }
        }

        public BulkLoad(CrashHouse house)
        {
            var body = Encoding.UTF8.GetBytes(OpenAi.Request("echo", stream: true, text: new string('x', 64 << 10)));
            clients = [.. Enumerable.Range(0, 4).Select(_ => Task.Run(() => RunAsync(house, body)))];
        }

        public Task ReachAsync(int count) => Patience.Until(
            () => Task.FromResult(Count >= count || clients.Any(static client => client.IsFaulted)), $"{count} large calls have ended");

        /// <returns>The trace ids of all answers.</returns>
        public async Task<List<string>> EndAsync()
        {
            await ended.CancelAsync();
            await Patience.For(Task.WhenAll(clients), "the last large calls' ends");
            return ids;
        }

        public async ValueTask DisposeAsync()
        {
            await ended.CancelAsync();
            ended.Dispose();
        }

        private async Task RunAsync(CrashHouse house, byte[] body)
        {
            using var pace = new PeriodicTimer(TimeSpan.FromMilliseconds(10));
            while (!ended.IsCancellationRequested)
            {
                var reply = await RawClient.SendAsync(
                    house.Proxy.Address, "POST", StreamHouse.Chat, body, $"x-correlation-id: bulk-{Interlocked.Increment(ref begun)}");
                Assert.True(reply.Status == 200 && reply.Text.EndsWith(OpenAi.Done, StringComparison.Ordinal), reply.Text);
                lock (ids) ids.Add(reply.TraceId);
                await pace.WaitForNextTickAsync();
            }
        }
    }
}
