using Proxy.Chat;
using Proxy.Dialects.Events;
using Proxy.Streams;

namespace Proxy.Http.Responses;

/// <summary>
/// Follows a response that is kept: gives its journal the host's id as a name, and, if there is a store, writes it there before its end is sent.
/// </summary>
internal sealed class ResponseRecord(AnswerJournal journal, KeptResponses kept) : IFrameTap, IEndGate
{
    private const int MostFramesBeforeId = 16;

    private readonly IRecordStore? store = journal.Origin.Request is { Terms.IsStored: true } ? kept.Store : null;
    private readonly List<ChatEvent> events = [];
    private BackendReply? reply;
    private EventReader? reader; // null once the id is known
    private string? hostId;

    /// <summary>The response is written to a store.</summary>
    public bool IsStored => store is not null;

    public void Begin(BackendReply answer)
    {
        reply = answer;
        reader = answer.Dialect?.NewEventReader() ?? new EventSchemaReader();
    }

    public void See(long number, ReadOnlySpan<byte> frame, ReadOnlySpan<byte> payload)
    {
        if (reader is not null && !payload.IsEmpty) FindId(number, payload);
    }

    public async ValueTask<ProxyError?> BeforeEndAsync(GenerationEnd end, CancellationToken cancellation)
    {
        await CommitAsync(end, cancellation);
        return null; // a response that could not be written ends well, and stays in memory for a while
    }

    public void Ended(GenerationEnd end)
    {
        if (end.Kind is not EndKind.Whole) _ = CommitAsync(end, CancellationToken.None).AsTask();
    }

    private async ValueTask CommitAsync(GenerationEnd end, CancellationToken cancellation)
    {
        if (journal.IsDeleted) return;
        if (!journal.IsReadable)
        {
            kept.Log.ResponseNotStored(KeptResponses.NameOf(journal.Origin.TraceId), "it is larger than [streams] memory");
            return;
        }

        try
        {
            await store!.CommitAsync([StoredResponse.Row(journal, hostId, journal.ToWholeArray(), end, kept.Now + kept.StoredFor)], cancellation);
        }
        catch (StoreException problem)
        {
            kept.Log.ResponseNotStored(KeptResponses.NameOf(journal.Origin.TraceId), problem.Message);
        }
    }

    private void FindId(long number, ReadOnlySpan<byte> payload)
    {
        if (reply!.IsDocument) reply.Dialect!.TryReadWhole(payload, events);
        else reader!.Read(payload, events);
        var started = events.OfType<ChatEvent.Started>().FirstOrDefault();
        events.Clear();
        if (started is null && number < MostFramesBeforeId && !reply.IsDocument) return;
        reader = null;
        if (started?.Id is not { } id || !id.StartsWith("resp_", StringComparison.Ordinal)) return; // in this dialect it gets an id of ours
        hostId = id;
        kept.Journals.Name(journal, id);
    }
}
