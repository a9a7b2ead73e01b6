using System.Text;
using Microsoft.Extensions.Time.Testing;
using Proxy.Streams;

namespace Proxy.Tests.Store;

/// <summary>What every <see cref="IRecordStore"/> does. A class for each database derives from it; each test has a database of its own.</summary>
public abstract class RecordStoreContract : IAsyncLifetime
{
    private protected static readonly DateTimeOffset Start = new(2026, 3, 4, 12, 0, 0, TimeSpan.Zero);
    private protected static readonly DateOnly Day = new(2026, 3, 4);

    private readonly List<IRecordStore> stores = [];

    private protected FakeTimeProvider Time { get; } = new(Start);

    private protected IRecordStore Store { get; private set; } = null!;

    /// <summary>A store on the test's database. Every call of one test opens the same database, which is empty at the first.</summary>
    private protected abstract ValueTask<IRecordStore> NewAsync();

    /// <summary>The first row of an SQL query on the store's tables, each column as text. The query is one that SQLite and PostgreSQL both have.</summary>
    private protected abstract Task<IReadOnlyList<string?>> QueryAsync(string sql);

    public virtual async ValueTask InitializeAsync() => Store = await OpenAsync();

    public virtual async ValueTask DisposeAsync()
    {
        foreach (var store in stores) await store.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    [Fact]
    public async Task Exchange_Is_one_row_with_every_value()
    {
        await WriteAsync(Store, Exchange("t1") with
        {
            Session = "s", RequestId = "r", Workspace = "w", Pipeline = "p", Winner = "served", Backend = "gpu", FirstTokenMs = 12.5,
            Request = "{\"q\":1}"u8.ToArray(), Answer = "data: 1\n\n"u8.ToArray(),
        });

        Assert.Equal(
            ["t1", "c-t1", "s", "alice", "r", "/v1/chat/completions", "m", "direct", "w", "p", "served", "gpu", "ok", "10", "5", "7", "9"],
            await QueryAsync("""
                select trace_id, correlation_id, session, owner, req_id, surface, model, route, workspace, pipeline, winner, backend, status,
                       input_tokens, output_tokens, length(request), length(answer)
                from exchanges
                """));
    }

    [Fact]
    public async Task Key_is_leased_One_call_at_a_time_has_it()
    {
        var (one, two) = (Store.Leases!, (await OpenAsync()).Leases!);
        KeyLease a = new("alice", "k\0ey", "t1", "d1"), b = a with { Holder = "t2", Digest = "d2" }, bob = b with { Owner = "bob" };
        var minute = TimeSpan.FromMinutes(1);

        Assert.Equal(a.Holder, (await one.TakeAsync(a, minute, default)).Holder);
        Assert.Equal(a, await two.TakeAsync(b, minute, default));
        Assert.Equal(bob, await two.TakeAsync(bob, minute, default)); // another owner's key is another key
        Assert.True(await one.RenewAsync(a, minute, default));
        await two.ReleaseAsync(b, default); // is not its to give back
        Assert.Equal("t1", (await two.TakeAsync(b, minute, default)).Holder);
        await one.ReleaseAsync(a, default);
        Assert.Equal(b, await two.TakeAsync(b, TimeSpan.Zero, default));
        Assert.False(await one.RenewAsync(a, minute, default));
        Assert.True(await two.RenewAsync(b, TimeSpan.Zero, default)); // it has ended, but no other call has taken it
        Assert.Equal(a, await one.TakeAsync(a, minute, default));
        Assert.False(await two.RenewAsync(b, minute, default));
    }

    [Fact]
    public async Task Several_calls_want_a_key_One_gets_it()
    {
        var other = await OpenAsync();
        await Store.CommitAsync([], default);

        var holders = await Task.WhenAll(Enumerable.Range(0, 20).Select(async i =>
            (await (i % 2 == 0 ? Store : other).Leases!.TakeAsync(new("alice", "k", $"t{i}", "d"), TimeSpan.FromMinutes(1), default)).Holder));

        Assert.Single(holders.Distinct());
    }

    [Fact]
    public async Task Exchange_without_the_values_that_may_lack_Has_none()
    {
        await WriteAsync(Store, Exchange("t1") with { InputTokens = null, OutputTokens = null });

        Assert.Equal(
            ["t1", null, null, null, null, null, null, null, null, null, null, null],
            await QueryAsync("""
                select trace_id, session, req_id, workspace, pipeline, winner, backend, input_tokens, output_tokens, first_token_ms, request, answer
                from exchanges
                """));
    }

    [Fact]
    public async Task Batch_is_sent_again_Nothing_changes()
    {
        StoreRow[] batch = [Exchange("t1"), Exchange("t2"), Key("k", "t1"), Answer("t1"), Completion("r"), Artifact("t1", "a")];

        await WriteAsync(Store, batch);
        await WriteAsync(Store, batch);
        await WriteAsync(Store, [.. batch, .. batch, Exchange("t3")]);

        Assert.Equal(["3"], await QueryAsync("select count(*) from exchanges"));
        Assert.Equal([new UsageRow(Day, "alice", "m", 3, 30, 15)], await UsageAsync(null));
        Assert.Equal(["1", "1", "1", "1"], await QueryAsync("""
            select (select count(*) from idempotency_log), (select count(*) from answers), (select count(*) from completions_cache),
                   (select count(*) from artifacts)
            """));
    }

    [Fact]
    public async Task Nothing_is_committed_The_database_is_there()
    {
        await WriteAsync(Store);

        Assert.Equal(["0", "0", "0", "0", "0"], await QueryAsync("""
            select (select count(*) from exchanges), (select count(*) from idempotency_log), (select count(*) from completions_cache),
                   (select count(*) from usage_daily), (select count(*) from answers)
            """));
    }

    [Fact]
    public async Task Usage_Is_counted_by_day_owner_and_model_newest_day_first()
    {
        await WriteAsync(
            Store, Exchange("t1"), Exchange("t2"), Exchange("t3") with { Model = "n" }, Exchange("t4", "bob"),
            Exchange("t5") with { Started = Start.AddDays(-1), InputTokens = null, OutputTokens = null },
            Exchange("t6") with { Started = Start.AddDays(-9) });

        Assert.Equal(
            [
                new UsageRow(Day, "alice", "m", 2, 20, 10), new UsageRow(Day, "alice", "n", 1, 10, 5), new UsageRow(Day, "bob", "m", 1, 10, 5),
                new UsageRow(Day.AddDays(-1), "alice", "m", 1, 0, 0),
            ],
            await UsageAsync(null, Day.AddDays(-1)));
        Assert.Equal([new UsageRow(Day, "bob", "m", 1, 10, 5)], await UsageAsync("bob"));
        Assert.Empty(await UsageAsync("carol"));
        Assert.Equal([new UsageRow(Day.AddDays(-1), "alice", "m", 1, 0, 0)], await UsageAsync("alice", Day.AddDays(-1), Day.AddDays(-1)));
        Assert.Equal(5, (await UsageAsync(null, DateOnly.MinValue, DateOnly.MaxValue)).Count);
    }

    [Fact]
    public async Task Day_of_the_usage_Is_that_of_UTC()
    {
        await WriteAsync(Store, Exchange("t1") with { Started = new(2026, 3, 5, 1, 30, 0, TimeSpan.FromHours(2)) });

        Assert.Equal(Day, Assert.Single(await UsageAsync(null)).Day);
    }

    [Fact]
    public async Task Key_Is_found_by_its_owner_until_it_expires()
    {
        var row = Key("k", "t1") with { RequestId = "r" };
        await WriteAsync(Store, row);

        Assert.Equal(row, await Store.FindKeyAsync("alice", "k", default));
        Assert.Null(await Store.FindKeyAsync("bob", "k", default));
        Assert.Null(await Store.FindKeyAsync("alice", "K", default));
        Time.Advance(TimeSpan.FromHours(24));
        Assert.Null(await Store.FindKeyAsync("alice", "k", default));
    }

    [Fact]
    public async Task Key_is_written_twice_The_later_one_holds_in_whatever_order_they_arrive()
    {
        var later = Key("k", "t2") with { UpdatedAt = Start.AddSeconds(1), Digest = "other" };

        await WriteAsync(Store, later);
        await WriteAsync(Store, Key("k", "t1"));

        Assert.Equal(later, await Store.FindKeyAsync("alice", "k", default));
    }

    [Fact]
    public async Task Answer_Is_found_by_both_its_ids_by_its_owner_until_it_expires()
    {
        var row = Answer("t1") with { HostId = "resp_1", Request = "{}"u8.ToArray() };
        await WriteAsync(Store, row, Answer("t2"));

        Same(row, await Store.FindAnswerAsync("alice", "t1", default));
        Same(row, await Store.FindAnswerAsync("alice", "resp_1", default));
        Same(Answer("t2"), await Store.FindAnswerAsync("alice", "t2", default));
        Assert.Null(await Store.FindAnswerAsync("bob", "t1", default));
        Assert.Null(await Store.FindAnswerAsync("bob", "resp_1", default));
        Assert.Null(await Store.FindAnswerAsync("alice", "resp_2", default));
        Time.Advance(TimeSpan.FromHours(24));
        Assert.Null(await Store.FindAnswerAsync("alice", "t1", default));
    }

    [Fact]
    public async Task Answer_is_deleted_by_either_id_It_is_gone()
    {
        await WriteAsync(Store, Answer("t1") with { HostId = "resp_1" }, Answer("t2"), Answer("t3", "bob"));

        Assert.True(await Store.DeleteAnswerAsync("alice", "resp_1", default));
        Assert.True(await Store.DeleteAnswerAsync("alice", "t2", default));
        Assert.False(await Store.DeleteAnswerAsync("alice", "t2", default));
        Assert.False(await Store.DeleteAnswerAsync("alice", "t3", default));

        Assert.Equal(["t3"], await QueryAsync("select trace_id from answers"));
    }

    [Fact]
    public async Task Answer_of_a_megabyte_Comes_back_byte_for_byte()
    {
        var frames = new byte[1 << 20];
        new Random(1).NextBytes(frames);
        var row = Answer("t1") with { Frames = frames };

        await WriteAsync(Store, row);

        Same(row, await Store.FindAnswerAsync("alice", "t1", default));
    }

    [Fact]
    public async Task Completion_Is_found_by_its_owner_until_it_expires_and_a_shared_one_by_no_owner()
    {
        var row = Completion("r") with
        {
            Content = "héllo 你好 \u0001", ToolCalls = "[{}]", Reasoning = "because", FinishReason = "stop", Winner = "w", Usage = "{\"input_tokens\":1}",
        };
        await WriteAsync(Store, row, Completion("s") with { Owner = "" });

        Same(row, await Store.FindCompletionAsync("alice", "r", default));
        Assert.Null(await Store.FindCompletionAsync("bob", "r", default));
        Assert.Null(await Store.FindCompletionAsync("alice", "s", default));
        Assert.NotNull(await Store.FindCompletionAsync("", "s", default));
        Time.Advance(TimeSpan.FromHours(24));
        Assert.Null(await Store.FindCompletionAsync("alice", "r", default));
    }

    [Fact]
    public async Task Completion_is_written_again_The_later_one_holds()
    {
        var later = Completion("r") with { CreatedAt = Start.AddSeconds(1), Content = "later" };

        await WriteAsync(Store, Completion("r"), later);
        await WriteAsync(Store, Completion("r"));

        Same(later, await Store.FindCompletionAsync("alice", "r", default));
    }

    [Fact]
    public async Task Artifact_Is_one_row_by_trace_and_key_and_the_later_one_of_its_owner_holds()
    {
        await WriteAsync(
            Store, Artifact("t1", "score") with { Value = "{\"n\":1}" }, Artifact("t1", "score") with { Value = "{\"n\":2}" },
            Artifact("t1", "file") with { Uri = "s3://b/\0k", MediaType = "text/plain" }, Artifact("t2", "score"));
        await WriteAsync(Store, Artifact("t1", "score") with { Value = "3", CreatedAt = Start.AddSeconds(-1) }); // late
        await WriteAsync(Store, Artifact("t1", "score") with { Value = "4", Owner = "bob", CreatedAt = Start.AddSeconds(1) });

        Assert.Equal(["3", "alice", "{\"n\":2}", null], await QueryAsync(
            "select (select count(*) from artifacts), owner, cast(value as text), uri from artifacts where trace_id = 't1' and key = 'score'"));
        Assert.Equal(["text/plain", null, null], await QueryAsync("select media_type, value, expires_at from artifacts where key = 'file'"));
        await WriteAsync(Store, Artifact("t1", "score") with { Uri = "u", CreatedAt = Start.AddSeconds(1) });
        Assert.Equal([null, "u"], await QueryAsync("select value, uri from artifacts where trace_id = 't1' and key = 'score'"));
    }

    [Fact]
    public async Task Artifact_with_a_key_of_any_length_Is_kept()
    {
        await WriteAsync(Store, Artifact("t1", new string('k', 5000)), Artifact("t1", new string('k', 5001)));

        Assert.NotEqual(["0"], await QueryAsync("select count(*) from artifacts"));
    }

    [Fact]
    public async Task Owner_is_forgotten_Everything_of_hers_is_gone_and_nothing_of_others()
    {
        foreach (var owner in (string[])["alice", "bob"])
        {
            await WriteAsync(
                Store, Exchange($"{owner}-1", owner), Exchange($"{owner}-2", owner) with { Started = Start.AddDays(-1) }, Key("k", "t") with { Owner = owner },
                Answer($"{owner}-1", owner), Completion("r") with { Owner = owner }, Artifact($"{owner}-1", "a") with { Owner = owner });
        }

        Assert.Equal(8, await Store.ForgetAsync("alice", default)); // two exchanges on two days, a key, an answer, a completion, an artifact
        Assert.Equal(0, await Store.ForgetAsync("alice", default));

        foreach (var table in (string[])["exchanges", "idempotency_log", "completions_cache", "usage_daily", "answers", "artifacts"])
        {
            Assert.Equal(["0"], await QueryAsync($"select count(*) from {table} where owner = 'alice'"));
            Assert.NotEqual(["0"], await QueryAsync($"select count(*) from {table} where owner = 'bob'"));
        }
    }

    [Fact]
    public async Task Pruned_What_has_expired_is_gone_and_records_stay()
    {
        await WriteAsync(
            Store, Exchange("t1"), Key("k1", "t1"), Key("k2", "t2") with { ExpiresAt = Start.AddDays(9) }, Answer("t1"),
            Answer("t2") with { ExpiresAt = Start.AddDays(9) }, Completion("r1"), Completion("r2") with { ExpiresAt = Start.AddDays(9) },
            Artifact("t1", "gone") with { ExpiresAt = Start.AddHours(1) }, Artifact("t1", "stays"));

        Time.Advance(TimeSpan.FromHours(24));
        await Store.PruneAsync(default);

        Assert.Equal(["1", "k2", "t2", "r2", "1", "stays"], await QueryAsync("""
            select (select count(*) from exchanges), (select key from idempotency_log), (select trace_id from answers),
                   (select req_id from completions_cache), (select count(*) from usage_daily), (select key from artifacts)
            """));
    }

    [Fact]
    public async Task Text_that_is_meant_as_SQL_Is_text()
    {
        const string Name = "a'; drop table exchanges; --\"";
        await WriteAsync(Store, Exchange("t1", Name), Key(Name, "t1") with { Owner = Name });

        Assert.Equal(Name, Assert.Single(await UsageAsync(Name)).Owner);
        Assert.Equal("t1", (await Store.FindKeyAsync(Name, Name, default))?.TraceId);
        Assert.Equal(3, await Store.ForgetAsync(Name, default));
    }

    [Fact]
    public async Task Two_processes_use_the_database_Each_sees_the_others_rows_and_no_row_counts_twice()
    {
        var other = await OpenAsync();
        var rows = Enumerable.Range(0, 200).Select(i => Exchange($"t{i}")).ToArray();

        // Each sends all rows, in groups that differ.
        await Task.WhenAll(InGroupsAsync(Store, rows, 7), InGroupsAsync(other, [.. rows.Reverse()], 11));

        Assert.Equal(["200"], await QueryAsync("select count(*) from exchanges"));
        var usage = new UsageRow(Day, "alice", "m", 200, 2000, 1000);
        Assert.Equal([usage], await UsageAsync(null));
        Assert.Equal([usage], await other.ReadUsageAsync(null, Day, Day, default));

        static async Task InGroupsAsync(IRecordStore store, ExchangeRow[] rows, int size)
        {
            foreach (var group in rows.Chunk(size)) await store.CommitAsync(group, default);
        }
    }

    [Fact]
    public async Task Four_processes_open_a_new_database_at_once_All_can_write()
    {
        var all = await Task.WhenAll(Enumerable.Range(0, 4).Select(async i =>
        {
            var store = await NewAsync();
            await store.CommitAsync([Exchange($"t{i}")], default);
            return store;
        }));
        stores.AddRange(all);

        Assert.Equal(["4"], await QueryAsync("select count(*) from exchanges"));
    }

    [Fact]
    public async Task Opened_again_Everything_is_there()
    {
        await WriteAsync(Store, Exchange("t1"), Key("k", "t1"));
        await Store.DisposeAsync();

        var again = await OpenAsync();

        Assert.Equal(1, Assert.Single(await again.ReadUsageAsync(null, Day, Day, default)).Requests);
        Assert.NotNull(await again.FindKeyAsync("alice", "k", default));
    }

    [Fact]
    public async Task Disposed_twice_Is_disposed()
    {
        await Store.DisposeAsync();
        await Store.DisposeAsync();
    }

    private protected static ExchangeRow Exchange(string traceId, string owner = "alice") => new()
    {
        TraceId = traceId,
        CorrelationId = $"c-{traceId}",
        Owner = owner,
        Surface = "/v1/chat/completions",
        Model = "m",
        Route = "direct",
        Status = "ok",
        InputTokens = 10,
        OutputTokens = 5,
        Started = Start,
        DurationMs = 123.5,
    };

    private protected static KeyRow Key(string key, string traceId) => new()
    {
        Owner = "alice", Key = key, TraceId = traceId, Digest = "d", Status = "done", UpdatedAt = Start, ExpiresAt = Start.AddHours(24),
    };

    private protected static AnswerRow Answer(string traceId, string owner = "alice") => new()
    {
        TraceId = traceId, Owner = owner, Meta = "{}"u8.ToArray(), Frames = Encoding.UTF8.GetBytes($"data: {traceId}\n\n"), CreatedAt = Start,
        ExpiresAt = Start.AddHours(24),
    };

    private protected static CompletionRow Completion(string requestId) => new()
    {
        Owner = "alice", RequestId = requestId, Model = "m", Events = "{}\n"u8.ToArray(), CreatedAt = Start, ExpiresAt = Start.AddHours(24),
    };

    private protected static ArtifactRow Artifact(string traceId, string key) => new() { TraceId = traceId, Key = key, Owner = "alice", CreatedAt = Start };

    private protected static async Task WriteAsync(IRecordStore store, params StoreRow[] rows) => await store.CommitAsync(rows, default);

    private async ValueTask<IRecordStore> OpenAsync()
    {
        var store = await NewAsync();
        stores.Add(store);
        return store;
    }

    private ValueTask<IReadOnlyList<UsageRow>> UsageAsync(string? owner, DateOnly? from = null, DateOnly? to = null) =>
        Store.ReadUsageAsync(owner, from ?? Day, to ?? Day, default);

    // Records compare arrays by reference.
    private static void Same(AnswerRow expected, AnswerRow? found)
    {
        Assert.NotNull(found);
        Assert.Equal(expected, found with { Meta = expected.Meta, Frames = expected.Frames, Request = expected.Request });
        Assert.Equal(expected.Meta, found.Meta);
        Assert.Equal(expected.Frames, found.Frames);
        Assert.Equal(expected.Request, found.Request);
    }

    private static void Same(CompletionRow expected, CompletionRow? found)
    {
        Assert.NotNull(found);
        Assert.Equal(expected, found with { Events = expected.Events });
        Assert.Equal(expected.Events, found.Events);
    }
}
