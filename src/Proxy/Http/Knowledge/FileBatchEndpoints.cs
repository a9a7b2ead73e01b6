using Proxy.Chat;
using Proxy.Knowledge;

namespace Proxy.Http.Knowledge;

/// <summary>Files that are put into a vector store together.</summary>
internal sealed class FileBatchEndpoints(TimeProvider time)
{
    private const string Root = "/v1/vector_stores/{vector_store_id}/file_batches", One = Root + "/{batch_id}";
    private const int MostFiles = 2000;

    public IReadOnlyList<KnowledgeRow> Rows =>
    [
        new("POST", Root, CreateAsync),
        new("GET", One, ReadAsync),
        new("POST", One + "/cancel", CancelAsync),
        new("GET", One + "/files", ListAsync),
    ];

    private async ValueTask<ProxyError?> CreateAsync(KnowledgeCall call)
    {
        var (workspace, problem) = await call.WorkspaceAsync(changes: true);
        if (workspace is null) return problem;
        var files = NewFile.ReadAll(call.Form, MostFiles);
        if (files.Count == 0) call.Form.Refuse("file_ids", "needs at least one file, unless `files` has one");
        if (call.Form.Problem is { } wrong) return wrong;
        var (found, unknown) = await NewFile.FindAsync(call, files);
        if (unknown is not null) return unknown;
        var batch = await call.Access.AddBatchAsync(workspace, call.Cancellation);
        foreach (var (file, how) in found) await NewFile.AttachAsync(call, workspace, file, how with { Batch = batch.Id });
        return await AnswerAsync(call, batch);
    }

    private async ValueTask<ProxyError?> ReadAsync(KnowledgeCall call)
    {
        var (batch, problem) = await FindAsync(call);
        return batch is null ? problem : await AnswerAsync(call, batch);
    }

    private async ValueTask<ProxyError?> CancelAsync(KnowledgeCall call)
    {
        var (batch, problem) = await FindAsync(call, changes: true);
        if (batch is null) return problem;
        await call.Store.CancelBatchAsync(batch.Workspace, batch.Id, call.Cancellation);
        return await AnswerAsync(call, await call.Store.BatchAsync(batch.Workspace, batch.Id, call.Cancellation) ?? batch);
    }

    private static async ValueTask<ProxyError?> ListAsync(KnowledgeCall call)
    {
        var (workspace, problem) = await call.WorkspaceAsync();
        if (workspace is null) return problem;
        return await call.Store.BatchAsync(workspace.Id, call.Ids[1], call.Cancellation) is { } batch
            ? await WorkspaceFileEndpoints.ListAsync(call, workspace, batch.Id)
            : NotThere(call);
    }

    private static async ValueTask<(FileBatch? Batch, ProxyError? Problem)> FindAsync(KnowledgeCall call, bool changes = false)
    {
        var (workspace, problem) = await call.WorkspaceAsync(changes);
        if (workspace is null) return (null, problem);
        var batch = await call.Store.BatchAsync(workspace.Id, call.Ids[1], call.Cancellation);
        return (batch, batch is null ? NotThere(call) : null);
    }

    private async ValueTask<ProxyError?> AnswerAsync(KnowledgeCall call, FileBatch batch)
    {
        var counts = await call.Store.CountsAsync(batch.Workspace, batch.Id, call.Cancellation);
        return await call.AnswerStateAsync(batch.CreatedAt, time, json => KnowledgeJson.Write(json, batch, counts));
    }

    private static ProxyError NotThere(KnowledgeCall call) => new(ProxyErrorKind.UnknownFile,
        $"No file batch found with id '{ModelName.Shown(call.Ids[1])}' in vector store '{ModelName.Shown(call.Ids[0])}'.")
    {
        Param = "batch_id",
        Code = "batch_not_found",
    };
}
