using System.IO.Pipelines;
using Microsoft.AspNetCore.Http;

namespace Proxy.Transport.Loops;

/// <summary>
/// A response's body writer whose <see cref="WriteAsync"/> bypasses Kestrel's buffers and sends its bytes without a copy, once the response has started
/// and is chunked. Everything else goes through Kestrel, in order: the head, the first bytes, bytes written with <see cref="GetSpan"/>, and the end.
/// Other code must not write to the response at the same time without flushing it.
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

    /// <summary>At least one write has bypassed Kestrel.</summary>
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

    // The Transfer-Encoding header shows that Kestrel has written the head and frames the body in chunks. Bytes still in its buffers must be sent first.
    private bool IsDirect()
    {
        if (serverHolds) return false;
        return isDirect || (isDirect = response.HasStarted && response.Headers.TransferEncoding is ["chunked"] && server.UnflushedBytes == 0);
    }
}
