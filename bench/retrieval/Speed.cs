using System.Diagnostics;
using System.Globalization;
using Proxy.Inference;
using Proxy.Knowledge;
using Proxy.Knowledge.Analysis;
using Proxy.Knowledge.Search;
using Proxy.Store.Sqlite.Knowledge;
using Proxy.Vectors;

namespace Proxy.Bench;

/// <summary>
/// Times the whole search over the embedded store: many made-up chunks, the bundled model, the search as the routes use it. Beside it, in turn with it, a bare
/// scan of as many int8 rows in memory. A made-up chunk is of parts of pages, so that its words are as frequent as in real texts, and a word of its own; its
/// vector is that of a page, perturbed.
/// </summary>
internal sealed class Speed(Collection collection, IEmbedder embedder, List<float[]> real, int chunks)
{
    private const int Seed = 14;
    private const int Dimensions = 384;
    private const int Batch = 4096;
    private const int WordsOfAChunk = 110;
    private const double Noise = 0.6;

    private readonly TextAnalyzer analyzer = new();
    private readonly string[][] pages = [.. collection.Documents.Select(static document => document.Text.Split(' '))];

    /// <summary>Says to the process that searches where the store is.</summary>
    private const string Filled = "BENCH_FILLED";

    /// <summary>Fills a store, and has another process search it, whose memory is then that of searches alone.</summary>
    public async Task RunAsync(string folder)
    {
        if (Environment.GetEnvironmentVariable(Filled) is { } filled)
        {
            await using var store = new SqliteKnowledgeStore(filled, analyzer, TimeProvider.System);
            await SearchAsync(store);
            return;
        }

        Print($"load average {File.ReadAllText("/proc/loadavg").Trim()}, {Environment.ProcessorCount} cores; seed {Seed}; noise of length {Noise}");
        Analyse();
        folder = Directory.CreateDirectory(Path.Combine(folder, $"speed-bench-{Environment.ProcessId}")).FullName;
        try
        {
            await using (var store = new SqliteKnowledgeStore(folder, analyzer, TimeProvider.System)) await FillAsync(store);
            var again = new ProcessStartInfo(Environment.ProcessPath!, Environment.GetCommandLineArgs()) { Environment = { [Filled] = folder } };
            using var searching = Process.Start(again)!;
            await searching.WaitForExitAsync();
            if (searching.ExitCode != 0) throw new InvalidOperationException("the process that searches has failed");
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }

        Print($"load average {File.ReadAllText("/proc/loadavg").Trim()}");
    }

    private void Analyse()
    {
        var best = 0.0;
        for (var round = 0; round < 8; round++)
        {
            var (began, characters) = (Environment.CpuUsage.TotalTime, 0L);
            foreach (var document in collection.Documents)
            {
                characters += document.Text.Length + document.Title.Length;
                analyzer.TermsOf(document.Title, document.Text);
            }

            best = Math.Max(best, characters / 1e6 / (Environment.CpuUsage.TotalTime - began).TotalSeconds);
        }

        Print($"analysed and counted {best:F1} million characters a second of CPU time, at best");
    }

    private async Task FillAsync(SqliteKnowledgeStore store)
    {
        var set = new VectorSet("1", embedder.Info.Name, Dimensions);
        await store.SaveAsync(new Workspace { Id = "vs_speed", Owner = "local", CreatedAt = default, LastActiveAt = default, Vectors = [set] }, default);
        await store.AttachAsync(new() { Workspace = "vs_speed", FileId = "file-1", Name = "pages.txt", Sha256 = "", CreatedAt = default }, default);
        var file = (await store.ClaimAsync("bench", TimeSpan.FromHours(9), default))!;
        var start = Stopwatch.GetTimestamp();
        for (var from = 0; from < chunks; from += Batch)
        {
            var (batch, first) = (new NewChunk[Math.Min(Batch, chunks - from)], from);
            Parallel.For(0, batch.Length, i => batch[i] = MakeUp(first + i));
            if (!await store.AppendAsync("bench", TimeSpan.FromHours(9), file, from, batch, from + batch.Length == chunks, default))
                throw new InvalidOperationException("not appended");
        }

        Print($"{chunks:N0} chunks of {WordsOfAChunk} words made and stored in {Stopwatch.GetElapsedTime(start).TotalSeconds:F0} s");
    }

    private NewChunk MakeUp(int number)
    {
        var random = new Random((Seed * 1_000_003) + number);
        var words = new List<string>(WordsOfAChunk + 1);
        while (words.Count < WordsOfAChunk)
        {
            var page = pages[random.Next(pages.Length)];
            var take = Math.Min(WordsOfAChunk / 2, page.Length);
            words.AddRange(page.AsSpan(random.Next(page.Length - take + 1), take));
        }

        words.Add($"w{number:x5}q");
        var text = string.Join(' ', words);
        var heading = collection.Documents[number % pages.Length].Title;
        return new()
        {
            Text = text, Heading = heading, Tokens = 200, Vectors = [Perturbed(real[number % real.Count], random)],
            Terms = analyzer.TermsOf(ChunkTitle.Of("pages.txt", heading), text),
        };
    }

    private async Task SearchAsync(SqliteKnowledgeStore store)
    {
        var workspace = (await store.WorkspaceAsync("vs_speed", default))!;
        var ready = new Ready(embedder);
        await ready.AskAsync("loads the model");
        var before = Resident("VmRSS:"); // the bench's own collection, the runtime and the model
        foreach (var query in collection.Queries.Take(300)) ready.Vectors[query.Text] = await ready.AskAsync(query.Text);
        var whole = new KnowledgeSearch(store, new(new OneModel(embedder), [embedder.Info.Name], null), analyzer, TimeProvider.System);
        var searching = new KnowledgeSearch(store, new(new OneModel(ready), [embedder.Info.Name], null), analyzer, TimeProvider.System);
        var bare = Bare.Make(chunks, Dimensions, Seed);
        var (withModel, without, bares, stages) = (new List<double>(), new List<double>(), new List<double>(), new Dictionary<string, List<double>>());
        var left = 0;
        for (var i = -60; i < 240; i++)
        {
            var text = collection.Queries[(i + 60) % collection.Queries.Count].Text;
            var start = Stopwatch.GetTimestamp();
            var trace = await AskAsync(searching, workspace, text);
            var middle = Stopwatch.GetTimestamp();
            await AskAsync(whole, workspace, collection.Queries[(i + 360) % collection.Queries.Count].Text);
            var end = Stopwatch.GetTimestamp();
            bare.Scan();
            if (i < 0) continue;
            bares.Add(Stopwatch.GetElapsedTime(end).TotalMilliseconds);
            without.Add(Stopwatch.GetElapsedTime(start, middle).TotalMilliseconds);
            withModel.Add(Stopwatch.GetElapsedTime(middle, end).TotalMilliseconds);
            left += trace.Notes.Count;
            foreach (var stage in trace.Stages)
            {
                if (!stages.TryGetValue(stage.Stage, out var times)) stages[stage.Stage] = times = [];
                times.Add(stage.Milliseconds);
            }
        }

        Line("whole search", withModel);
        Line("without the embedding", without);
        foreach (var (stage, times) in stages) Line("- " + stage, times);
        Line("bare int8 scan, best score", bares);
        Print($"searches whose feedback was left out because the first pass took too long: {left}");
        var resident = Resident("VmRSS:");
        var own = resident - bare.Bytes;
        Print($"resident {resident >> 20} MB, of which {bare.Bytes >> 20} MB are the bare scan's: {own >> 20} MB");
        Print($"{(own - before) >> 20} MB of them came with the searches; {Resident("RssFile:") >> 20} MB are mapped files");
        bare.Free();
    }

    private static async Task<SearchTrace> AskAsync(KnowledgeSearch search, Workspace workspace, string query)
    {
        var (outcome, error) = await search.SearchAsync([workspace], new([query]) { Trace = true }, default);
        return outcome?.Trace ?? throw new InvalidOperationException(error?.Message);
    }

    private static float[] Perturbed(float[] from, Random random)
    {
        var vector = new float[Dimensions];
        var (deviation, squares) = (Noise / Math.Sqrt(Dimensions), 0.0);
        for (var i = 0; i < vector.Length; i++)
        {
            // The sum of four uniform numbers is nearly normal, and cheap.
            var normal = (random.NextDouble() + random.NextDouble() + random.NextDouble() + random.NextDouble() - 2) * Math.Sqrt(3);
            vector[i] = (float)(from[i] + (normal * deviation));
            squares += vector[i] * vector[i];
        }

        for (var i = 0; i < vector.Length; i++) vector[i] /= (float)Math.Sqrt(squares);
        return vector;
    }

    private static long Resident(string kind) => long.Parse(
        File.ReadLines("/proc/self/status").First(line => line.StartsWith(kind, StringComparison.Ordinal))
            .Split([' ', '\t'], StringSplitOptions.RemoveEmptyEntries)[1],
        CultureInfo.InvariantCulture) << 10;

    private static void Line(string name, List<double> times) => Print($"| {name} | {At(times, 0.5):F2} | {At(times, 0.95):F2} | {times.Min():F2} |");

    private static double At(List<double> values, double share) => values.Order().ElementAt((int)(share * (values.Count - 1)));

    private static void Print(FormattableString line) => Console.WriteLine(line.ToString(CultureInfo.InvariantCulture));

    /// <summary>The model with its vectors at hand.</summary>
    private sealed class Ready(IEmbedder inner) : IEmbedder
    {
        public Dictionary<string, float[]> Vectors { get; } = [];

        public VectorModelInfo Info => inner.Info;

        public async Task<float[]> AskAsync(string text)
        {
            var request = new EmbedRequest([new EmbedInput(text)]) { Truncate = true, Prompt = PromptKind.Query, Normalize = true };
            var (batch, error) = await inner.EmbedAsync(request, default);
            return batch is null ? throw new InvalidOperationException(error!.Message) : batch[0].ToArray();
        }

        public ValueTask<(VectorBatch? Vectors, VectorError? Error)> EmbedAsync(EmbedRequest request, CancellationToken cancellation) =>
            new((new VectorBatch(Vectors[request.Inputs[0].Text!], Dimensions, [1]), null));

        public ValueTask<(TokenVectors? Vectors, VectorError? Error)> EmbedTokensAsync(EmbedRequest request, CancellationToken cancellation) =>
            inner.EmbedTokensAsync(request, cancellation);

        public ValueTask<(IReadOnlyList<IReadOnlyList<TextToken>>? Tokens, VectorError? Error)> TokenizeAsync(
            IReadOnlyList<string> texts, bool special, CancellationToken cancellation) => new((null, null));
    }
}
