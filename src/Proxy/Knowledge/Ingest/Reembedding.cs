using System.Collections.Concurrent;
using System.Globalization;
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
    /// <summary>Chunks that are read, embedded and stored in one step. A client's call waits for at most one such batch.</summary>
    private const int BatchChunks = 32;

    private readonly ConcurrentDictionary<string, Work> running = new();

    /// <summary>How far the workspace is; null if this process does not compute its vectors at present.</summary>
    public ReembedProgress? Of(string workspace) => running.TryGetValue(workspace, out var work) ? work.Reached : null;

    /// <summary>The workspace with the models that are configured now as the ones to compute; or why that cannot be begun.</summary>
    public async ValueTask<(Workspace? Begun, string? Problem)> BeginAsync(Workspace workspace, CancellationToken cancellation)
    {
        if (models.Embedders.Count == 0) return (null, "no model embeds: [inference] has bundled = false and no other model, and [knowledge] names no embedder");
        var id = workspace.Vectors.Concat(workspace.Building).Max(static set => (int?)int.Parse(set.Id, CultureInfo.InvariantCulture)) ?? 0;
        var sets = new List<VectorSet>();
        foreach (var name in models.Embedders)
        {
            if (models.Embedder(name) is not { } embedder) return (null, NotServed(name));
            var (vectors, error) = await embedder.EmbedAsync(Asked(["dimensions"]), cancellation).ConfigureAwait(false);
            if (vectors is null) return (null, $"the embedding model '{name}' failed: {error!.Message}");
            sets.Add(new((++id).ToString(CultureInfo.InvariantCulture), name, vectors.Dimensions));
        }

        var begun = workspace with { Building = sets };
        await store.SaveAsync(begun, cancellation).ConfigureAwait(false);
        return (begun, null);
    }

    /// <summary>
    /// Does a part of the work of one workspace, short enough to look for more urgent work after it. False: no workspace needs any. Throws
    /// <see cref="IngestException"/> if it cannot go on at present, for example because a model is away.
    /// </summary>
    public async Task<bool> StepAsync(CancellationToken cancellation)
    {
        var workspaces = await store.WorkspacesAsync(cancellation).ConfigureAwait(false);
        if (workspaces.FirstOrDefault(static workspace => workspace.Building.Count > 0) is not { } workspace)
        {
            running.Clear();
            return false;
        }

        // Other models than before may have been asked for.
        if (!running.TryGetValue(workspace.Id, out var work) || !work.Sets.SequenceEqual(workspace.Building))
            running[workspace.Id] = work = new Work(workspace.Building);
        if (work.Slot < 0 && !await FindAsync(workspace, work, cancellation).ConfigureAwait(false)) return true;
        await FillAsync(workspace, work, cancellation).ConfigureAwait(false);
        return true;
    }

    /// <summary>What to do about a model that nothing serves.</summary>
    internal static string NotServed(string name) =>
        $"nothing serves the embedding model '{ModelName.Shown(name)}' at present: start its host, or name another model in [knowledge] embedder";

    /// <summary>Finds where to go on. False: all is computed, and the workspace has switched.</summary>
    private async Task<bool> FindAsync(Workspace workspace, Work work, CancellationToken cancellation)
    {
        var slot = await store.SwitchAsync(workspace.Id, cancellation).ConfigureAwait(false);
        if (slot < 0)
        {
            running.TryRemove(workspace.Id, out _);
            return false;
        }

        // Nothing was stored for this slot although all were looked at.
        if (slot == work.Lacking) throw new IngestException($"the chunk in slot {slot} of workspace '{workspace.Name}' gets no vector");
        work.Lacking = work.Slot = slot;
        return true;
    }

    private async Task FillAsync(Workspace workspace, Work work, CancellationToken cancellation)
    {
        var chunks = await store.ChunksFromAsync(workspace.Id, work.Slot, BatchChunks, cancellation).ConfigureAwait(false);
        if (chunks.Count == 0)
        {
            work.Slot = -1;
            return;
        }

        var texts = new List<string>(chunks.Count);
        foreach (var chunk in chunks)
        {
            var name = await NameAsync(workspace.Id, chunk.FileId, work, cancellation).ConfigureAwait(false);
            texts.Add(ChunkTitle.Embedded(ChunkTitle.Of(name, chunk.Heading), chunk.Text));
        }

        foreach (var set in workspace.Building)
        {
            var embedder = models.Embedder(set.Model) ?? throw new IngestException(NotServed(set.Model));
            var (vectors, error) = await embedder.EmbedAsync(Asked(texts), cancellation).ConfigureAwait(false);
            if (vectors is null) throw new IngestException($"the embedding model '{set.Model}' failed: {error!.Message}");
            if (vectors.Dimensions != set.Dimensions)
            {
                throw new IngestException($"the embedding model '{set.Model}' gives {vectors.Dimensions} numbers now, and gave {set.Dimensions}; "
                    + "`proxy workspaces reembed` begins again");
            }

            await store.FillAsync(workspace.Id, set, [.. chunks.Select((chunk, i) => (chunk.Slot, vectors[i].ToArray()))], cancellation).ConfigureAwait(false);
        }

        work.Slot = chunks.Max(static chunk => chunk.Slot) + 1;
        work.Reached = new(Math.Min(work.Slot, workspace.Slots), workspace.Slots);
    }

    private async ValueTask<string> NameAsync(string workspace, string fileId, Work work, CancellationToken cancellation)
    {
        if (work.Names.TryGetValue(fileId, out var name)) return name;
        return work.Names[fileId] = (await store.AttachedAsync(workspace, fileId, cancellation).ConfigureAwait(false))?.Name ?? "";
    }

    private static EmbedRequest Asked(List<string> texts) => new([.. texts.Select(static text => new EmbedInput(text))])
    {
        Normalize = true, Truncate = true, Prompt = PromptKind.Document, IsBackground = true,
    };

    /// <summary>The state of one workspace's work.</summary>
    private sealed class Work(IReadOnlyList<VectorSet> sets)
    {
        public IReadOnlyList<VectorSet> Sets => sets;

        /// <summary>The slot to go on from; -1: to be found.</summary>
        public int Slot { get; set; } = -1;

        /// <summary>The slot without a vector that was found last.</summary>
        public int Lacking { get; set; } = -1;
        public ReembedProgress Reached { get; set; }

        /// <summary>The names of files, by their ids: they are embedded with their chunks.</summary>
        public Dictionary<string, string> Names { get; } = [];
    }
}
