using System.Text.RegularExpressions;

namespace Proxy.Inference;

/// <summary>
/// One folder among the fetched models. <paramref name="Model"/> is null where it cannot be served; then <paramref name="Problem"/> says why.
/// </summary>
internal sealed record PulledFolder(string Name, string Path, long Bytes, ModelFolder? Model, string? Problem);

/// <summary>The folder of fetched models: each lies in it by its name, <c>OWNER/MODEL</c>.</summary>
internal sealed partial class PulledModels(string folder)
{
    private const string Part = ".part";

    public string Folder => folder;

    /// <summary>Why a text is no model's name; null where it is one. What is one cannot lead out of the folder.</summary>
    public static string? NameProblem(string name) =>
        Name().IsMatch(name) && !name.Contains("..", StringComparison.Ordinal) && !name.EndsWith(".git", StringComparison.Ordinal)
        ? null
        : $"\"{name}\" is no model's name; write OWNER/MODEL, such as BAAI/bge-small-en-v1.5";

    /// <summary>Where a model is once it is whole.</summary>
    public string PlaceOf(string name) => Path.Combine(folder, Checked(name));

    /// <summary>Where it is gathered until then: on the same disk, under a name that no model has.</summary>
    public string GatheringOf(string name) => Path.Combine(Path.GetDirectoryName(PlaceOf(name))!, $".{Path.GetFileName(name)}{Part}");

    /// <summary>Puts what was gathered in its place. What was there before is gone.</summary>
    public void Put(string name)
    {
        var (place, gathering) = (PlaceOf(name), GatheringOf(name));
        if (!Directory.Exists(place))
        {
            Directory.Move(gathering, place);
            return;
        }

        if (!IsModel(place)) throw new IOException($"{place} is in the way: it is no model");
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

    /// <summary>Drops what was gathered.</summary>
    public void Forget(string name)
    {
        if (Directory.Exists(GatheringOf(name))) Directory.Delete(GatheringOf(name), recursive: true);
    }

    /// <summary>Whether there was such a model, or a part of it. Throws <see cref="IOException"/> or <see cref="UnauthorizedAccessException"/>.</summary>
    public bool Remove(string name)
    {
        var place = PlaceOf(name);
        var there = Directory.Exists(place) && IsModel(place);
        if (!there && !Directory.Exists(GatheringOf(name))) return false;
        // A move is done at once: nobody meets a model that is half gone.
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

    /// <summary>Drops what was gathered where not a byte of it is here, and the owner's folder when nothing is left in it.</summary>
    public void Tidy(string name)
    {
        if (Directory.Exists(GatheringOf(name)) && Bytes(GatheringOf(name)) == 0) Forget(name);
        var owner = Path.GetDirectoryName(PlaceOf(name))!;
        if (owner != folder && Directory.Exists(owner) && !Directory.EnumerateFileSystemEntries(owner).Any()) Directory.Delete(owner);
    }

    /// <summary>
    /// Every model, in the order of the names; those too whose pull was broken off. Throws <see cref="IOException"/> or <see
    /// cref="UnauthorizedAccessException"/>.
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
                    yield return new(name, inner, Bytes(inner), null, "a part of it is here; pull it again, and it goes on from there");
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
