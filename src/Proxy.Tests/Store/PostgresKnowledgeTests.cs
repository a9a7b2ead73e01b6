using System.Globalization;
using System.Text;
using Microsoft.Extensions.Time.Testing;
using Proxy.Knowledge;
using Proxy.Knowledge.Analysis;
using Proxy.Knowledge.Index;
using Proxy.Store.Postgres;
using Proxy.Store.Postgres.Knowledge;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Store;

/// <summary>The contract on a real PostgreSQL with pgvector.</summary>
public abstract class PostgresKnowledgeContract(PostgresFixture fixture) : KnowledgeStoreContract
{
    private string? url;

    private protected string Url => url!;

    public override async ValueTask InitializeAsync()
    {
        var server = await fixture.StartAsync();
        url = await server.DatabaseAsync();
        await server.RunAsync("create extension vector", new Uri(url).AbsolutePath[1..]);
        await base.InitializeAsync();
    }

    private protected override ValueTask<IKnowledgeStore> NewAsync() => new(new PostgresKnowledgeStore(new PostgresSchema(Url, "proxy"), Analyzer, Time));
}

public sealed class PostgresKnowledgeContractTests(UsualPostgres server) : PostgresKnowledgeContract(server), IClassFixture<UsualPostgres>;

[Trait("Category", "Slow")]
public sealed class NewestPostgresKnowledgeContractTests(NewestPostgres server) : PostgresKnowledgeContract(server), IClassFixture<NewestPostgres>;

/// <summary>The contract with PgBouncer between, which gives each transaction whatever session is free.</summary>
public sealed class PgBouncerKnowledgeContractTests(UsualPostgres server) : PostgresKnowledgeContract(server), IClassFixture<UsualPostgres>
{
    private readonly UsualPostgres server = server;
    private PgBouncer? bouncer;

    public override async ValueTask InitializeAsync()
    {
        bouncer = await PgBouncer.StartAsync(await server.StartAsync());
        await base.InitializeAsync();
    }

    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        await bouncer!.DisposeAsync();
    }

    private protected override ValueTask<IKnowledgeStore> NewAsync() => new(new PostgresKnowledgeStore(
        new PostgresSchema(new UriBuilder(Url) { Port = bouncer!.Port }.Uri.AbsoluteUri, "proxy"), Analyzer, Time));
}

/// <summary>What PostgreSQL alone has: the extension, rights, the index of vectors, several processes, and texts that it does not take.</summary>
public sealed class PostgresKnowledgeTests(UsualPostgres fixture) : IClassFixture<UsualPostgres>
{
    private const string Worker = "w";
    private static readonly TimeSpan Lease = TimeSpan.FromMinutes(1);
    private static readonly TextAnalyzer Analyzer = new();
    private readonly FakeTimeProvider time = new(new(2026, 3, 4, 12, 0, 0, TimeSpan.Zero));

    [Fact]
    public async Task Extension_is_missing_Writes_and_the_check_say_which_SQL_helps_and_records_go_on()
    {
        var (server, name) = await DatabaseAsync();
        await using var store = Store(server.Url(name));
        await using var records = new PostgresStore(server.Url(name), "proxy", time);

        Assert.Empty(await store.WorkspacesAsync(default));
        var line = Assert.Single(await store.CheckAsync(default));
        var failure = await Assert.ThrowsAsync<KnowledgeStoreException>(async () => await store.SaveAsync(NewWorkspace(), default));
        var file = await Assert.ThrowsAsync<KnowledgeStoreException>(async () => await store.AddFileAsync(NewFile("file-1"), Content("x"), default));
        await records.CommitAsync([], default);

        Assert.StartsWith("knowledge is off: the extension \"vector\" is missing", line, StringComparison.Ordinal);
        Assert.Equal(line, failure.Message);
        Assert.Equal(line, file.Message);
        await server.RunAsync(line[(line.LastIndexOf("has to run: ", StringComparison.Ordinal) + 12)..], name);
        Assert.Empty(await store.CheckAsync(default));
        await store.SaveAsync(NewWorkspace(), default);
    }

    [Fact]
    public async Task Extension_is_in_another_schema_It_is_found_there()
    {
        var (server, name) = await DatabaseAsync();
        await server.RunAsync("create schema ext; create extension vector schema ext", name);
        await using var store = Store(server.Url(name));
        await store.SaveAsync(NewWorkspace(3), default);

        await AddAsync(store, "file-1", "one", "a red fox", [1, 0, 0]);
        using var index = (await store.OpenAsync("vs_1", default))!;

        Assert.Equal(0, Assert.Single(await index.NearestAsync(0, Unit([1, 0, 0]), 5, null, default)).Slot);
        Assert.Equal(1, Assert.Single(await index.VectorsAsync(0, [0], default))[0], 3);
    }

    [Fact]
    public async Task User_may_not_create_tables_The_check_prints_the_SQL()
    {
        var (server, name) = await DatabaseAsync();
        await server.RunAsync("create extension vector; create role app login password 'secret'; grant create on database " + name + " to app", name);
        await using var store = Store(server.Url(name, "app", "secret"));
        await store.SaveAsync(NewWorkspace(), default);
        await server.RunAsync("alter schema proxy owner to postgres; grant usage on schema proxy to app", name);

        var line = Assert.Single(await store.CheckAsync(default));
        await Assert.ThrowsAsync<KnowledgeStoreException>(async () => await store.SaveAsync(NewWorkspace(3), default));
        await server.RunAsync(line[(line.LastIndexOf("has to run: ", StringComparison.Ordinal) + 12)..], name);

        Assert.Empty(await store.CheckAsync(default));
        await store.SaveAsync(NewWorkspace(3), default);
    }

    [Fact]
    public async Task Vectors_are_too_long_for_the_index_The_set_is_refused_with_the_limit()
    {
        await using var store = await NewAsync();

        var failure = await Assert.ThrowsAsync<KnowledgeStoreException>(async () => await store.SaveAsync(NewWorkspace(4001), default));

        Assert.Contains("makes vectors of 4001 numbers; with PostgreSQL it can be at most 4000", failure.Message, StringComparison.Ordinal);
        await store.SaveAsync(NewWorkspace(4000), default);
        await AddAsync(store, "file-1", "one", "a red fox", [1, .. new float[3999]]);
    }

    [Fact]
    public async Task Set_is_dropped_Its_table_is_gone()
    {
        var (server, name) = await DatabaseAsync();
        await server.RunAsync("create extension vector", name);
        await using var store = Store(server.Url(name));
        await store.SaveAsync(NewWorkspace(3), default);
        await AddAsync(store, "file-1", "one", "a red fox", [1, 0, 0]);
        var workspace = (await store.WorkspaceAsync("vs_1", default))!;
        VectorSet second = new("2", "other", 2);
        await store.SaveAsync(workspace with { Building = [second] }, default);
        const string Tables = "select relname::text from pg_class where relname like 'vec\\_%' and relkind = 'r' order by 1";

        Assert.Equal(["vec_1_1", "vec_1_2"], await server.QueryAsync(Tables, name));
        await store.FillAsync("vs_1", second, [(0, Unit([1, 1])), (77, Unit([1, 1]))], default);
        Assert.Equal(-1, await store.SwitchAsync("vs_1", default));
        Assert.Equal(["vec_1_2"], await server.QueryAsync(Tables, name));
        Assert.Equal([1L], await server.QueryAsync("select count(*) from proxy.vec_1_2", name));
        await store.DeleteWorkspaceAsync("vs_1", default);
        Assert.Empty(await server.QueryAsync(Tables, name));
        foreach (var table in (string[])["chunks", "postings", "slot_blocks", "free_slots", "workspace_files"])
            Assert.Equal([0L], await server.QueryAsync($"select count(*) from proxy.{table}", name));
    }

    [Fact]
    public async Task Index_is_used_The_nearest_are_found_with_and_without_a_mask()
    {
        const int Rows = 4000, Dimensions = 48, Top = 200;
        var random = new Random(7);
        var vectors = Enumerable.Range(0, Rows).Select(_ => Random(random, Dimensions)).ToArray();
        var (server, name) = await DatabaseAsync();
        await server.RunAsync("create extension vector", name);
        await using var store = Store(server.Url(name), exactRows: 500);
        await store.SaveAsync(NewWorkspace(Dimensions), default);
        await AddAsync(store, "file-1", "one", vectors.Length, i => $"chunk {i}", i => vectors[i]);
        using var index = (await store.OpenAsync("vs_1", default))!;
        Assert.Equal(Rows, index.Slots.Count);

        foreach (var share in (int[])[1, 2, 5]) await FindsAsync(share); // every slot; every second, which the index filters
        // The index answered, and found enough: else the vectors would have been compared one by one.
        await Patience.Until(
            async () => (long)Assert.Single(await server.QueryAsync(
                "select idx_scan from pg_stat_user_indexes where relname = 'vec_1_1' and indexrelname like '%v_idx'", name))! >= 60,
            "PostgreSQL counts the uses of the index");
        Assert.InRange((long)Assert.Single(await server.QueryAsync("select seq_scan from pg_stat_user_tables where relname = 'vec_1_1'", name))!, 0, 19);
        await FindsAsync(100); // few, which are compared one by one

        async Task FindsAsync(int share)
        {
            var mask = share == 1 ? null : new SlotMask(Rows);
            for (var slot = 0; mask is not null && slot < Rows; slot += share) mask.Add(slot);
            var (found, ten) = (0, 0);
            for (var query = 0; query < 20; query++)
            {
                var asked = Random(random, Dimensions);
                var exact = vectors.Select((vector, slot) => (Slot: slot, Score: Dot(vector, asked))).Where(scored => mask?[scored.Slot] is not false)
                    .OrderByDescending(scored => scored.Score).Take(Top).ToArray();
                var near = await index.NearestAsync(0, asked, Top, mask, default);
                Assert.Equal(exact.Length, near.Count);
                Assert.Equal(near.OrderByDescending(scored => scored.Score), near);
                Assert.All(near, scored => Assert.Equal(Dot(vectors[scored.Slot], asked), scored.Score, 0.002));
                found += near.Select(scored => scored.Slot).Intersect(exact.Select(scored => scored.Slot)).Count();
                ten += near.Take(10).Select(scored => scored.Slot).Intersect(exact.Take(10).Select(scored => scored.Slot)).Count();
            }

            Assert.True(ten >= 0.95 * 20 * 10, $"recall@10 is {ten / 200.0} with one slot in {share}");
            Assert.True(found >= 0.95 * 20 * Math.Min(Top, Rows / share), $"recall@{Top} is {found / 20.0 / Math.Min(Top, Rows / share)} with one in {share}");
        }
    }

    [Fact]
    public async Task Mask_is_far_from_the_query_Nothing_of_it_is_lost()
    {
        const int Rows = 3000;
        var vectors = Enumerable.Range(0, Rows).Select(i => Unit([MathF.Cos(i * MathF.PI / Rows), MathF.Sin(i * MathF.PI / Rows), 0.1f])).ToArray();
        await using var store = await NewAsync(exactRows: 100);
        await store.SaveAsync(NewWorkspace(3), default);
        await AddAsync(store, "file-1", "one", Rows, i => $"chunk {i}", i => vectors[i]);
        using var index = (await store.OpenAsync("vs_1", default))!;
        var mask = new SlotMask(Rows);
        for (var slot = Rows - 150; slot < Rows; slot++) mask.Add(slot);

        var near = await index.NearestAsync(0, vectors[0], 120, mask, default);

        Assert.Equal(120, near.Count);
        Assert.All(near, scored => Assert.True(mask[scored.Slot]));
    }

    [Fact]
    public async Task File_is_not_complete_Its_chunks_are_not_among_the_nearest()
    {
        await using var store = await NewAsync(exactRows: 2);
        await store.SaveAsync(NewWorkspace(2), default);
        await AddAsync(store, "file-1", "one", 6, i => $"chunk {i}", i => Unit([1, i]));
        var other = await BeginAsync(store, "file-2", "two");
        Assert.True(await store.AppendAsync(Worker, Lease, other, 0, [Chunk("two", "nearer", [1, 0]), Chunk("two", "nearer", [1, 0])], false, default));

        using var index = (await store.OpenAsync("vs_1", default))!;
        var near = await index.NearestAsync(0, Unit([1, 0]), 4, null, default);

        Assert.Equal([0, 1, 2, 3], near.Select(scored => scored.Slot));
    }

    [Fact]
    public async Task Same_chunks_in_memory_Postings_slots_and_the_order_of_the_nearest_are_equal()
    {
        await using var store = await NewAsync();
        await using var memory = new MemoryKnowledgeStore(time);
        var random = new Random(3);
        var words = "fox red dog runs over hill river stone cold wind sleeps never".Split(' ');
        var vectors = Enumerable.Range(0, 300).Select(_ => Random(random, 24)).ToArray();
        var texts = vectors.Select(_ => string.Join(' ', Enumerable.Range(0, 12).Select(_ => words[random.Next(words.Length)]))).ToArray();
        foreach (var each in (IKnowledgeStore[])[store, memory])
        {
            await each.SaveAsync(NewWorkspace(24), default);
            foreach (var file in Enumerable.Range(0, 10))
                await AddAsync(each, $"file-{file}", $"The {words[file]}.md", 30, i => texts[(file * 30) + i], i => vectors[(file * 30) + i]);
            Assert.True(await each.DetachAsync("vs_1", "file-3", default)); // its slots are used again
            await AddAsync(each, "file-10", "Late.md", 20, i => texts[i], i => vectors[i]);
        }

        using var one = (await store.OpenAsync("vs_1", default))!;
        using var two = (await memory.OpenAsync("vs_1", default))!;
        Assert.Equal(two.Slots.Packed.ToArray(), one.Slots.Packed.ToArray());
        var stems = words.SelectMany(Analyzer.Terms).ToArray();
        TermKey[] terms = [.. stems.Select(term => new TermKey(TermField.Body, term)), .. stems.Select(term => new TermKey(TermField.Title, term))];
        Assert.Equal((await two.PostingsAsync(terms, default)).Select(Shown), (await one.PostingsAsync(terms, default)).Select(Shown));
        for (var query = 0; query < 10; query++)
        {
            var asked = Random(random, 24);
            var (near, exact) = (await one.NearestAsync(0, asked, 50, null, default), await two.NearestAsync(0, asked, 50, null, default));
            Assert.Equal(exact[0].Slot, near[0].Slot);
            Assert.InRange(near.Select(scored => scored.Slot).Intersect(exact.Select(scored => scored.Slot)).Count(), 49, 50); // half precision
        }
    }

    [Fact]
    public async Task Two_processes_append_to_one_workspace_Every_chunk_is_there_once()
    {
        var (server, name) = await DatabaseAsync();
        await server.RunAsync("create extension vector", name);
        await using var one = Store(server.Url(name));
        await using var two = Store(server.Url(name));
        await one.SaveAsync(NewWorkspace(2), default);

        await Task.WhenAll(Enumerable.Range(0, 8).Select(async i =>
        {
            var store = i % 2 == 0 ? one : two;
            var file = NewFile($"file-{i}");
            await store.AddFileAsync(file, Content("x"), default);
            await store.AttachAsync(Attachment(file.Id, $"n{i}"), default);
        }));
        await Task.WhenAll(Enumerable.Range(0, 4).Select(async i =>
        {
            var (store, worker) = (i % 2 == 0 ? one : two, $"worker{i}");
            while (await store.ClaimAsync(worker, Lease, default) is { } file)
            {
                for (var from = 0; from < 60; from += 20)
                {
                    var chunks = Enumerable.Range(from, 20).Select(n => Chunk(file.Name, $"shared word{n}", [1, n])).ToArray();
                    Assert.True(await store.AppendAsync(worker, Lease, file, from, chunks, from == 40, default));
                }
            }
        }));

        using var index = (await two.OpenAsync("vs_1", default))!;
        Assert.Equal(480, index.Slots.Count);
        Assert.Equal(480, (await two.WorkspaceAsync("vs_1", default))!.Chunks);
        var postings = Assert.Single(await index.PostingsAsync([new(TermField.Body, Analyzer.Terms("shared")[0])], default));
        Assert.Equal(Enumerable.Range(0, 480), Slots(postings));
        Assert.Equal(480, (await index.ChunksAsync([.. Enumerable.Range(0, 480)], default)).Select(chunk => (chunk.FileId, chunk.Number)).Distinct().Count());
        Assert.Equal(480, (await index.NearestAsync(0, Unit([1, 1]), 1000, null, default)).Count);
    }

    [Fact]
    public async Task Slot_has_another_chunk_since_the_index_was_opened_The_chunk_is_left_out()
    {
        await using var store = await NewAsync();
        await store.SaveAsync(NewWorkspace(2), default);
        await AddAsync(store, "file-1", "one", "public", [1, 0]);
        using var index = (await store.OpenAsync("vs_1", default))!;
        await store.DetachAsync("vs_1", "file-1", default);
        await AddAsync(store, "file-2", "two", "secret", [1, 0]);

        Assert.Empty(await index.ChunksAsync([0], default));
        using var again = (await store.OpenAsync("vs_1", default))!;
        Assert.Equal("secret", Assert.Single(await again.ChunksAsync([0], default)).Text);
    }

    [Fact]
    public async Task Analyzer_changes_The_postings_are_made_anew()
    {
        var (server, name) = await DatabaseAsync();
        await server.RunAsync("create extension vector", name);
        await using (var old = Store(server.Url(name)))
        {
            await old.SaveAsync(NewWorkspace(2), default);
            await AddAsync(old, "file-1", "one", "a red fox", [1, 0]);
        }

        await using var store = Store(server.Url(name), new NewerAnalyzer());
        using (var index = (await store.OpenAsync("vs_1", default))!)
        {
            TermKey[] terms = [new(TermField.Body, "red"), new(TermField.Body, "new-red")];
            Assert.Equal([0, 1], (await index.PostingsAsync(terms, default)).Select(list => Slots(list).Count));
        }

        await store.DetachAsync("vs_1", "file-1", default);

        Assert.Equal([0L], await server.QueryAsync("select count(*) from proxy.postings", name));
    }

    [Fact]
    public async Task Text_that_PostgreSQL_does_not_take_Is_kept_as_far_as_it_can_and_deleted_without_a_trace()
    {
        var (server, name) = await DatabaseAsync();
        await server.RunAsync("create extension vector", name);
        await using var store = Store(server.Url(name));
        await store.SaveAsync(NewWorkspace(2), default);

        await AddAsync(store, "file-1", "one", "fox\0hole \ud800wolf " + new string('x', 5000), [1, 0]);
        Assert.Equal("fox\ufffdhole \ufffdwolf", Assert.Single(await store.ChunksOfAsync("vs_1", "file-1", 0, 9, default)).Text[..14]);
        await store.DetachAsync("vs_1", "file-1", default);

        Assert.Equal([0L], await server.QueryAsync("select count(*) from proxy.postings", name));
    }

    [Fact]
    public async Task Upload_breaks_off_Nothing_of_it_is_seen_or_left()
    {
        var (server, name) = await DatabaseAsync();
        await server.RunAsync("create extension vector", name);
        await using var store = Store(server.Url(name));
        var seen = -1;
        using var broken = new BreakingStream(3 << 20, async () => seen = (await store.FilesAsync(null, null, new(10), default)).Count);

        await Assert.ThrowsAsync<IOException>(async () => await store.AddFileAsync(NewFile("file-1"), broken, default));

        Assert.Equal(0, seen);
        Assert.Null(await store.FileAsync("file-1", default));
        Assert.Equal([0L], await server.QueryAsync("select count(*) from proxy.file_parts", name));
    }

    [Fact]
    public async Task Upload_of_a_process_that_ended_Is_deleted_by_a_later_one()
    {
        var (server, name) = await DatabaseAsync();
        await server.RunAsync("create extension vector", name);
        await using var store = Store(server.Url(name));
        await store.AddFileAsync(NewFile("file-1"), Content(new string('x', 3_000_000)), default);
        await server.RunAsync("update proxy.files set is_complete = false", name);

        Assert.False(await store.CopyFileAsync("file-1", Stream.Null, default));
        time.Advance(TimeSpan.FromHours(2));
        await store.AddFileAsync(NewFile("file-2"), Content("y"), default);

        Assert.Equal(["file-2"], await server.QueryAsync("select file_id from proxy.file_parts", name));
    }

    [Fact]
    public async Task Sets_are_switched_while_a_file_is_read_Its_worker_begins_again()
    {
        await using var store = await NewAsync();
        await store.SaveAsync(NewWorkspace(2), default);
        var file = await BeginAsync(store, "file-1", "one");
        var workspace = (await store.WorkspaceAsync("vs_1", default))!;
        await store.SaveAsync(workspace with { Building = [new("2", "other", 2)] }, default);
        Assert.Equal(-1, await store.SwitchAsync("vs_1", default));

        Assert.False(await store.AppendAsync(Worker, Lease, file, 0, [Chunk("one", "of the old model", [1, 0])], true, default));

        var again = await store.ClaimAsync(Worker, Lease, default);
        Assert.True(await store.AppendAsync(Worker, Lease, again!, 0, [Chunk("one", "of the new model", [1, 0])], true, default));
    }

    [Fact]
    public async Task Backup_Is_refused_with_the_program_that_does_it()
    {
        await using var store = await NewAsync();

        var failure = await Assert.ThrowsAsync<KnowledgeStoreException>(async () => await store.BackupAsync("/tmp/none", default));

        Assert.Contains("pg_dump", failure.Message, StringComparison.Ordinal);
    }

    private static KnowledgeFile NewFile(string id) => new()
    {
        Id = id, Owner = "alice", Name = id + ".md", Sha256 = "", CreatedAt = DateTimeOffset.UnixEpoch,
    };

    private static Workspace NewWorkspace(int dimensions = 0) => new()
    {
        Id = "vs_1", Owner = "alice", Name = "docs", CreatedAt = DateTimeOffset.UnixEpoch, LastActiveAt = DateTimeOffset.UnixEpoch,
        Vectors = dimensions == 0 ? [] : [new("1", "minilm", dimensions)],
    };

    private static WorkspaceFile Attachment(string id, string name) => new()
    {
        Workspace = "vs_1", FileId = id, Name = name, Sha256 = "s", CreatedAt = DateTimeOffset.UnixEpoch,
    };

    private static NewChunk Chunk(string file, string text, float[] vector) => new()
    {
        Text = text, Vectors = [Unit(vector)], Terms = Analyzer.TermsOf(ChunkTitle.Of(file, ""), text),
    };

    private static async Task<WorkspaceFile> BeginAsync(IKnowledgeStore store, string id, string name)
    {
        await store.AddFileAsync(NewFile(id), Content("x"), default);
        await store.AttachAsync(Attachment(id, name), default);
        return (await store.ClaimAsync(Worker, Lease, default))!;
    }

    private static Task<WorkspaceFile> AddAsync(IKnowledgeStore store, string id, string name, string text, float[] vector) =>
        AddAsync(store, id, name, 1, _ => text, _ => vector);

    private static async Task<WorkspaceFile> AddAsync(
        IKnowledgeStore store, string id, string name, int count, Func<int, string> text, Func<int, float[]> vector)
    {
        var file = await BeginAsync(store, id, name);
        for (var from = 0; from < count; from += 500)
        {
            var part = Enumerable.Range(from, Math.Min(500, count - from)).Select(i => Chunk(name, text(i), vector(i))).ToArray();
            Assert.True(await store.AppendAsync(Worker, Lease, file, from, part, from + part.Length == count, default));
        }

        return file;
    }

    private static MemoryStream Content(string text) => new(Encoding.UTF8.GetBytes(text));

    private static float[] Random(Random random, int dimensions) => Unit([.. Enumerable.Range(0, dimensions).Select(_ => (float)(random.NextDouble() - 0.5))]);

    private static float[] Unit(float[] vector)
    {
        var length = MathF.Sqrt(vector.Sum(static number => number * number));
        return [.. vector.Select(number => number / length)];
    }

    private static float Dot(float[] left, float[] right) => left.Zip(right, static (a, b) => a * b).Sum();

    private static List<int> Slots(PostingList list)
    {
        var slots = new List<int>();
        foreach (var (block, data) in list.Blocks)
        {
            var reader = new PostingBlock.Reader(data.Span, block);
            while (reader.Next(out var posting)) slots.Add(posting.Slot);
        }

        return slots;
    }

    private static string Shown(PostingList list) =>
        string.Join(' ', list.Blocks.Select(block => block.Block.ToString(CultureInfo.InvariantCulture) + ":" + Convert.ToHexString(block.Data.Span)));

    private PostgresKnowledgeStore Store(string url, ITextAnalyzer? analyzer = null, int exactRows = 20_000) =>
        new(new PostgresSchema(url, "proxy"), analyzer ?? Analyzer, time, exactRows);

    private async Task<PostgresKnowledgeStore> NewAsync(int exactRows = 20_000)
    {
        var (server, name) = await DatabaseAsync();
        await server.RunAsync("create extension vector", name);
        return Store(server.Url(name), exactRows: exactRows);
    }

    private async Task<(PostgresServer Server, string Name)> DatabaseAsync()
    {
        var server = await fixture.StartAsync();
        return (server, new Uri(await server.DatabaseAsync()).AbsolutePath[1..]);
    }

    private sealed class NewerAnalyzer : ITextAnalyzer
    {
        public int Version => Analyzer.Version + 1;

        public List<string> Terms(string text) => Analyzer.Terms(text).ConvertAll(static term => "new-" + term);
    }

    /// <summary>Gives so many bytes, then breaks.</summary>
    private sealed class BreakingStream(int length, Func<Task> before) : Stream
    {
        private int given;

        public override bool CanRead => true;
        public override bool CanSeek => false;
        public override bool CanWrite => false;
        public override long Length => throw new NotSupportedException();
        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            if (given >= length)
            {
                await before();
                throw new IOException("the client is gone");
            }

            given += buffer.Length;
            return buffer.Length;
        }

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();
        public override void Flush() { }
        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
        public override void SetLength(long value) => throw new NotSupportedException();
        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    }
}
