using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>
/// Every kind of call at once for a time, with hosts and clients that fail at random: no answer is wrong, and at the end nothing is left of any call. The
/// time is a few seconds; <c>PROXY_SOAK_MINUTES</c> makes it longer, and then memory must not grow either. Set <c>PROXY_BINARY</c> for a published binary.
/// </summary>
public sealed class LongSoakTests
{
    private const int Workers = 16;

    private static readonly double Minutes =
        double.TryParse(Environment.GetEnvironmentVariable("PROXY_SOAK_MINUTES"), CultureInfo.InvariantCulture, out var minutes) ? minutes : 0;

    /// <summary>The metrics that are 0 when nothing goes on.</summary>
    private static readonly string[] Idle = ["proxy_backend_in_flight", "proxy_queue_waiting", "proxy_workflow_jobs_running", "proxy_streams_kept",
        "proxy_streams_bytes", "proxy_store_waiting", "proxy_nats_waiting_bytes", "proxy_spans_waiting", "proxy_inference_waiting"];

    private readonly ConcurrentDictionary<string, int> made = new();
    private readonly ConcurrentQueue<string> wrong = new();
    private readonly List<ProcessFigures> samples = [];
    private long calls;

    private static bool IsLong => Minutes > 0;

    [Fact]
    [Trait("Category", "Slow")]
    public async Task Everything_breaks_at_random_No_answer_is_wrong_and_nothing_is_left()
    {
        await using var house = await SoakHouse.StartAsync();
        var bugs = new ConcurrentQueue<string>();
        house.Proxy.Log.Read = line =>
        {
            if (ProxyLog.Text(line, "level") is "error" || ProxyLog.Text(line, "fault") is "proxy") bugs.Enqueue(line.GetRawText());
        };
        await RunAsync(house, IsLong ? TimeSpan.FromSeconds(30) : TimeSpan.FromSeconds(1), watches: false);
        var before = await QuietAsync(house);
        Say($"before: {before}");
        calls = 0;

        var clock = Stopwatch.StartNew();
        await RunAsync(house, IsLong ? TimeSpan.FromMinutes(Minutes) : TimeSpan.FromSeconds(4), watches: true);
        var rate = calls / clock.Elapsed.TotalSeconds;
        var after = await QuietAsync(house);

        Say($"after:  {after}");
        Say(string.Create(CultureInfo.InvariantCulture, $"{calls} calls in {clock.Elapsed.TotalMinutes:F1} min with {Workers} clients, {rate:F0} a second"));
        Say(string.Join(", ", made.OrderBy(static kind => kind.Key, StringComparer.Ordinal).Select(static kind => $"{kind.Value} {kind.Key}")));
        var metrics = await house.MetricsAsync();
        Say(string.Create(CultureInfo.InvariantCulture, $"spans {metrics["proxy_spans_total"]}, lost {metrics["proxy_spans_dropped_total"]}; "
            + $"records lost {metrics["proxy_records_lost_total"]}; messages to NATS {metrics["proxy_nats_messages_total"]}, "
            + $"lost {metrics["proxy_nats_dropped_total"]}; jobs {metrics["proxy_workflow_jobs_total"]}, failed {metrics["proxy_workflow_failed_total"]}"));
        var thirds = Thirds();
        foreach (var problem in wrong.Concat(bugs).Take(10)) Say(problem);
        Assert.Empty(wrong);
        Assert.Empty(bugs);
        Assert.Empty(house.Proxy.Log.Strays);
        Assert.Equal((0, 0.0), (after.Children, metrics["proxy_records_lost_total"]));
        Assert.True(after.Descriptors <= before.Descriptors + (IsLong ? 4 : Workers), $"descriptors leak: {before}, then {after}");
        Assert.True(after.Threads <= before.Threads + 8, $"threads leak: {before}, then {after}");
        if (Minutes >= 5) Assert.True(thirds[2] <= 1.05 * thirds[0], $"memory grows: {thirds[0]:F1} MiB, then {thirds[2]:F1} MiB");
    }

    private async Task RunAsync(SoakHouse house, TimeSpan time, bool watches)
    {
        using var stop = new CancellationTokenSource(time);
        var beside = Task.WhenAll(BreakHostsAsync(house, stop.Token), watches ? WatchAsync(house, stop.Token) : Task.CompletedTask);
        var made = new SoakCalls(house);
        await Task.WhenAll(Enumerable.Range(0, Workers).Select(_ => Task.Run(() => CallAsync(made, stop.Token))));
        await beside;
    }

    private async Task CallAsync(SoakCalls soak, CancellationToken stop)
    {
        var all = soak.Kinds.Sum(static kind => kind.Weight);
        while (!stop.IsCancellationRequested)
        {
            var drawn = Random.Shared.Next(all);
            var (name, _, make) = soak.Kinds.First(kind => (drawn -= kind.Weight) < 0);
            try
            {
                if (await make(soak) is { } problem) wrong.Enqueue($"{name}: {problem}");
            }
            catch (Exception failed) when (failed is IOException or TimeoutException or System.Net.Sockets.SocketException or System.Text.Json.JsonException)
            {
                wrong.Enqueue($"{name}: {failed.Message}");
            }

            Interlocked.Increment(ref calls);
            made.AddOrUpdate(name, 1, static (_, count) => count + 1);
        }
    }

    /// <summary>Hosts go away for a moment; in a long soak, NATS does too.</summary>
    private static async Task BreakHostsAsync(SoakHouse house, CancellationToken stop)
    {
        var lastOutage = Stopwatch.StartNew();
        while (!stop.IsCancellationRequested)
        {
            await Task.Delay(Random.Shared.Next(1000, 5000), stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (stop.IsCancellationRequested) return;
            var host = Random.Shared.Next(3) switch { 0 => house.A, 1 => house.B, _ => house.O };
            host.Refuse();
            await Task.Delay(Random.Shared.Next(100, 1500), CancellationToken.None);
            host.Listen();
            if (!IsLong || lastOutage.Elapsed < TimeSpan.FromMinutes(2)) continue;
            await house.Nats.KillAsync();
            await Task.Delay(500, CancellationToken.None);
            await house.Nats.StartAgainAsync();
            lastOutage.Restart();
        }
    }

    private async Task WatchAsync(SoakHouse house, CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            await Task.Delay(IsLong ? 2000 : 250, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            samples.Add(ProcessFigures.Of(house.Proxy.Id));
        }
    }

    /// <summary>Waits until nothing goes on any more, and in a long soak until idle connections have been closed. Returns what is left.</summary>
    private static async Task<ProcessFigures> QuietAsync(SoakHouse house)
    {
        var left = "";
        try
        {
            await Patience.Until(async () =>
            {
                var metrics = await house.MetricsAsync();
                left = string.Join(", ", Idle.Where(name => metrics.GetValueOrDefault(name) != 0).Select(name => $"{name} {metrics[name]}"));
                return left.Length == 0;
            }, "nothing is left");
        }
        catch (TimeoutException)
        {
            Assert.Fail($"this is left: {left}");
        }

        if (IsLong) await Task.Delay(TimeSpan.FromSeconds(75));
        return ProcessFigures.Of(house.Proxy.Id);
    }

    /// <summary>The median of the memory in each third of the time, in MiB. Pages of files that are mapped count too.</summary>
    private double[] Thirds()
    {
        var third = samples.Count / 3;
        double[] thirds = [.. Enumerable.Range(0, 3).Select(i => samples.GetRange(i * third, third).Select(static sample => sample.Resident / 1048576.0)
            .Order().ElementAt(third / 2))];
        Say(string.Create(CultureInfo.InvariantCulture, $"memory by thirds, median: {thirds[0]:F1}, {thirds[1]:F1}, {thirds[2]:F1} MiB "
            + $"({(thirds[2] / thirds[0]) - 1:+0.0 %;-0.0 %}); most {samples.Max(static sample => sample.Resident) / 1048576.0:F1} MiB, "
            + $"{samples.Max(static sample => sample.Descriptors)} descriptors, {samples.Max(static sample => sample.Threads)} threads"));
        return thirds;
    }

    private static void Say(string line) => TestContext.Current.TestOutputHelper?.WriteLine(line);
}
