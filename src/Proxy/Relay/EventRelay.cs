using System.Runtime.CompilerServices;
using Proxy.Buffers;
using Proxy.Chat;

namespace Proxy.Relay;

/// <summary>Reads a host's reply as events, for a client of another dialect. Independent of how the network cut the bytes.</summary>
internal static class EventRelay
{
    /// <summary>
    /// The events of <paramref name="reply"/>, streamed or whole, which is disposed at the end. A reply that breaks off ends with <see cref="ChatEvent.Finished"/> that carries the error;
    /// a silent one yields <see cref="ChatEvent.Quiet"/> every <paramref name="keepAliveAfter"/>.
    /// </summary>
    public static async IAsyncEnumerable<ChatEvent> ReadAsync(BackendReply reply, TimeSpan keepAliveAfter, [EnumeratorCancellation] CancellationToken cancellation = default)
    {
        using var owned = reply;
        var events = new List<ChatEvent>();
        if (!reply.Streams)
        {
            reply.GiveBackSlot();
            if (JsonStructure.IsTooMuch(reply.Held.Span)) events.Add(Broken(reply.TooMuchStructure()));
            else if (!reply.Dialect!.TryReadWhole(reply.Held.Span, events)) events.Add(Broken(reply.NotAnAnswer()));
            reply.Dispose(); // it has been read, and its room is needed for what is written
            foreach (var happened in events) yield return Struck(happened, reply);
            yield break;
        }

        using var cutter = FrameCutter.For(reply.Dialect!.Framing);
        using var cut = new CutFrame(cutter);
        var reader = reply.Dialect.NewEventReader();
        var body = reply.Body;
        Take(reply, reply.Held, cut, cutter, reader, events);
        var ended = reply.Complete;
        ProxyError? broken = null;
        var silent = false;
        body.Deadline = reply.NextDeadline(body.Now);
        while (true)
        {
            foreach (var happened in events) yield return Struck(happened, reply);
            if (events.Exists(static e => e is ChatEvent.Finished { Error: not null })) yield break;
            events.Clear();
            if (ended || broken is not null) break;

            body.QuietAt = body.Now + (long)keepAliveAfter.TotalMilliseconds;
            var read = await body.ReadAsync();
            if (cancellation.IsCancellationRequested || read.Kind is ReplyReadKind.Cancelled) yield break;
            switch (read.Kind)
            {
                case ReplyReadKind.Data:
                    body.Deadline = reply.NextDeadline(body.Now);
                    Take(reply, read.Bytes, cut, cutter, reader, events);
                    if (cut.IsTooLong) broken = reply.EndlessFrame();
                    break;
                case ReplyReadKind.Quiet:
                    events.Add(ChatEvent.Quiet.Now);
                    break;
                case ReplyReadKind.TimedOut:
                    broken = reply.TimedOut();
                    silent = true;
                    break;
                case ReplyReadKind.Failed:
                    broken = reply.BrokeOff();
                    break;
                default:
                    ended = true;
                    break;
            }
        }

        events.Clear();
        reply.GiveBackSlot();
        // However the host left: what came after its end marker is nobody's loss, and half a frame is no frame.
        if (broken is null) TakeRest(cut, cutter, reader, events);
        // A silent host that had said why it finished has nothing more to say.
        var cleanly = broken is null || (silent && cut.Span.IsEmpty);
        if (!reader.End(events, cleanly) && !events.Exists(static e => e is ChatEvent.Finished { Error: not null }))
            events.Add(Broken(broken ?? reply.Unfinished()));
        foreach (var happened in events) yield return Struck(happened, reply);
    }

    /// <summary>An error without our credentials in it.</summary>
    private static ChatEvent Struck(ChatEvent happened, BackendReply reply) => happened is ChatEvent.Finished { Error: { } error } broken && reply.Secrets is { } secrets
        ? broken with { Error = error with { Message = secrets.Strike(error.Message), Code = error.Code is { } code ? secrets.Strike(code) : null, HostType = error.HostType is { } type ? secrets.Strike(type) : null } }
        : happened;

    private static ChatEvent.Finished Broken(ProxyError error) => new(FinishReason.Error, Error: error);

    private static void TakeRest(CutFrame cut, FrameCutter cutter, EventReader reader, List<ChatEvent> events)
    {
        var rest = cutter.PayloadOfRest(cut.Span);
        if (!rest.IsEmpty) reader.Read(rest, events);
    }

    private static void Take(BackendReply reply, ReadOnlyMemory<byte> bytes, CutFrame cut, FrameCutter cutter, EventReader reader, List<ChatEvent> events)
    {
        bytes = cut.Join(bytes);
        var rest = bytes.Span;
        while (cutter.TryTake(ref rest, out _, out var payload))
        {
            if (JsonStructure.IsTooMuch(payload)) events.Add(Broken(reply.TooMuchStructure()));
            else if (!payload.IsEmpty) reader.Read(payload, events);
        }

        cut.Keep(bytes.Length - rest.Length, rest);
    }
}
