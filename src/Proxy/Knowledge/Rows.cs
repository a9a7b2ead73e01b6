namespace Proxy.Knowledge;

/// <summary>
/// A collection of documents that is searched as one; OpenAI calls it a vector store. The descriptive members are changed by
/// <see cref="IKnowledgeStore.SaveAsync(Workspace, CancellationToken)"/>, the counts by the store itself as chunks come and go.
/// </summary>
internal sealed record Workspace
{
    /// <summary><c>vs_</c> and 24 characters.</summary>
    public required string Id { get; init; }

    /// <summary>The name of the API key that made it, <c>anonymous</c>, or <c>local</c> if it was made on the command line.</summary>
    public required string Owner { get; init; }

    /// <summary>May be empty, and need not be unique.</summary>
    public string Name { get; init; } = "";
    public string? Description { get; init; }

    /// <summary>A JSON object of texts, as the client sent it.</summary>
    public string Metadata { get; init; } = "{}";
    public required DateTimeOffset CreatedAt { get; init; }
    public required DateTimeOffset LastActiveAt { get; init; }

    /// <summary>It is deleted this many days after it was last active; null: never.</summary>
    public int? ExpiresAfterDays { get; init; }

    /// <summary>When it is deleted; null: never.</summary>
    public DateTimeOffset? ExpiresAt => ExpiresAfterDays is { } days ? LastActiveAt.AddDays(days) : null;

    /// <summary>
    /// The vectors that searches use, one set for each embedding model; empty before the first file, and where no model embeds: then words alone are searched.
    /// </summary>
    public IReadOnlyList<VectorSet> Vectors { get; init; } = [];

    /// <summary>The vectors of other models that are being computed, to replace <see cref="Vectors"/> when they are complete; empty: none are.</summary>
    public IReadOnlyList<VectorSet> Building { get; init; } = [];

    /// <summary>Rises with every change of what a search can find, and of a file's attributes. Kept by the store.</summary>
    public long Version { get; init; }

    /// <summary>The chunks of all files, also of files that are still being read. Kept by the store.</summary>
    public long Chunks { get; init; }

    /// <summary>The bytes of the chunks' texts and vectors. Kept by the store.</summary>
    public long UsageBytes { get; init; }

    /// <summary>One more than the highest slot that was ever used. Kept by the store.</summary>
    public int Slots { get; init; }
}

/// <summary>The vectors of a workspace's chunks by one model. All have length 1.</summary>
/// <param name="Id">Unique within the workspace and never used again: a number as text.</param>
/// <param name="Model">The embedding model's name, as <c>[knowledge] embedder</c> has it.</param>
/// <param name="Dimensions">Numbers per vector.</param>
internal sealed record VectorSet(string Id, string Model, int Dimensions);

/// <summary>An uploaded file.</summary>
internal sealed record KnowledgeFile
{
    /// <summary><c>file-</c> and 24 characters.</summary>
    public required string Id { get; init; }
    public required string Owner { get; init; }

    /// <summary>The file's name as the client sent it, without folders.</summary>
    public required string Name { get; init; }
    public string Purpose { get; init; } = "assistants";
    public long Bytes { get; init; }

    /// <summary>SHA-256 of the content, as lower-case hex.</summary>
    public required string Sha256 { get; init; }
    public required DateTimeOffset CreatedAt { get; init; }
    public DateTimeOffset? ExpiresAt { get; init; }
}

/// <summary>A file in a workspace.</summary>
internal sealed record WorkspaceFile
{
    public required string Workspace { get; init; }
    public required string FileId { get; init; }

    /// <summary>Its number in the workspace, from 1, never used again; the slots of its chunks refer to it. Given by the store.</summary>
    public int Ordinal { get; init; }
    public required string Name { get; init; }

    /// <summary>Where the file came from, for the command line: a path, unique in the workspace. Null for uploads.</summary>
    public string? Path { get; init; }
    public required string Sha256 { get; init; }
    public FileStatus Status { get; init; }

    /// <summary>Why it failed: <c>unsupported_file</c>, <c>invalid_file</c> or <c>server_error</c>.</summary>
    public string? ErrorCode { get; init; }
    public string? Error { get; init; }

    /// <summary>A JSON object of texts, numbers and truth values, for filters.</summary>
    public string Attributes { get; init; } = "{}";

    /// <summary>How it is cut: the tokens of a chunk, and of the overlap. Null: as <c>auto</c> cuts.</summary>
    public int? ChunkTokens { get; init; }
    public int? OverlapTokens { get; init; }

    /// <summary>The batch with which it came; null: none.</summary>
    public string? Batch { get; init; }
    public required DateTimeOffset CreatedAt { get; init; }

    /// <summary>How many of its chunks are stored. Kept by the store.</summary>
    public int Chunks { get; init; }

    /// <summary>The bytes of its chunks' texts and vectors. Kept by the store.</summary>
    public long UsageBytes { get; init; }
}

/// <summary>OpenAI's four states: clients know no others.</summary>
internal enum FileStatus
{
    InProgress,
    Completed,
    Failed,
    Cancelled,
}

/// <summary>Files that were added to a workspace together.</summary>
/// <param name="Id"><c>vsfb_</c> and 24 characters.</param>
internal sealed record FileBatch(string Id, string Workspace, DateTimeOffset CreatedAt, bool IsCancelled);

/// <summary>How many files of a workspace or batch are in each state.</summary>
internal readonly record struct FileCounts(int InProgress, int Completed, int Failed, int Cancelled)
{
    public int Total => InProgress + Completed + Failed + Cancelled;
}

/// <summary>A page of a list: ordered by time of creation, then by id.</summary>
/// <param name="Most">How many to return.</param>
/// <param name="Descending">Newest first.</param>
/// <param name="After">Begin after this id; null: at the beginning.</param>
/// <param name="Before">End before this id; null: at the end. The page then holds those nearest to it.</param>
internal readonly record struct Page(int Most, bool Descending = true, string? After = null, string? Before = null);

/// <summary>A chunk to store, with everything that was computed from it before the transaction.</summary>
internal sealed record NewChunk
{
    public required string Text { get; init; }
    public string Heading { get; init; } = "";
    public int? PageNumber { get; init; }
    public int Start { get; init; }
    public int End { get; init; }
    public int Tokens { get; init; }

    /// <summary>One vector of length 1 for each of the workspace's <see cref="Workspace.Vectors"/>, in their order.</summary>
    public required IReadOnlyList<float[]> Vectors { get; init; }
    public required Index.ChunkTerms Terms { get; init; }
}

/// <summary>A stored chunk.</summary>
/// <param name="Slot">Its number in the workspace, by which postings and vectors refer to it. Slots of deleted chunks are used again.</param>
/// <param name="FileId">The file that it is a part of.</param>
/// <param name="Number">Its number within the file, from 0.</param>
internal sealed record StoredChunk(int Slot, string FileId, int Number, string Text)
{
    public string Heading { get; init; } = "";
    public int? Page { get; init; }
    public int Start { get; init; }
    public int End { get; init; }
    public int Tokens { get; init; }
}
