namespace Proxy.Tests.Rules;

/// <summary>The repository on disk, without build output.</summary>
internal static class Repository
{
    private static readonly HashSet<string> Passing =
        ["bin", "obj", ".git", ".build", ".vs", ".idea", "node_modules", "artifacts", "publish", "out", "TestResults"];

    public static string Root { get; } = FindRoot();

    /// <summary>Paths relative to the root, with slashes.</summary>
    public static IReadOnlyList<string> Files(string under = "")
    {
        var found = new List<string>();
        Collect(Path.Combine(Root, under), found);
        return found;
    }

    /// <summary>The program's sources: the folder below <c>src/Proxy</c> (empty for Program.cs), the file's path and its text.</summary>
    public static IReadOnlyList<(string Folder, string File, string Text)> Sources()
        => [.. Files("src/Proxy").Where(f => f.EndsWith(".cs", StringComparison.Ordinal))
            .Select(f => (f.Split('/') is [_, _, var folder, _, ..] ? folder : "", f, Read(f)))];

    public static string Read(string file) => File.ReadAllText(Path.Combine(Root, file));

    private static void Collect(string folder, List<string> found)
    {
        found.AddRange(Directory.EnumerateFiles(folder).Select(f => Path.GetRelativePath(Root, f)));
        foreach (var inner in Directory.EnumerateDirectories(folder))
        {
            if (!Passing.Contains(Path.GetFileName(inner)) && new DirectoryInfo(inner).LinkTarget is null) Collect(inner, found);
        }
    }

    private static string FindRoot()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (folder is not null && !File.Exists(Path.Combine(folder.FullName, "Proxy.sln"))) folder = folder.Parent;
        return folder?.FullName ?? throw new InvalidOperationException("Proxy.sln is not above the tests");
    }
}
