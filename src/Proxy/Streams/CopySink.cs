using System.IO.Pipelines;
using Proxy.Chat;

namespace Proxy.Streams;

/// <summary>Copies a reply that is not a chat's to the client, byte for byte.</summary>
internal sealed class CopySink(PipeWriter output) : IFrameSink
{
    private PipeWriter output = output;

    public bool IsOver => false;
    public bool HasFinished => false;
    public bool HasFailed => false;
    public bool KeepsAlive => false;
    public Usage? Usage => null;

    public void Take(FrameBatch batch) => batch.TakeAll();

    public async ValueTask<bool> SendAsync(FrameBatch batch)
    {
        var flushed = await output.WriteAsync(batch.Whole);
        return !flushed.IsCompleted && !flushed.IsCanceled;
    }

    public ValueTask<bool> KeepAliveAsync() => new(true);

    public GenerationEnd Close(ProxyError? broken, bool silent, FrameBatch batch) => new(broken is null ? EndKind.Whole : EndKind.BrokeOff, null, broken);

    public ValueTask EndAsync() => default;
}
