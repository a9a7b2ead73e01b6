using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects;
using Proxy.Streams;

namespace Proxy.Http;

/// <summary>
/// Writes the answer to an <c>Idempotency-Key</c> to the store, in the transaction of the call's record, so that the key has the same answer after a restart
/// and at other proxies on the same database.
/// </summary>
/// <param name="call">The call.</param>
/// <param name="journal">Keeps the answer.</param>
/// <param name="request">The client's request, which some dialects repeat in their answers.</param>
/// <param name="time">The clock.</param>
internal sealed class KeyRecord(FollowedCall call, AnswerJournal journal, byte[]? request, TimeProvider time) : IEndGate
{
    private readonly string? requestId = call.Routed.RequestId(); // computed now, because the body is given back when the answer begins

    public ValueTask<ProxyError?> BeforeEndAsync(GenerationEnd end, CancellationToken cancellation)
    {
        if (!journal.IsReadable) return default; // too large to be kept, so the key has no answer
        var (origin, now) = (journal.Origin, time.GetUtcNow());
        using var meta = new PooledBody();
        using (var json = WireJson.NewWriter(meta))
        {
            json.WriteStartObject();
            json.WriteString("kind", "key");
            JournalJson.WriteOrigin(json, origin);
            JournalJson.WriteHead(json, journal.Head!);
            JournalJson.WriteEnd(json, end);
            json.WriteEndObject();
        }

        call.Rows.Add(new AnswerRow
        {
            TraceId = origin.TraceId,
            Owner = origin.Owner,
            Meta = meta.Span.ToArray(),
            Frames = journal.ToWholeArray(),
            Request = request,
            CreatedAt = origin.Created,
            ExpiresAt = now + origin.Keep,
        });
        call.Rows.Add(new KeyRow
        {
            Owner = origin.Owner,
            Key = origin.Key!,
            TraceId = origin.TraceId,
            Digest = origin.Digest,
            RequestId = requestId,
            Status = "done",
            UpdatedAt = now,
            ExpiresAt = now + origin.Keep,
        });
        call.NeedsRecord = true;
        return default;
    }

    public void Ended(GenerationEnd end) { }

    /// <summary>
    /// Finds what the store knows about a new journal's key, and fills the journal with the answer if there is one. Returns an error if the key was sent with
    /// another request.
    /// </summary>
    /// <exception cref="StoreException">The store cannot be read.</exception>
    public static async ValueTask<ProxyError?> RestoreAsync(IRecordStore store, AnswerJournal journal, CancellationToken cancellation)
    {
        var origin = journal.Origin;
        if (await store.FindKeyAsync(origin.Owner, origin.Key!, cancellation) is not { Status: "done" } row) return null;
        if (row.Digest != origin.Digest) return CallSharing.KeyReused;
        if (await store.FindAnswerAsync(origin.Owner, row.TraceId, cancellation) is not { } answer) return null;
        ChatRequest? parsed = null;
        if (answer.Request is { } body) origin.Dialect.ReadRequest(body, out parsed);
        var meta = WireJson.Parse(answer.Meta);
        if (JournalJson.ReadHead(meta, parsed) is not { } head) return null;
        journal.Begin(head with { Stamp = head.Stamp with { Terms = origin.Request?.Terms } });
        journal.Append(answer.Frames);
        journal.End(JournalJson.ReadEnd(meta));
        return null;
    }
}
