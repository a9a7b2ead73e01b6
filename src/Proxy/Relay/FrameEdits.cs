using System.Buffers;
using Proxy.Chat;

namespace Proxy.Relay;

/// <summary>
/// The closed list of edits that a relayed answer's JSON may get. Today: the model's name, back to the one the client asked for.
/// Only the value at the top level is touched, or that of the answer which an event wraps; every other byte stays as the host wrote it.
/// </summary>
internal sealed class FrameEdits(string askedModel)
{
    private readonly ReadOnlyMemory<byte> name = ModelName.Json(askedModel);

    /// <summary>Writes <paramref name="frame"/> with the edits made to the JSON in it. <paramref name="payload"/> must be a slice of <paramref name="frame"/>, or it is written unedited.</summary>
    public void Write(ReadOnlySpan<byte> frame, ReadOnlySpan<byte> payload, IBufferWriter<byte> output)
    {
        if (frame.Overlaps(payload, out var offset) && ModelName.Find(payload) is { } value)
        {
            output.Write(frame[..(offset + value.Start.Value)]);
            output.Write(name.Span);
            output.Write(frame[(offset + value.End.Value)..]);
            return;
        }

        output.Write(frame);
    }
}
