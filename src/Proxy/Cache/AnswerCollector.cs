using System.Buffers;
using Proxy.Chat;
using Proxy.Dialects;
using Proxy.Dialects.Events;
using Proxy.Streams;

namespace Proxy.Cache;

/// <summary>
/// Collects the events of one answer, and keeps them when the answer is complete. An answer that failed or was cut, that has several choices, log probabilities
/// or parts that no event can express is not kept.
/// </summary>
internal sealed class AnswerCollector(CacheKey key, string model, AnswerKeeper keeper) : IFrameTap, IEndGate
{
    private readonly EventSchemaWriter writer = new();
    private readonly List<ChatEvent> events = [];
    private readonly ArrayBufferWriter<byte> lines = new();
    private BackendReply? reply;
    private EventReader? reader;
    private CachedAnswer? kept;
    private bool isOut, isFinished;

    public void Begin(BackendReply reply)
    {
        this.reply = reply;
        isOut = reply.Status >= 300;
        reader = reply.Dialect?.NewEventReader() ?? new EventSchemaReader(); // a route's events have no host's dialect
    }

    public void See(long number, ReadOnlySpan<byte> frame, ReadOnlySpan<byte> payload)
    {
        if (isOut || payload.IsEmpty) return;
        if (JsonStructure.IsTooMuch(payload)) isOut = true;
        else if (reply!.IsDocument) isOut = !reply.Dialect!.TryReadWhole(payload, events);
        else reader!.Read(payload, events);
        Collect();
    }

    /// <summary>Keeps the answer before the client gets its end, so that a call that follows it finds it.</summary>
    public ValueTask<ProxyError?> BeforeEndAsync(GenerationEnd end, CancellationToken cancellation)
    {
        if (!isOut && !reply!.IsDocument)
        {
            reader!.End(events);
            Collect();
        }

        if (!isOut && isFinished) kept = keeper.Keep(key, lines.WrittenSpan);
        return default;
    }

    public void Ended(GenerationEnd end)
    {
        if (kept is null) return;
        if (end.Kind is EndKind.Whole) keeper.Save(key, model, reply!.ServedModel, kept);
        else keeper.Forget(key, kept);
    }

    private void Collect()
    {
        foreach (var happened in events)
        {
            if (happened is ChatEvent.Quiet) continue;
            isOut |= happened is ChatEvent.Skipped or ChatEvent.Finished { Error: not null } or ChatEvent.Finished { Reason: FinishReason.Error }
                || happened.Choice != 0 || happened.Opaque.Member("logprobs"u8) is not null || lines.WrittenCount > keeper.Longest;
            if (isOut) break;
            isFinished |= happened is ChatEvent.Finished;
            writer.Write(happened, lines);
        }

        events.Clear();
    }
}
