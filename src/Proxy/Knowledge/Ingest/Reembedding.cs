using System.Collections.Concurrent;
using Proxy.Chat;
using Proxy.Knowledge.Analysis;
using Proxy.Vectors;

namespace Proxy.Knowledge.Ingest;

/// <summary>How far the vectors of other models are.</summary>
/// <param name="Done">Slots of the workspace that were looked at.</param>
/// <param name="Total">All of them.</param>
internal readonly record struct ReembedProgress(int Done, int Total);

/// <summary>
/// Computes the vectors of other models for a workspace (<see cref="Workspace.Building"/>) beside those in use, and switches to them when every chunk has one.
/// Until then searches use the old ones alone. What is computed is stored batch by batch, so the work goes on where it ended, also in another process.
/// </summary>
internal sealed class Reembedding(IKnowledgeStore store, KnowledgeModels models)
{
    /// <summary>Chunks that are read, embedded and stored together.</summary>
    private const int BatchChunks = 32;

    private readonly ConcurrentDictionary<string, ReembedProgress> progress = new();

    /// <summary>How far the workspace is; null if this process does not compute its vectors at present.</summary>
    public ReembedProgress? Of(string workspace) => progress.TryGetValue(workspace, out var reached) ? reached : null;

    /// <summary>The workspace with the models that are configured now as the ones to compute; or why that cannot be begun.</summary>
    public async ValueTask<(Workspace? Begun, string? Problem)> BeginAsync(Workspace workspace, CancellationToken cancellation)
    {
        if (models.Embedders.Count == 0) return (null, "no model embeds: [inference] has bundled = false and no other model, and [knowledge] names no embedder");
        var id = workspace.Vectors.Concat(workspace.Building).Select(static set => int.TryParse(set.Id, out var number) ? number : 0).DefaultIfEmpty().Max();
        var sets = new List<VectorSet>();
        foreach (var name in models.Embedders)
        {
            if (models.Embedder(name) is not { } embedder) return (null, NotServed(name));
            var (vectors, error) = await embedder.EmbedAsync(Asked(["length"]), cancellation).ConfigureAwait(false);
            if (vectors is null) return (null, $"the embedding model {name} failed: {error!.Message}");
            sets.Add(new((++id).ToString(System.Globalization.CultureInfo.InvariantCulture), name, vectors.Dimensions));
        }

        var begun = workspace with { Building = sets };
        await store.SaveAsync(begun, cancellation).ConfigureAwait(false);
        return (begun, null);
    }

    /// <summary>
    /// Computes what is missing and switches. Returns null when that is done or the workspace is gone, else why the work stopped, for example because a host does
    /// not serve the model at present: call it again later.
    /// </summary>
    public async Task<string?> RunAsync(Workspace workspace, CancellationToken cancellation)
    {
        var names = new Dictionary<string, string>();
        try
        {
            for (var last = -1; ;)
            {
                var slot = await store.SwitchAsync(workspace.Id, cancellation).ConfigureAwait(false);
                if (slot < 0) return null;
                if (slot == last) return $"the chunk in slot {slot} still lacks a vector";
                last = slot;
                // The workspace may have been deleted, or other models chosen, since the caller read it.
                if (await store.WorkspaceAsync(workspace.Id, cancellation).ConfigureAwait(false) is not { Building.Count: > 0 } now) return null;
                if (await FillAsync(now, slot, names, cancellation).ConfigureAwait(false) is { } problem) return problem;
            }
        }
        finally
        {
            progress.TryRemove(workspace.Id, out _);
        }
    }

    /// <summary>What to do about a model that nothing serves.</summary>
    internal static string NotServed(string name) =>
        $"nothing serves the embedding model {ModelName.Shown(name)} at present: start its host, or name another in [knowledge] embedder";

    /// <summary>Fills the sets from a slot to the workspace's end.</summary>
    private async Task<string?> FillAsync(Workspace workspace, int slot, Dictionary<string, string> names, CancellationToken cancellation)
    {
        while (true)
        {
            progress[workspace.Id] = new(Math.Min(slot, workspace.Slots), workspace.Slots);
            var chunks = await store.ChunksFromAsync(workspace.Id, slot, BatchChunks, cancellation).ConfigureAwait(false);
            if (chunks.Count == 0) return null;
            var texts = new List<string>(chunks.Count);
            foreach (var chunk in chunks)
            {
                var title = ChunkTitle.Of(await NameAsync(workspace.Id, chunk.FileId, names, cancellation).ConfigureAwait(false), chunk.Heading);
                texts.Add(ChunkTitle.Embedded(title, chunk.Text));
            }

            foreach (var set in workspace.Building)
            {
                if (models.Embedder(set.Model) is not { } embedder) return NotServed(set.Model);
                var (vectors, error) = await embedder.EmbedAsync(Asked(texts), cancellation).ConfigureAwait(false);
                if (vectors is null) return $"the embedding model {set.Model} failed: {error!.Message}";
                if (vectors.Dimensions != set.Dimensions)
                    return $"the embedding model {set.Model} gives {vectors.Dimensions} numbers now, and gave {set.Dimensions}: begin again with proxy workspaces reembed";
                await store.FillAsync(workspace.Id, set, [.. chunks.Select((chunk, i) => (chunk.Slot, vectors[i].ToArray()))], cancellation)
                    .ConfigureAwait(false);
            }

            slot = chunks.Max(static chunk => chunk.Slot) + 1;
        }
    }

    private async ValueTask<string> NameAsync(string workspace, string fileId, Dictionary<string, string> names, CancellationToken cancellation)
    {
        if (names.TryGetValue(fileId, out var name)) return name;
        return names[fileId] = (await store.AttachedAsync(workspace, fileId, cancellation).ConfigureAwait(false))?.Name ?? "";
    }

    private static EmbedRequest Asked(List<string> texts) =>
        new([.. texts.Select(static text => new EmbedInput(text))]) { Normalize = true, Truncate = true, Prompt = PromptKind.Document };
}
