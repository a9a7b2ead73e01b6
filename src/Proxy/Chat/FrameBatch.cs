using Proxy.Buffers;

namespace Proxy.Chat;

/// <summary>
/// The frames of one read. If the read ends inside a frame, the batch keeps the frame's beginning until the rest arrives. It looks at each byte once,
/// however many reads a frame is spread over.
/// Who decides on failover looks at the first frames with it, and hands it on with their cuts.
/// </summary>
internal sealed class FrameBatch(StreamFraming framing) : FrameCutter(framing)
{
    /// <summary>
    /// The longest frame in bytes. A real frame has at most a few MiB (an image in base64); a host that sends an endless frame would fill our memory.
    /// </summary>
    public const int Longest = 32 << 20;

    private PooledBody? kept;
    private List<(int Length, Range? Payload)>? cuts; // of the frames that were looked at ahead
    private int repeated;
    private bool joined;
    private ReadOnlyMemory<byte> bytes;
    private int taken;
    private long number;

    /// <summary>They see each frame once, when it is taken.</summary>
    public IFrameTap[] Taps { get; set; } = [];

    /// <summary>The number of the frame that was taken last; the first one of the stream has number 1.</summary>
    public long Number => number;

    /// <summary>Where in <see cref="Whole"/> the next frame begins; after the last one, the length of all.</summary>
    public int Taken => taken;

    /// <summary>The frames that were taken of this read, without a gap between them.</summary>
    public ReadOnlyMemory<byte> Whole => bytes[..taken];

    /// <summary>The beginning of a frame whose end has not come. Valid between <see cref="Keep"/> and <see cref="Fill"/>.</summary>
    public ReadOnlySpan<byte> Rest => kept is { } begun ? begun.Span : default;

    public bool IsTooLong => kept is { Length: > Longest };

    /// <summary>Begins the next batch with what a read brought. <see cref="Keep"/> must follow before the read's memory is used again.</summary>
    public void Fill(ReadOnlyMemory<byte> read)
    {
        taken = 0;
        joined = kept is { Length: > 0 };
        bytes = read;
        if (!joined) return;

        var before = kept!.Length;
        kept.Write(read.Span);
        bytes = MayEnd(kept.Span, before) ? kept.Memory : default;
    }

    /// <summary>Counts frames that the client got without this batch.</summary>
    public void Pass(int frames) => number += frames;

    /// <summary>Takes the next whole frame; false when the batch has no more.</summary>
    public bool TryNext(out ReadOnlySpan<byte> frame, out ReadOnlySpan<byte> payload)
    {
        if (!(cuts is null ? TryTakeNext(out frame, out payload) : TryRepeat(out frame, out payload))) return false;
        number++;
        foreach (var tap in Taps) tap.See(number, frame, payload);
        return true;
    }

    /// <summary>All that the read brought as one piece, of an answer that has no frames.</summary>
    public ReadOnlyMemory<byte> TakeAll()
    {
        taken = bytes.Length;
        number++;
        foreach (var tap in Taps) tap.See(number, bytes.Span, bytes.Span);
        return bytes;
    }

    /// <summary>Shows the taps the last frame of a stream that ended without the line end of its last frame.</summary>
    public void TakeRest()
    {
        if (Taps.Length == 0 || kept is not { Length: > 0 }) return;
        number++;
        var payload = PayloadOfRest(kept.Span);
        foreach (var tap in Taps) tap.See(number, kept.Span, payload);
    }

    /// <summary>Keeps the beginning of a frame that the batch ended in.</summary>
    public void Keep()
    {
        if (joined) kept!.Consume(taken);
        else if (taken < bytes.Length) (kept ??= new PooledBody((bytes.Length - taken) * 2)).Write(bytes.Span[taken..]);
        bytes = default;
        taken = 0;
    }

    /// <summary>
    /// Looks at the next frame of the stream's first bytes without taking it. The first batch returns it again and does not cut it a second time.
    /// </summary>
    /// <param name="held">All first bytes so far.</param>
    public bool TryLook(ReadOnlySpan<byte> held, out ReadOnlySpan<byte> payload)
    {
        var pending = held[taken..];
        if (!TryTake(ref pending, out var frame, out payload)) return false;
        var isPlain = frame.Overlaps(payload, out var offset) || payload.IsEmpty;
        (cuts ??= []).Add((frame.Length, isPlain ? new Range(offset, offset + payload.Length) : null));
        taken += frame.Length;
        return true;
    }

    public override void Dispose()
    {
        kept?.Dispose();
        base.Dispose();
    }

    private bool TryTakeNext(out ReadOnlySpan<byte> frame, out ReadOnlySpan<byte> payload)
    {
        var pending = bytes.Span[taken..];
        if (!TryTake(ref pending, out frame, out payload)) return false;
        taken += frame.Length;
        return true;
    }

    private bool TryRepeat(out ReadOnlySpan<byte> frame, out ReadOnlySpan<byte> payload)
    {
        // A payload that was joined from several data lines is no range of the frame: that frame is cut again.
        if (repeated == cuts!.Count || cuts[repeated] is not (var length, { } place))
        {
            if (repeated++ == cuts.Count) cuts = null;
            return TryTakeNext(out frame, out payload);
        }

        frame = bytes.Span.Slice(taken, length);
        payload = frame[place];
        taken += length;
        repeated++;
        return true;
    }
}
