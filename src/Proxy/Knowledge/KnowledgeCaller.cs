namespace Proxy.Knowledge;

/// <summary>Who asks, and which workspaces it may use.</summary>
/// <param name="Owner">The name of the API key, <c>anonymous</c>, or <see cref="LocalOwner"/>.</param>
/// <param name="IsAdmin">May use everything.</param>
/// <param name="Workspaces">
/// Names or globs of the workspaces that the key may use, also those of other keys; empty: its own, and those that were made on the command line.
/// </param>
internal sealed record KnowledgeCaller(string Owner, bool IsAdmin, IReadOnlyList<string> Workspaces)
{
    /// <summary>The owner of what was made on the command line.</summary>
    public const string LocalOwner = "local";

    /// <summary>The operator at the command line.</summary>
    public static readonly KnowledgeCaller Local = new(LocalOwner, true, []);

    /// <summary>Whether the caller may use the workspace. What it made itself it always may.</summary>
    public bool MayUse(Workspace workspace)
    {
        if (IsAdmin || workspace.Owner == Owner) return true;
        return Workspaces.Count == 0 ? workspace.Owner == LocalOwner : MayName(workspace.Name);
    }

    /// <summary>
    /// Whether the caller may change the workspace: its own, and those of its key's list. Those that were made on the command line may be searched without it.
    /// </summary>
    public bool MayChange(Workspace workspace) => IsAdmin || workspace.Owner == Owner || (Workspaces.Count > 0 && MayName(workspace.Name));

    /// <summary>Whether the key's list, if it has one, allows the name.</summary>
    public bool MayName(string name)
    {
        if (IsAdmin || Workspaces.Count == 0) return true;
        foreach (var allowed in Workspaces)
        {
            if (Matches(allowed, name)) return true;
        }

        return false;
    }

    /// <summary>A glob of <c>*</c> and <c>?</c>, as in a key's models.</summary>
    private static bool Matches(string pattern, string name) => System.IO.Enumeration.FileSystemName.MatchesSimpleExpression(pattern, name, ignoreCase: false);
}
