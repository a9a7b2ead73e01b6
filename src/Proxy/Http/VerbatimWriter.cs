using System.Buffers;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Streams;

namespace Proxy.Http;

/// <summary>Forwards a host's answer as it is: status, content type, the headers that clients may see, and the bytes.</summary>
internal static class VerbatimWriter
{
    public static void CopyHeaders(BackendReply reply, HttpResponse response)
    {
        foreach (var (name, value) in reply.Headers)
        {
            // Does not replace our own ids, which identify this call in our log.
            response.Headers.TryAdd(name, value);
        }
    }

    /// <summary>
    /// Writes an answer of any kind. A document is buffered until it is complete, so that a truncated one becomes an error. Disposes the reply.
    /// </summary>
    public static async ValueTask RelayAsync(CallScope scope, BackendReply reply, string askedModel, BackendDialect dialect)
    {
        using var held = reply;
        var isDocument = reply.ContentType?.StartsWith("application/json", StringComparison.OrdinalIgnoreCase) == true
            && !(reply.ContentLength > BackendReply.LongestDocument);
        if (isDocument || reply.Complete)
        {
            using var document = WholeReply.NewRoom(reply);
            var broken = await WholeReply.ReadAsync(reply, document);
            if (broken is not null) await scope.RefuseAsync(broken);
            else await WriteWholeAsync(scope, reply, document.Memory, askedModel, dialect);
            return;
        }

        if (await CopyAsync(scope, reply) is not { } cut) return;
        scope.Judge(cut);
        scope.Context.Abort(); // a truncated body must not look complete
    }

    /// <summary>Writes an answer that is complete in memory. Disposes the reply.</summary>
    public static async ValueTask WriteWholeAsync(CallScope scope, BackendReply reply, ReadOnlyMemory<byte> body, string askedModel, BackendDialect dialect)
    {
        using var held = reply;
        reply.GiveBackSlot();
        var response = scope.Context.Response;
        if (reply.Refusal is { } refusal)
        {
            if (scope.HasBegun)
            {
                // Keep-alives have already begun a stream, so the refusal is sent as an error inside it.
                await scope.RefuseAsync(refusal);
                return;
            }

            scope.Judge(refusal);
        }
        else
        {
            scope.Count(dialect.FindUsage(body.Span));
        }

        response.StatusCode = reply.Status;
        response.ContentType = reply.ContentType;
        CopyHeaders(reply, response);
        await WriteAsync(response, body, reply.ServedModel == askedModel || reply.Refusal is not null ? null : askedModel);
    }

    /// <summary>
    /// Forwards the bytes of an answer as they arrive. Disposes the reply. Returns the error that cut the answer short; null: it is complete.
    /// </summary>
    public static async ValueTask<ProxyError?> CopyAsync(CallScope scope, BackendReply reply)
    {
        using var held = reply;
        var response = scope.Context.Response;
        response.StatusCode = reply.Status;
        response.ContentType = reply.ContentType;
        response.ContentLength = reply.ContentLength;
        CopyHeaders(reply, response);
        await response.StartAsync();
        return await WholeReply.CopyAsync(reply, response.BodyWriter);
    }

    private static ValueTask<System.IO.Pipelines.FlushResult> WriteAsync(HttpResponse response, ReadOnlyMemory<byte> body, string? rename)
    {
        if (rename is null || ModelName.Find(body.Span) is not { } value)
        {
            response.ContentLength = body.Length;
            return response.BodyWriter.WriteAsync(body);
        }

        var name = ModelName.Json(rename);
        var (start, end) = (value.Start.Value, value.End.Value);
        response.ContentLength = body.Length - (end - start) + name.Length;
        response.BodyWriter.Write(body.Span[..start]);
        response.BodyWriter.Write(name.Span);
        return response.BodyWriter.WriteAsync(body[end..]);
    }
}
