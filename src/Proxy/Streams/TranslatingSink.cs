using System.IO.Pipelines;
using Proxy.Chat;

namespace Proxy.Streams;

/// <summary>Writes events as a stream in the client's dialect. The events of one read are flushed together.</summary>
internal sealed class TranslatingSink(BackendReply reply, EventWriter writer, ClientOutput client, Action<string> skip, EventReader? reader = null)
    : EventSink(reply, skip, reader)
{
    private readonly PipeWriter output = client.Writer;
    private bool hasBegun;

    public override bool KeepsAlive => client.KeepsAlive;

    public override async ValueTask<bool> SendAsync(FrameBatch batch)
    {
        if (output.UnflushedBytes == 0) return true;
        var flushed = await output.FlushAsync();
        return !flushed.IsCompleted && !flushed.IsCanceled;
    }

    public override ValueTask<bool> KeepAliveAsync() => client.KeepAliveAsync();

    public override async ValueTask EndAsync()
    {
        writer.End(output);
        await output.FlushAsync();
    }

    protected override void Write(ChatEvent happened)
    {
        if (!hasBegun) client.Begin();
        hasBegun = true;
        writer.Write(happened, output);
    }
}
