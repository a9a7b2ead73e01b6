using Proxy.Chat;
using Proxy.Knowledge;

namespace Proxy.Http.Knowledge;

/// <summary>OpenAI's vector stores: creates, lists, returns, changes and deletes them.</summary>
internal sealed class WorkspaceEndpoints(TimeProvider time)
{
    private const string Root = "/v1/vector_stores", One = Root + "/{vector_store_id}";

    /// <summary>OpenAI's limits: rows of a list, files of a new store, days until a store expires.</summary>
    private const int UsualListed = 20, MostListed = 100, MostFiles = 500, MostDays = 365;

    private const int LongestName = 256, LongestDescription = 4096;

    public IReadOnlyList<KnowledgeRow> Rows =>
    [
        new("POST", Root, CreateAsync),
        new("GET", Root, ListAsync),
        new("GET", One, ReadAsync),
        new("POST", One, UpdateAsync),
        new("DELETE", One, DeleteAsync),
    ];

    private async ValueTask<ProxyError?> CreateAsync(KnowledgeCall call)
    {
        var form = call.Form;
        var wanted = new NewWorkspace(form.Text("name", LongestName) ?? "")
        {
            Description = form.Text("description", LongestDescription),
            Metadata = form.Map("metadata", isTexts: true) ?? "{}",
            ExpiresAfterDays = DaysOf(form),
        };
        var files = NewFile.ReadAll(form, MostFiles);
        if (form.Problem is { } wrong) return wrong;
        if (wanted.Name.Length > 0 && !call.Caller.MayName(wanted.Name))
        {
            return new(ProxyErrorKind.Forbidden, $"this key may not make a workspace '{ModelName.Shown(wanted.Name)}': its `workspaces` do not have the name")
            {
                Param = "name",
            };
        }

        var (found, problem) = await NewFile.FindAsync(call, files);
        if (problem is not null) return problem;
        var workspace = await call.Access.CreateAsync(call.Caller, wanted, call.Cancellation);
        foreach (var (file, how) in found) await NewFile.AttachAsync(call, workspace, file, how);
        return await AnswerAsync(call, workspace);
    }

    private static async ValueTask<ProxyError?> ListAsync(KnowledgeCall call)
    {
        if (PageQuery.Read(call.Query, UsualListed, MostListed, out var page) is { } wrong) return wrong;
        var all = (IEnumerable<Workspace>)await call.Access.ListAsync(call.Caller, call.Cancellation);
        var (rows, hasMore) = page.Cut(page.Of(page.Page.Descending ? all : all.Reverse(), static workspace => workspace.Id));
        var counts = new Dictionary<string, FileCounts>();
        foreach (var row in rows) counts[row.Id] = await call.Store.CountsAsync(row.Id, null, call.Cancellation);
        return await call.AnswerAsync(json => KnowledgeJson.WriteList(json, rows, hasMore, static workspace => workspace.Id,
            workspace => KnowledgeJson.Write(json, workspace, counts[workspace.Id])));
    }

    private async ValueTask<ProxyError?> ReadAsync(KnowledgeCall call)
    {
        var (workspace, problem) = await call.WorkspaceAsync();
        return workspace is null ? problem : await AnswerAsync(call, workspace);
    }

    private async ValueTask<ProxyError?> UpdateAsync(KnowledgeCall call)
    {
        var (workspace, problem) = await call.WorkspaceAsync(changes: true);
        if (workspace is null) return problem;
        var form = call.Form;
        var name = form.Text("name", LongestName);
        var description = form.Text("description", LongestDescription);
        var metadata = form.Map("metadata", isTexts: true);
        var days = DaysOf(form);
        if (form.Problem is { } wrong) return wrong;
        if (name is { Length: > 0 } && name != workspace.Name && !call.Caller.MayName(name))
            return new(ProxyErrorKind.Forbidden, $"this key may not name a workspace '{ModelName.Shown(name)}'") { Param = "name" };
        var changed = workspace with
        {
            Name = name ?? workspace.Name,
            Description = form.Has("description") ? description : workspace.Description,
            Metadata = metadata ?? (form.Has("metadata") ? "{}" : workspace.Metadata),
            ExpiresAfterDays = form.Has("expires_after") ? days : workspace.ExpiresAfterDays,
            LastActiveAt = time.GetUtcNow(),
        };
        await call.Access.SaveAsync(changed, call.Cancellation);
        return await AnswerAsync(call, changed);
    }

    private static async ValueTask<ProxyError?> DeleteAsync(KnowledgeCall call)
    {
        var (workspace, problem) = await call.WorkspaceAsync(changes: true);
        if (workspace is null) return problem;
        await call.Access.DeleteAsync(workspace, call.Cancellation);
        return await call.AnswerAsync(json => KnowledgeJson.WriteDeleted(json, workspace.Id, "vector_store.deleted"u8));
    }

    private async ValueTask<ProxyError?> AnswerAsync(KnowledgeCall call, Workspace workspace)
    {
        var counts = await call.Store.CountsAsync(workspace.Id, null, call.Cancellation);
        return await call.AnswerStateAsync(workspace.LastActiveAt, time, json => KnowledgeJson.Write(json, workspace, counts));
    }

    private static int? DaysOf(JsonForm form)
    {
        if (form.Object("expires_after") is not { } expiry) return null;
        if (expiry.Text("anchor", LongestName) is not "last_active_at") expiry.Refuse("anchor", "must be \"last_active_at\"");
        if (!expiry.Has("days")) expiry.Refuse("days", "is missing");
        return expiry.Whole("days", 1, MostDays);
    }
}
