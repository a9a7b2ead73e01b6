using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using System.Threading.Channels;
using NATS.Client.Core;

namespace Proxy.Bench;

/// <summary>
/// Plays the workers, a bare subscriber and the clients, all by one clock. Every token is the time at which it was published. Arguments: the ports of the proxy
/// and of the NATS server, workflows at a time, seconds.
/// </summary>
internal static class Program
{
    private static readonly TimeSpan Pace = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan WarmUp = TimeSpan.FromSeconds(3);

    private static readonly ConcurrentBag<double> Bare = [], Relayed = [];
    private static Task[] Working = []; // the client keeps no hold of a subscription
    private static bool isOn;

    public static async Task<int> Main(string[] arguments)
    {
        var (proxy, nats, workflows, seconds) = (Number(arguments, 0, 0), Number(arguments, 1, 0), Number(arguments, 2, 100), Number(arguments, 3, 20));
        await using var worker = new NatsConnection(new NatsOpts { Url = $"nats://127.0.0.1:{nats}" });
        await using var ear = new NatsConnection(new NatsOpts { Url = $"nats://127.0.0.1:{nats}" });
        await using var heard = await ear.SubscribeCoreAsync<byte[]>("evt.chat.*", opts: new() { ChannelOpts = new() { Capacity = 100_000 } });
        await ear.PingAsync();
        _ = HearAsync(heard.Msgs);
        using var stop = new CancellationTokenSource();
        Working = [WorkAsync(worker, "stream", job => SpeakAsync(worker, job, stop.Token)), WorkAsync(worker, "launch", job => AnswerAsync(worker, job))];

        var clients = Enumerable.Range(0, workflows).Select(_ => Task.Run(() => ReadAsync(proxy, "stream"))).ToArray();
        await Task.Delay(WarmUp);
        isOn = true;
        await Task.Delay(TimeSpan.FromSeconds(seconds));
        isOn = false;
        await stop.CancelAsync();
        await Task.WhenAll(clients);

        Print("bare subscriber", Bare);
        Print("client of the proxy", Relayed);
        foreach (var launcher in new[] { "launch", "process" })
        {
            var times = new List<double>();
            for (var i = -5; i < 50; i++)
            {
                var began = Stopwatch.GetTimestamp();
                var first = await ReadAsync(proxy, launcher);
                if (i >= 0) times.Add((first - began) * 1000.0 / Stopwatch.Frequency);
            }

            Print($"launch by {(launcher is "launch" ? "jetstream" : launcher)}: request to first token", times);
        }

        var (p50, p99) = (At(Relayed, 0.5) - At(Bare, 0.5), At(Relayed, 0.99) - At(Bare, 0.99));
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{workflows} workflows, {Relayed.Count} tokens: p50 +{p50:F2} ms (at most 1), p99 +{p99:F2} ms (at most 5)"));
        return Relayed.Count >= Bare.Count * 0.99 && p50 <= 1 && p99 <= 5 ? 0 : 1;
    }

    private static int Number(string[] arguments, int index, int usual) =>
        arguments.Length > index ? int.Parse(arguments[index], CultureInfo.InvariantCulture) : usual;

    private static double At(IEnumerable<double> times, double part)
    {
        var sorted = times.Order().ToArray();
        return sorted.Length == 0 ? double.NaN : sorted[Math.Min(sorted.Length - 1, (int)(sorted.Length * part))];
    }

    private static void Print(string what, IReadOnlyCollection<double> times) => Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
        $"{what}: {times.Count} times, p50 {At(times, 0.5):F2} ms, p99 {At(times, 0.99):F2} ms, longest {At(times, 1):F2} ms"));

    /// <summary>Counts the age of the token whose text is in <paramref name="said"/>.</summary>
    private static void Count(ConcurrentBag<double> times, ReadOnlySpan<byte> said, ReadOnlySpan<byte> before)
    {
        var now = Stopwatch.GetTimestamp();
        if (said.IndexOf(before) is not (>= 0 and var at) || !isOn) return;
        if (System.Buffers.Text.Utf8Parser.TryParse(said[(at + before.Length)..], out long published, out _))
            times.Add((now - published) * 1000.0 / Stopwatch.Frequency);
    }

    private static async Task HearAsync(ChannelReader<NatsMsg<byte[]>> messages)
    {
        await foreach (var message in messages.ReadAllAsync()) Count(Bare, message.Data, "\"text\":\""u8);
    }

    /// <summary>Pulls the jobs of a pipeline.</summary>
    private static async Task WorkAsync(NatsConnection connection, string pipeline, Func<JsonElement, Task> work)
    {
        var inbox = $"worker.{Guid.NewGuid():N}";
        await using var jobs = await connection.SubscribeCoreAsync<byte[]>(inbox);
        while (true)
        {
            await connection.PublishAsync(
                $"$JS.API.CONSUMER.MSG.NEXT.PROXY_JOBS.{pipeline}", """{"batch":1,"expires":5000000000}"""u8.ToArray(), replyTo: inbox);
            var job = await jobs.Msgs.ReadAsync();
            if (job.ReplyTo?.StartsWith("$JS.ACK.", StringComparison.Ordinal) is not true) continue;
            await connection.PublishAsync(job.ReplyTo, "+ACK"u8.ToArray());
            _ = work(JsonElement.Parse(job.Data));
        }
    }

    private static async Task SpeakAsync(NatsConnection connection, JsonElement job, CancellationToken cancellation)
    {
        await Task.Delay(Random.Shared.Next(100), CancellationToken.None);
        for (var seq = 1; ; seq++)
        {
            await Task.Delay(Pace, cancellation).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await SayAsync(connection, job, seq, isEnd: cancellation.IsCancellationRequested);
            if (cancellation.IsCancellationRequested) return;
        }
    }

    private static async Task AnswerAsync(NatsConnection connection, JsonElement job)
    {
        await SayAsync(connection, job, 1, isEnd: false);
        await SayAsync(connection, job, 2, isEnd: true);
    }

    private static ValueTask SayAsync(NatsConnection connection, JsonElement job, int seq, bool isEnd)
    {
        var said = isEnd ? $$"""{"type":"finished","seq":{{seq}}}""" : $$"""{"type":"token","text":"{{Stopwatch.GetTimestamp()}} ","seq":{{seq}}}""";
        return connection.PublishAsync(job.GetProperty("reply").GetString()!, Encoding.UTF8.GetBytes(said));
    }

    /// <summary>Streams a pipeline's answer to its end. Returns when its first token came.</summary>
    private static async Task<long> ReadAsync(int port, string pipeline)
    {
        using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(IPAddress.Loopback, port);
        var body = $$"""{"model":"pipeline/{{pipeline}}","stream":true,"messages":[{"role":"user","content":"hi"}]}""";
        await socket.SendAsync(Encoding.ASCII.GetBytes(
            $"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {body.Length}\r\n\r\n{body}"));
        var (buffer, first) = (new byte[16 << 10], 0L);
        var all = new StringBuilder();
        while (await socket.ReceiveAsync(buffer) is > 0 and var count)
        {
            var piece = buffer.AsSpan(0, count);
            // The role comes with an empty text.
            if (first == 0 && piece.LastIndexOf("\"content\":\""u8) is >= 0 and var at && piece[at + 11] is not (byte)'"') first = Stopwatch.GetTimestamp();
            Count(Relayed, piece, "\"content\":\""u8);
            if (all.Length < 2000) all.Append(Encoding.UTF8.GetString(piece));
        }

        return first != 0 ? first : throw new InvalidOperationException($"no token came: {all}");
    }
}
