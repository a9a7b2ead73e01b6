using System.Text.Json;

namespace Proxy.Cli.Knowledge;

/// <summary>What <c>proxy ingest</c> was asked to do.</summary>
/// <param name="Workspace">Its name or id.</param>
/// <param name="Paths">Files and folders.</param>
/// <param name="Lines">Files of JSON objects, one on each line; <c>-</c> is the standard input.</param>
internal sealed record IngestOptions(string Workspace, IReadOnlyList<string> Paths, IReadOnlyList<string> Lines)
{
    /// <summary>A JSON object for every file; null: none was asked for.</summary>
    public JsonElement? Attributes { get; init; }

    /// <summary>Remove files that left the disk.</summary>
    public bool Prune { get; init; }
    public bool Watch { get; init; }
    public bool DryRun { get; init; }

    /// <summary>Fail if any file cannot be read, not only if all cannot.</summary>
    public bool Strict { get; init; }

    /// <summary>Do not wait until the files are read.</summary>
    public bool NoWait { get; init; }

    /// <summary>Take hidden files too.</summary>
    public bool Hidden { get; init; }

    /// <summary>Take what .gitignore leaves out.</summary>
    public bool NoIgnore { get; init; }

    /// <summary>Send files again although they are unchanged.</summary>
    public bool Force { get; init; }
    public bool Quiet { get; init; }
    public bool Json { get; init; }

    /// <summary>The address of a proxy; null: the one of this machine.</summary>
    public string? Url { get; init; }
    public string? ConfigFile { get; init; }
}
