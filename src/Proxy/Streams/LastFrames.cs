using Proxy.Buffers;
using Proxy.Chat;

namespace Proxy.Streams;

/// <summary>
/// Keeps the first frames of a relayed stream, and the last ones from the first finish reason on. If the host ends the stream without its end marker, these
/// frames are parsed to see whether every choice has finished; otherwise they are never parsed. They are kept in the buffer that held the first bytes, which
/// have been sent by then. The frames between are not copied: writing each token to memory that is not in the processor's cache costs 4 % of an event.
/// </summary>
/// <param name="room">The buffer that held the first bytes until they were sent; they remain in it as the first frames.</param>
internal struct LastFrames(PooledBody room)
{
    /// <summary>Bytes kept; a longer frame is kept whole.</summary>
    private const int Room = 2048;

    private int limit = Room;
    private int last; // where the bytes of the last read begin

    /// <summary>Keeps only the bytes that have been sent of the first ones: the whole frames.</summary>
    public readonly void Begin(int sent) => room.Truncate(sent);

    /// <summary>
    /// Keeps the frames of the last read. If they do not fit, drops the oldest bytes until half of the room is free, but nothing of the previous read.
    /// </summary>
    /// <param name="sent">Whole frames.</param>
    /// <param name="lastFrame">The length of the last frame.</param>
    public void Add(ReadOnlySpan<byte> sent, int lastFrame)
    {
        if (sent.Length > Room) sent = sent[^Math.Max(Room, lastFrame)..];
        if (sent.Length > Room / 2) limit = Math.Max(limit, Room + sent.Length);
        if (room.Length + sent.Length > limit) room.Consume(Math.Min(last, Math.Max(0, room.Length - limit / 2)));
        last = room.Length;
        room.Write(sent);
    }

    /// <summary>
    /// Whether the host gave its finish reasons in these frames and in <paramref name="rest"/>, the payload of a last frame without a line end.
    /// </summary>
    public readonly bool SayWhy(BackendDialect dialect, ReadOnlySpan<byte> rest)
    {
        using var cutter = FrameCutter.For(dialect.Framing);
        var reader = dialect.NewEventReader();
        var events = new List<ChatEvent>();
        var frames = room.Span;
        // The first piece may be the tail of a longer frame, which does not count as a frame.
        while (cutter.TryTake(ref frames, out _, out var payload)) Read(payload);
        Read(rest);
        return reader.End(events) && !events.Exists(static happened => happened is ChatEvent.Finished { Error: not null });

        void Read(ReadOnlySpan<byte> payload)
        {
            if (!payload.IsEmpty && dialect.Classify(payload) is not FrameKind.Error) reader.Read(payload, events);
        }
    }
}
