using Proxy.Chat;
using Proxy.Config;
using Proxy.Knowledge;

namespace Proxy.Http.Knowledge;

/// <summary>OpenAI's files: uploads them, lists the caller's, returns and deletes one.</summary>
internal sealed class FileEndpoints(KnowledgeConfig config, ILogger log, TimeProvider time)
{
    private const string Root = "/v1/files", One = Root + "/{file_id}";
    private const int MostListed = 10_000;

    public IReadOnlyList<KnowledgeRow> Rows =>
    [
        new("POST", Root, UploadAsync),
        new("GET", Root, ListAsync),
        new("GET", One, ReadAsync),
        new("DELETE", One, DeleteAsync),
        new("GET", One + "/content", DownloadAsync),
    ];

    private async ValueTask<ProxyError?> UploadAsync(KnowledgeCall call)
    {
        if (call.Scope.Enter() is { } limited) return limited;
        UploadForm? form = null;
        try
        {
            (form, var problem) = await UploadForm.ReadAsync(call.Scope.Context.Request, config.FileLimit, config.Folder, call.Cancellation);
            if (form is null) return problem;
            DateTimeOffset? end = form.ExpiresAfter is { } after ? time.GetUtcNow() + after : null;
            var file = await call.Access.UploadAsync(call.Caller, form.FileName, form.Purpose, end, form.Content, call.Cancellation);
            return await call.AnswerAsync(json => KnowledgeJson.Write(json, file));
        }
        catch (Exception problem) when (problem is UnauthorizedAccessException or IOException && !RequestBody.IsBrokenOff(problem) && !call.Scope.ClientLeft)
        {
            log.UploadNotKept(problem.Message);
            return new(ProxyErrorKind.StoreFailed, "the upload cannot be kept on this proxy's disk now; its log says why");
        }
        finally
        {
            if (form is not null) await form.DisposeAsync();
        }
    }

    private static async ValueTask<ProxyError?> ListAsync(KnowledgeCall call)
    {
        if (PageQuery.Read(call.Query, MostListed, MostListed, out var page) is { } wrong) return wrong;
        var purpose = call.Query["purpose"].ToString() is { Length: > 0 } said ? said : null;
        var (rows, hasMore) = page.Cut(await call.Access.FilesAsync(call.Caller, purpose, page.Page, call.Cancellation));
        return await call.AnswerAsync(json => KnowledgeJson.WriteList(json, rows, hasMore, static file => file.Id, file => KnowledgeJson.Write(json, file)));
    }

    private static async ValueTask<ProxyError?> ReadAsync(KnowledgeCall call)
    {
        var (file, problem) = await call.FileAsync(call.Ids[0], "file_id");
        return file is null ? problem : await call.AnswerAsync(json => KnowledgeJson.Write(json, file));
    }

    private static async ValueTask<ProxyError?> DeleteAsync(KnowledgeCall call)
    {
        var (file, problem) = await call.FileAsync(call.Ids[0], "file_id");
        if (file is null) return problem;
        if (!await call.Store.DeleteFileAsync(file.Id, call.Cancellation)) return KnowledgeCall.NoFile(file.Id, "file_id");
        return await call.AnswerAsync(json => KnowledgeJson.WriteDeleted(json, file.Id, "file"u8));
    }

    private static async ValueTask<ProxyError?> DownloadAsync(KnowledgeCall call)
    {
        var (file, problem) = await call.FileAsync(call.Ids[0], "file_id");
        if (file is null) return problem;
        var response = call.Scope.Context.Response;
        if (!HttpMethods.IsHead(call.Scope.Context.Request.Method))
        {
            // The headers are sent with the first bytes of the content, so an error before these is an ordinary one.
            var sent = new HeldHead(response.BodyWriter.AsStream(leaveOpen: true), () => SetHead(response, file));
            await using (sent)
            {
                if (!await call.Store.CopyFileAsync(file.Id, sent, call.Cancellation)) return KnowledgeCall.NoFile(file.Id, "file_id");
            }

            if (sent.HasBegun) return null;
        }

        SetHead(response, file);
        return null;
    }

    private static void SetHead(HttpResponse response, KnowledgeFile file)
    {
        response.ContentType = "application/octet-stream";
        response.ContentLength = file.Bytes;
        response.Headers["content-disposition"] = $"attachment; filename*=UTF-8''{Uri.EscapeDataString(file.Name)}";
        response.Headers["x-content-type-options"] = "nosniff"; // a page of this address must not come out of an upload
    }
}
