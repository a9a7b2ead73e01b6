using System.Text.Json;
using Proxy.Dialects;
using Proxy.Knowledge;

namespace Proxy.Http.Knowledge;

/// <summary>OpenAI's objects: files, vector stores, their files and batches, and lists of them.</summary>
internal static class KnowledgeJson
{
    public static void Write(Utf8JsonWriter json, KnowledgeFile file)
    {
        json.WriteStartObject();
        json.WriteString("id"u8, file.Id);
        json.WriteString("object"u8, "file"u8);
        json.WriteNumber("bytes"u8, file.Bytes);
        json.WriteNumber("created_at"u8, file.CreatedAt.ToUnixTimeSeconds());
        json.WriteOptional("expires_at"u8, file.ExpiresAt?.ToUnixTimeSeconds());
        json.WriteString("filename"u8, file.Name);
        json.WriteString("purpose"u8, file.Purpose);
        json.WriteString("status"u8, "processed"u8); // SDKs wait for this word
        json.WriteEndObject();
    }

    /// <param name="json">The writer.</param>
    /// <param name="workspace">The workspace.</param>
    /// <param name="counts">Its files.</param>
    public static void Write(Utf8JsonWriter json, Workspace workspace, FileCounts counts)
    {
        json.WriteStartObject();
        json.WriteString("id"u8, workspace.Id);
        json.WriteString("object"u8, "vector_store"u8);
        json.WriteNumber("created_at"u8, workspace.CreatedAt.ToUnixTimeSeconds());
        json.WriteString("name"u8, workspace.Name);
        json.WriteString("description"u8, workspace.Description);
        json.WriteNumber("usage_bytes"u8, workspace.UsageBytes);
        WriteCounts(json, counts);
        json.WriteString("status"u8, counts.InProgress > 0 ? "in_progress"u8 : "completed"u8);
        if (workspace.ExpiresAfterDays is { } days)
        {
            json.WriteStartObject("expires_after"u8);
            json.WriteString("anchor"u8, "last_active_at"u8);
            json.WriteNumber("days"u8, days);
            json.WriteEndObject();
        }

        if (workspace.ExpiresAt is { } end) json.WriteNumber("expires_at"u8, end.ToUnixTimeSeconds());
        else json.WriteNull("expires_at"u8);
        json.WriteNumber("last_active_at"u8, workspace.LastActiveAt.ToUnixTimeSeconds());
        WriteMap(json, "metadata"u8, workspace.Metadata);
        json.WriteEndObject();
    }

    /// <param name="json">The writer.</param>
    /// <param name="file">The file in its workspace.</param>
    /// <param name="tokens">The longest chunk.</param>
    /// <param name="overlap">What a chunk repeats of the one before it, in tokens.</param>
    public static void Write(Utf8JsonWriter json, WorkspaceFile file, int tokens, int overlap)
    {
        json.WriteStartObject();
        json.WriteString("id"u8, file.FileId);
        json.WriteString("object"u8, "vector_store.file"u8);
        json.WriteNumber("usage_bytes"u8, file.UsageBytes);
        json.WriteNumber("created_at"u8, file.CreatedAt.ToUnixTimeSeconds());
        json.WriteString("vector_store_id"u8, file.Workspace);
        json.WriteString("status"u8, Name(file.Status));
        if (file is { Status: FileStatus.Failed })
        {
            json.WriteStartObject("last_error"u8);
            json.WriteString("code"u8, file.ErrorCode ?? "server_error");
            json.WriteString("message"u8, file.Error ?? "the file could not be read");
            json.WriteEndObject();
        }
        else
        {
            json.WriteNull("last_error"u8);
        }

        json.WriteStartOfType("chunking_strategy"u8, "static"u8);
        json.WriteStartObject("static"u8);
        json.WriteNumber("max_chunk_size_tokens"u8, tokens);
        json.WriteNumber("chunk_overlap_tokens"u8, overlap);
        json.WriteEndObject();
        json.WriteEndObject();
        WriteMap(json, "attributes"u8, file.Attributes);
        json.WriteEndObject();
    }

    public static void Write(Utf8JsonWriter json, FileBatch batch, FileCounts counts)
    {
        json.WriteStartObject();
        json.WriteString("id"u8, batch.Id);
        json.WriteString("object"u8, "vector_store.files_batch"u8);
        json.WriteNumber("created_at"u8, batch.CreatedAt.ToUnixTimeSeconds());
        json.WriteString("vector_store_id"u8, batch.Workspace);
        json.WriteString("status"u8, Name(StatusOf(batch, counts)));
        WriteCounts(json, counts);
        json.WriteEndObject();
    }

    public static void WriteDeleted(Utf8JsonWriter json, string id, ReadOnlySpan<byte> kind)
    {
        json.WriteStartObject();
        json.WriteString("id"u8, id);
        json.WriteString("object"u8, kind);
        json.WriteBoolean("deleted"u8, true);
        json.WriteEndObject();
    }

    /// <summary>Writes a page of a list. OpenAI's schema has texts for the first and the last id, so an empty list has empty ones.</summary>
    public static void WriteList<T>(Utf8JsonWriter json, IReadOnlyList<T> rows, bool hasMore, Func<T, string> id, Action<T> write)
    {
        json.WriteStartObject();
        json.WriteString("object"u8, "list"u8);
        json.WriteStartArray("data"u8);
        foreach (var row in rows) write(row);
        json.WriteEndArray();
        json.WriteString("first_id"u8, rows.Count > 0 ? id(rows[0]) : "");
        json.WriteString("last_id"u8, rows.Count > 0 ? id(rows[^1]) : "");
        json.WriteBoolean("has_more"u8, hasMore);
        json.WriteEndObject();
    }

    public static void WriteMap(Utf8JsonWriter json, ReadOnlySpan<byte> name, string map)
    {
        json.WritePropertyName(name);
        json.WriteRawValue(map, skipInputValidation: true);
    }

    public static string Name(FileStatus status) => status switch
    {
        FileStatus.InProgress => "in_progress",
        FileStatus.Completed => "completed",
        FileStatus.Cancelled => "cancelled",
        _ => "failed",
    };

    /// <summary>A batch has failed only if none of its files could be read: clients look at the counts for the others.</summary>
    private static FileStatus StatusOf(FileBatch batch, FileCounts counts) => batch switch
    {
        { IsCancelled: true } => FileStatus.Cancelled,
        _ when counts.InProgress > 0 => FileStatus.InProgress,
        _ when counts.Failed > 0 && counts.Failed == counts.Total => FileStatus.Failed,
        _ => FileStatus.Completed,
    };

    private static void WriteCounts(Utf8JsonWriter json, FileCounts counts)
    {
        json.WriteStartObject("file_counts"u8);
        json.WriteNumber("in_progress"u8, counts.InProgress);
        json.WriteNumber("completed"u8, counts.Completed);
        json.WriteNumber("failed"u8, counts.Failed);
        json.WriteNumber("cancelled"u8, counts.Cancelled);
        json.WriteNumber("total"u8, counts.Total);
        json.WriteEndObject();
    }
}
