using Proxy.Buffers;
using Proxy.Chat;

namespace Proxy.Streams;

/// <summary>Buffers a reply until it is complete, so that a truncated one becomes an error and not half a document.</summary>
/// <param name="reply">The reply that is read.</param>
/// <param name="write">Sends the complete reply.</param>
/// <param name="body">Receives the bytes; null: the reply itself holds them.</param>
internal sealed class DocumentSink(BackendReply reply, Func<ValueTask>? write = null, PooledBody? body = null) : IFrameSink
{
    public bool IsOver => false;
    public bool HasFinished => reply.IsDocument;
    public bool HasFailed => body?.Length > BackendReply.LongestDocument;
    public bool KeepsAlive => false;
    public Usage? Usage => reply.IsDocument ? reply.Dialect!.FindUsage(reply.Held.Span) : null;

    public void Take(FrameBatch batch) => body?.Write(batch.TakeAll().Span);

    public ValueTask<bool> SendAsync(FrameBatch batch) => new(true);

    public ValueTask<bool> KeepAliveAsync() => new(true);

    public GenerationEnd Close(ProxyError? broken, bool silent, FrameBatch batch)
    {
        var error = HasFailed ? reply.EndlessDocument() : broken;
        return new(error is null ? EndKind.Whole : EndKind.BrokeOff, Usage, error);
    }

    public ValueTask EndAsync() => write?.Invoke() ?? default;
}
