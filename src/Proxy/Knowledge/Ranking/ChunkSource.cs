using Proxy.Knowledge.Analysis;
using Proxy.Knowledge.Index;

namespace Proxy.Knowledge.Ranking;

/// <summary>A chunk with the file that it is a part of.</summary>
internal sealed record LoadedChunk(int Index, StoredChunk Chunk, WorkspaceFile File)
{
    public string Title => ChunkTitle.Of(File.Name, Chunk.Heading);
}

/// <summary>Reads chunks and their files, each once a search.</summary>
internal sealed class ChunkSource(SearchedSlots slots, IKnowledgeStore store)
{
    private readonly Dictionary<int, LoadedChunk> loaded = [];
    private readonly Dictionary<(int Index, int Ordinal), WorkspaceFile> files = [];

    /// <summary>The chunk of a number that was loaded; null if it is gone.</summary>
    public LoadedChunk? Find(int number) => loaded.GetValueOrDefault(number);

    /// <summary>Loads the chunks that are not loaded yet.</summary>
    public async ValueTask LoadAsync(IEnumerable<int> numbers, CancellationToken cancellation)
    {
        var wanted = numbers.Where(number => !loaded.ContainsKey(number)).Distinct().Select(slots.Locate);
        foreach (var group in wanted.GroupBy(static place => place.Index, static place => place.Slot))
        {
            var index = slots.Indexes[group.Key];
            var chunks = await index.ChunksAsync([.. group], cancellation).ConfigureAwait(false);
            var ordinals = chunks.Select(chunk => OrdinalOf(index.Slots, chunk)).Where(ordinal => !files.ContainsKey((group.Key, ordinal))).ToHashSet();
            if (ordinals.Count > 0)
            {
                foreach (var file in await store.AttachedAsync(index.Workspace.Id, ordinals, cancellation).ConfigureAwait(false))
                    files[(group.Key, file.Ordinal)] = file;
            }

            foreach (var chunk in chunks)
            {
                // A slot that was given to another file since the index was opened is left out.
                if (files.TryGetValue((group.Key, OrdinalOf(index.Slots, chunk)), out var file) && file.FileId == chunk.FileId)
                    loaded[slots.OffsetOf(group.Key) + chunk.Slot] = new(group.Key, chunk, file);
            }
        }
    }

    private static int OrdinalOf(SlotTable table, StoredChunk chunk) => chunk.Slot < table.Length ? table.FileOf(chunk.Slot) : 0;
}
