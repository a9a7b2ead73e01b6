using System.Text.Json;
using Proxy.Chat;
using Proxy.Config;
using Proxy.Knowledge.Filters;
using Proxy.Knowledge.Search;

namespace Proxy.Knowledge;

/// <summary>
/// What the command line asks of a store of documents: over the admin socket, or in its own process if no proxy runs. Each request is a word and a JSON object,
/// and its answer the members of one. A request that cannot be done throws <see cref="OperatorException"/>.
/// </summary>
internal sealed class KnowledgeOperator(KnowledgeParts parts, KnowledgeConfig config, TimeProvider time)
{
    private const int PageSize = 500;

    /// <summary>A file that no workspace has may still be on its way into one until it is so old.</summary>
    private static readonly TimeSpan SweepAge = TimeSpan.FromHours(1);

    private IKnowledgeStore Store => parts.Store;

    /// <param name="verb">What is asked.</param>
    /// <param name="asked">The members that the verb needs.</param>
    /// <param name="content">The content of a file to add.</param>
    /// <param name="json">Gets the members of the answer; it is inside an object.</param>
    /// <param name="cancellation">Ends it; what was done so far stays.</param>
    public Task AnswerAsync(string verb, JsonElement asked, Stream content, Utf8JsonWriter json, CancellationToken cancellation) => verb switch
    {
        "list" => ListAsync(json, cancellation),
        "workspace" => ShowAsync(asked, json, cancellation),
        "ensure" => EnsureAsync(Text(asked, "workspace"), json, cancellation),
        "files" => FilesAsync(asked, json, cancellation),
        "add" => AddAsync(asked, content, json, cancellation),
        "attributes" => AttributesAsync(asked, json, cancellation),
        "remove" => RemoveAsync(asked, json, cancellation),
        "sweep" => SweepAsync(json, cancellation),
        "search" => SearchAsync(asked, json, cancellation),
        "delete" => DeleteAsync(asked, json, cancellation),
        "reembed" => ReembedAsync(asked, json, cancellation),
        _ => throw new OperatorException($"this proxy does not know '{verb}'; it has another version than this command"),
    };

    private async Task ListAsync(Utf8JsonWriter json, CancellationToken cancellation)
    {
        json.WriteStartArray("workspaces");
        foreach (var workspace in await parts.Access.ListAsync(KnowledgeCaller.Local, cancellation).ConfigureAwait(false))
            await WriteAsync(json, workspace, cancellation).ConfigureAwait(false);
        json.WriteEndArray();
    }

    private async Task ShowAsync(JsonElement asked, Utf8JsonWriter json, CancellationToken cancellation)
    {
        var workspace = await WorkspaceAsync(asked, cancellation).ConfigureAwait(false);
        json.WritePropertyName("workspace");
        await WriteAsync(json, workspace, cancellation).ConfigureAwait(false);
    }

    /// <summary>Finds a workspace, or makes one of that name. Answers also what a command must know before it sends files.</summary>
    private async Task EnsureAsync(string name, Utf8JsonWriter json, CancellationToken cancellation)
    {
        var (workspace, _) = await parts.Access.FindAsync(KnowledgeCaller.Local, name, "workspace", cancellation).ConfigureAwait(false);
        var isNew = workspace is null;
        if (isNew && name.StartsWith("vs_", StringComparison.Ordinal)) throw new OperatorException($"there is no workspace '{ModelName.Shown(name)}'");
        workspace ??= await parts.Access.CreateAsync(KnowledgeCaller.Local, new(name), cancellation).ConfigureAwait(false);
        json.WritePropertyName("workspace");
        await WriteAsync(json, workspace, cancellation).ConfigureAwait(false);
        json.WriteBoolean("is_new", isNew);
        json.WriteNumber("file_limit", config.FileLimit);
    }

    /// <summary>Every file that came from the command line: completed, being read, or failed.</summary>
    private async Task FilesAsync(JsonElement asked, Utf8JsonWriter json, CancellationToken cancellation)
    {
        var workspace = await WorkspaceAsync(asked, cancellation).ConfigureAwait(false);
        json.WriteStartArray("files");
        foreach (var file in await Store.PathsAsync(workspace.Id, cancellation).ConfigureAwait(false)) WriteFile(json, file);
        await foreach (var file in AttachedAsync(workspace.Id, FileStatus.Failed, cancellation).ConfigureAwait(false))
        {
            if (file.Path is not null) WriteFile(json, file);
        }

        json.WriteEndArray();
    }

    private async Task AddAsync(JsonElement asked, Stream content, Utf8JsonWriter json, CancellationToken cancellation)
    {
        var workspace = await WorkspaceAsync(asked, cancellation).ConfigureAwait(false);
        var (path, name, attributes) = (Text(asked, "path"), Text(asked, "name"), Attributes(asked));
        var limited = new LimitedStream(content, config.FileLimit);
        await using var _ = limited.ConfigureAwait(false);
        var file = await parts.Access.UploadAsync(KnowledgeCaller.Local, name, "assistants", null, limited, cancellation).ConfigureAwait(false);
        try
        {
            await parts.Access.AttachAsync(workspace, file, new() { Path = path, Attributes = attributes }, cancellation).ConfigureAwait(false);
        }
        catch
        {
            // Else its content would stay, and belong to nothing.
            await Store.DeleteFileAsync(file.Id, CancellationToken.None).ConfigureAwait(false);
            throw;
        }

        json.WriteString("file_id", file.Id);
        json.WriteString("sha256", file.Sha256);
    }

    private async Task AttributesAsync(JsonElement asked, Utf8JsonWriter json, CancellationToken cancellation)
    {
        var workspace = await WorkspaceAsync(asked, cancellation).ConfigureAwait(false);
        var file = await Store.SetAttributesAsync(workspace.Id, Text(asked, "file_id"), Attributes(asked), cancellation).ConfigureAwait(false);
        json.WriteBoolean("changed", file is not null);
    }

    private async Task RemoveAsync(JsonElement asked, Utf8JsonWriter json, CancellationToken cancellation)
    {
        var workspace = await WorkspaceAsync(asked, cancellation).ConfigureAwait(false);
        var id = Text(asked, "file_id");
        var removed = await Store.DetachAsync(workspace.Id, id, cancellation).ConfigureAwait(false);
        removed |= await DeleteOwnAsync(id, cancellation).ConfigureAwait(false);
        json.WriteBoolean("removed", removed);
    }

    /// <summary>Deletes files of the command line that no workspace has: what a command left behind that was ended between two steps.</summary>
    private async Task SweepAsync(Utf8JsonWriter json, CancellationToken cancellation)
    {
        var used = new HashSet<string>(StringComparer.Ordinal);
        foreach (var workspace in await Store.WorkspacesAsync(cancellation).ConfigureAwait(false))
        {
            await foreach (var file in AttachedAsync(workspace.Id, null, cancellation).ConfigureAwait(false)) used.Add(file.FileId);
        }

        var left = new List<string>();
        string? after = null;
        while (true)
        {
            var page = await Store.FilesAsync(KnowledgeCaller.LocalOwner, null, new(PageSize, Descending: false, after), cancellation).ConfigureAwait(false);
            left.AddRange(from file in page where !used.Contains(file.Id) && time.GetUtcNow() - file.CreatedAt > SweepAge select file.Id);
            if (page.Count < PageSize) break;
            after = page[^1].Id;
        }

        foreach (var id in left) await Store.DeleteFileAsync(id, cancellation).ConfigureAwait(false);
        json.WriteNumber("deleted", left.Count);
    }

    private async Task SearchAsync(JsonElement asked, Utf8JsonWriter json, CancellationToken cancellation)
    {
        var names = asked.GetProperty("workspaces").EnumerateArray().Select(static name => name.GetString()!);
        var (workspaces, unknown) = await parts.Access.FindAsync(KnowledgeCaller.Local, names, "workspace", cancellation).ConfigureAwait(false);
        if (unknown is not null) throw new OperatorException(unknown.Message);
        AttributeFilter? filter = null;
        if (asked.TryGetProperty("filter", out var written) && AttributeFilter.Read(written, out filter) is { } problem)
            throw new OperatorException($"--filter: {problem}");
        var rerank = asked.TryGetProperty("rerank", out var wish) ? wish.GetBoolean() : (bool?)null;
        if (rerank is true && !parts.Models.HasReranker) throw new OperatorException("--rerank: there is no reranker; name one in [knowledge] reranker");
        var request = new SearchRequest([Text(asked, "query")])
        {
            Most = asked.GetProperty("most").GetInt32(), Filter = filter, Rerank = rerank, Join = true, Trace = asked.GetProperty("trace").GetBoolean(),
        };
        var (outcome, error) = await parts.Access.SearchAsync(workspaces, request, cancellation).ConfigureAwait(false);
        if (outcome is null) throw new OperatorException(error!.Message);
        SearchJson.Write(json, outcome);
    }

    /// <summary>Deletes a workspace, and those of its files that came from the command line.</summary>
    private async Task DeleteAsync(JsonElement asked, Utf8JsonWriter json, CancellationToken cancellation)
    {
        var workspace = await WorkspaceAsync(asked, cancellation).ConfigureAwait(false);
        var files = new List<string>();
        await foreach (var file in AttachedAsync(workspace.Id, null, cancellation).ConfigureAwait(false))
        {
            if (file.Path is not null) files.Add(file.FileId);
        }

        await parts.Access.DeleteAsync(workspace, cancellation).ConfigureAwait(false);
        foreach (var id in files) await DeleteOwnAsync(id, cancellation).ConfigureAwait(false);
        json.WriteNumber("files", files.Count);
    }

    private async Task ReembedAsync(JsonElement asked, Utf8JsonWriter json, CancellationToken cancellation)
    {
        var workspace = await WorkspaceAsync(asked, cancellation).ConfigureAwait(false);
        var (begun, problem) = await parts.Reembedding.BeginAsync(workspace, cancellation).ConfigureAwait(false);
        if (begun is null) throw new OperatorException(problem!);
        parts.Ingest.Wake();
        json.WritePropertyName("workspace");
        await WriteAsync(json, begun, cancellation).ConfigureAwait(false);
    }

    private async ValueTask<bool> DeleteOwnAsync(string id, CancellationToken cancellation) =>
        await Store.FileAsync(id, cancellation).ConfigureAwait(false) is { Owner: KnowledgeCaller.LocalOwner }
        && await Store.DeleteFileAsync(id, cancellation).ConfigureAwait(false);

    private async ValueTask<Workspace> WorkspaceAsync(JsonElement asked, CancellationToken cancellation)
    {
        var (workspace, error) = await parts.Access.FindAsync(KnowledgeCaller.Local, Text(asked, "workspace"), "workspace", cancellation).ConfigureAwait(false);
        return workspace ?? throw new OperatorException(error!.Message);
    }

    private async IAsyncEnumerable<WorkspaceFile> AttachedAsync(
        string workspace, FileStatus? status, [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellation)
    {
        string? after = null;
        while (true)
        {
            var page = await Store.AttachedAsync(workspace, status, null, new(PageSize, Descending: false, after), cancellation).ConfigureAwait(false);
            foreach (var file in page) yield return file;
            if (page.Count < PageSize) yield break;
            after = page[^1].FileId;
        }
    }

    private async Task WriteAsync(Utf8JsonWriter json, Workspace workspace, CancellationToken cancellation)
    {
        var counts = await Store.CountsAsync(workspace.Id, null, cancellation).ConfigureAwait(false);
        json.WriteStartObject();
        json.WriteString("id", workspace.Id);
        json.WriteString("name", workspace.Name);
        json.WriteString("owner", workspace.Owner);
        json.WriteNumber("created_at", workspace.CreatedAt.ToUnixTimeSeconds());
        json.WriteStartObject("files");
        json.WriteNumber("in_progress", counts.InProgress);
        json.WriteNumber("completed", counts.Completed);
        json.WriteNumber("failed", counts.Failed);
        json.WriteNumber("cancelled", counts.Cancelled);
        json.WriteEndObject();
        json.WriteNumber("chunks", workspace.Chunks);
        json.WriteNumber("bytes", workspace.UsageBytes);
        Names("models", workspace.Vectors.Select(static set => set.Model));
        if (workspace.Building.Count > 0)
        {
            Names("building", workspace.Building.Select(static set => set.Model));
            if (parts.Reembedding.Of(workspace.Id) is { Total: > 0 } reached) json.WriteNumber("built", Math.Round((double)reached.Done / reached.Total, 4));
        }

        if (Problem(workspace, counts) is { } problem) json.WriteString("problem", problem);
        json.WriteEndObject();

        void Names(string member, IEnumerable<string> names)
        {
            json.WriteStartArray(member);
            foreach (var name in names) json.WriteStringValue(name);
            json.WriteEndArray();
        }
    }

    /// <summary>Why files of the workspace are not read at present, or its vectors not computed; null: nothing stands in the way.</summary>
    private string? Problem(Workspace workspace, FileCounts counts)
    {
        IEnumerable<string> needed = workspace.Building.Select(static set => set.Model);
        if (counts.InProgress > 0)
            needed = needed.Concat(workspace.Vectors.Count > 0 ? workspace.Vectors.Select(static set => set.Model) : parts.Models.Embedders);
        return needed.FirstOrDefault(name => parts.Models.Embedder(name) is null) is { } missing ? Ingest.Reembedding.NotServed(missing) : null;
    }

    private static void WriteFile(Utf8JsonWriter json, WorkspaceFile file)
    {
        json.WriteStartObject();
        json.WriteString("path", file.Path);
        json.WriteString("file_id", file.FileId);
        json.WriteString("name", file.Name);
        json.WriteString("sha256", file.Sha256);
        json.WriteString("status", file.Status switch { FileStatus.Completed => "completed", FileStatus.Failed => "failed", _ => "in_progress" });
        json.WritePropertyName("attributes");
        json.WriteRawValue(file.Attributes);
        json.WriteNumber("chunks", file.Chunks);
        if (file.ErrorCode is not null) json.WriteString("code", file.ErrorCode);
        if (file.Error is not null) json.WriteString("error", file.Error);
        json.WriteEndObject();
    }

    private static string Text(JsonElement asked, string member) =>
        asked.TryGetProperty(member, out var value) && value.GetString() is { Length: > 0 } text ? text : throw new OperatorException($"{member} is missing");

    private static string Attributes(JsonElement asked) => asked.TryGetProperty("attributes", out var attributes) ? attributes.GetRawText() : "{}";
}

/// <summary>A request of the command line cannot be done. The message is for its user.</summary>
internal sealed class OperatorException(string message) : Exception(message);
