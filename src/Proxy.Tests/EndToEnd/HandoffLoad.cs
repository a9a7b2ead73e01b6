using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Text;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>How much load there is, and for how long.</summary>
/// <param name="Handoffs">Their number.</param>
/// <param name="Pause">The time between two.</param>
/// <param name="Streams">Streams that run at any time.</param>
/// <param name="Shortest">The duration of the shortest stream.</param>
/// <param name="Longest">The duration of the longest.</param>
/// <param name="Rate">Other calls in a second.</param>
/// <param name="Slots">The slots of their host.</param>
internal sealed record HandoffForm(int Handoffs, TimeSpan Pause, int Streams, TimeSpan Shortest, TimeSpan Longest, int Rate, int Slots)
{
    /// <summary>PROXY_HANDOFF_MINUTES asks for the long form: two handoffs a minute.</summary>
    public static HandoffForm Asked =>
        double.TryParse(Environment.GetEnvironmentVariable("PROXY_HANDOFF_MINUTES"), CultureInfo.InvariantCulture, out var minutes)
        ? new((int)(2 * minutes), TimeSpan.FromSeconds(30), 100, TimeSpan.FromSeconds(5), TimeSpan.FromSeconds(60), 200, 32)
        : new(2, TimeSpan.FromMilliseconds(400), 10, TimeSpan.FromMilliseconds(200), TimeSpan.FromSeconds(2), 60, 4);
}

/// <summary>
/// Clients that stream, clients that call at a fixed rate, a client that uses one connection without a second try, and one that puts documents into a
/// workspace, while processes hand over to each other.
/// </summary>
internal sealed class HandoffLoad(HandoffHouse house, HandoffForm form, bool ingests) : IDisposable
{
    /// <summary>How long after its begin a handoff counts as going on.</summary>
    private static readonly TimeSpan Around = TimeSpan.FromSeconds(3);

    private readonly HttpClient client = new(new SocketsHttpHandler { UseProxy = false }) { BaseAddress = house.Address };
    private readonly ConcurrentQueue<string> failures = [];
    private readonly ConcurrentQueue<(long Began, double Milliseconds)> latencies = [];
    private readonly List<(long Began, double Milliseconds)> handoffs = [];
    private readonly CancellationTokenSource enough = new();
    private int streams;
    private int documents;

    public IReadOnlyCollection<string> Failures => failures;

    public int Calls => latencies.Count;

    public int Streams => streams;

    public int Documents => documents;

    public async Task RunAsync()
    {
        List<Task> clients = [RateAsync(), KeepAliveAsync(), .. Enumerable.Range(0, form.Streams).Select(StreamsAsync)];
        if (ingests) clients.Add(IngestAsync());
        for (var number = 0; number < form.Handoffs; number++)
        {
            await Task.Delay(form.Pause);
            var began = Stopwatch.GetTimestamp();
            await house.HandoffAsync();
            handoffs.Add((began, Stopwatch.GetElapsedTime(began).TotalMilliseconds));
        }

        await Task.Delay(form.Pause);
        await enough.CancelAsync();
        await Patience.For(Task.WhenAll(clients), "the clients' ends", form.Longest + Patience.Long);
    }

    /// <summary>What happened, for a person.</summary>
    public string Report()
    {
        var (around, between) = (new List<double>(), new List<double>());
        foreach (var (began, milliseconds) in latencies)
            (handoffs.Exists(one => began >= one.Began && Stopwatch.GetElapsedTime(one.Began, began) < Around) ? around : between).Add(milliseconds);
        return string.Create(CultureInfo.InvariantCulture, $"""
            {form.Handoffs} handoffs of {handoffs.Average(static one => one.Milliseconds):0} ms on average;
            {Calls} calls, {streams} streams, {documents} documents;
            failed or cut: {failures.Count}; the most at the host: {house.Most("few")} of {form.Slots} slots;
            latency within {Around.TotalSeconds} s of a handoff: p50 {At(around, .5):0.0} ms, p99 {At(around, .99):0.0} ms, most {At(around, 1):0.0} ms;
            otherwise: p50 {At(between, .5):0.0} ms, p99 {At(between, .99):0.0} ms, most {At(between, 1):0.0} ms
            """);
    }

    public void Dispose()
    {
        client.Dispose();
        enough.Dispose();
    }

    private static double At(List<double> values, double share)
    {
        values.Sort();
        return values.Count == 0 ? 0 : values[Math.Min(values.Count - 1, (int)(share * values.Count))];
    }

    /// <summary>Calls at a fixed rate, whether those before have been answered or not; some go to the pipeline.</summary>
    private async Task RateAsync()
    {
        var running = new List<Task>();
        using var timer = new PeriodicTimer(TimeSpan.FromSeconds(1.0 / form.Rate));
        var began = Stopwatch.GetTimestamp();
        for (var sent = 0; !enough.IsCancellationRequested; await timer.WaitForNextTickAsync())
        {
            // A timer leaves ticks out on a busy machine.
            for (var due = (int)(Stopwatch.GetElapsedTime(began).TotalSeconds * form.Rate); sent < due; sent++)
                running.Add(CallAsync(sent % 100 == 50 ? "pipeline/say" : "few"));
            running.RemoveAll(static call => call.IsCompleted);
        }

        await Task.WhenAll(running);
    }

    private async Task CallAsync(string model)
    {
        var began = Stopwatch.GetTimestamp();
        try
        {
            using var content = new StringContent(OpenAi.Request(model), Encoding.UTF8, "application/json");
            using var reply = await client.PostAsync(HandoffHouse.Chat, content, CancellationToken.None);
            var text = await reply.Content.ReadAsStringAsync();
            if (!reply.IsSuccessStatusCode) failures.Enqueue($"{model}: {(int)reply.StatusCode} {text}");
        }
        catch (HttpRequestException problem)
        {
            failures.Enqueue($"{model}: {problem.Message} {problem.InnerException?.Message}");
        }

        if (model == "few") latencies.Enqueue((began, Stopwatch.GetElapsedTime(began).TotalMilliseconds));
    }

    /// <summary>Uses a connection until the proxy says that it is the last time. Makes no second try.</summary>
    private async Task KeepAliveAsync()
    {
        var body = Encoding.UTF8.GetBytes(OpenAi.Request("few"));
        var connection = await RawClient.ConnectAsync(house.Address);
        while (!enough.IsCancellationRequested)
        {
            try
            {
                await connection.RequestAsync("POST", HandoffHouse.Chat, body);
                var reply = await connection.ReadReplyAsync();
                if (reply is not { Status: 200, Whole: true }) failures.Enqueue($"kept alive: {reply.Status} {reply.Text}");
                if (reply.Header("connection") is not "close") continue;
            }
            catch (Exception problem) when (problem is IOException or System.Net.Sockets.SocketException)
            {
                failures.Enqueue($"kept alive: {problem.Message}");
            }

            await connection.DisposeAsync();
            connection = await RawClient.ConnectAsync(house.Address);
        }

        await connection.DisposeAsync();
    }

    /// <summary>One stream after the other.</summary>
    private async Task StreamsAsync(int number)
    {
        var random = new Random(number);
        for (var count = 0; !enough.IsCancellationRequested; count++)
        {
            var name = $"n{number}x{count}";
            try
            {
                await using var stream = await house.StreamAsync("many", name);
                var duration = form.Shortest + (random.NextDouble() * (form.Longest - form.Shortest));
                _ = Task.Delay(duration).ContinueWith(_ => house.End(name), TaskScheduler.Default);
                HandoffHouse.AssertWhole(name, await stream.ReadRestAsync());
                Interlocked.Increment(ref streams);
            }
            catch (Exception problem)
            {
                failures.Enqueue($"stream {name}: {problem.Message}");
            }
        }
    }

    /// <summary>Puts one document after the other into a workspace.</summary>
    private async Task IngestAsync()
    {
        var made = await house.PostAsync("/v1/vector_stores", """{"name":"docs"}""");
        var store = made.Json.GetProperty("id").GetString()!;
        while (!enough.IsCancellationRequested)
        {
            var text = string.Join("\n\n",
                Enumerable.Range(0, 40).Select(number => $"Paragraph {documents}x{number} of a document, with words enough to be one."));
            var form = $"--limit\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nassistants\r\n--limit\r\n"
                + $"Content-Disposition: form-data; name=\"file\"; filename=\"d{documents}.txt\"\r\n\r\n{text}\r\n--limit--\r\n";
            var file = await house.PostAsync("/v1/files", form, "Content-Type: multipart/form-data; boundary=limit");
            var attached = file.Status != 200 ? file
                : await house.PostAsync($"/v1/vector_stores/{store}/files", $$"""{"file_id":"{{file.Json.GetProperty("id").GetString()}}"}""");
            if (attached.Status != 200) failures.Enqueue($"document: {attached.Status} {attached.Text}");
            documents++;
            await Task.Delay(50);
        }

        // What the old processes left is read by the new one.
        await Patience.Until(async () =>
        {
            var counts = (await house.GetAsync($"/v1/vector_stores/{store}")).Json.GetProperty("file_counts");
            if (counts.GetProperty("failed").GetInt32() > 0) failures.Enqueue($"documents: {counts}");
            return counts.GetProperty("in_progress").GetInt32() == 0 && counts.GetProperty("total").GetInt32() == documents;
        }, "every document is read");
    }
}
