using System.Globalization;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using Microsoft.Extensions.Time.Testing;
using Proxy.Knowledge;
using Proxy.Knowledge.Analysis;
using Proxy.Store.Sqlite.Knowledge;
using Proxy.Tests.Harness;
using Proxy.Tests.Store;

namespace Proxy.Tests.EndToEnd;

/// <summary>
/// Proxies are killed while they take and read documents, one after the other on one state folder. <c>PROXY_CRASH_SEED</c> repeats a run's choices.
/// </summary>
public sealed class KnowledgeKillTests
{
    private static readonly int Seed = int.TryParse(Environment.GetEnvironmentVariable("PROXY_CRASH_SEED"), CultureInfo.InvariantCulture, out var given)
        ? given : Environment.TickCount & 0xfffff;

    [Fact]
    public Task Proxy_is_killed_Every_document_is_read_once() => RunAsync(kills: 5, files: 60, passages: 300);

    [Fact]
    [Trait("Category", "Slow")]
    public Task Proxy_is_killed_twenty_times_Every_document_is_read_once() => RunAsync(kills: 20, files: 300, passages: 2000);

    private static async Task RunAsync(int kills, int files, int passages)
    {
        await using var shelf = await CrashShelf.StartAsync(new Random(Seed), files, passages);
        for (var number = 1; number <= kills; number++) await shelf.KillAsync(number, kills);
        await shelf.FinishAsync();

        var problems = await shelf.ProblemsAsync();
        await Console.Out.WriteLineAsync($"killed {kills} times with seed {Seed}: {shelf.Story}");
        Assert.True(problems.Count == 0, $"seed {Seed}: {shelf.Story}\n{string.Join('\n', problems.Take(20))}");
    }
}

/// <summary>
/// Documents that a client puts into a workspace, one of them a large one, and the proxies that take and read them. Each paragraph becomes a chunk. The model
/// is a host of the test, whose vectors follow from the text.
/// </summary>
internal sealed class CrashShelf : IAsyncDisposable
{
    private const int Dimensions = 64;
    private const int Batch = 8;
    private static readonly TextAnalyzer Analyzer = new();

    private readonly string state = Directory.CreateTempSubdirectory("proxy-kill-").FullName;
    private readonly FakeBackend model = FakeBackend.Start();
    private readonly Random random;
    private readonly string[] documents;
    private readonly string?[] uploads; // of those whose upload was confirmed
    private readonly string?[] ids; // of those whose attachment was confirmed
    private readonly List<string> lives = [];
    private readonly int expectedCalls;
    private string store = "";
    private ProxyProcess? proxy;
    private int calls;

    private CrashShelf(Random random, int files, int passages)
    {
        this.random = random;
        documents = [.. Enumerable.Range(0, files).Select(file => Document(file, file == files / 3 ? passages : 1 + (file % 4)))];
        (uploads, ids) = (new string?[files], new string?[files]);
        expectedCalls = files + (passages / 32);
        model.Answer(EmbedAsync);
    }

    /// <summary>What each proxy saw of the work: calls of the model, and the documents that were confirmed when it was killed.</summary>
    public string Story => string.Join("; ", lives);

    public static async Task<CrashShelf> StartAsync(Random random, int files, int passages)
    {
        var shelf = new CrashShelf(random, files, passages);
        await shelf.StartProxyAsync();
        shelf.store = (await shelf.PostAsync("/v1/vector_stores", """{"name":"docs"}""")).Json.GetProperty("id").GetString()!;
        return shelf;
    }

    /// <summary>Lets a client send documents and kills the proxy when it has done a part of the work, or at once.</summary>
    public async Task KillAsync(int number, int kills)
    {
        if (proxy is null) await StartProxyAsync();
        var (began, share) = (Volatile.Read(ref calls), 2 * expectedCalls / (kills + 1));
        var until = began + random.Next(share);
        var sending = Task.Run(SendAsync);
        // A proxy to which nothing is left to read is killed too.
        await Patience.Until(
            async () => Volatile.Read(ref calls) >= until || (!ids.Contains(null) && await LeftAsync() == 0), "a part of the documents is read");
        await Task.Delay(random.Next(40));
        await proxy!.KillAsync();
        await sending;
        await proxy.DisposeAsync();
        proxy = null;
        var confirmed = ids.Count(static id => id is not null);
        lives.Add(string.Create(CultureInfo.InvariantCulture, $"{number}: {Volatile.Read(ref calls) - began} calls, {confirmed} files"));
    }

    /// <summary>Sends the rest and waits until everything is read.</summary>
    public async Task FinishAsync()
    {
        await StartProxyAsync();
        await SendAsync();
        Assert.All(ids, Assert.NotNull);
        await IdleAsync();
    }

    /// <summary>What is wrong with the answers, and then with the files on the disk.</summary>
    public async Task<List<string>> ProblemsAsync()
    {
        var problems = new List<string>();
        var counts = (await GetAsync($"/v1/vector_stores/{store}")).GetProperty("file_counts");
        if (counts.GetProperty("completed").GetInt32() != ids.Length || counts.GetProperty("total").GetInt32() != ids.Length) problems.Add($"counts {counts}");
        foreach (var file in Enumerable.Range(0, 10).Select(_ => random.Next(ids.Length)).Append(ids.Length / 3))
        {
            var paragraphs = documents[file].Split("\n\n");
            var wanted = paragraphs[random.Next(paragraphs.Length)];
            var found = await PostAsync($"/v1/vector_stores/{store}/search", $$"""{"query":"{{wanted.Split(' ')[1]}}","max_num_results":1}""");
            var hit = found.Json.GetProperty("data") is var data && data.GetArrayLength() == 1 ? data[0] : default;
            if (hit.ValueKind is JsonValueKind.Undefined || hit.GetProperty("file_id").GetString() != ids[file]) problems.Add($"{wanted[..20]}: {found.Text}");
        }

        proxy!.Signal(PosixSignal.SIGTERM);
        await proxy.ExitAsync();
        await CheckDiskAsync(problems);
        return problems;
    }

    public async ValueTask DisposeAsync()
    {
        if (proxy is not null) await proxy.DisposeAsync();
        await model.DisposeAsync();
        Directory.Delete(state, recursive: true);
    }

    private async Task CheckDiskAsync(List<string> problems)
    {
        var folder = Path.Combine(state, "knowledge");
        // Later, what uploads of killed proxies left is removed.
        await using (var later = new SqliteKnowledgeStore(folder, Analyzer, new FakeTimeProvider(TimeProvider.System.GetUtcNow().AddHours(2))))
        {
            await later.SaveAsync((await later.WorkspaceAsync(store, default))!, default);
            for (var file = 0; file < ids.Length; file++)
            {
                var chunks = await later.ChunksOfAsync(store, ids[file]!, 0, 10_000, default);
                var read = chunks.Select(static chunk => chunk.Text).ToArray();
                if (!read.SequenceEqual(documents[file].Split("\n\n")))
                    problems.Add($"d{file} has {read.Length} chunks, {read.Distinct().Count()} of them different, instead of its paragraphs");
            }
        }

        problems.AddRange(new KnowledgeChecker(folder, Analyzer, static (text, _) => VectorOf(text)).Problems());
    }

    private async Task StartProxyAsync() => proxy = await ProxyProcess.StartAsync($"""
        {FrontDoor.Server()}
        [log]
        format = "json"
        [inference]
        bundled = false
        [knowledge]
        embedder = "words"
        [[backends]]
        name = "a"
        url = "{model.Url}"
        dialects = ["openai"]
        models = ["words"]
        """, state: state);

    /// <summary>Puts what was not confirmed yet into the workspace. Ends when all is confirmed, or the proxy is gone.</summary>
    private async Task SendAsync()
    {
        try
        {
            for (var first = 0; first < ids.Length; first += Batch)
            {
                var missing = Enumerable.Range(first, Math.Min(Batch, ids.Length - first)).Where(file => ids[file] is null).ToArray();
                if (missing.Length == 0) continue;
                var sent = new List<string>();
                foreach (var file in missing) sent.Add(uploads[file] ??= await UploadAsync(file));
                var attached = await PostAsync($"/v1/vector_stores/{store}/file_batches", $$$"""
                    {"file_ids":{{{JsonSerializer.Serialize(sent)}}},
                    "chunking_strategy":{"type":"static","static":{"max_chunk_size_tokens":100,"chunk_overlap_tokens":0} } }
                    """);
                // They may be attached although the answer was lost; then the same ones are attached again.
                if (!attached.Whole || attached.Status != 200) return;
                for (var i = 0; i < sent.Count; i++) ids[missing[i]] = sent[i];
            }
        }
        catch (Exception e) when (e is IOException or SocketException or JsonException or InvalidOperationException or ObjectDisposedException)
        {
            // The proxy was killed.
        }
    }

    private async Task<string> UploadAsync(int file)
    {
        var body = string.Join("\r\n",
            "--limit", "Content-Disposition: form-data; name=\"purpose\"", "", "assistants",
            "--limit", $"Content-Disposition: form-data; name=\"file\"; filename=\"d{file}.txt\"", "", documents[file], "--limit--", "");
        var reply = await RawClient.SendAsync(
            proxy!.Address, "POST", "/v1/files", Encoding.UTF8.GetBytes(body), "Content-Type: multipart/form-data; boundary=limit");
        return reply is { Whole: true, Status: 200 } ? reply.Json.GetProperty("id").GetString()! : throw new IOException(reply.Text);
    }

    /// <summary>Waits until all that was sent is read. There is no limit while the work goes on.</summary>
    private async Task IdleAsync()
    {
        for (var seen = (Left: int.MaxValue, Calls: 0); seen.Left > 0;)
        {
            var before = seen;
            await Patience.Until(async () => (seen = (await LeftAsync(), Volatile.Read(ref calls))) != before, "a document is read");
        }
    }

    private async Task<int> LeftAsync()
    {
        try
        {
            var counts = (await GetAsync($"/v1/vector_stores/{store}")).GetProperty("file_counts");
            return counts.GetProperty("in_progress").GetInt32();
        }
        catch (Exception e) when (e is IOException or SocketException or JsonException or KeyNotFoundException)
        {
            return 0;
        }
    }

    private async Task<JsonElement> GetAsync(string path) => (await RawClient.SendAsync(proxy!.Address, "GET", path)).Json;

    private Task<RawReply> PostAsync(string path, string json) =>
        RawClient.SendAsync(proxy!.Address, "POST", path, Encoding.UTF8.GetBytes(json), "Content-Type: application/json");

    /// <summary>Answers like a host of OpenAI's kind.</summary>
    private async Task EmbedAsync(FakeExchange exchange)
    {
        var input = exchange.Request.Json.GetProperty("input").EnumerateArray().Select(static text => text.GetString()!).ToArray();
        Interlocked.Increment(ref calls);
        var rows = input.Select(static (text, i) => $$"""{"object":"embedding","index":{{i}},"embedding":{{JsonSerializer.Serialize(VectorOf(text))}}}""");
        await exchange.JsonAsync($$"""{"object":"list","model":"words","data":[{{string.Join(',', rows)}}],"usage":{"prompt_tokens":1,"total_tokens":1} }""");
    }

    /// <summary>A text of paragraphs, the second word of each of which is in no other. Two paragraphs are longer than a chunk.</summary>
    private static string Document(int file, int paragraphs) => string.Join("\n\n", Enumerable.Range(0, paragraphs).Select(number =>
        $"Passage zq{file}x{number} tells of word{number % 7} and word{(file + number) % 11} at such length that no other passage fits beside it in the same "
        + "chunk, which is why it goes on and on with words that mean nothing at all until it is long enough for that, and here it ends."));

    /// <summary>The sum of a vector for each word, of length 1. What stands before the first full stop and a space is the chunk's title.</summary>
    private static float[] VectorOf(string text)
    {
        var sum = new float[Dimensions];
        var body = text.IndexOf(". ", StringComparison.Ordinal) is >= 0 and var end ? text[(end + 2)..] : text;
        foreach (var word in body.Split([' ', '.', ','], StringSplitOptions.RemoveEmptyEntries))
        {
            var of = new Random(KnowledgeStoreContract.StableHash(word));
            for (var i = 0; i < Dimensions; i++) sum[i] += of.NextSingle() - 0.5f;
        }

        var length = MathF.Sqrt(sum.Sum(static number => number * number));
        return [.. sum.Select(number => number / length)];
    }
}
