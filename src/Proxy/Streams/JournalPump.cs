using System.IO.Pipelines;
using Proxy.Chat;

namespace Proxy.Streams;

/// <summary>Reads a host's reply into a journal. The clients read the journal, so none of them slows the generation down or ends it by leaving.</summary>
internal static class JournalPump
{
    /// <summary>Runs until the answer ends, and ends the journal. Disposes the reply.</summary>
    /// <param name="reply">The answer.</param>
    /// <param name="journal">Where it goes.</param>
    /// <param name="reader">Reads the frames of an answer that no host gives; null: they are a host's.</param>
    /// <param name="followers">The taps and gates that follow the answer.</param>
    /// <param name="lifetime">The call's lifetime.</param>
    public static async ValueTask<GenerationEnd> RunAsync(
        BackendReply reply, AnswerJournal journal, EventReader? reader, Followers followers, CallLifetime lifetime)
    {
        var end = new GenerationEnd(EndKind.BrokeOff, null, new(ProxyErrorKind.Internal, "the proxy failed")); // until the generation says otherwise
        try
        {
            if (reply.IsDocument) journal.Append(reply.Held.Span);
            if (reply.Refusal is not null) followers = Followers.None;
            else if (reader is not null) followers = new([.. followers.Taps, new Appending(journal)], followers.Gates);
            var sink = Sink(reply, journal, reader, followers.Gates.Length > 0);
            if (sink is VerbatimSink verbatim) journal.HeldEnd = () => verbatim.HeldEnd;
            using var generation = new Generation(reply, sink, Timeout.InfiniteTimeSpan, followers, lifetime);
            end = await generation.RunAsync();
            return end;
        }
        finally
        {
            journal.HeldEnd = null;
            journal.End(end);
        }
    }

    private static IFrameSink Sink(BackendReply reply, AnswerJournal journal, EventReader? reader, bool hasGates) =>
        reply.IsDocument ? new DocumentSink(reply)
        : reader is not null ? new ReadingSink(reply, reader)
        : new VerbatimSink(reply, new Output(journal), null, hasGates);

    /// <summary>Appends the events of a route that has no host. They are frames already.</summary>
    private sealed class Appending(AnswerJournal journal) : IFrameTap
    {
        public void Begin(BackendReply reply) { }

        public void See(long number, ReadOnlySpan<byte> frame, ReadOnlySpan<byte> payload) => journal.Append(frame);
    }

    /// <summary>Reads events only to know how the answer ends.</summary>
    private sealed class ReadingSink(BackendReply reply, EventReader reader) : EventSink(reply, static _ => { }, reader)
    {
        public override bool KeepsAlive => false;

        public override ValueTask<bool> SendAsync(FrameBatch batch) => new(true);

        public override ValueTask<bool> KeepAliveAsync() => new(true);

        public override ValueTask EndAsync() => default;

        protected override void Write(ChatEvent happened) { }
    }

    private sealed class Output(AnswerJournal journal) : ClientOutput(new JournalWriter(journal))
    {
        public override bool KeepsAlive => false; // each client gets its own

        public override void Begin() { }

        public override ValueTask<FlushResult> SendAsync(ReadOnlyMemory<byte> frames, bool isPlain)
        {
            if (Writer.UnflushedBytes > 0) return Writer.WriteAsync(frames);
            journal.Append(frames.Span, isPlain);
            return default;
        }

        public override ValueTask<bool> KeepAliveAsync() => new(true);
    }
}
