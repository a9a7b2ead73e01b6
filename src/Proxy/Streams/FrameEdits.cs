using System.Buffers;
using Proxy.Chat;

namespace Proxy.Streams;

/// <summary>
/// The complete list of edits to the JSON of a relayed answer. First, the model's name is changed back to the one the client asked for: only the member at the
/// top level, or at the top level of the answer that an event wraps. Second, a frame that has nothing but token counts is dropped if only the proxy asked for
/// them. Every other byte stays as the host wrote it.
/// </summary>
/// <param name="askedModel">The name to put back; null: the host used the same name.</param>
/// <param name="unasked">The dialect whose frames of token counts are dropped; null: the client wants them.</param>
internal sealed class FrameEdits(string? askedModel, BackendDialect? unasked = null)
{
    private readonly ReadOnlyMemory<byte> name = askedModel is null ? default : ModelName.Json(askedModel);

    /// <summary>True: every frame has to be written by <see cref="Write"/>. False: frames pass unchanged, except those that are dropped.</summary>
    public bool Renames => askedModel is not null;

    /// <summary>Whether to drop a frame that counts tokens.</summary>
    public bool LeavesOut(ReadOnlySpan<byte> payload) => unasked?.OnlyCounts(payload) == true;

    /// <summary>
    /// Writes <paramref name="frame"/> with the model's name replaced. <paramref name="payload"/> must be a slice of <paramref name="frame"/>;
    /// otherwise the frame is written unedited.
    /// </summary>
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
