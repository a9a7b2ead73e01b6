using System.Globalization;
using Microsoft.Extensions.Time.Testing;
using Proxy.Store.Spooling;
using Proxy.Store.Sqlite;
using Proxy.Streams;
using Proxy.Tests.Backends;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Store;

/// <summary>The spool's files and states, with a SQLite file as the database that can be used or not.</summary>
public sealed class SpoolTests : IDisposable
{
    private static readonly DateTimeOffset Now = new(2026, 3, 4, 12, 0, 0, TimeSpan.Zero);

    private readonly string folder = Directory.CreateTempSubdirectory("proxy-spool-").FullName;
    private readonly Lines log = new();
    private readonly Switch power;

    public SpoolTests() => power = new(Path.Combine(folder, "proxy.db"));

    private string Folder => Path.Combine(folder, "spool");

    private string[] Files => Directory.Exists(Folder) ? Directory.GetFiles(Folder) : [];

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public async Task Database_works_There_is_no_file()
    {
        await using var store = Store();

        await store.CommitAsync([Exchange(1)], default);

        Assert.Null(store.Problem);
        Assert.False(Directory.Exists(Folder));
        Assert.Equal(["1"], Kept());
    }

    [Fact]
    public async Task Database_is_down_Commits_succeed_and_their_rows_arrive_in_order_when_it_is_back()
    {
        await using var store = Store();
        await store.CommitAsync([Exchange(1)], default);

        power.IsOff = true;
        foreach (var i in Enumerable.Range(2, 30)) await store.CommitAsync([Exchange(i)], default);
        Assert.Equal("the switch is off", store.Problem);
        Assert.Equal(30, store.SpooledRows);
        Assert.InRange(store.SpooledBytes, 30 * 100, 30 * 1000);
        Assert.Equal(["1"], Kept());
        power.IsOff = false;
        await RecoveredAsync(store);

        Assert.Equal([.. Enumerable.Range(1, 31).Select(Text)], Kept());
        Assert.Equal((0, 0), (store.SpooledRows, store.SpooledBytes));
        Assert.Empty(Files);
        Assert.Equal(["spool_begin", "spool_end"], log.All.Select(line => line.Split(':')[0]));
        Assert.Contains("30 spooled records", log.All[1], StringComparison.Ordinal);
    }

    [Fact]
    public async Task Every_kind_of_row_Comes_out_as_it_went_in()
    {
        var exchange = Exchange(1) with { Session = "s\0\"é", InputTokens = 3, FirstTokenMs = 0.25, Request = [0, 255], Answer = [] };
        var key = new KeyRow
        {
            Owner = "alice", Key = "k", TraceId = "1", Digest = "d", RequestId = "r", Status = "done", UpdatedAt = Now.AddTicks(1), ExpiresAt = Now.AddHours(1),
        };
        var answer = new AnswerRow
        {
            TraceId = "1", Owner = "alice", HostId = "h", Meta = "{}"u8.ToArray(), Frames = [1, 2, 3], Request = [4], CreatedAt = Now,
            ExpiresAt = Now.AddHours(1),
        };
        var completion = new CompletionRow
        {
            Owner = "", RequestId = "r", Model = "m", Content = "c", ToolCalls = "[]", Reasoning = "w", FinishReason = "stop", Winner = "m2", Usage = "{}",
            Events = [5], CreatedAt = Now, ExpiresAt = Now.AddHours(1),
        };
        var artifact = new ArtifactRow
        {
            TraceId = "1", Key = "k\0", Owner = "alice", MediaType = "text/plain", Uri = "u", Value = "{\"é\":1}", CreatedAt = Now.AddTicks(1),
            ExpiresAt = Now.AddHours(1),
        };
        await using var store = Store();

        power.IsOff = true;
        await store.CommitAsync([artifact, completion, answer, key, exchange], default);
        power.IsOff = false;
        await RecoveredAsync(store);

        Assert.Equivalent(new StoreRow[] { exchange, key, answer, completion, artifact }, power.Written, strict: true);
    }

    [Fact]
    public async Task Database_is_down_Reads_fail_until_everything_is_delivered()
    {
        await using var store = Store();
        power.IsOff = true;
        await store.CommitAsync([Exchange(1)], default);

        await Assert.ThrowsAsync<StoreException>(async () => await store.FindKeyAsync("alice", "k", default));
        await Assert.ThrowsAsync<StoreException>(async () => await store.FindAnswerAsync("alice", "1", default));
        await Assert.ThrowsAsync<StoreException>(async () => await store.ForgetAsync("alice", default));
        await Assert.ThrowsAsync<StoreException>(async () => await store.ReadUsageAsync(null, DateOnly.MinValue, DateOnly.MaxValue, default));
        await Assert.ThrowsAsync<StoreException>(async () => await store.PruneAsync(default));

        power.IsOff = false;
        await RecoveredAsync(store);
        Assert.Equal(1, Assert.Single(await store.ReadUsageAsync(null, DateOnly.MinValue, DateOnly.MaxValue, default)).Requests);
    }

    [Fact]
    public async Task Process_dies_The_next_one_delivers_its_rows_before_its_own()
    {
        power.IsOff = true;
        await using (var dead = Store())
        {
            await dead.CommitAsync([Exchange(1)], default);
            await dead.CommitAsync([Exchange(2)], default);
        }

        await using var store = Store();
        Assert.NotNull(store.Problem); // a read must not miss what waits
        Assert.Equal(2, store.SpooledRows);
        await store.CommitAsync([Exchange(3)], default);
        power.IsOff = false;
        await RecoveredAsync(store);

        Assert.Equal(["1", "2", "3"], Kept());
        Assert.Empty(Files);
    }

    [Fact]
    public async Task Process_dies_Its_keys_and_answers_are_found_before_they_are_delivered_and_afterwards()
    {
        var key = new KeyRow
        {
            Owner = "alice", Key = "k", TraceId = "1", Digest = "d", Status = "done", UpdatedAt = DateTimeOffset.UtcNow,
            ExpiresAt = DateTimeOffset.UtcNow.AddHours(1),
        };
        var answer = new AnswerRow
        {
            TraceId = "1", Owner = "alice", Meta = "{}"u8.ToArray(), Frames = [1, 2, 3], CreatedAt = key.UpdatedAt, ExpiresAt = key.ExpiresAt,
        };
        power.IsOff = true;
        await using (var dead = Store())
        {
            await dead.CommitAsync([Exchange(1), key with { TraceId = "0", Digest = "old" }], default);
            await dead.CommitAsync([Exchange(2), key, answer], default);
        }

        await using var store = Store();

        for (var time = 0; time < 2; time++)
        {
            Assert.Equal("d", (await store.FindKeyAsync("alice", "k", default))?.Digest);
            Assert.Equal([1, 2, 3], (await store.FindAnswerAsync("alice", "1", default))?.Frames);
            if (time > 0) continue;
            await Assert.ThrowsAsync<StoreException>(async () => await store.FindKeyAsync("bob", "k", default));
            await Assert.ThrowsAsync<StoreException>(async () => await store.FindAnswerAsync("alice", "2", default));
            power.IsOff = false;
            await RecoveredAsync(store);
        }

        Assert.Equal(0, store.Lost);
    }

    [Fact]
    public async Task Two_processes_share_the_folder_Each_delivers_its_own_and_the_survivor_those_of_the_dead()
    {
        var time = new FakeTimeProvider(Now);
        await using var survivor = new SpoolingStore(power.Connect(), Folder, log, time);
        await survivor.CommitAsync([], default);
        power.IsOff = true;
        var other = Store();
        await other.CommitAsync([Exchange(1)], default);
        await using (var third = Store())
        {
            Assert.Equal(0, third.SpooledRows); // the other one lives
            Assert.Null(third.Problem);
        }

        await other.DisposeAsync();
        power.IsOff = false;
        await Patience.Until(
            () =>
            {
                time.Advance(TimeSpan.FromSeconds(30));
                return Task.FromResult(Kept() is ["1"]);
            },
            "the survivor has delivered the row");

        await Patience.Until(() => Task.FromResult(Files.Length == 0), "the file is gone");
        Assert.Null(survivor.Problem);
    }

    [Fact]
    public async Task Last_record_is_cut_anywhere_What_was_acknowledged_before_is_delivered()
    {
        power.IsOff = true;
        await using (var dead = Store())
        {
            await dead.CommitAsync([Exchange(1)], default);
            await dead.CommitAsync([Exchange(2)], default);
        }

        var file = Assert.Single(Files);
        var whole = await File.ReadAllBytesAsync(file);
        var second = 8 + 12 + BitConverter.ToInt32(whole, 8);
        power.IsOff = false;
        for (var length = second; length < whole.Length; length += 7)
        {
            await File.WriteAllBytesAsync(file, whole[..length]);
            power.Written.Clear();
            await using var store = Store();
            await RecoveredAsync(store);
            Assert.Equal(["1"], power.Written.Cast<ExchangeRow>().Select(row => row.TraceId));
            Assert.Equal(0, store.SpooledRows);
            Assert.Equal(0, store.Lost);
        }

        Assert.Empty(Files);
    }

    [Fact]
    public async Task Record_in_the_middle_is_damaged_The_others_are_delivered_and_it_counts_as_lost()
    {
        power.IsOff = true;
        await using (var dead = Store())
            foreach (var i in Enumerable.Range(1, 3)) await dead.CommitAsync([Exchange(i)], default);
        var file = Assert.Single(Files);
        var bytes = await File.ReadAllBytesAsync(file);
        var second = 8 + 12 + BitConverter.ToInt32(bytes, 8);
        bytes[second + bytes.AsSpan(second).IndexOf("completions"u8)] = (byte)'C'; // what is left is JSON
        await File.WriteAllBytesAsync(file, bytes);
        power.IsOff = false;

        await using var store = Store();
        await RecoveredAsync(store);

        Assert.Equal(["1", "3"], Kept());
        Assert.Equal(1, store.Lost);
        Assert.Contains("spool_damaged: 1 spooled records were damaged on the disk, they are lost", log.All);
    }

    [Fact]
    public async Task Damaged_record_is_followed_by_a_torn_one_It_counts_as_lost_once()
    {
        power.IsOff = true;
        await using (var dead = Store())
            foreach (var i in Enumerable.Range(1, 3)) await dead.CommitAsync([Exchange(i)], default);
        var file = Assert.Single(Files);
        var bytes = await File.ReadAllBytesAsync(file);
        var second = 8 + 12 + BitConverter.ToInt32(bytes, 8);
        bytes[second + 20] ^= 1;
        await File.WriteAllBytesAsync(file, bytes[..^1]);

        await using var store = Store();
        await Patience.Until(() => Task.FromResult(store.Problem == "the switch is off"), "a delivery has failed");
        power.IsOff = false;
        await RecoveredAsync(store);

        Assert.Equal(["1"], Kept());
        Assert.Equal(1, store.Lost);
    }

    [Fact]
    public async Task Next_version_wrote_the_record_What_this_one_knows_is_delivered()
    {
        var body = System.Text.Encoding.UTF8.GetBytes("""
            {"Later":[1],"Exchanges":[{"TraceId":"1","CorrelationId":"c","Owner":"alice","Surface":"/","Model":"m","Route":"direct","Status":"ok",
             "Later":{"x":1},"Started":"2026-03-04T12:00:00+00:00","DurationMs":1}]}
            """);
        Directory.CreateDirectory(Folder);
        await File.WriteAllBytesAsync(
            Path.Combine(Folder, "000-later.spool"),
            [.. "PROXYSP1"u8, .. BitConverter.GetBytes(body.Length), .. BitConverter.GetBytes(1), .. BitConverter.GetBytes(Checksum(body)), .. body]);

        await using var store = Store();
        await RecoveredAsync(store);

        Assert.Equal(["1"], Kept());

        // CRC-32C, bit by bit.
        static uint Checksum(byte[] bytes) => ~bytes.Aggregate(
            uint.MaxValue,
            (sum, one) => Enumerable.Range(0, 8).Aggregate(sum ^ one, (sum, _) => (sum >> 1) ^ ((sum & 1) == 1 ? 0x82F63B78 : 0)));
    }

    [Fact]
    public async Task File_is_of_another_version_It_is_left_alone()
    {
        Directory.CreateDirectory(Folder);
        await File.WriteAllTextAsync(Path.Combine(Folder, "000-other.spool"), "PROXYSP2 and more");
        await using var store = Store();

        await store.CommitAsync([Exchange(1)], default);

        Assert.Null(store.Problem);
        Assert.Single(Files);
    }

    [Fact]
    public async Task Spool_is_full_Commits_fail_and_what_is_in_it_is_delivered()
    {
        await using var store = Store(most: 2000);
        power.IsOff = true;
        var accepted = 0;

        var failure = await Assert.ThrowsAsync<StoreException>(async () =>
        {
            while (true) await store.CommitAsync([Exchange(++accepted)], default);
        });

        Assert.Contains("is full", failure.Message, StringComparison.Ordinal);
        Assert.Contains("the switch is off", failure.Message, StringComparison.Ordinal);
        power.IsOff = false;
        await RecoveredAsync(store);
        Assert.Equal([.. Enumerable.Range(1, accepted - 1).Select(Text)], Kept());
        await store.CommitAsync([Exchange(accepted)], default);
    }

    [Fact]
    public async Task Folder_cannot_be_made_Commits_fail_and_succeed_when_the_database_is_back()
    {
        await File.WriteAllTextAsync(Folder, "a file");
        await using var store = Store();
        power.IsOff = true;

        var failure = await Assert.ThrowsAsync<StoreException>(async () => await store.CommitAsync([Exchange(1)], default));

        Assert.Contains("cannot be written", failure.Message, StringComparison.Ordinal);
        power.IsOff = false;
        await RecoveredAsync(store);
        await store.CommitAsync([Exchange(2)], default);
        Assert.Equal(["2"], Kept());
    }

    [Fact]
    public async Task Database_refuses_a_row_It_is_lost_and_those_behind_it_are_not()
    {
        await using var store = Store();
        power.IsOff = true;
        await store.CommitAsync([Exchange(1)], default);
        power.Refuses = true;
        power.IsOff = false;
        await Patience.Until(() => Task.FromResult(store.Lost == 1), "the row is refused");
        power.Refuses = false;
        await RecoveredAsync(store);

        await store.CommitAsync([Exchange(2)], default);

        Assert.Equal(["2"], Kept());
        Assert.Contains(log.All, line => line.StartsWith("spool_refused", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Database_comes_and_goes_under_load_Every_row_arrives_once_and_in_order()
    {
        await using var store = Store();
        var random = new Random(5);
        using var ended = new CancellationTokenSource();
        power.IsOff = true; // else a fast machine may be done before it is switched off
        var switching = Task.Run(async () =>
        {
            while (!ended.IsCancellationRequested)
            {
                await Task.Delay(random.Next(1, 60));
                power.IsOff = !power.IsOff;
            }
        });

        foreach (var i in Enumerable.Range(1, 3000)) await store.CommitAsync([Exchange(i)], default);
        await ended.CancelAsync();
        await switching;
        power.IsOff = false;
        await RecoveredAsync(store);

        Assert.Equal(3000, power.Written.Cast<ExchangeRow>().Select(row => row.TraceId).Distinct().Count());
        Assert.Equal(power.Written.Cast<ExchangeRow>().Select(Number).Order(), power.Written.Cast<ExchangeRow>().Select(Number));
        Assert.Equal([.. Enumerable.Range(1, 3000).Select(Text)], Kept());
        Assert.Contains(log.All, line => line.StartsWith("spool_begin", StringComparison.Ordinal));

        static int Number(ExchangeRow row) => int.Parse(row.TraceId, CultureInfo.InvariantCulture);
    }

    private static Task RecoveredAsync(SpoolingStore store) =>
        Patience.Until(() => Task.FromResult(store.Problem is null && store.SpooledRows == 0), "the spool is delivered");

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);

    private static ExchangeRow Exchange(int number) => new()
    {
        TraceId = Text(number), CorrelationId = "c", Owner = "alice", Surface = "/v1/chat/completions", Model = "m", Route = "direct", Status = "ok",
        Started = Now, DurationMs = 1,
    };

    private SpoolingStore Store(long most = SpoolingStore.MostBytes) => new(power.Connect(), Folder, log, TimeProvider.System, most);

    /// <summary>The trace ids in the database, in the order in which they were inserted.</summary>
    private string[] Kept() =>
        SqliteFile.Query(power.File, "select group_concat(trace_id) from (select trace_id from exchanges order by rowid)")[0]?.Split(',') ?? [];

    /// <summary>A database that can be switched off, for several stores.</summary>
    private sealed class Switch(string file)
    {
        public string File => file;
        public volatile bool IsOff, Refuses;

        /// <summary>The rows in the order in which they were committed.</summary>
        public List<StoreRow> Written { get; } = [];

        public IRecordStore Connect() => new Connected(this, new SqliteStore(file, TimeProvider.System));

        private sealed class Connected(Switch power, SqliteStore store) : IRecordStore
        {
            public async ValueTask CommitAsync(IReadOnlyList<StoreRow> rows, CancellationToken cancellation)
            {
                if (power.IsOff) throw new StoreException("the switch is off");
                if (power.Refuses && rows.Count > 0) throw new StoreException("no") { IsRefusal = true };
                await store.CommitAsync(rows, cancellation);
                lock (power.Written) power.Written.AddRange(rows);
            }

            public ValueTask<IReadOnlyList<string>> CheckAsync(CancellationToken cancellation) => store.CheckAsync(cancellation);
            public ValueTask<KeyRow?> FindKeyAsync(string owner, string key, CancellationToken cancellation) => store.FindKeyAsync(owner, key, cancellation);
            public ValueTask<AnswerRow?> FindAnswerAsync(string owner, string id, CancellationToken cancellation) =>
                store.FindAnswerAsync(owner, id, cancellation);
            public ValueTask<bool> DeleteAnswerAsync(string owner, string id, CancellationToken cancellation) =>
                store.DeleteAnswerAsync(owner, id, cancellation);
            public ValueTask<CompletionRow?> FindCompletionAsync(string owner, string requestId, CancellationToken cancellation) =>
                store.FindCompletionAsync(owner, requestId, cancellation);
            public ValueTask<IReadOnlyList<UsageRow>> ReadUsageAsync(string? owner, DateOnly from, DateOnly to, CancellationToken cancellation) =>
                store.ReadUsageAsync(owner, from, to, cancellation);
            public ValueTask<long> ForgetAsync(string owner, CancellationToken cancellation) => store.ForgetAsync(owner, cancellation);
            public ValueTask PruneAsync(CancellationToken cancellation) => store.PruneAsync(cancellation);
            public ValueTask DisposeAsync() => store.DisposeAsync();
        }
    }
}
