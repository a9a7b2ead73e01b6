using System.Text.RegularExpressions;

namespace Proxy.Inference;

/// <summary>
/// One folder of the downloaded models. <paramref name="Model"/> is null if it cannot be served; then <paramref name="Problem"/> is the reason.
/// </summary>
internal sealed record PulledFolder(string Name, string Path, long Bytes, ModelFolder? Model, string? Problem);

/// <summary>The folder of downloaded models. Each model is in a subfolder with its name, <c>OWNER/MODEL</c>.</summary>
internal sealed partial class PulledModels(string folder)
{
    private const string Part = ".part";

    public string Folder => folder;

    /// <summary>Why a text is not a model's name; null if it is one. A valid name cannot lead out of the folder.</summary>
    public static string? NameProblem(string name) =>
        Name().IsMatch(name) && !name.Contains("..", StringComparison.Ordinal) && !name.EndsWith(".git", StringComparison.Ordinal)
        ? null
        : $"\"{name}\" is not a model's name; write OWNER/MODEL, such as BAAI/bge-small-en-v1.5";

    /// <summary>The folder of a complete model.</summary>
    public string PlaceOf(string name) => Path.Combine(folder, Checked(name));

    /// <summary>The folder of an incomplete model: on the same disk, with a name that no model has.</summary>
    public string GatheringOf(string name) => Path.Combine(Path.GetDirectoryName(PlaceOf(name))!, $".{Path.GetFileName(name)}{Part}");

    /// <summary>Moves a completed download into place and deletes the earlier one.</summary>
    public void Put(string name)
    {
        var (place, gathering) = (PlaceOf(name), GatheringOf(name));
        if (!Directory.Exists(place))
        {
            Directory.Move(gathering, place);
            return;
        }

        if (!IsModel(place)) throw new IOException($"{place} is in the way: it is not a model");
        var former = gathering + ".former";
        if (Directory.Exists(former)) Directory.Delete(former, recursive: true);
        Directory.Move(place, former);
        try
        {
            Directory.Move(gathering, place);
        }
        catch (IOException)
        {
            Directory.Move(former, place);
            throw;
        }

        Directory.Delete(former, recursive: true);
    }

    /// <summary>Deletes an incomplete download.</summary>
    public void Forget(string name)
    {
        if (Directory.Exists(GatheringOf(name))) Directory.Delete(GatheringOf(name), recursive: true);
    }

    /// <summary>Whether the model, or a part of it, existed. Throws <see cref="IOException"/> or <see cref="UnauthorizedAccessException"/>.</summary>
    public bool Remove(string name)
    {
        var place = PlaceOf(name);
        var there = Directory.Exists(place) && IsModel(place);
        if (!there && !Directory.Exists(GatheringOf(name))) return false;
        // A move is atomic, so no process sees a half-deleted model.
        if (there && new DirectoryInfo(place).LinkTarget is null)
        {
            Forget(name);
            Directory.Move(place, GatheringOf(name));
        }
        else if (there)
        {
            Directory.Delete(place);
        }

        Forget(name);
        Tidy(name);
        return true;
    }

    /// <summary>Deletes an incomplete download without any bytes, and the owner's folder if it is empty.</summary>
    public void Tidy(string name)
    {
        if (Directory.Exists(GatheringOf(name)) && Bytes(GatheringOf(name)) == 0) Forget(name);
        var owner = Path.GetDirectoryName(PlaceOf(name))!;
        if (owner != folder && Directory.Exists(owner) && !Directory.EnumerateFileSystemEntries(owner).Any()) Directory.Delete(owner);
    }

    /// <summary>
    /// Every model, ordered by name, incomplete ones included. Throws <see cref="IOException"/> or <see cref="UnauthorizedAccessException"/>.
    /// </summary>
    public IReadOnlyList<PulledFolder> List() => Directory.Exists(folder) ? [.. Under("").OrderBy(static model => model.Name, StringComparer.Ordinal)] : [];

    private IEnumerable<PulledFolder> Under(string owner)
    {
        foreach (var inner in Directory.EnumerateDirectories(Path.Combine(folder, owner)))
        {
            var leaf = Path.GetFileName(inner);
            if (leaf.StartsWith('.') && leaf.EndsWith(Part, StringComparison.Ordinal))
            {
                var name = Path.Combine(owner, leaf[1..^Part.Length]);
                if (NameProblem(name) is null && !Directory.Exists(PlaceOf(name)))
                {
                    yield return new(name, inner, Bytes(inner), null, "is incomplete; pull it again to resume");
                }
            }
            else if (IsModel(inner))
            {
                yield return Read(Path.Combine(owner, leaf), inner);
            }
            else if (owner.Length == 0 && !leaf.StartsWith('.'))
            {
                foreach (var model in Under(leaf)) yield return model;
            }
        }
    }

    private static PulledFolder Read(string name, string path)
    {
        try
        {
            return new(name, path, Bytes(path), ModelFolder.Read(new FolderFiles(path), null, GraphFiles.Auto), null);
        }
        catch (ModelFolderException problem)
        {
            return new(name, path, Bytes(path), null, problem.Message);
        }
    }

    private static long Bytes(string path) => new DirectoryInfo(path).EnumerateFiles("*", SearchOption.AllDirectories).Sum(static file => file.Length);

    private static bool IsModel(string path) => File.Exists(Path.Combine(path, "config.json")) || File.Exists(Path.Combine(path, ModelFolder.Tokenizer));

    private static string Checked(string name) => NameProblem(name) is { } problem ? throw new ArgumentException(problem, nameof(name)) : name;

    [GeneratedRegex(@"^[A-Za-z0-9_][\w.\-]{0,95}(/[A-Za-z0-9_][\w.\-]{0,95})?\z", RegexOptions.ECMAScript)]
    private static partial Regex Name();
}
