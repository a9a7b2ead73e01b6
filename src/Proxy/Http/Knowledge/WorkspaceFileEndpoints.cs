using System.Text.Json;
using Proxy.Chat;
using Proxy.Dialects;
using Proxy.Knowledge;
using Proxy.Knowledge.Ingest;

namespace Proxy.Http.Knowledge;

/// <summary>The files of a vector store: puts files in, lists them, returns one or its text, changes its attributes, takes it out.</summary>
internal sealed class WorkspaceFileEndpoints(TimeProvider time)
{
    private const string Root = "/v1/vector_stores/{vector_store_id}/files", One = Root + "/{file_id}";
    private const int UsualListed = 20, MostListed = 100;

    /// <summary>Chunks that are read and written at once.</summary>
    private const int ChunksAtOnce = 100;

    public IReadOnlyList<KnowledgeRow> Rows =>
    [
        new("POST", Root, AttachAsync),
        new("GET", Root, ListAsync),
        new("GET", One, ReadAsync),
        new("POST", One, UpdateAsync),
        new("DELETE", One, DetachAsync),
        new("GET", One + "/content", ReadContentAsync),
    ];

    /// <summary>Writes a page of a workspace's files, or of one batch of them.</summary>
    public static async ValueTask<ProxyError?> ListAsync(KnowledgeCall call, Workspace workspace, string? batch)
    {
        if (PageQuery.Read(call.Query, UsualListed, MostListed, out var page) is { } wrong) return wrong;
        if (PageQuery.ReadStatus(call.Query, out var status) is { } unknown) return unknown;
        var (rows, hasMore) = page.Cut(await call.Store.AttachedAsync(workspace.Id, status, batch, page.Page, call.Cancellation));
        return await call.AnswerAsync(json => KnowledgeJson.WriteList(json, rows, hasMore, static file => file.FileId,
            file => Write(json, call, workspace, file)));
    }

    private async ValueTask<ProxyError?> AttachAsync(KnowledgeCall call)
    {
        var (workspace, problem) = await call.WorkspaceAsync(changes: true);
        if (workspace is null) return problem;
        var wanted = NewFile.Read(call.Form);
        if (call.Form.Problem is { } wrong) return wrong;
        var (file, unknown) = await call.FileAsync(wanted!.Id, wanted.Param);
        if (file is null) return unknown;
        return await AnswerAsync(call, workspace, await NewFile.AttachAsync(call, workspace, file, wanted.How));
    }

    private static async ValueTask<ProxyError?> ListAsync(KnowledgeCall call)
    {
        var (workspace, problem) = await call.WorkspaceAsync();
        return workspace is null ? problem : await ListAsync(call, workspace, null);
    }

    private async ValueTask<ProxyError?> ReadAsync(KnowledgeCall call)
    {
        var (workspace, file, problem) = await FindAsync(call);
        return file is null ? problem : await AnswerAsync(call, workspace!, file);
    }

    private async ValueTask<ProxyError?> UpdateAsync(KnowledgeCall call)
    {
        var (workspace, file, problem) = await FindAsync(call, changes: true);
        if (file is null) return problem;
        if (!call.Form.Has("attributes")) call.Form.Refuse("attributes", "is missing");
        var attributes = call.Form.Map("attributes", isTexts: false) ?? "{}";
        if (call.Form.Problem is { } wrong) return wrong;
        file = await call.Store.SetAttributesAsync(workspace!.Id, file.FileId, attributes, call.Cancellation);
        return file is null ? NotThere(call) : await AnswerAsync(call, workspace, file);
    }

    private static async ValueTask<ProxyError?> DetachAsync(KnowledgeCall call)
    {
        var (workspace, problem) = await call.WorkspaceAsync(changes: true);
        if (workspace is null) return problem;
        if (!await call.Store.DetachAsync(workspace.Id, call.Ids[1], call.Cancellation)) return NotThere(call);
        return await call.AnswerAsync(json => KnowledgeJson.WriteDeleted(json, call.Ids[1], "vector_store.file.deleted"u8));
    }

    /// <summary>Writes the text of the file's chunks. They overlap, as they are searched.</summary>
    private static async ValueTask<ProxyError?> ReadContentAsync(KnowledgeCall call)
    {
        var (workspace, file, problem) = await FindAsync(call);
        if (file is null) return problem;
        var chunks = await call.Store.ChunksOfAsync(workspace!.Id, file.FileId, 0, ChunksAtOnce, call.Cancellation);
        var response = call.Scope.Context.Response;
        response.ContentType = "application/json";
        if (HttpMethods.IsHead(call.Scope.Context.Request.Method)) return null;
        var body = response.BodyWriter;
        await using var json = WireJson.NewWriter(body);
        json.WriteStartObject();
        json.WriteString("object"u8, "vector_store.file_content.page"u8);
        json.WriteString("file_id"u8, file.FileId);
        json.WriteString("filename"u8, file.Name);
        KnowledgeJson.WriteMap(json, "attributes"u8, file.Attributes);
        json.WriteStartArray("data"u8);
        for (var number = 0; chunks.Count > 0; number += chunks.Count)
        {
            if (number > 0) chunks = await call.Store.ChunksOfAsync(workspace.Id, file.FileId, number, ChunksAtOnce, call.Cancellation);
            foreach (var chunk in chunks) WriteText(json, chunk.Text);
            await json.FlushAsync(call.Cancellation);
            await body.FlushAsync(call.Cancellation);
        }

        json.WriteEndArray();
        json.WriteBoolean("has_more"u8, false);
        json.WriteNull("next_page"u8);
        json.WriteEndObject();
        return null;
    }

    /// <summary>Writes a part of a content.</summary>
    public static void WriteText(Utf8JsonWriter json, string text)
    {
        json.WriteStartOfType("text"u8);
        json.WriteLongString("text"u8, text);
        json.WriteEndObject();
    }

    private static async ValueTask<(Workspace? Workspace, WorkspaceFile? File, ProxyError? Problem)> FindAsync(KnowledgeCall call, bool changes = false)
    {
        var (workspace, problem) = await call.WorkspaceAsync(changes);
        if (workspace is null) return (null, null, problem);
        var file = await call.Store.AttachedAsync(workspace.Id, call.Ids[1], call.Cancellation);
        return (workspace, file, file is null ? NotThere(call) : null);
    }

    private ValueTask<ProxyError?> AnswerAsync(KnowledgeCall call, Workspace workspace, WorkspaceFile file) =>
        call.AnswerStateAsync(file.CreatedAt, time, json => Write(json, call, workspace, file));

    private static void Write(Utf8JsonWriter json, KnowledgeCall call, Workspace workspace, WorkspaceFile file)
    {
        var (tokens, overlap) = ChunkRules.Of(call.Parts.Models, workspace, file.ChunkTokens, file.OverlapTokens);
        KnowledgeJson.Write(json, file, tokens, overlap);
    }

    private static ProxyError NotThere(KnowledgeCall call) => new(ProxyErrorKind.UnknownFile,
        $"No file found with id '{ModelName.Shown(call.Ids[1])}' in vector store '{ModelName.Shown(call.Ids[0])}'.") { Param = "file_id" };
}
