using System.Diagnostics;
using System.Globalization;
using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Proxy.Knowledge;
using Proxy.Knowledge.Analysis;
using Proxy.Knowledge.Ingest;
using Proxy.Store.Sqlite.Knowledge;
using Proxy.Vectors;

namespace Proxy.Bench;

/// <summary>How fast files are read, chunked, embedded and stored, beside the embedding of the same chunks alone.</summary>
internal static class IngestRate
{
    private const int Files = 12;
    private const int PagesOfAFile = 15;
    private const int EmbeddedAtOnce = 32;

    /// <summary>Returns the share of the embedder's own rate.</summary>
    public static async Task<double> RunAsync(Collection collection, IEmbedder embedder, string folder)
    {
        folder = Directory.CreateDirectory(Path.Combine(folder, $"ingest-bench-{Environment.ProcessId}")).FullName;
        try
        {
            var analyzer = new TextAnalyzer();
            await using var store = new SqliteKnowledgeStore(folder, analyzer, TimeProvider.System);
            await store.SaveAsync(new Workspace { Id = "vs_1", Owner = "local", CreatedAt = default, LastActiveAt = default }, default);
            var models = new KnowledgeModels(new OneModel(embedder), [embedder.Info.Name], null);
            using var queue = new IngestQueue(store, models, new(store, models), analyzer, NullLogger.Instance, TimeProvider.System);
            var shares = new List<double>();
            // The first file warms up. Files and the model alone take turns, because other work on the machine changes.
            for (var number = 0; number < Files; number++)
            {
                await AddAsync(store, collection, number);
                var before = queue.Done.Chunks;
                var start = Stopwatch.GetTimestamp();
                if (!await queue.ReadNextAsync(default)) throw new InvalidOperationException("no file waits");
                var took = Stopwatch.GetElapsedTime(start).TotalSeconds;
                var count = (int)(queue.Done.Chunks - before);
                var chunks = await store.ChunksOfAsync("vs_1", $"file-{number}", 0, count, default);
                var alone = await EmbedAsync(embedder, [.. chunks.Select(static chunk => chunk.Text)]);
                if (number == 0) continue;
                shares.Add(alone / took);
                Console.WriteLine(string.Create(
                    CultureInfo.InvariantCulture,
                    $"{count} chunks: {count / took:F1} chunks/s, embedding alone {count / alone:F1} chunks/s: {alone / took:P1}"));
            }

            var median = shares.Order().ElementAt(shares.Count / 2);
            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture, $"the median share {median:P1}, the best {shares.Max():P1}; load {File.ReadAllText("/proc/loadavg").Trim()}"));
            return median;
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static async Task AddAsync(SqliteKnowledgeStore store, Collection collection, int number)
    {
        var text = string.Join("\n\n", collection.Documents.Skip(number * PagesOfAFile).Take(PagesOfAFile).Select(static document => document.Text));
        var (id, name) = ($"file-{number}", $"pages-{number}.txt");
        var file = await store.AddFileAsync(
            new() { Id = id, Owner = "local", Name = name, Purpose = "assistants", Sha256 = "", CreatedAt = default },
            new MemoryStream(Encoding.UTF8.GetBytes(text)), default);
        await store.AttachAsync(new() { Workspace = "vs_1", FileId = id, Name = name, Sha256 = file.Sha256, CreatedAt = default }, default);
    }

    /// <summary>The seconds that it takes.</summary>
    private static async Task<double> EmbedAsync(IEmbedder embedder, string[] texts)
    {
        var start = Stopwatch.GetTimestamp();
        foreach (var part in texts.Chunk(EmbeddedAtOnce))
        {
            var request = new EmbedRequest([.. part.Select(static text => new EmbedInput(text))])
            {
                Truncate = true, Normalize = true, Prompt = PromptKind.Document, IsBackground = true,
            };
            var (batch, error) = await embedder.EmbedAsync(request, default);
            if (batch is null) throw new InvalidOperationException(error!.Message);
        }

        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }
}
