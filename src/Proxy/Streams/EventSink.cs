using Proxy.Chat;

namespace Proxy.Streams;

/// <summary>
/// Reads a host's frames as events, for a client of another dialect or one that wants a single document. The result does not depend on how the network split
/// the bytes.
/// </summary>
/// <param name="reply">The reply that is read.</param>
/// <param name="skip">Called with the kind of each part that is dropped because no dialect here can express it.</param>
/// <param name="reader">Reads the events; null: the reader of the reply's own dialect.</param>
internal abstract class EventSink(BackendReply reply, Action<string> skip, EventReader? reader) : IFrameSink
{
    private readonly EventReader reader = reader ?? reply.Dialect!.NewEventReader();
    private readonly List<ChatEvent> events = [];

    public bool IsOver => false; // after the finish reason the token counts may still come, so the reply is read to its end
    public bool HasFinished { get; private set; }
    public bool HasFailed => Error is not null;
    public Usage? Usage { get; private set; }
    public abstract bool KeepsAlive { get; }

    protected ProxyError? Error { get; private set; }

    /// <summary>The task or model that a workflow has chosen; null: none was named.</summary>
    private string? winner;

    /// <summary>The number of the frame whose events are being written.</summary>
    protected long Frame { get; private set; }

    public void Take(FrameBatch batch)
    {
        while (!HasFailed && batch.TryNext(out _, out var payload))
        {
            Frame = batch.Number;
            if (JsonStructure.IsTooMuch(payload)) Fail(reply.TooMuchStructure());
            else if (!payload.IsEmpty) reader.Read(payload, events);
            Write();
        }
    }

    public abstract ValueTask<bool> SendAsync(FrameBatch batch);

    public abstract ValueTask<bool> KeepAliveAsync();

    public GenerationEnd Close(ProxyError? broken, bool silent, FrameBatch batch)
    {
        if (!HasFailed && reply.IsDocument)
        {
            TakeWhole();
        }
        else if (!HasFailed)
        {
            // A stream that ended cleanly may lack the last line end, so the remaining bytes are a frame. After a break they are half a frame and are dropped.
            var rest = broken is null ? batch.PayloadOfRest(batch.Rest) : default;
            if (!rest.IsEmpty)
            {
                Frame = batch.Number + 1;
                reader.Read(rest, events);
            }

            // A host that sent its finish reason and then fell silent has completed its answer.
            var isWhole = reader.End(events, cleanly: broken is null || (silent && batch.Rest.IsEmpty));
            Write();
            if (!isWhole && !HasFailed) Fail(broken ?? reply.Unfinished());
        }

        reply.Dispose(); // it has been read to its end: its connection is free, whatever the client still has to take
        return Error is null ? new(EndKind.Whole, Usage) { Winner = winner } : new(EndKind.BrokeOff, Usage, Error);
    }

    public abstract ValueTask EndAsync();

    protected abstract void Write(ChatEvent happened);

    /// <summary>Reads a reply that is one document.</summary>
    private void TakeWhole()
    {
        if (JsonStructure.IsTooMuch(reply.Held.Span)) Fail(reply.TooMuchStructure());
        else if (!reply.Dialect!.TryReadWhole(reply.Held.Span, events)) Fail(reply.NotAnAnswer());
        reply.Dispose(); // the document has been read; this returns its memory before the output needs as much
        Write();
    }

    private void Write()
    {
        foreach (var happened in events)
        {
            switch (happened)
            {
                case ChatEvent.Finished { Error: { } error }:
                    Fail(error);
                    break;
                case ChatEvent.Finished finished:
                    winner ??= finished.Winner;
                    break;
                case ChatEvent.UsageReported reported:
                    Usage = reported.Usage;
                    break;
                case ChatEvent.Skipped part:
                    skip(part.Kind);
                    break;
            }

            if (HasFailed) break;
            HasFinished |= happened is ChatEvent.Finished;
            if (happened is not (ChatEvent.Skipped or ChatEvent.Quiet)) Write(happened);
        }

        events.Clear();
    }

    /// <summary>Keeps the first error only, with our credentials removed from its text.</summary>
    private void Fail(ProxyError error) => Error ??= reply.Secrets is not { } secrets ? error : error with
    {
        Message = secrets.Strike(error.Message),
        Code = error.Code is { } code ? secrets.Strike(code) : null,
        HostType = error.HostType is { } type ? secrets.Strike(type) : null,
    };
}
