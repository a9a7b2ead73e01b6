using System.Buffers;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace Proxy.Cli.Knowledge;

/// <summary>The workspaces as an operator sees them: all owners', over the admin socket or in this process.</summary>
internal sealed class OperatorLibrary(IOperatorLine line) : Library
{
    public override string Place => line.Place;

    public override bool IsOwn => line.IsOwn;

    public override async Task<IReadOnlyList<WorkspaceRow>> ListAsync(CancellationToken cancellation) =>
        (await AskAsync("list", static _ => { }, KnowledgeRows.Default.WorkspaceTable, cancellation).ConfigureAwait(false)).Workspaces;

    public override async Task<WorkspaceRow> FindAsync(string workspace, CancellationToken cancellation) =>
        (await AskAsync("workspace", json => json.WriteString("workspace", workspace), KnowledgeRows.Default.WorkspaceAnswer, cancellation)
            .ConfigureAwait(false)).Workspace;

    public override Task<WorkspaceAnswer> EnsureAsync(string workspace, CancellationToken cancellation) =>
        AskAsync("ensure", json => json.WriteString("workspace", workspace), KnowledgeRows.Default.WorkspaceAnswer, cancellation);

    public override async Task<IReadOnlyList<KnownFile>> FilesAsync(WorkspaceRow workspace, CancellationToken cancellation) =>
        (await AskAsync("files", Of(workspace), KnowledgeRows.Default.KnownFiles, cancellation).ConfigureAwait(false)).Files;

    public override async Task<string> AddAsync(WorkspaceRow workspace, OutgoingFile file, Stream content, CancellationToken cancellation)
    {
        var added = await AskAsync("add", json =>
        {
            json.WriteString("workspace", workspace.Id);
            json.WriteString("path", file.Path);
            json.WriteString("name", file.Name);
            json.WritePropertyName("attributes");
            file.Attributes.WriteTo(json);
        }, KnowledgeRows.Default.AddedFile, cancellation, content).ConfigureAwait(false);
        return added.FileId;
    }

    public override Task LabelAsync(WorkspaceRow workspace, KnownFile file, JsonElement attributes, CancellationToken cancellation) =>
        DoAsync("attributes", json =>
        {
            json.WriteString("workspace", workspace.Id);
            json.WriteString("file_id", file.FileId);
            json.WritePropertyName("attributes");
            attributes.WriteTo(json);
        }, cancellation);

    public override Task RemoveAsync(WorkspaceRow workspace, string fileId, CancellationToken cancellation) =>
        DoAsync("remove", json =>
        {
            json.WriteString("workspace", workspace.Id);
            json.WriteString("file_id", fileId);
        }, cancellation);

    public override Task SweepAsync(CancellationToken cancellation) => DoAsync("sweep", static _ => { }, cancellation);

    public override Task<SearchAnswer> SearchAsync(IReadOnlyList<string> workspaces, SearchQuery query, CancellationToken cancellation) =>
        AskAsync("search", json =>
        {
            json.WriteStartArray("workspaces");
            foreach (var workspace in workspaces) json.WriteStringValue(workspace);
            json.WriteEndArray();
            json.WriteString("query", query.Text);
            json.WriteNumber("most", query.Most);
            json.WriteBoolean("trace", query.Trace);
            if (query.Rerank is { } rerank) json.WriteBoolean("rerank", rerank);
            if (query.Filter is not { } filter) return;
            json.WritePropertyName("filter");
            filter.WriteTo(json);
        }, KnowledgeRows.Default.SearchAnswer, cancellation);

    public override Task DeleteAsync(WorkspaceRow workspace, CancellationToken cancellation) => DoAsync("delete", Of(workspace), cancellation);

    public override async Task<WorkspaceRow> ReembedAsync(WorkspaceRow workspace, CancellationToken cancellation) =>
        (await AskAsync("reembed", Of(workspace), KnowledgeRows.Default.WorkspaceAnswer, cancellation).ConfigureAwait(false)).Workspace;

    public override Task<IReadOnlyList<BackupFile>> BackupAsync(string folder, CancellationToken cancellation) => line.BackupAsync(folder, cancellation);

    public override async ValueTask DisposeAsync()
    {
        await line.DisposeAsync().ConfigureAwait(false);
        await base.DisposeAsync().ConfigureAwait(false);
    }

    private static Action<Utf8JsonWriter> Of(WorkspaceRow workspace) => json => json.WriteString("workspace", workspace.Id);

    private Task<ReadOnlyMemory<byte>> DoAsync(string verb, Action<Utf8JsonWriter> write, CancellationToken cancellation) =>
        line.AskAsync(verb, Line(write), null, cancellation);

    private async Task<T> AskAsync<T>(
        string verb, Action<Utf8JsonWriter> write, JsonTypeInfo<T> type, CancellationToken cancellation, Stream? content = null)
    {
        var answer = await line.AskAsync(verb, Line(write), content, cancellation).ConfigureAwait(false);
        try
        {
            return JsonSerializer.Deserialize(answer.Span, type) ?? throw new JsonException();
        }
        catch (JsonException)
        {
            throw new LibraryException($"the running proxy's answer to '{verb}' cannot be read; it has another version than this command");
        }
    }

    private static ReadOnlyMemory<byte> Line(Action<Utf8JsonWriter> write)
    {
        var line = new ArrayBufferWriter<byte>();
        using var json = new Utf8JsonWriter(line);
        json.WriteStartObject();
        write(json);
        json.WriteEndObject();
        json.Flush();
        return line.WrittenMemory;
    }
}

/// <summary>How the operator's requests reach a <see cref="Proxy.Knowledge.KnowledgeOperator"/>.</summary>
internal interface IOperatorLine : IAsyncDisposable
{
    string Place { get; }

    bool IsOwn { get; }

    /// <summary>The answer as JSON. Throws <see cref="LibraryException"/> if the request is refused.</summary>
    Task<ReadOnlyMemory<byte>> AskAsync(string verb, ReadOnlyMemory<byte> asked, Stream? content, CancellationToken cancellation);

    Task<IReadOnlyList<BackupFile>> BackupAsync(string folder, CancellationToken cancellation);
}
