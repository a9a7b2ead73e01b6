using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects.Events;
using Proxy.Streams;

namespace Proxy.Nats;

/// <summary>
/// Publishes one call: its events while the host sends them, and its message when it has ended. As a gate it holds nothing back; it is told of the end after
/// every gate, so <c>finished</c> is published when a record that another gate waits for is committed.
/// </summary>
internal sealed class CallPublisher : IFrameTap, IEndGate
{
    private readonly NatsParts parts;
    private readonly FollowedCall call;
    private readonly EventBatch batch;
    private readonly Conversation? conversation;
    private readonly List<ChatEvent> events = [];
    private readonly List<ChatEvent.Finished> finishes = []; // one for each choice; published at the end
    private BackendReply? reply;
    private EventReader? reader;
    private Usage? usage;
    private bool isPublished; // its events are: here, or by the workers that they come from

    public CallPublisher(NatsParts parts, FollowedCall call)
    {
        (this.parts, this.call) = (parts, call);
        batch = new EventBatch(parts, call.Info.TraceId) { TraceParent = call.Info.Span.TraceParent }; // there are many: only of traced calls
        // The body is given back when the answer begins, so it is copied.
        if (parts.Config.Record is "full") conversation = new Conversation(call.Routed.Call.Dialect, call.Routed.Call.OriginalBody?.ToArray() ?? []);
    }

    public void Begin(BackendReply reply)
    {
        this.reply = reply;
        isPublished = !reply.IsPublished;
        if (isPublished || conversation is not null) reader = reply.Dialect?.NewEventReader() ?? new EventSchemaReader();
    }

    public void See(long number, ReadOnlySpan<byte> frame, ReadOnlySpan<byte> payload)
    {
        if (reader is null || payload.IsEmpty) return;
        try
        {
            if (JsonStructure.IsTooMuch(payload)) return; // it would not be translated for a client either
            if (reply!.IsDocument) reply.Dialect!.TryReadWhole(payload, events);
            else reader.Read(payload, events);
            Take();
        }
        catch (Exception problem) // a bug here must not cost the client its answer
        {
            StopReading(problem);
        }
    }

    public ValueTask<ProxyError?> BeforeEndAsync(GenerationEnd end, CancellationToken cancellation) => new((ProxyError?)null);

    public void Ended(GenerationEnd end)
    {
        try
        {
            if (reader is not null && end.Kind is EndKind.Whole && !reply!.IsDocument)
            {
                reader.End(events);
                Take();
            }
        }
        catch (Exception problem) // as above
        {
            StopReading(problem);
        }

        var error = Error(end);
        if (isPublished)
        {
            foreach (var finish in Finishes(error)) batch.Add(finish);
            batch.Flush();
        }

        parts.Outbox.Add(new DoneMessage(parts, Summary(end, error), conversation) { TraceParent = call.Info.TraceParent }, isEvent: false);
    }

    /// <summary>Adds what the reader read to the batch, and holds the ends of choices back.</summary>
    private void Take()
    {
        foreach (var happened in events)
        {
            switch (happened)
            {
                case ChatEvent.Skipped or ChatEvent.Quiet:
                    continue;
                case ChatEvent.Finished finished:
                    finishes.Add(finished);
                    continue;
                case ChatEvent.UsageReported reported:
                    usage = reported.Usage;
                    break;
            }

            conversation?.Answer.Add(happened);
            if (isPublished) batch.Add(happened);
        }

        events.Clear();
    }

    private void StopReading(Exception problem)
    {
        reader = null;
        parts.Log.NotRead(problem, call.Info.TraceId);
    }

    /// <summary>An answer that failed has one end, whatever its choices said before.</summary>
    private List<ChatEvent.Finished> Finishes(ProxyError? error)
    {
        if (error is not null) return [new ChatEvent.Finished(FinishReason.Error, Error: error)];
        var whole = finishes.Where(static finish => finish.Error is null).DistinctBy(static finish => finish.Choice).ToList();
        return whole.Count > 0 ? whole : [new ChatEvent.Finished(FinishReason.Stop)];
    }

    private ProxyError? Error(GenerationEnd end)
    {
        if (end.Kind is EndKind.Whole) return null;
        var error = end.Kind is not EndKind.ClientLeft ? end.Error ?? new(ProxyErrorKind.HostFailed, "the answer broke off")
            : call.Record.Interrupted ? new(ProxyErrorKind.Draining, "the proxy was stopped before the answer was complete")
            : end.Interrupted ? new(ProxyErrorKind.Cancelled, "the call was cancelled")
            : new(ProxyErrorKind.ClientLeft, "the client left before the answer was complete");
        return reply?.Secrets is { } secrets ? error with { Message = secrets.Strike(error.Message) } : error;
    }

    private CallSummary Summary(GenerationEnd end, ProxyError? error)
    {
        var (record, routed, info) = (call.Record, call.Routed, call.Info);
        var duration = parts.Time.GetElapsedTime(record.Started);
        var winner = finishes.Find(static finish => finish.Winner is not null);
        return new()
        {
            TraceId = info.TraceId,
            RequestId = info.RequestId,
            Parent = info.CorrelationId == info.TraceId ? null : info.CorrelationId,
            Session = info.Session,
            Owner = info.Owner,
            Surface = record.Surface,
            Model = record.Model,
            Served = record.Served,
            Winner = winner?.Winner ?? record.Served,
            Backend = record.Backend,
            Route = record.Route,
            Workspace = routed.Workspace,
            Pipeline = routed.Pipeline,
            Stream = record.Stream,
            MessageCount = record.Messages,
            Usage = end.Usage ?? usage,
            Started = parts.Time.GetUtcNow() - duration,
            FirstToken = record.FirstToken == 0 ? null : parts.Time.GetElapsedTime(record.Started, record.FirstToken),
            Duration = duration,
            Outcome = Outcome(error),
            Reason = error is not null ? FinishReason.Error : finishes.Count > 0 ? finishes[0].Reason : FinishReason.Stop,
            Error = error is null ? null : error.Code ?? ProxyErrorTable.Of(error.Kind).Code,
        };
    }

    /// <summary>The outcome as the log names it.</summary>
    private static Telemetry.CallOutcome Outcome(ProxyError? error) => error?.Kind switch
    {
        null => Telemetry.CallOutcome.Ok,
        ProxyErrorKind.ClientLeft or ProxyErrorKind.Cancelled => Telemetry.CallOutcome.ClientLeft,
        ProxyErrorKind.Draining => Telemetry.CallOutcome.Drained,
        ProxyErrorKind.HostTimedOut => Telemetry.CallOutcome.Timeout,
        ProxyErrorKind.Internal or ProxyErrorKind.StoreFailed => Telemetry.CallOutcome.ProxyError,
        _ => Telemetry.CallOutcome.BackendError,
    };
}
