using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using Proxy.Knowledge;
using Proxy.Knowledge.Analysis;
using Proxy.Knowledge.Index;
using Proxy.Store.Sqlite.Knowledge;

namespace Proxy.Bench;

/// <summary>
/// Fills a workspace of the embedded store with real vectors, perturbed, and searches it. Prints the rate of appending, the times of the dense stage beside a
/// bare scan of the same number of int8 rows in memory, the recall against exact float cosines, and memory. Arguments: a file of 384 floats a vector, the
/// number of chunks, the folder of the store, which is deleted afterwards, and the terms of a chunk. Exit code 1: the recall of the best ten is below 0.99.
/// </summary>
internal static class Program
{
    private const int Dimensions = 384;
    private const int Batch = 256;
    private const int Queries = 100;
    private const int Seed = 20260304;

    private static int termsOfAChunk = 60;

    public static async Task<int> Main(string[] arguments)
    {
        var real = MemoryMarshal.Cast<byte, float>(await File.ReadAllBytesAsync(arguments[0])).ToArray();
        var chunks = int.Parse(arguments[1], CultureInfo.InvariantCulture);
        if (arguments.Length > 3) termsOfAChunk = int.Parse(arguments[3], CultureInfo.InvariantCulture);
        var folder = Directory.CreateDirectory(Path.Combine(arguments[2], $"vectors-bench-{Environment.ProcessId}")).FullName;
        Print($"{chunks:N0} chunks x {Dimensions}: {real.Length / Dimensions} real vectors perturbed by noise of length 0.6, seed {Seed}");
        try
        {
            var queries = Enumerable.Range(0, Queries).Select(i => Perturbed(real, i * 7919, -1 - i)).ToArray();
            await using var store = new SqliteKnowledgeStore(folder, new NoAnalyzer(), TimeProvider.System);
            var exact = await FillAsync(store, real, chunks, queries);
            return await SearchAsync(store, queries, exact, chunks) >= 0.99 ? 0 : 1;
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    /// <summary>Appends everything. Returns the exact nearest ten of each query.</summary>
    private static async Task<TopSlots[]> FillAsync(SqliteKnowledgeStore store, float[] real, int chunks, float[][] queries)
    {
        var set = new VectorSet("1", "all-minilm-q4", Dimensions);
        var workspace = new Workspace { Id = "vs_bench", Owner = "bench", CreatedAt = default, LastActiveAt = default, Vectors = [set] };
        await store.SaveAsync(workspace, default);
        await store.AttachAsync(new() { Workspace = workspace.Id, FileId = "file-1", Name = "bench.txt", Sha256 = "", CreatedAt = default }, default);
        var file = (await store.ClaimAsync("bench", TimeSpan.FromHours(9), default))!;
        var exact = queries.Select(static _ => new TopSlots(10)).ToArray();
        var random = new Random(Seed);
        var (spent, commits) = (TimeSpan.Zero, new List<double>());
        for (var from = 0; from < chunks; from += Batch)
        {
            var batch = new NewChunk[Math.Min(Batch, chunks - from)];
            for (var i = 0; i < batch.Length; i++) batch[i] = Chunk(random, from + i);
            var start = from;
            Parallel.For(0, batch.Length, i => batch[i] = batch[i] with { Vectors = [Perturbed(real, start + i, start + i)] });
            Parallel.For(0, queries.Length, q =>
            {
                for (var i = 0; i < batch.Length; i++) exact[q].Add(new(start + i, Dot(queries[q], batch[i].Vectors[0])));
            });
            var began = Stopwatch.GetTimestamp();
            if (!await store.AppendAsync("bench", TimeSpan.FromHours(9), file, from, batch, from + batch.Length == chunks, default))
                throw new InvalidOperationException("not appended");
            var took = Stopwatch.GetElapsedTime(began);
            commits.Add(took.TotalMilliseconds);
            spent += took;
        }

        Print($"append: {chunks / spent.TotalSeconds:F0} chunks/s in commits of {Batch} with {termsOfAChunk} terms a chunk");
        Print($"a commit: p50 {Median(commits):F1} ms, of the last hundred {Median(commits.TakeLast(100)):F1} ms");
        return exact;
    }

    private static async Task<double> SearchAsync(SqliteKnowledgeStore store, float[][] queries, TopSlots[] exact, int chunks)
    {
        var opened = Stopwatch.GetTimestamp();
        using (var first = (await store.OpenAsync("vs_bench", default))!) Print($"first open: {Stopwatch.GetElapsedTime(opened).TotalMilliseconds:F1} ms");
        var bare = Bare.Make(chunks, Dimensions, Seed);
        var (times, opens, bares, hits) = (new List<double>(), new List<double>(), new List<double>(), 0);
        for (var round = 0; round < 3; round++)
        {
            for (var q = 0; q < queries.Length; q++)
            {
                var start = Stopwatch.GetTimestamp();
                using var index = (await store.OpenAsync("vs_bench", default))!;
                var open = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
                start = Stopwatch.GetTimestamp();
                var found = await index.NearestAsync(0, queries[q], 200, null, default);
                var took = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
                start = Stopwatch.GetTimestamp();
                bare.Scan();
                if (round == 0)
                {
                    var best = exact[q].All.Select(static slot => slot.Slot).ToHashSet();
                    hits += found.Take(10).Count(slot => best.Contains(slot.Slot));
                    continue; // warms up
                }

                bares.Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
                opens.Add(open);
                times.Add(took);
            }
        }

        var recall = hits / (10.0 * queries.Length);
        Print($"dense stage, best 200: p50 {Median(times):F2} ms, least {times.Min():F2} ms");
        Print($"bare int8 scan, best score: p50 {Median(bares):F2} ms, least {bares.Min():F2} ms");
        Print($"open of an unchanged index: p50 {Median(opens):F2} ms; recall@10 against exact floats {recall:F4}");
        var (bareBytes, resident) = (bare.Bytes, Resident());
        Print($"resident {resident >> 20} MB, of which {bareBytes >> 20} MB are the bare scan's: {(resident - bareBytes) >> 20} MB");
        bare.Free();
        return recall;
    }

    private static NewChunk Chunk(Random random, int number)
    {
        var terms = new Dictionary<string, int>();
        // Few words are frequent and most are rare, as in texts.
        while (terms.Count < termsOfAChunk) terms[$"w{(int)(Math.Pow(random.NextDouble(), 4) * 200_000)}"] = 1 + random.Next(3);
        return new()
        {
            Text = $"chunk {number} {new string('x', 900)}", Tokens = 200, Terms = new(terms, new Dictionary<string, int> { ["bench"] = 1 }), Vectors = [],
        };
    }

    /// <summary>A real vector with noise, of length 1.</summary>
    private static float[] Perturbed(float[] real, int which, int seed)
    {
        var random = new Random(unchecked((Seed * 31) + seed));
        var from = real.AsSpan(which % (real.Length / Dimensions) * Dimensions, Dimensions);
        var vector = new float[Dimensions];
        var deviation = 0.6 / Math.Sqrt(Dimensions);
        var squares = 0.0;
        for (var i = 0; i < vector.Length; i++)
        {
            var normal = Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
            vector[i] = (float)(from[i] + (normal * deviation));
            squares += vector[i] * vector[i];
        }

        for (var i = 0; i < vector.Length; i++) vector[i] /= (float)Math.Sqrt(squares);
        return vector;
    }

    private static float Dot(float[] left, float[] right)
    {
        var sum = System.Numerics.Vector<float>.Zero;
        for (var i = 0; i < Dimensions; i += System.Numerics.Vector<float>.Count)
            sum += new System.Numerics.Vector<float>(left, i) * new System.Numerics.Vector<float>(right, i);
        return System.Numerics.Vector.Sum(sum);
    }

    private static long Resident() => long.Parse(
        File.ReadLines("/proc/self/status").First(static line => line.StartsWith("VmRSS:", StringComparison.Ordinal))
            .Split([' ', '\t'], StringSplitOptions.RemoveEmptyEntries)[1],
        CultureInfo.InvariantCulture) << 10;

    private static double Median(IEnumerable<double> values) => values.Order().ToArray() is var sorted ? sorted[sorted.Length / 2] : 0;

    private static void Print(FormattableString text) => Console.WriteLine(text.ToString(CultureInfo.InvariantCulture));

    /// <summary>The terms of this bench are made up.</summary>
    private sealed class NoAnalyzer : ITextAnalyzer
    {
        public int Version => 1;

        public List<string> Terms(string text) => [];
    }
}
