using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects.Events;
using Proxy.Dialects.OpenAiResponses;
using Proxy.Streams;

namespace Proxy.Http.Responses;

/// <summary>Takes one event of a response's stream.</summary>
/// <param name="place">Its place in the journal.</param>
/// <param name="payload">Its JSON.</param>
internal delegate void ResponseEvent(StreamPlace place, ReadOnlySpan<byte> payload);

/// <summary>Makes the present response object of a journal, whatever the host's dialect.</summary>
internal static class ResponseState
{
    /// <summary>Writes the response object.</summary>
    public static void Write(AnswerJournal journal, PooledBody output)
    {
        var (origin, request) = (journal.Origin, journal.Origin.Request!);
        var stamp = journal.Head?.Stamp ?? new ReplyStamp(origin.TraceId, origin.Created, origin.Model);
        if (stamp.Request is null && KeptResponses.Dialect.ReadRequest(request.Body, out var parsed) is null) stamp = stamp with { Request = parsed };
        var end = EndOf(journal); // before the frames are read: a response that is complete has all of them
        Fold(journal).Write(stamp with { Terms = request.Terms }, end, output);
    }

    /// <summary>How the response ended, or that it has not.</summary>
    public static ResponseEnd EndOf(AnswerJournal journal) => journal switch
    {
        { State: JournalState.Pending } => new("queued"),
        { State: JournalState.Running } => ResponseEnd.Running,
        { Error.Kind: ProxyErrorKind.Cancelled or ProxyErrorKind.ClientLeft } => new("cancelled"),
        { Error.Kind: ProxyErrorKind.Draining } => new("incomplete"),
        { Error: { } error } => new("failed", Error: error),
        { Head.Refusal: { } refusal } => new("failed", Error: refusal),
        _ => new("completed"),
    };

    public static ResponseSnapshot Fold(AnswerJournal journal)
    {
        var snapshot = new ResponseSnapshot();
        if (journal.Head is not { Refusal: null } head) return snapshot;
        if (head.Streams)
        {
            Read(journal, head, (_, payload) => snapshot.See(payload));
        }
        else if (journal.IsOver)
        {
            using var document = new PooledBody();
            var bytes = journal.ToArray();
            var events = new List<ChatEvent>();
            if (head.Verbatim) document.Write(bytes);
            else if (head.Dialect!.TryReadWhole(bytes, events)) KeptResponses.Dialect.WriteWhole(events, head.Stamp, document);
            snapshot.SeeWhole(document.Span);
        }

        return snapshot;
    }

    /// <summary>
    /// Where the copy of a client ends that has every event up to a sequence number. Null: the response has no event with that number yet.
    /// </summary>
    public static StreamPlace? PlaceOf(AnswerJournal journal, long sequence)
    {
        StreamPlace? place = null;
        var (count, last) = (0L, -1L);
        if (journal.Head is { Streams: true } head)
        {
            Read(journal, head, (at, payload) =>
            {
                last = ResponseSnapshot.SequenceOf(payload) ?? count;
                count++;
                if (last <= sequence) place = at;
            });
        }

        return sequence <= last ? place ?? StreamPlace.Start : null;
    }

    /// <summary>Reads the events that have come so far, as the first client gets them.</summary>
    private static void Read(AnswerJournal journal, AnswerHead head, ResponseEvent take)
    {
        using var cutter = FrameCutter.For(head.Dialect?.Framing ?? StreamFraming.JsonLines);
        using var translation = head.Verbatim ? null : new Translation(head, take);
        var isFinished = journal.State is JournalState.Finished; // before the frames are read, as above
        ReadOnlySpan<byte> pending = journal.ToArray();
        var number = 0L;
        while (cutter.TryTake(ref pending, out _, out var payload))
        {
            number++;
            if (payload.IsEmpty) continue;
            if (translation is null) take(new(number), payload);
            else translation.See(number, payload);
        }

        if (!isFinished) return;
        var rest = cutter.PayloadOfRest(pending);
        if (translation is not null) translation.End(rest, number);
        else if (!rest.IsEmpty) take(new(number + 1), rest);
    }

    /// <summary>Writes a host's frames as the events of a response, and numbers them as <see cref="NumberedMessages"/> does.</summary>
    private sealed class Translation(AnswerHead head, ResponseEvent take) : IDisposable
    {
        private readonly EventReader reader = head.Dialect?.NewEventReader() ?? new EventSchemaReader();
        private readonly EventWriter writer = KeptResponses.Dialect.NewEventWriter(head.Stamp);
        private readonly FrameCutter cutter = FrameCutter.For(KeptResponses.Dialect.Framing);
        private readonly PooledBody room = new();
        private readonly List<ChatEvent> events = [];
        private long frame;
        private int message;

        public void See(long number, ReadOnlySpan<byte> payload)
        {
            reader.Read(payload, events);
            Write(number);
        }

        public void End(ReadOnlySpan<byte> rest, long number)
        {
            if (!rest.IsEmpty) See(++number, rest);
            reader.End(events);
            Write(number);
            writer.End(room);
            Take(number);
        }

        public void Dispose()
        {
            cutter.Dispose();
            room.Dispose();
        }

        private void Write(long number)
        {
            foreach (var happened in events)
            {
                if (happened is not (ChatEvent.Skipped or ChatEvent.Quiet or ChatEvent.Finished { Error: not null })) writer.Write(happened, room);
            }

            events.Clear();
            Take(number);
        }

        private void Take(long number)
        {
            if (number != frame) (frame, message) = (number, 0);
            var written = room.Span;
            while (cutter.TryTake(ref written, out _, out var payload)) take(new(number, ++message), payload);
            room.Clear();
        }
    }
}
