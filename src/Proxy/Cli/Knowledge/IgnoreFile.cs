namespace Proxy.Cli.Knowledge;

/// <summary>One line of a .gitignore file.</summary>
/// <param name="Glob">The glob, without the marks that the other members stand for.</param>
/// <param name="IsNegated">It began with "!": what it matches is taken after all.</param>
/// <param name="FoldersOnly">It ended with "/".</param>
/// <param name="IsAnchored">It has a slash elsewhere: it is matched against the whole path from the file's folder, else against the last name alone.</param>
internal sealed record IgnorePattern(string Glob, bool IsNegated, bool FoldersOnly, bool IsAnchored)
{
    /// <summary>Null for a blank line and a comment.</summary>
    public static IgnorePattern? Read(string line)
    {
        var text = WithoutTrailingSpaces(line.EndsWith('\r') ? line[..^1] : line);
        if (text.Length == 0 || text[0] == '#') return null;
        var isNegated = text[0] == '!';
        if (isNegated) text = text[1..];
        var foldersOnly = text.EndsWith('/');
        if (foldersOnly) text = text[..^1];
        var isAnchored = text.Contains('/', StringComparison.Ordinal);
        if (text.StartsWith('/')) text = text[1..];
        return text.Length == 0 ? null : new(text, isNegated, foldersOnly, isAnchored);
    }

    public bool Matches(ReadOnlySpan<char> path, bool isFolder) =>
        (!FoldersOnly || isFolder) && WildMatch.IsMatch(Glob, IsAnchored ? path : path[(path.LastIndexOf('/') + 1)..]);

    /// <summary>Spaces at the end do not count, unless a backslash stands before them.</summary>
    private static string WithoutTrailingSpaces(string line)
    {
        var end = 0;
        for (var i = 0; i < line.Length; i++)
        {
            if (line[i] == '\\') i++;
            else if (line[i] == ' ') continue;
            end = Math.Min(i + 1, line.Length);
        }

        return line[..end];
    }
}

/// <summary>
/// The patterns of one file, and of the files of the folders around it: those of inner folders come first, and in a file the last match decides.
/// </summary>
/// <param name="Folder">The folder that the patterns are relative to, as a whole path.</param>
/// <param name="Patterns">In the file's order.</param>
/// <param name="Outer">The files of the folders around; null: there are none.</param>
internal sealed record IgnoreFile(string Folder, IReadOnlyList<IgnorePattern> Patterns, IgnoreFile? Outer)
{
    /// <summary>A larger file is no .gitignore.</summary>
    private const long Longest = 1 << 20;

    /// <summary>Whether the entry is left out. Its folder is known not to be.</summary>
    public bool Excludes(string path, bool isFolder)
    {
        for (var file = this; file is not null; file = file.Outer)
        {
            var prefix = file.Folder.Length == 1 ? 1 : file.Folder.Length + 1;
            var inFolder = path.AsSpan(prefix);
            for (var i = file.Patterns.Count - 1; i >= 0; i--)
            {
                if (file.Patterns[i].Matches(inFolder, isFolder)) return !file.Patterns[i].IsNegated;
            }
        }

        return false;
    }

    /// <summary>
    /// The rules for what lies in a folder, given those of the folders around it. A repository of its own is not subject to the rules around it.
    /// </summary>
    public static IgnoreFile? Enter(string folder, IgnoreFile? around)
    {
        if (GitFolder(folder) is { } git) around = Read(folder, Path.Combine(git, "info", "exclude"), null);
        return Read(folder, Path.Combine(folder, ".gitignore"), around);
    }

    /// <summary>The rules of the folders from the repository that a folder lies in down to its parent; null outside of a repository.</summary>
    public static IgnoreFile? Around(string folder)
    {
        if (GitFolder(folder) is not null) return null;
        var between = new Stack<string>();
        for (var at = Path.GetDirectoryName(folder); at is not null; at = Path.GetDirectoryName(at))
        {
            between.Push(at);
            if (GitFolder(at) is null) continue;
            IgnoreFile? rules = null;
            while (between.TryPop(out var next)) rules = Enter(next, rules);
            return rules;
        }

        return null;
    }

    /// <summary>Rules from lines, for a folder.</summary>
    public static IgnoreFile Of(string folder, IEnumerable<string> lines, IgnoreFile? around) =>
        new(folder, [.. lines.Select(IgnorePattern.Read).OfType<IgnorePattern>()], around);

    private static IgnoreFile? Read(string folder, string file, IgnoreFile? around)
    {
        try
        {
            return FileFacts.Of(file) is { Kind: FileKind.File, Bytes: <= Longest } ? Of(folder, File.ReadAllText(file).Split('\n'), around) : around;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return around;
        }
    }

    /// <summary>
    /// The folder with a repository's own files, if this folder is the top of one: <c>.git</c>, or in a work tree the folder that the file <c>.git</c> and its
    /// <c>commondir</c> name.
    /// </summary>
    private static string? GitFolder(string folder)
    {
        var git = Path.Combine(folder, ".git");
        if (Directory.Exists(git)) return git;
        try
        {
            if (FileFacts.Of(git) is not { Kind: FileKind.File, Bytes: < 65536 }) return null;
            var text = File.ReadAllText(git);
            if (!text.StartsWith("gitdir:", StringComparison.Ordinal)) return null;
            var own = Path.GetFullPath(text["gitdir:".Length..].Trim(), folder);
            var common = Path.Combine(own, "commondir");
            return File.Exists(common) ? Path.GetFullPath(File.ReadAllText(common).Trim(), own) : own;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
