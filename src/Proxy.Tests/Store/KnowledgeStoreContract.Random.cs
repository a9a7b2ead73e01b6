using CsCheck;
using Proxy.Knowledge;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Store;

/// <summary>Operations in any order, compared with the store in memory.</summary>
public abstract partial class KnowledgeStoreContract
{
    private static readonly string[] Words = ["alpha", "beta", "gamma", "delta", "epsilon"];

    private int samples;

    /// <summary>How many sequences are tried.</summary>
    private protected virtual int Sequences => 25;

    [Fact]
    public async Task Operations_in_any_order_Leave_what_the_store_in_memory_has()
    {
        var operation = Gen.Select(Gen.Int[0, 11], Gen.Int[0, 4], Gen.Int[0, 99], static (kind, file, seed) => (Kind: kind, File: file, Seed: seed));
        await operation.Array[5, 40].HoldsAsync(Sequences, static all => string.Join(' ', all), async operations =>
        {
            var workspace = $"vs_{++samples}";
            var memory = new MemoryKnowledgeStore(Time);
            foreach (var store in (IKnowledgeStore[])[Store, memory]) await store.SaveAsync(NewWorkspace(workspace), default);
            for (var i = 0; i < operations.Length; i++)
            {
                Time.Advance(TimeSpan.FromSeconds(1));
                var (kind, file, seed) = operations[i];
                var done = await DoAsync(Store, workspace, kind, file, seed);
                Assert.Equal((i, kind, await DoAsync(memory, workspace, kind, file, seed)), (i, kind, done));
            }

            Assert.Equal(await SeenAsync(memory, workspace), await SeenAsync(Store, workspace));
            await Store.DeleteWorkspaceAsync(workspace, default);
            foreach (var file in await Store.FilesAsync(null, null, new(100), default)) await Store.DeleteFileAsync(file.Id, default);
        });
    }

    /// <summary>Does something and returns what it returned, as text, without slots and ordinals, which a store may give as it likes.</summary>
    private async Task<string> DoAsync(IKnowledgeStore store, string workspace, int kind, int file, int seed)
    {
        var id = $"file-{workspace}-{file}";
        switch (kind)
        {
            case 0 or 1 or 2:
                if (await store.FileAsync(id, default) is null)
                {
                    await store.AddFileAsync(
                        new() { Id = id, Owner = "alice", Name = $"{id}.md", Sha256 = "", CreatedAt = Time.GetUtcNow() }, new MemoryStream([1, 2, 3]), default);
                }

                var attached = await store.AttachAsync(
                    new()
                    {
                        Workspace = workspace, FileId = id, Name = $"{id}.md", Sha256 = "00", Path = seed % 3 == 0 ? $"/{seed % 2}" : null,
                        CreatedAt = Time.GetUtcNow(),
                    },
                    default);
                return $"{attached.Status} {attached.Chunks}";
            case 3 or 4 or 5:
                var claimed = await store.ClaimAsync("worker", Lease, default);
                if (claimed is null) return "none";
                var sets = (await store.WorkspaceAsync(workspace, default))!.Vectors.ToArray();
                string[] texts = [.. Enumerable.Range(0, seed % 5).Select(i => $"{Words[(seed + i) % 5]} {Words[(seed * i) % 5]} {claimed.FileId} {i}")];
                var appended = await store.AppendAsync("worker", Lease, claimed, claimed.Chunks, Chunks(claimed, texts, sets), seed % 2 == 0, default);
                if (seed % 2 != 0) await store.ReleaseAsync("worker", claimed, default);
                return $"{claimed.FileId} {claimed.Chunks} {appended}";
            case 6:
                return $"{await store.DetachAsync(workspace, id, default)}";
            case 7:
                return $"{await store.DeleteFileAsync(id, default)}";
            case 8:
                if (await store.AttachedAsync(workspace, id, default) is not { } row) return "none";
                await store.SaveAsync(row with { Status = FileStatus.Failed, Error = $"{seed}" }, default);
                return "failed";
            case 9:
                return $"{(await store.SetAttributesAsync(workspace, id, $"{{\"n\":{seed}}}", default))?.Attributes}";
            case 10:
                var now = (await store.WorkspaceAsync(workspace, default))!;
                var next = int.Parse(now.Vectors[0].Id, System.Globalization.CultureInfo.InvariantCulture) + 1;
                if (now.Building.Count == 0) await store.SaveAsync(now with { Building = [new($"{next}", $"model {next}", 16 + (next % 3))] }, default);
                return $"{next}";
            default:
                var building = (await store.WorkspaceAsync(workspace, default))!.Building;
                if (building.Count == 0) return "none";
                var chunks = await store.ChunksFromAsync(workspace, 0, seed % 4 == 0 ? 2 : 1000, default);
                await store.FillAsync(workspace, building[0], [.. chunks.Select(chunk => (chunk.Slot, VectorOf(chunk.Text, building[0])))], default);
                return $"{await store.SwitchAsync(workspace, default) < 0}";
        }
    }

    /// <summary>All that a caller sees of a workspace, as text.</summary>
    private async Task<string> SeenAsync(IKnowledgeStore store, string workspace)
    {
        var found = (await store.WorkspaceAsync(workspace, default))!;
        var seen = new List<string> { $"{found.Chunks} chunks {string.Join(',', found.Vectors)} building {string.Join(',', found.Building)}" };
        foreach (var file in await store.AttachedAsync(workspace, null, null, new(100), default))
        {
            seen.Add($"{file with { Ordinal = 0, UsageBytes = 0 }}");
            seen.AddRange((await store.ChunksOfAsync(workspace, file.FileId, 0, 1000, default)).Select(static chunk => $"{chunk with { Slot = 0 }}"));
        }

        foreach (var file in await store.FilesAsync(null, null, new(100), default)) seen.Add($"{file}");
        foreach (var word in Words)
        {
            seen.Add($"{word}: {string.Join(';', await FoundAsync(word, workspace, store: store))}");
            using var index = (await store.OpenAsync(workspace, default))!;
            seen.Add($"{word}: {(await PostingsAsync(index, Analyzer.Terms(word)[0])).Count}, {index.Slots.Count}, {index.Slots.BodyTerms}");
        }

        var nearest = await NearestAsync("alpha", 3, workspace, found.Vectors[0], store);
        if (await IsPlainAsync(store, workspace, found.Vectors[0], nearest.Length)) seen.Add($"nearest: {string.Join(';', nearest)}");
        return string.Join('\n', seen);
    }

    /// <summary>Whether the nearest are so far apart that rounding cannot change their order.</summary>
    private async Task<bool> IsPlainAsync(IKnowledgeStore store, string workspace, VectorSet set, int count)
    {
        using var index = (await store.OpenAsync(workspace, default))!;
        var scores = (await index.NearestAsync(0, VectorOf("alpha", set), count + 1, null, default)).Select(static slot => slot.Score).ToArray();
        return scores.Zip(scores.Skip(1)).All(pair => pair.First - pair.Second > 2 * Rounding);
    }
}
