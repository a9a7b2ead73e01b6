using System.Buffers;
using System.IO.Compression;
using Proxy.Buffers;
using Proxy.Chat;

namespace Proxy.Http;

/// <summary>Reads a request's body into memory, decoded, up to the limit.</summary>
internal static class RequestBody
{
    /// <summary>The body, or what is wrong with it. The caller owns the body.</summary>
    public static async ValueTask<(PooledBody? Body, ProxyError? Problem)> ReadAsync(HttpRequest request, long limit, CancellationToken cancellation)
    {
        var encoding = request.Headers.ContentEncoding.ToString();
        if (encoding.Length > 0 && !encoding.Equals("identity", StringComparison.OrdinalIgnoreCase)) return await DecodeAsync(request, encoding, limit, cancellation);
        if (request.ContentLength > limit) return (null, TooLarge(limit));

        var body = new PooledBody((int)(request.ContentLength ?? 4096) + 1);
        try
        {
            var reader = request.BodyReader;
            while (true)
            {
                var read = await reader.ReadAsync(cancellation);
                foreach (var piece in read.Buffer) body.Write(piece.Span);
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
            if (problem is BadHttpRequestException bad) return (null, new(bad.StatusCode == 413 ? ProxyErrorKind.BodyTooLarge : ProxyErrorKind.InvalidRequest, bad.Message));
            throw;
        }
    }

    private static async ValueTask<(PooledBody? Body, ProxyError? Problem)> DecodeAsync(HttpRequest request, string encoding, long limit, CancellationToken cancellation)
    {
        await using Stream? decoded = encoding.ToLowerInvariant() switch
        {
            "gzip" or "x-gzip" => new GZipStream(request.Body, CompressionMode.Decompress),
            "br" => new BrotliStream(request.Body, CompressionMode.Decompress),
            "deflate" => new ZLibStream(request.Body, CompressionMode.Decompress),
            _ => null,
        };
        if (decoded is null) return (null, new(ProxyErrorKind.UnsupportedMediaType, $"content-encoding '{encoding}' is not understood; send gzip, br or deflate, or no encoding"));

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
        catch (InvalidDataException)
        {
            body.Dispose();
            return (null, new(ProxyErrorKind.InvalidRequest, $"the body is not valid {encoding}, as its content-encoding says"));
        }
    }

    private static ProxyError TooLarge(long limit)
        => new(ProxyErrorKind.BodyTooLarge, limit % (1 << 20) == 0 ? $"the body is larger than {limit >> 20} MiB, the limit here" : $"the body is larger than {limit} bytes, the limit here");
}
