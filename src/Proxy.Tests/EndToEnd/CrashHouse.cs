using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Microsoft.Win32.SafeHandles;
using NATS.Client.Core;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>What a crash matrix kills.</summary>
internal enum Victim
{
    Proxy,
    Nats,
    Postgres,
    Host,

    /// <summary>PostgreSQL, and the proxy while it spools.</summary>
    Both,
}

/// <summary>When something was seen, and whether the record of its call was in the spool then.</summary>
internal readonly record struct Sighting(string TraceId, DateTime Time, bool WasSpooled);

/// <summary>The event of a call's end: when it was heard, why the answer ended, and the event's number.</summary>
internal readonly record struct HeardEnd(Sighting Seen, string Reason, long Seq);

/// <summary>A row of <c>exchanges</c>, with the time of the transaction that wrote it.</summary>
internal sealed record RecordRow(string TraceId, string CallName, string Status, DateTime Committed);

/// <summary>A proxy, its host, NATS and PostgreSQL, each a process that can be killed and started again.</summary>
internal sealed partial class CrashHouse : IAsyncDisposable
{
    // The commit of a record takes this long at least, so that calls are seen at their gate, and an end that does not wait for its record is seen too early.
    private const string SlowCommits = """
        create function proxy.pause() returns trigger language plpgsql as 'begin perform pg_sleep(0.025); return null; end';
        create trigger pause after insert on proxy.exchanges for each statement execute function proxy.pause();
        """;

    private readonly List<HeardEnd> ends = [];
    private readonly HashSet<string> dones = new(StringComparer.Ordinal);
    private readonly HashSet<string> spooled = new(StringComparer.Ordinal); // every trace id that was in the spool
    private readonly Dictionary<string, long> spoolRead = new(StringComparer.Ordinal);
    private long heard;
    private readonly Lock gate = new();
    private readonly NatsConnection ear;
    private readonly CancellationTokenSource stop = new();
    private readonly string state = Directory.CreateTempSubdirectory("proxy-crash-").FullName;
    private Task hearing = Task.CompletedTask;
    private ProxyProcess? proxy;

    private CrashHouse(NatsServer nats, PostgresServer postgres)
    {
        (Nats, Postgres) = (nats, postgres);
        ear = new(new NatsOpts
        {
            Url = nats.Url,
            ReconnectWaitMin = TimeSpan.FromMilliseconds(20), ReconnectWaitMax = TimeSpan.FromMilliseconds(20), ReconnectJitter = TimeSpan.Zero,
        });
    }

    public SlowHost Host { get; } = new();

    public NatsServer Nats { get; }

    public PostgresServer Postgres { get; }

    public ProxyProcess Proxy => proxy!;

    public static async Task<CrashHouse> StartAsync()
    {
        await SlowHost.NeedsPythonAsync();
        var house = new CrashHouse(
            await NatsServer.StartAsync(), await PostgresServer.StartAsync(ServerTree.Usual, null, "track_commit_timestamp=on"));
        try
        {
            await house.Host.StartAgainAsync();
            await house.StartProxyAsync();
            await house.Proxy.Log.EventAsync("store_open");
            await house.Postgres.RunAsync(SlowCommits);
            var wide = new NatsSubOpts { ChannelOpts = new() { Capacity = 100_000 } };
            var subscription = await house.ear.SubscribeCoreAsync<byte[]>("*.chat.*", opts: wide);
            await house.ear.PingAsync();
            house.hearing = house.HearAsync(subscription);
            return house;
        }
        catch
        {
            await house.DisposeAsync();
            throw;
        }
    }

    /// <summary>The ends that were published, in the order of their arrival.</summary>
    public IReadOnlyList<HeardEnd> Ends
    {
        get
        {
            lock (gate) return [.. ends];
        }
    }

    /// <summary>The trace ids of the messages of finished calls.</summary>
    public HashSet<string> Dones
    {
        get
        {
            lock (gate) return [.. dones];
        }
    }

    /// <summary>Messages that a subscriber got.</summary>
    public long Heard => Volatile.Read(ref heard);

    /// <summary>SIGKILL. Returns when it is gone.</summary>
    /// <param name="victim">What is killed.</param>
    /// <param name="between">If it is two processes: the milliseconds between their ends.</param>
    public Task KillAsync(Victim victim, int between = 0) => victim switch
    {
        Victim.Both => KillBothAsync(between),
        Victim.Proxy => Proxy.KillAsync(),
        Victim.Nats => Nats.KillAsync(),
        Victim.Postgres => Postgres.KillAsync(),
        _ => Host.KillAsync(),
    };

    /// <summary>Starts what was killed.</summary>
    public Task StartAgainAsync(Victim victim) => victim switch
    {
        Victim.Both => StartBothAsync(),
        Victim.Proxy => StartProxyAsync(),
        Victim.Nats => Nats.StartAgainAsync(),
        Victim.Postgres => Postgres.StartAgainAsync(),
        _ => Host.StartAgainAsync(),
    };

    /// <summary>Waits until nothing is spooled, the proxy is connected to NATS, and a call succeeds.</summary>
    public async Task RecoverAsync(string canary)
    {
        await Patience.Until(async () => await MetricAsync("proxy_spool_active") == 0 && await MetricAsync("proxy_nats_up") == 1,
            "the spool is delivered and NATS is connected");
        await Patience.Until(async () => ear.ConnectionState is NatsConnectionState.Open && (await PostAsync(canary)).Status == 200, "calls succeed again");

        Task<RawReply> PostAsync(string name) => RawClient.SendAsync(Proxy.Address, "POST", StreamHouse.Chat,
            Encoding.UTF8.GetBytes(OpenAi.Request("served", text: SlowHost.Order(name, 6, 1))), $"x-correlation-id: {name}");
    }

    public async Task<long> MetricAsync(string name)
    {
        var text = (await RawClient.SendAsync(Proxy.Address, "GET", "/metrics")).Text;
        return long.Parse(text.Split('\n').Single(line => line.StartsWith(name + " ", StringComparison.Ordinal)).Split(' ')[1], CultureInfo.InvariantCulture);
    }

    /// <summary>Something about a call was seen at this moment.</summary>
    public Sighting See(string traceId)
    {
        var spooled = IsSpooled(traceId); // before the time: what is delivered meanwhile is committed by then
        return new(traceId, DateTime.UtcNow, spooled);
    }

    /// <summary>The rows of the calls whose names begin with <paramref name="prefix"/>.</summary>
    public async Task<List<RecordRow>> RowsAsync(string prefix) =>
    [
        .. (await Postgres.QueryAsync($"""
            select array[trace_id, correlation_id, status, (extract(epoch from pg_xact_commit_timestamp(xmin)) * 1000000)::bigint::text]
            from proxy.exchanges where correlation_id like '{prefix}%'
            """)).Cast<string[]>().Select(static row =>
                new RecordRow(row[0], row[1], row[2], DateTime.UnixEpoch.AddMicroseconds(long.Parse(row[3], CultureInfo.InvariantCulture)))),
    ];

    public async ValueTask DisposeAsync()
    {
        await stop.CancelAsync();
        await ear.DisposeAsync();
        await hearing;
        if (proxy is not null) await proxy.DisposeAsync();
        await Host.DisposeAsync();
        await Nats.DisposeAsync();
        await Postgres.DisposeAsync();
        stop.Dispose();
        Directory.Delete(state, recursive: true);
    }

    private async Task KillBothAsync(int between)
    {
        await Postgres.KillAsync();
        await Task.Delay(between);
        await Proxy.KillAsync();
    }

    /// <summary>The proxy serves before the database does.</summary>
    private async Task StartBothAsync()
    {
        await StartProxyAsync();
        await Postgres.StartAgainAsync();
    }

    private async Task StartProxyAsync()
    {
        if (proxy is not null) await proxy.DisposeAsync();
        proxy = await ProxyProcess.StartAsync($"""
            {FrontDoor.Server()}
            [inference]
            bundled = false
            [log]
            format = "json"
            [[backends]]
            name = "a"
            url = "{Host.Url}"
            dialects = ["openai"]
            models = ["served"]
            [[backends]]
            name = "echo"
            url = "builtin:echo"
            models = ["echo"]
            [store]
            kind = "postgres"
            url = "{Postgres.Url()}"
            [nats]
            url = "{Nats.Url}"
            batch = "10ms"
            """, state: state);
    }

    private async Task HearAsync(INatsSub<byte[]> subscription)
    {
        try
        {
            await foreach (var message in subscription.Msgs.ReadAllAsync(stop.Token)) Hear(message);
        }
        catch (OperationCanceledException)
        {
            // The test has ended.
        }
    }

    private void Hear(NatsMsg<byte[]> message)
    {
        Interlocked.Increment(ref heard);
        var traceId = message.Subject[(message.Subject.LastIndexOf('.') + 1)..];
        if (message.Subject.StartsWith("done.", StringComparison.Ordinal))
        {
            lock (gate) dones.Add(traceId);
            return;
        }

        var seen = See(traceId);
        foreach (var line in Encoding.UTF8.GetString(message.Data!).Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            var happened = JsonElement.Parse(line);
            if (happened.GetProperty("type").GetString() != "finished") continue;
            var reason = happened.GetProperty("reason").GetString()!;
            lock (gate) ends.Add(new(seen, reason, happened.GetProperty("seq").GetInt64()));
        }
    }

    /// <summary>Whether the spool has, or had, the record. A record leaves it when it is committed.</summary>
    private bool IsSpooled(string traceId)
    {
        const int LongestMember = 64; // of a trace id, which may have been cut off by the end of the last read

        var folder = Path.Combine(state, "spool");
        lock (spooled)
        {
            foreach (var file in Directory.Exists(folder) ? Directory.EnumerateFiles(folder, "*.spool") : [])
            {
                var from = spoolRead.GetValueOrDefault(file);
                var text = Encoding.Latin1.GetString(ReadLocked(file, from));
                foreach (Match match in TraceIds().Matches(text)) spooled.Add(match.Groups[1].Value);
                spoolRead[file] = Math.Max(from, from + text.Length - LongestMember);
            }

            return spooled.Contains(traceId);
        }
    }

    /// <summary>The proxy holds a lock on its spool, which .NET's files respect; the file is read without asking for one.</summary>
    private static byte[] ReadLocked(string path, long from)
    {
        using var handle = Open(path, 0);
        if (handle.IsInvalid || RandomAccess.GetLength(handle) is var length && length <= from) return []; // perhaps delivered and deleted just now
        var bytes = new byte[length - from];
        return bytes[..RandomAccess.Read(handle, bytes, from)];
    }

    [GeneratedRegex("\"TraceId\":\"(\\w+)\"")]
    private static partial Regex TraceIds();

    [LibraryImport("libc", EntryPoint = "open", StringMarshalling = StringMarshalling.Utf8)]
    private static partial SafeFileHandle Open(string path, int flags);
}
