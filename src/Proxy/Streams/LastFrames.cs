using Proxy.Buffers;
using Proxy.Chat;

namespace Proxy.Streams;

/// <summary>
/// The first frames of a relayed stream and the last ones, from the one that says why a choice finished: for the host that ends the stream without the end marker. Did all choices finish? They are read only then.
/// They take the room of the first bytes, which have been sent. Nothing is copied before: each token would be written to memory that the processor's cache does not hold, which costs 4 % of an event.
/// </summary>
/// <param name="room">What was held until it was sent; its first bytes are the first of the frames.</param>
internal struct LastFrames(PooledBody room)
{
    /// <summary>So much is kept, and of a longer frame all of it.</summary>
    private const int Room = 2048;

    private int limit = Room;
    private int last; // where the last read begins

    /// <summary>Only so much of what was held has been sent.</summary>
    public readonly void Begin(int sent) => room.Truncate(sent);

    /// <summary>Remembers what was read last. Where there is no room, half of it is made free, but never by a part of the read before.</summary>
    /// <param name="sent">Whole frames.</param>
    /// <param name="lastFrame">The length of the last of them.</param>
    public void Add(ReadOnlySpan<byte> sent, int lastFrame)
    {
        if (sent.Length > Room) sent = sent[^Math.Max(Room, lastFrame)..];
        if (sent.Length > Room / 2) limit = Math.Max(limit, Room + sent.Length);
        if (room.Length + sent.Length > limit) room.Consume(Math.Min(last, Math.Max(0, room.Length - limit / 2)));
        last = room.Length;
        room.Write(sent);
    }

    /// <summary>Whether the host said why it finished, in these frames or in <paramref name="rest"/>, a payload that had no line end.</summary>
    public readonly bool SayWhy(BackendDialect dialect, ReadOnlySpan<byte> rest)
    {
        using var cutter = FrameCutter.For(dialect.Framing);
        var reader = dialect.NewEventReader();
        var events = new List<ChatEvent>();
        var frames = room.Span;
        // The first may be the end of a longer one, which is none.
        while (cutter.TryTake(ref frames, out _, out var payload)) Read(payload);
        Read(rest);
        return reader.End(events) && !events.Exists(static happened => happened is ChatEvent.Finished { Error: not null });

        void Read(ReadOnlySpan<byte> payload)
        {
            if (!payload.IsEmpty && dialect.Classify(payload) is not FrameKind.Error) reader.Read(payload, events);
        }
    }
}
