using System.Buffers;
using Microsoft.AspNetCore.Connections;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Transport;

namespace Proxy.Http;

/// <summary>Reads a request's body into memory, decoded, up to the limit.</summary>
internal static class RequestBody
{
    /// <summary>Returns the body, which the caller owns, or an error.</summary>
    public static ValueTask<(PooledBody? Body, ProxyError? Problem)> ReadAsync(HttpRequest request, long limit, CancellationToken cancellation)
    {
        var encoding = request.Headers.ContentEncoding.ToString();
        if (!ContentCoding.IsIdentity(encoding)) return DecodeAsync(request, encoding, limit, cancellation);
        var length = request.ContentLength;
        if (length > limit) return new((null, TooLarge(limit)));
        var body = new PooledBody((int)(length ?? 4096) + 1);
        var isThere = request.BodyReader is IWholeBody come && come.TryTakeWhole(body); // a small body arrives together with its head
        return isThere ? new((body, null)) : CopyAsync(request, body, limit, cancellation);
    }

    private static async ValueTask<(PooledBody? Body, ProxyError? Problem)> CopyAsync(HttpRequest request, PooledBody body, long limit,
        CancellationToken cancellation)
    {
        try
        {
            var reader = request.BodyReader;
            while (true)
            {
                var read = await reader.ReadAsync(cancellation);
                if (read.Buffer.IsSingleSegment) body.Write(read.Buffer.FirstSpan);
                else foreach (var piece in read.Buffer) body.Write(piece.Span);
                reader.AdvanceTo(read.Buffer.End);
                if (body.Length > limit)
                {
                    body.Dispose();
                    return (null, TooLarge(limit));
                }

                if (read.IsCompleted) return (body, null);
            }
        }
        catch (Exception problem)
        {
            body.Dispose();
            if (WrongBytes(problem) is { } wrong) return (null, wrong);
            throw;
        }
    }

    /// <summary>
    /// Whether the client's connection ended or broke in the middle of its body. The server throws this exception before it cancels the request's token.
    /// </summary>
    public static bool IsBrokenOff(Exception problem) => problem is ConnectionResetException or ConnectionAbortedException
        || (problem is BadHttpRequestException { StatusCode: StatusCodes.Status400BadRequest } && problem.Message == "Unexpected end of request content.");

    /// <summary>
    /// The error for a body whose framing is malformed; null for other exceptions. The server wraps the overflow of a chunk's size in another exception.
    /// </summary>
    public static ProxyError? WrongBytes(Exception problem) => problem switch
    {
        _ when IsBrokenOff(problem) => null,
        BadHttpRequestException bad => BadRequest(bad),
        IOException { InnerException: OverflowException } =>
            new(ProxyErrorKind.InvalidRequest, "the body's chunks are malformed: a chunk's size is out of range"),
        _ => null,
    };

    private static ProxyError BadRequest(BadHttpRequestException bad) =>
        new(bad.StatusCode == StatusCodes.Status413PayloadTooLarge ? ProxyErrorKind.BodyTooLarge : ProxyErrorKind.InvalidRequest, bad.Message);

    private static async ValueTask<(PooledBody? Body, ProxyError? Problem)> DecodeAsync(HttpRequest request, string encoding, long limit,
        CancellationToken cancellation)
    {
        await using var decoded = ContentCoding.Decode(encoding, request.Body);
        if (decoded is null)
        {
            return (null, new(ProxyErrorKind.UnsupportedMediaType,
                $"content-encoding '{encoding}' is not supported; send gzip, br, zstd or deflate, or no encoding"));
        }


        var body = new PooledBody(16384);
        try
        {
            while (true)
            {
                var read = await decoded.ReadAsync(body.GetMemory(16384), cancellation);
                if (read == 0) return (body, null);
                body.Advance(read);
                if (body.Length <= limit) continue;
                body.Dispose();
                return (null, TooLarge(limit));
            }
        }
        catch (Exception problem)
        {
            body.Dispose();
            if (WrongBytes(problem) is { } wrong) return (null, wrong);
            if (ContentCoding.IsBroken(problem))
                return (null, new(ProxyErrorKind.InvalidRequest, $"the body is not valid {encoding}, as its content-encoding says"));
            throw;
        }
    }

    private static ProxyError TooLarge(long limit)
        => new(ProxyErrorKind.BodyTooLarge, limit % (1 << 20) == 0
            ? $"the body is larger than {limit >> 20} MiB, the limit here"
            : $"the body is larger than {limit} bytes, the limit here");
}
