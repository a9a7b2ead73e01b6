using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Proxy.Cli.Knowledge;

/// <summary>The output of <c>workspaces --json</c>.</summary>
internal sealed record WorkspaceTable(IReadOnlyList<WorkspaceRow> Workspaces);

/// <summary>A workspace. Values that are not known are left out.</summary>
internal sealed record WorkspaceRow(string Id, string Name)
{
    /// <summary>The key that made it; "local": the command line.</summary>
    public string? Owner { get; init; }
    public long CreatedAt { get; init; }
    public FileStates Files { get; init; } = new(0, 0, 0, 0);
    public long? Chunks { get; init; }
    public long Bytes { get; init; }

    /// <summary>The embedding models whose vectors searches use.</summary>
    public IReadOnlyList<string>? Models { get; init; }

    /// <summary>The models whose vectors are being computed to replace those.</summary>
    public IReadOnlyList<string>? Building { get; init; }

    /// <summary>How much of that is done, from 0 to 1.</summary>
    public double? Built { get; init; }

    /// <summary>Why the work does not go on.</summary>
    public string? Problem { get; init; }
}

/// <summary>How many files of a workspace are in each state.</summary>
internal sealed record FileStates(int InProgress, int Completed, int Failed, int Cancelled);

internal sealed record WorkspaceAnswer(WorkspaceRow Workspace)
{
    public bool IsNew { get; init; }

    /// <summary>The largest file that is taken, in bytes; null: not known.</summary>
    public long? FileLimit { get; init; }
}

internal sealed record KnownFiles(IReadOnlyList<KnownFile> Files);

/// <summary>A file that the command line put into a workspace.</summary>
/// <param name="Path">Where it was found, or <c>jsonl:ID</c>.</param>
/// <param name="Status"><c>completed</c>, <c>in_progress</c> or <c>failed</c>.</param>
/// <param name="Attributes">A JSON object.</param>
internal sealed record KnownFile(string Path, string FileId, string Name, string Sha256, string Status, JsonElement Attributes)
{
    public string? Code { get; init; }
    public string? Error { get; init; }
}

internal sealed record AddedFile(string FileId);

/// <summary>The output of <c>search --json</c>.</summary>
internal sealed record SearchAnswer(IReadOnlyList<SearchRow> Hits)
{
    /// <summary>Why words alone were ranked.</summary>
    public string? LexicalOnly { get; init; }
    public TraceRow? Trace { get; init; }
}

/// <summary>A passage that was found.</summary>
internal sealed record SearchRow(string File, double Score, string Text)
{
    public string? Workspace { get; init; }
    public string? FileId { get; init; }
    public string? Path { get; init; }
    public string? Heading { get; init; }
    public int? Page { get; init; }

    /// <summary>The place of the passage in the document's text.</summary>
    public int? Start { get; init; }
    public int? End { get; init; }
    public JsonElement? Attributes { get; init; }
}

internal sealed record TraceRow(IReadOnlyList<StageRow> Stages, IReadOnlyList<string> Notes, IReadOnlyList<CandidateRow> Candidates);

internal sealed record StageRow(string Stage, double Ms);

internal sealed record CandidateRow(string File, int Chunk)
{
    public string? FileId { get; init; }
    public RankRow? Lexical { get; init; }
    public RankRow? Dense { get; init; }
    public RankRow? FirstPass { get; init; }
    public RankRow? Fused { get; init; }
    public RankRow? Rerank { get; init; }
}

internal sealed record RankRow(int? Rank, double? Score);

/// <summary>The output of <c>ingest --json</c>.</summary>
internal sealed record IngestResult(string? Workspace, string? Id)
{
    /// <summary>Files that are new in the workspace, and files whose new content replaced the old one.</summary>
    public int New { get; set; }
    public int Changed { get; set; }
    public int Unchanged { get; set; }

    /// <summary>Files whose attributes alone were changed.</summary>
    public int Relabelled { get; set; }
    public int Removed { get; set; }

    /// <summary>Files that were sent and are not read yet.</summary>
    public int Pending { get; set; }

    /// <summary>Files that could not be read, with the reasons.</summary>
    public List<FileReason> Failed { get; } = [];

    /// <summary>Files that were left out on purpose.</summary>
    public List<FileReason> Skipped { get; } = [];

    /// <summary>The chunks of the whole workspace.</summary>
    public long? Chunks { get; set; }
    public bool DryRun { get; set; }
}

internal sealed record FileReason(string Path, string Reason);

/// <summary>The output of <c>backup --json</c>.</summary>
internal sealed record BackupResult(string Folder, IReadOnlyList<BackupFile> Files);

internal sealed record BackupFile(string Name, long Bytes);

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull, WriteIndented = true)]
[JsonSerializable(typeof(WorkspaceTable))]
[JsonSerializable(typeof(WorkspaceAnswer))]
[JsonSerializable(typeof(KnownFiles))]
[JsonSerializable(typeof(AddedFile))]
[JsonSerializable(typeof(SearchAnswer))]
[JsonSerializable(typeof(IngestResult))]
[JsonSerializable(typeof(BackupResult))]
[JsonSerializable(typeof(BackupFile))]
internal sealed partial class KnowledgeRows : JsonSerializerContext
{
    /// <summary>For terminals and jq, not for web pages: "é" and "+" are not escaped.</summary>
    public static KnowledgeRows Print => Relaxed.Context;

    /// <summary>The same, each object on one line.</summary>
    public static KnowledgeRows OneLine => Relaxed.Line;

    private static class Relaxed
    {
        public static readonly KnowledgeRows Context =
            new(new JsonSerializerOptions(Default.Options) { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });

        public static readonly KnowledgeRows Line = new(new JsonSerializerOptions(Context.Options) { WriteIndented = false });
    }
}
