using Proxy.Knowledge;

namespace Proxy.Store.Sqlite.Knowledge;

/// <summary>The vector files of a store, one for each vector set, and their mappings.</summary>
internal sealed class VectorFiles(string folder) : IDisposable
{
    /// <summary>Mappings that are kept although no search uses them; the memory is the page cache's.</summary>
    private const int MostMaps = 64;

    private readonly Lock sync = new();
    private readonly Dictionary<(long Workspace, string Set), VectorMap> maps = [];

    public string Folder { get; } = Path.Combine(folder, "vectors");

    public static string NameOf(string workspace, string set) => $"{Safe(workspace)}-{Safe(set)}.i8";

    public string PathOf(string workspace, string set) => Path.Combine(Folder, NameOf(workspace, set));

    /// <summary>For writing. The caller disposes it.</summary>
    public VectorFile Open(string workspace, VectorSet set) => VectorFile.Open(PathOf(workspace, set.Id), set.Dimensions);

    /// <summary>Deletes a file. Who has it mapped reads on.</summary>
    public void Delete(string name)
    {
        if (Directory.Exists(Folder)) File.Delete(Path.Combine(Folder, name));
    }

    /// <summary>The set's vectors, mapped at least up to the given slot; null if none was ever stored. The caller releases it.</summary>
    public VectorMap? Map(StoredWorkspace workspace, VectorSet set, int slots)
    {
        lock (sync)
        {
            var key = (workspace.Number, set.Id);
            if (maps.TryGetValue(key, out var known))
            {
                if (known.Slots >= slots && known.TryUse()) return known;
                maps.Remove(key);
                known.Release();
            }

            if (VectorMap.Open(PathOf(workspace.Row.Id, set.Id)) is not { } map) return null;
            if (maps.Count >= MostMaps) Drop(static _ => true);
            maps[key] = map;
            return map.TryUse() ? map : null;
        }
    }

    /// <summary>Unmaps what the workspace does not name any more.</summary>
    public void Keep(StoredWorkspace workspace)
    {
        lock (sync)
            Drop(key => key.Workspace == workspace.Number && !WorkspaceTable.Sets(workspace.Row).Any(set => set.Id == key.Set));
    }

    /// <summary>Unmaps the files of a workspace that is gone.</summary>
    public void Forget(long workspace)
    {
        lock (sync) Drop(key => key.Workspace == workspace);
    }

    public void Dispose()
    {
        lock (sync) Drop(static _ => true);
    }

    private void Drop(Func<(long Workspace, string Set), bool> which)
    {
        foreach (var key in maps.Keys.Where(which).ToArray())
        {
            maps[key].Release();
            maps.Remove(key);
        }
    }

    /// <summary>An id as a part of a file name: other characters than those of our ids as their code.</summary>
    private static string Safe(string id) =>
        id.All(static c => char.IsAsciiLetterOrDigit(c) || c == '_') ? id
            : string.Concat(id.Select(static c => char.IsAsciiLetterOrDigit(c) || c == '_' ? c.ToString() : $"~{(int)c:x4}"));
}
