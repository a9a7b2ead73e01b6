using System.Buffers;
using System.IO.Pipelines;
using Microsoft.AspNetCore.Http;
using Proxy.Buffers;
using Proxy.Transport.Loops;

namespace Proxy.Transport.Http1;

/// <summary>
/// Writes a response's body to its connection. <see cref="WriteAsync"/> sends its bytes without a copy, together with a head not sent yet.
/// With a Content-Length the bytes are sent as they are; without one each flush is a chunk (RFC 9112 §7.1).
/// </summary>
internal sealed class ResponseWriter(Http1Response response, LoopWriter connection) : PipeWriter
{
    private PooledBody? staged; // written by GetSpan and Advance, not flushed yet
    private Framing framing;
    private long left; // how much of the Content-Length is not written yet

    private enum Framing : byte
    {
        Length,
        Chunks,
        Nothing,
    }

    public override bool CanGetUnflushedBytes => true;
    public override long UnflushedBytes => staged?.Length ?? 0;

    public override Memory<byte> GetMemory(int sizeHint = 0) => (staged ??= new(sizeHint)).GetMemory(sizeHint);

    public override Span<byte> GetSpan(int sizeHint = 0) => (staged ??= new(sizeHint)).GetSpan(sizeHint);

    public override void Advance(int bytes) => staged!.Advance(bytes);

    public override ValueTask<FlushResult> WriteAsync(ReadOnlyMemory<byte> source, CancellationToken cancellationToken = default)
    {
        Begin();
        PutStaged();
        if (framing is Framing.Chunks && !source.IsEmpty) return connection.WriteChunkAsync(source.Span, cancellationToken);
        if (framing is not Framing.Length) return connection.FlushAsync(cancellationToken);
        source = source[..Count(source.Length)];
        return left == 0 ? connection.WriteLastAsync(source.Span) : connection.WriteAsync(source, cancellationToken);
    }

    public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
    {
        Begin();
        PutStaged();
        return connection.FlushAsync(cancellationToken);
    }

    /// <summary>Writes the head, if it is not written yet.</summary>
    public void Begin()
    {
        if (response.HasStarted) return;
        var length = response.ContentLength;
        framing = response.StatusCode is StatusCodes.Status204NoContent or StatusCodes.Status304NotModified ? Framing.Nothing
            : length.HasValue ? Framing.Length
            : Framing.Chunks;
        left = length ?? 0;
        response.WriteHead(connection, framing is Framing.Chunks);
    }

    /// <summary>Ends the response. If nothing has been flushed, the staged bytes are the whole body and their number becomes the Content-Length.</summary>
    public ValueTask<FlushResult> FinishAsync()
    {
        if (!response.HasStarted) response.ContentLength ??= UnflushedBytes;
        Begin();
        PutStaged();
        if (framing is not Framing.Chunks) return connection.WriteLastAsync(default);
        connection.Write("0\r\n\r\n"u8);
        return connection.FlushAsync();
    }

    /// <summary>Fewer bytes were written than the Content-Length says.</summary>
    public bool IsShort => framing is Framing.Length && left > 0;

    /// <summary>Resets the object for the next response.</summary>
    public void Reset()
    {
        staged?.Dispose();
        staged = null;
        (framing, left) = (Framing.Nothing, 0);
    }

    public override void CancelPendingFlush() => connection.CancelPendingFlush();

    public override void Complete(Exception? exception = null)
    {
        // Nothing to do: the response ends when its request does, in FinishAsync.
    }

    private void PutStaged()
    {
        if (staged is not { Length: > 0 } bytes) return;
        switch (framing)
        {
            case Framing.Chunks:
                connection.PutChunk(bytes.Span);
                break;
            case Framing.Length:
                connection.Write(bytes.Span[..Count(bytes.Length)]);
                break;
        }

        bytes.Clear();
    }

    private int Count(int bytes)
    {
        if (bytes > left) throw new InvalidOperationException("the body is longer than its Content-Length");
        left -= bytes;
        return bytes;
    }
}
