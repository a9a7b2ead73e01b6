using System.Collections.Concurrent;
using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using NATS.Client.Core;
using Proxy.Tests.Harness;
using Proxy.Tests.Nats;

namespace Proxy.Tests.EndToEnd;

/// <summary>
/// Many jobs at the same time, while the NATS server restarts once and workers are killed. Their jobs go to others, which write other words. What each
/// client got is compared with what a job's worker said. <c>PROXY_CRASH_JOBS</c> is the number of jobs (long form: 500).
/// </summary>
public sealed partial class JobCrowdTests
{
    private const int Tokens = 24;

    private static readonly int Jobs =
        int.TryParse(Environment.GetEnvironmentVariable("PROXY_CRASH_JOBS"), CultureInfo.InvariantCulture, out var count) ? count : 100;

    private readonly ConcurrentDictionary<string, int> attempts = new(); // by trace id: the newest that a worker has taken

    [Fact]
    [Trait("Category", "Slow")]
    public async Task Workers_are_killed_and_nats_restarts_No_event_is_lost_doubled_or_misordered()
    {
        await using var server = await NatsServer.StartAsync();
        await JobQueueTests.QueueAsync(server, "crowd", ackWait: 5_000, deliveries: 20);
        await using var proxy = await ProxyProcess.StartAsync($"""
            {FrontDoor.Server()}
            [inference]
            bundled = false
            [log]
            format = "json"
            [nats]
            url = "{server.Url}"
            [[pipelines]]
            name = "crowd"
            launcher = "jetstream"
            timeout = "5m"
            """);
        await proxy.Log.EventAsync("nats_queue");
        var workers = Enumerable.Range(1, 8).Select(number => new CrowdWorker(this, server, number)).ToList();

        var calls = Enumerable.Range(0, Jobs).Select(_ => Task.Run(() => CallAsync(proxy))).ToArray();
        await Patience.Until(() => Task.FromResult(attempts.Count == Jobs), "every job was taken");
        await Task.Delay(1500); // some jobs have spoken, others have not
        await workers[0].KillAsync();
        await workers[1].KillAsync();
        await Task.Delay(1000);
        await server.StopAsync();
        await server.StartAgainAsync();
        await workers[2].KillAsync();
        workers.AddRange(Enumerable.Range(9, 3).Select(number => new CrowdWorker(this, server, number)));
        await Patience.For(Task.WhenAll(calls), "the end of every call", TimeSpan.FromMinutes(3));
        foreach (var worker in workers) await worker.DisposeAsync();

        var ends = calls.Select(static call => call.Result).ToArray();
        var violations = ends.Select(Violation).OfType<string>().ToArray();
        var (whole, again) = (ends.Count(static end => end.Error is null), ends.Count(static end => end.Error is not null));
        var silent = ends.Count(end => end.Error is null && attempts[end.TraceId] > 1);
        var table = $"{Jobs} jobs: {whole} whole, {silent} of them by another worker than the first; "
            + $"{again} ended because another worker began again after content; {violations.Length} violations";
        await Console.Out.WriteLineAsync(table); // also of a run that succeeds
        Assert.True(violations.Length == 0, $"{table}\n{string.Join('\n', violations.Take(20))}");
        Assert.True(whole > 0 && attempts.Values.Any(static attempt => attempt > 1), $"nothing was tried: {table}");
    }

    /// <summary>A call as its client saw it.</summary>
    private sealed record CrowdEnd(string TraceId, string Text, string? Error);

    /// <summary>What must not happen; null: it did not.</summary>
    private string? Violation(CrowdEnd end)
    {
        var words = Word().Matches(end.Text);
        if (string.Concat(words) != end.Text) return $"{end.TraceId}: strange words: {end.Text}";
        for (var i = 0; i < words.Count; i++)
        {
            if (words[i].Groups["from"].Value != words[0].Groups["from"].Value) return $"{end.TraceId}: words of two workers: {end.Text}";
            if (words[i].Groups["seq"].Value != (i + 1).ToString(CultureInfo.InvariantCulture)) return $"{end.TraceId}: word {i + 1} is missing: {end.Text}";
        }

        if (end.Error is null) return words.Count == Tokens ? null : $"{end.TraceId}: {words.Count} words, then a good end: {end.Text}";
        if (!end.Error.Contains("its job began again, as attempt", StringComparison.Ordinal)) return $"{end.TraceId}: {end.Error}";
        return attempts[end.TraceId] > 1 && words.Count > 0 ? null : $"{end.TraceId}: it did not begin again after content";
    }

    private static async Task<CrowdEnd> CallAsync(ProxyProcess proxy)
    {
        var reply = await RawClient.SendAsync(
            proxy.Address, "POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(OpenAi.Request("pipeline/crowd", stream: true)));
        if (reply.Status != 200) return new(reply.TraceId, "", $"{reply.Status} {reply.Text}");
        var (text, error, isDone) = (new StringBuilder(), (string?)null, false);
        foreach (var line in reply.Text.Split('\n').Where(static line => line.StartsWith("data: ", StringComparison.Ordinal)))
        {
            if (line.StartsWith("data: [DONE]", StringComparison.Ordinal))
            {
                isDone = true;
                continue;
            }

            var frame = JsonElement.Parse(line.AsSpan(6));
            if (frame.TryGetProperty("error", out var said)) error = said.GetProperty("message").GetString();
            else if (frame.GetProperty("choices") is var choices && choices.GetArrayLength() > 0
                && choices[0].GetProperty("delta").TryGetProperty("content", out var token)) text.Append(token.GetString());
        }

        return new(reply.TraceId, text.ToString(), error ?? (isDone ? null : "the stream broke off"));
    }

    [GeneratedRegex(@"(?<from>w\d+a\d+)n(?<seq>\d+) ")]
    private static partial Regex Word();

    /// <summary>Works on many jobs at a time, and writes its own name into every word.</summary>
    private sealed class CrowdWorker : IAsyncDisposable
    {
        private readonly CancellationTokenSource stop = new();
        private readonly NatsConnection connection;
        private readonly JobCrowdTests crowd;
        private readonly Task[] pulling;
        private readonly int number;

        public CrowdWorker(JobCrowdTests crowd, NatsServer server, int number)
        {
            (this.crowd, this.number) = (crowd, number);
            connection = new NatsConnection(new NatsOpts { Url = server.Url, MaxReconnectRetry = -1, ReconnectWaitMax = TimeSpan.FromMilliseconds(500) });
            pulling = [.. Enumerable.Range(0, 4).Select(_ => Task.Run(PullAsync))];
        }

        /// <summary>It says no word more, and acknowledges nothing.</summary>
        public async Task KillAsync()
        {
            await stop.CancelAsync();
            await Task.WhenAll(pulling);
            await connection.DisposeAsync();
        }

        public async ValueTask DisposeAsync()
        {
            if (!stop.IsCancellationRequested) await KillAsync();
            stop.Dispose();
        }

        private async Task PullAsync()
        {
            while (!stop.IsCancellationRequested)
            {
                try
                {
                    if (await PulledJob.TakeAsync(connection, "crowd", seconds: 2, stop.Token) is { } job) _ = WorkAsync(job);
                }
                catch (Exception away) when (away is NatsException or OperationCanceledException or IOException)
                {
                    await Task.Delay(200, CancellationToken.None);
                }
            }
        }

        private async Task WorkAsync(PulledJob job)
        {
            crowd.attempts.AddOrUpdate(job.TraceId, job.Attempt, (_, known) => Math.Max(known, job.Attempt));
            try
            {
                var told = Environment.TickCount64;
                await Task.Delay(Random.Shared.Next(0, 2500), stop.Token);
                for (var i = 1; i <= Tokens; i++)
                {
                    await job.TokenAsync($"w{number}a{job.Attempt}n{i} ", stop.Token);
                    if (Environment.TickCount64 - told > 1000) await job.WorkingAsync(stop.Token);
                    if (Environment.TickCount64 - told > 1000) told = Environment.TickCount64;
                    await Task.Delay(Random.Shared.Next(100, 400), stop.Token);
                }

                await job.FinishedAsync(stop.Token);
                await job.AcknowledgeAsync(stop.Token);
            }
            catch (Exception killed) when (killed is OperationCanceledException or NatsException or ObjectDisposedException)
            {
                // Another worker gets the job.
            }
        }
    }
}
