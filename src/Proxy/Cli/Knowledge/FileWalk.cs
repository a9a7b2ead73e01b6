using Proxy.Documents;

namespace Proxy.Cli.Knowledge;

/// <summary>Why an entry is not read.</summary>
internal enum SkipKind
{
    /// <summary>Left out on purpose, and no mistake of anyone: a binary, a link, an empty file.</summary>
    Skipped,

    /// <summary>It should have been read and could not be.</summary>
    Failed,
}

/// <summary>A file that was found, or the reason why it is not read.</summary>
/// <param name="Path">The whole path, without links.</param>
/// <param name="Facts">Of a file to read.</param>
internal readonly record struct FoundFile(string Path, FileFacts Facts)
{
    /// <summary>Null: the file is to be read.</summary>
    public string? Reason { get; init; }
    public SkipKind Skip { get; init; }
}

/// <summary>
/// Finds the files below paths. What .gitignore leaves out is left out, and so are hidden entries; links are not followed, because what they lead to in the
/// tree is found where it is, and what lies outside of it was not named. A path that was named itself is always taken.
/// </summary>
/// <param name="hidden">Take hidden entries too (never <c>.git</c>).</param>
/// <param name="ignored">Take what .gitignore leaves out.</param>
internal sealed class FileWalk(bool hidden, bool ignored)
{
    public const string Binary = "binary";

    private const int Sniffed = 8000;

    /// <summary>The files below a path, which may be a file itself, in the order of their names.</summary>
    public IEnumerable<FoundFile> Find(string named)
    {
        var path = FileFacts.RealPath(Path.GetFullPath(named));
        if (path is null || FileFacts.Of(path) is not { } facts)
        {
            yield return new(Path.GetFullPath(named), default) { Reason = "does not exist, or may not be read", Skip = SkipKind.Failed };
            yield break;
        }

        if (facts.Kind is not FileKind.Folder)
        {
            yield return Judge(path, facts, isNamed: true);
            yield break;
        }

        foreach (var found in Below(path, ignored ? null : IgnoreFile.Enter(path, IgnoreFile.Around(path)))) yield return found;
    }

    private IEnumerable<FoundFile> Below(string top, IgnoreFile? topRules)
    {
        var folders = new Stack<(string Path, IgnoreFile? Rules)>();
        folders.Push((top, topRules));
        while (folders.TryPop(out var folder))
        {
            var (names, problem) = List(folder.Path);
            if (problem is not null) yield return new(folder.Path, default) { Reason = problem, Skip = SkipKind.Failed };
            var inner = new List<string>();
            foreach (var name in names)
            {
                if (name is ".git" || (!hidden && name[0] == '.')) continue;
                var path = Path.Combine(folder.Path, name);
                if (FileFacts.Of(path, out var isGone) is not { } facts)
                {
                    // .NET reads a name that is not UTF-8 as another one.
                    if (name.Contains('\uFFFD', StringComparison.Ordinal)) yield return Failed(path, "its name is not UTF-8");
                    else if (!isGone) yield return Failed(path, "may not be read");
                    continue;
                }

                if (folder.Rules?.Excludes(path, facts.Kind is FileKind.Folder) is true) continue;
                if (facts.Kind is FileKind.Folder) inner.Add(path);
                else yield return Judge(path, facts, isNamed: false);
            }

            for (var i = inner.Count - 1; i >= 0; i--) folders.Push((inner[i], ignored ? null : IgnoreFile.Enter(inner[i], folder.Rules)));
        }
    }

    private static FoundFile Judge(string path, FileFacts facts, bool isNamed)
    {
        var name = Path.GetFileName(path);
        if (facts.Kind is FileKind.Link) return Left(path, "symbolic link", isNamed);
        if (facts.Kind is FileKind.Other) return Left(path, "not a file but a pipe, a socket or a device", isNamed);
        if (facts.Bytes == 0) return Left(path, "empty", isNamed);
        // A word processor's mark that a document is open.
        if (name.StartsWith("~$", StringComparison.Ordinal)) return Left(path, "temporary", isNamed);
        switch (FormatNames.Of(name))
        {
            case DocumentFormat.Other:
                return Left(path, "of a format that is not read", isNamed);
            case not DocumentFormat.Unknown:
                return new(path, facts); // its reader reports one that is not what its name says
        }

        try
        {
            return IsBinary(path) ? Left(path, Binary, isNamed) : new(path, facts);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return Failed(path, Why(e));
        }
    }

    /// <summary>The reason without the path, which stands before it.</summary>
    public static string Why(Exception problem) => problem switch
    {
        UnauthorizedAccessException => "may not be read by this user",
        FileNotFoundException or DirectoryNotFoundException => "is gone",
        _ => problem.Message,
    };

    private static FoundFile Failed(string path, string reason) => new(path, default) { Reason = reason, Skip = SkipKind.Failed };

    private static FoundFile Left(string path, string reason, bool isNamed) =>
        new(path, default) { Reason = reason, Skip = isNamed ? SkipKind.Failed : SkipKind.Skipped };

    /// <summary>As git decides: there is a zero byte near the beginning. UTF-16 has those too, and says so at the beginning.</summary>
    private static bool IsBinary(string path)
    {
        using var file = File.OpenHandle(path);
        Span<byte> head = stackalloc byte[Sniffed];
        head = head[..RandomAccess.Read(file, head, 0)];
        return head.Contains((byte)0) && !head.StartsWith((ReadOnlySpan<byte>)[0xFF, 0xFE]) && !head.StartsWith((ReadOnlySpan<byte>)[0xFE, 0xFF]);
    }

    private static (List<string> Names, string? Problem) List(string folder)
    {
        var names = new List<string>();
        try
        {
            foreach (var path in Directory.EnumerateFileSystemEntries(folder)) names.Add(Path.GetFileName(path));
            names.Sort(StringComparer.Ordinal);
            return (names, null);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return (names, Why(e));
        }
    }
}
