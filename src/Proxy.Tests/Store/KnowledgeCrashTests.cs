using System.Diagnostics;
using Microsoft.Extensions.Time.Testing;
using Proxy.Knowledge;
using Proxy.Knowledge.Analysis;
using Proxy.Store.Sqlite.Knowledge;

namespace Proxy.Tests.Store;

/// <summary>Processes that fill a workspace are killed in the middle, one after the other.</summary>
[Trait("Category", "Slow")]
public sealed class KnowledgeCrashTests
{
    private const string Docs = "vs_docs";
    private const string FolderName = "PROXY_TEST_KNOWLEDGE";
    private const int Files = 60;
    private const int Kills = 20;

    private static readonly TimeSpan Lease = TimeSpan.FromSeconds(2);
    private static readonly VectorSet Set = new("1", "model", 48);
    private static readonly TextAnalyzer Analyzer = new();

    [Fact]
    public async Task Processes_are_killed_Nothing_is_there_twice_and_nothing_is_left_over()
    {
        var folder = Directory.CreateTempSubdirectory("proxy-crash-").FullName;
        try
        {
            await using (var store = new SqliteKnowledgeStore(folder, Analyzer, TimeProvider.System))
            {
                await store.SaveAsync(
                    new Workspace { Id = Docs, Owner = "a", CreatedAt = DateTimeOffset.UnixEpoch, LastActiveAt = DateTimeOffset.UnixEpoch, Vectors = [Set] },
                    default);
                for (var i = 0; i < Files; i++) await AttachAsync(store, i);
            }

            await KillAsync(folder);

            await using (var store = new SqliteKnowledgeStore(folder, Analyzer, TimeProvider.System))
            {
                while ((await store.CountsAsync(Docs, null, default)).InProgress > 0)
                {
                    if (!await ReadOneAsync(store, "last")) await Task.Delay(50); // the lease of one that was killed
                }
            }

            // Later, what uploads of killed processes left is removed.
            await using (var store = new SqliteKnowledgeStore(folder, Analyzer, new FakeTimeProvider(TimeProvider.System.GetUtcNow().AddHours(2))))
                await store.SaveAsync((await store.WorkspaceAsync(Docs, default))!, default);

            Assert.Empty(new KnowledgeChecker(folder, Analyzer, static (text, _) => VectorOf(text)).Problems());
            await using (var store = new SqliteKnowledgeStore(folder, Analyzer, TimeProvider.System))
            {
                Assert.Equal(new FileCounts(0, Files, 0, 0), await store.CountsAsync(Docs, null, default));
                for (var i = 0; i < Files; i++)
                {
                    var chunks = await store.ChunksOfAsync(Docs, $"file-{i}", 0, 1000, default);
                    Assert.Equal(Texts($"file-{i}"), chunks.Select(static chunk => chunk.Text));
                }
            }
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    /// <summary>Does nothing in a usual run. In a process that the test above starts, it writes until it is killed.</summary>
    [Fact]
    public async Task Child_writes_until_it_is_killed()
    {
        if (Environment.GetEnvironmentVariable(FolderName) is not { } folder) return;
        await using var store = new SqliteKnowledgeStore(folder, Analyzer, TimeProvider.System);
        var (worker, random) = ($"{Environment.ProcessId}", new Random());
        await Console.Out.WriteLineAsync("writing");
        for (var i = 0; ; i++)
        {
            if (!await ReadOneAsync(store, worker) || random.Next(3) == 0) await AttachAsync(store, random.Next(Files)); // its chunks are deleted
            if (random.Next(4) != 0) continue;
            var upload = $"upload-{worker}-{i}";
            await store.AddFileAsync(
                new() { Id = upload, Owner = "a", Name = "a", Sha256 = "", CreatedAt = DateTimeOffset.UnixEpoch },
                new MemoryStream(new byte[2_500_000]), default);
            await store.DeleteFileAsync(upload, default);
        }
    }

    /// <summary>Keeps three processes at work and kills one after the other at random.</summary>
    private static async Task KillAsync(string folder)
    {
        var (running, random) = (new Queue<Process>(), new Random());
        try
        {
            for (var killed = 0; killed < Kills; killed++)
            {
                while (running.Count < 3) running.Enqueue(Start(folder));
                var victim = running.Dequeue();
                while (await victim.StandardOutput.ReadLineAsync() is { } line && !line.Contains("writing", StringComparison.Ordinal))
                {
                }

                await Task.Delay(random.Next(250));
                Assert.False(victim.HasExited, "a process ended by itself");
                victim.Kill();
                await victim.WaitForExitAsync();
                victim.Dispose();
            }
        }
        finally
        {
            foreach (var process in running)
            {
                process.Kill();
                await process.WaitForExitAsync();
                process.Dispose();
            }
        }
    }

    private static Process Start(string folder)
    {
        var start = new ProcessStartInfo("dotnet") { RedirectStandardOutput = true };
        foreach (var argument in (string[])
        [
            typeof(KnowledgeCrashTests).Assembly.Location, "-noLogo", "-noColor", "-method",
            $"{typeof(KnowledgeCrashTests).FullName}.{nameof(Child_writes_until_it_is_killed)}",
        ])
            start.ArgumentList.Add(argument);
        start.Environment[FolderName] = folder;
        return Process.Start(start)!;
    }

    private static async Task AttachAsync(SqliteKnowledgeStore store, int file) => await store.AttachAsync(
        new() { Workspace = Docs, FileId = $"file-{file}", Name = $"file-{file}.md", Sha256 = "", CreatedAt = DateTimeOffset.UnixEpoch }, default);

    /// <summary>Reads a file that waits, in small commits.</summary>
    private static async Task<bool> ReadOneAsync(SqliteKnowledgeStore store, string worker)
    {
        if (await store.ClaimAsync(worker, Lease, default) is not { } file) return false;
        var texts = Texts(file.FileId);
        for (var from = file.Chunks; ; from += 4)
        {
            var part = texts.Skip(from).Take(4).Select(text => new NewChunk
            {
                Text = text, Terms = Analyzer.TermsOf(ChunkTitle.Of(file.Name, ""), text), Vectors = [VectorOf(text)],
            }).ToArray();
            var isLast = from + 4 >= texts.Length;
            if (!await store.AppendAsync(worker, Lease, file, from, part, isLast, default) || isLast) return true;
        }
    }

    private static string[] Texts(string file) =>
        [.. Enumerable.Range(0, 1 + (KnowledgeStoreContract.StableHash(file) & 15)).Select(i => $"common word{i} of {file}")];

    private static float[] VectorOf(string text)
    {
        var random = new Random(KnowledgeStoreContract.StableHash(text));
        var vector = Enumerable.Range(0, Set.Dimensions).Select(_ => (float)random.NextDouble() - 0.5f).ToArray();
        var length = MathF.Sqrt(vector.Sum(static number => number * number));
        return [.. vector.Select(number => number / length)];
    }
}
