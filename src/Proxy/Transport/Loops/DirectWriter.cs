using System.IO.Pipelines;
using Microsoft.AspNetCore.Http;

namespace Proxy.Transport.Loops;

/// <summary>
/// A response's body writer whose <see cref="WriteAsync"/> sends from where the bytes are, past the server's own buffers, once the response has begun and is chunked.
/// Everything else goes through the server, in order: the head and what is written first, what is written by <see cref="GetSpan"/>, the end. Nobody else may write to the response
/// meanwhile without flushing it.
/// </summary>
internal sealed class DirectWriter : PipeWriter
{
    private readonly HttpResponse response;
    private readonly PipeWriter server;
    private readonly LoopWriter socket;
    private bool isDirect;
    private bool serverHolds;

    public DirectWriter(HttpResponse response, LoopWriter socket)
    {
        this.response = response;
        this.socket = socket;
        server = response.BodyWriter;
    }

    /// <summary>Something has gone past the server.</summary>
    public bool HasSentDirectly { get; private set; }

    public override bool CanGetUnflushedBytes => server.CanGetUnflushedBytes;

    public override long UnflushedBytes => server.UnflushedBytes;

    public override ValueTask<FlushResult> WriteAsync(ReadOnlyMemory<byte> source, CancellationToken cancellationToken = default)
    {
        if (source.IsEmpty || !IsDirect())
        {
            serverHolds = false;
            return server.WriteAsync(source, cancellationToken);
        }

        HasSentDirectly = true;
        return socket.WriteChunkAsync(source.Span, cancellationToken);
    }

    public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
    {
        serverHolds = false;
        return server.FlushAsync(cancellationToken);
    }

    public override Memory<byte> GetMemory(int sizeHint = 0) => server.GetMemory(sizeHint);

    public override Span<byte> GetSpan(int sizeHint = 0) => server.GetSpan(sizeHint);

    public override void Advance(int bytes)
    {
        serverHolds = true;
        server.Advance(bytes);
    }

    public override void CancelPendingFlush() => server.CancelPendingFlush();

    public override void Complete(Exception? exception = null) => server.Complete(exception);

    // The server says by its header that it wrote the head and frames the body in chunks; what it still holds must leave first.
    private bool IsDirect()
    {
        if (serverHolds) return false;
        return isDirect || (isDirect = response.HasStarted && response.Headers.TransferEncoding is ["chunked"] && server.UnflushedBytes == 0);
    }
}
