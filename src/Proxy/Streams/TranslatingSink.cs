using System.Buffers;
using System.IO.Pipelines;
using Proxy.Buffers;
using Proxy.Chat;

namespace Proxy.Streams;

/// <summary>Writes events as a stream in the client's dialect. The events of one read are flushed together.</summary>
/// <param name="reply">The reply that is read.</param>
/// <param name="writer">Writes the client's dialect.</param>
/// <param name="client">The client's stream.</param>
/// <param name="skip">Called with the kind of each part that is dropped.</param>
/// <param name="reader">Reads the events; null: the reader of the reply's own dialect.</param>
/// <param name="numbered">Gives the messages their ids; null: they have none.</param>
internal sealed class TranslatingSink(
    BackendReply reply, EventWriter writer, ClientOutput client, Action<string> skip, EventReader? reader = null, NumberedMessages? numbered = null)
    : EventSink(reply, skip, reader), IDisposable
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
        writer.End(numbered?.Room ?? (IBufferWriter<byte>)output);
        numbered?.WriteTo(output, Frame);
        if (output.UnflushedBytes > 0 || numbered is null) await output.FlushAsync();
    }

    public void Dispose() => numbered?.Dispose();

    protected override void Write(ChatEvent happened)
    {
        if (!hasBegun) client.Begin();
        hasBegun = true;
        writer.Write(happened, numbered?.Room ?? (IBufferWriter<byte>)output);
        numbered?.WriteTo(output, Frame);
    }
}

/// <summary>Numbers the messages that are written from each of the host's frames, and leaves out those that the client already has.</summary>
internal sealed class NumberedMessages(FrameIds ids, StreamFraming framing) : IDisposable
{
    private readonly FrameCutter cutter = FrameCutter.For(framing);
    private long current;
    private int message;

    /// <summary>Where the messages are written before they are numbered.</summary>
    public PooledBody Room { get; } = new();

    /// <summary>Writes the messages in <see cref="Room"/>, which come from the frame with that number.</summary>
    public void WriteTo(IBufferWriter<byte> output, long frame)
    {
        if (frame != current) (current, message) = (frame, 0);
        var pending = Room.Span;
        while (cutter.TryTake(ref pending, out var written, out _))
        {
            if (ids.Begin(frame, ++message, output)) output.Write(written);
        }

        Room.Clear();
    }

    public void Dispose()
    {
        cutter.Dispose();
        Room.Dispose();
    }
}
