using System.Buffers;
using Proxy.Chat;

namespace Proxy.Streams;

/// <summary>
/// The closed list of edits that a relayed answer's JSON may get: the model's name, back to the one the client asked for, and the frame of token counts that only we asked for.
/// Of a name only the value at the top level is touched, or that of the answer which an event wraps; every other byte stays as the host wrote it.
/// </summary>
/// <param name="askedModel">The name to put back; null: it is the same.</param>
/// <param name="unasked">The dialect whose counting frames are left out; null: the client wants them.</param>
internal sealed class FrameEdits(string? askedModel, BackendDialect? unasked = null)
{
    private readonly ReadOnlyMemory<byte> name = askedModel is null ? default : ModelName.Json(askedModel);

    /// <summary>Every frame is to be written by <see cref="Write"/>; otherwise they go as they are, but for those left out.</summary>
    public bool Renames => askedModel is not null;

    /// <summary>Whether a frame that counts tokens is to be left out.</summary>
    public bool LeavesOut(ReadOnlySpan<byte> payload) => unasked?.OnlyCounts(payload) == true;

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
