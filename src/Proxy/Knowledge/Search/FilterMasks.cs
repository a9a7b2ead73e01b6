using System.Text.Json;
using Proxy.Knowledge.Filters;
using Proxy.Knowledge.Index;

namespace Proxy.Knowledge.Search;

/// <summary>Finds the slots of the files whose attributes pass a filter. The attributes of a workspace are read once a version of it. Thread-safe.</summary>
internal sealed class FilterMasks(IKnowledgeStore store)
{
    private const int PageLength = 1000;

    /// <summary>Workspaces whose attributes are kept; with more, all are forgotten.</summary>
    private const int Most = 64;

    private readonly Lock gate = new();
    private readonly Dictionary<string, (long Version, Dictionary<int, JsonElement> Attributes)> known = [];

    public async ValueTask<SlotMask> MaskAsync(IWorkspaceIndex index, AttributeFilter filter, CancellationToken cancellation)
    {
        var attributes = await AttributesAsync(index.Workspace, cancellation).ConfigureAwait(false);
        var passing = new HashSet<int>();
        foreach (var (ordinal, values) in attributes)
        {
            if (index.Slots.Live.Contains(ordinal) && filter.Matches(values)) passing.Add(ordinal);
        }

        var mask = new SlotMask(index.Slots.Length);
        if (passing.Count == 0) return mask;
        for (var slot = 0; slot < index.Slots.Length; slot++)
        {
            if (passing.Contains(index.Slots.FileOf(slot))) mask.Add(slot);
        }

        return mask;
    }

    private async ValueTask<Dictionary<int, JsonElement>> AttributesAsync(Workspace workspace, CancellationToken cancellation)
    {
        lock (gate)
        {
            if (known.TryGetValue(workspace.Id, out var there) && there.Version == workspace.Version) return there.Attributes;
        }

        var attributes = new Dictionary<int, JsonElement>();
        string? after = null;
        while (true)
        {
            var page = await store.AttachedAsync(workspace.Id, FileStatus.Completed, null, new(PageLength, Descending: false, after), cancellation)
                .ConfigureAwait(false);
            foreach (var file in page)
            {
                using var document = JsonDocument.Parse(file.Attributes);
                attributes[file.Ordinal] = document.RootElement.Clone();
            }

            if (page.Count < PageLength) break;
            after = page[^1].FileId;
        }

        lock (gate)
        {
            if (known.Count >= Most) known.Clear();
            known[workspace.Id] = (workspace.Version, attributes);
        }

        return attributes;
    }
}
