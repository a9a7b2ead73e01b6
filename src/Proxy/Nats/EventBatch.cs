using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects.Events;

namespace Proxy.Nats;

/// <summary>
/// The events of one call that have not been handed to the outbox. The call's own code adds them; the clock flushes them from another thread.
/// </summary>
internal sealed class EventBatch(NatsParts parts, string traceId)
{
    /// <summary>A message with more bytes than this is sent at once.</summary>
    private const int Large = 64 << 10;

    /// <summary>Room for the message's headers and for rounding.</summary>
    private const int HeaderRoom = 1024;

    private readonly Lock gate = new();
    private readonly EventSchemaWriter writer = new();
    private readonly string subject = parts.EventSubject(traceId);
    private readonly int mostBytes = Math.Max(parts.Link.MaxPayload - HeaderRoom, HeaderRoom);
    private PooledBody? lines;

    /// <summary>The call's <c>traceparent</c>; null: its messages have none.</summary>
    public string? TraceParent { get; init; }
    private long seq;
    private long first;
    private bool isTimed;

    /// <summary>Adds an event under the call's next number. One that is too large for a message is split, or cut if it has no text to split.</summary>
    public void Add(ChatEvent happened)
    {
        var most = MostText;
        switch (happened)
        {
            case ChatEvent.Token { Text.Length: var length } token when length > most:
                foreach (var piece in Pieces(token.Text, most)) Write(token with { Text = piece });
                break;
            case ChatEvent.ToolCall { Arguments: { Length: var length } arguments } call when length > most:
                foreach (var piece in Pieces(arguments, most))
                {
                    Write(call with { Arguments = piece });
                    call = call with { Id = null, Name = null };
                }

                break;
            default:
                Write(happened);
                break;
        }
    }

    /// <summary>Hands what there is to the outbox.</summary>
    public void Flush()
    {
        lock (gate) Seal();
    }

    public void FlushByClock()
    {
        lock (gate)
        {
            isTimed = false;
            Seal();
        }
    }

    /// <summary>Characters of text in one event. A character takes at most six bytes in JSON.</summary>
    private int MostText => Math.Min(32 << 10, mostBytes / 8);

    private void Write(ChatEvent happened)
    {
        lock (gate)
        {
            var body = lines ??= new PooledBody(1024);
            var before = body.Length;
            WriteLine(happened, body);
            if (body.Length - before > mostBytes)
            {
                body.Truncate(before);
                seq--;
                WriteLine(Cut(happened), body);
                parts.CountCut();
            }

            if (before > 0 && body.Length > Math.Min(mostBytes, Large)) Split(body, before);
            if (before == 0 || first == 0) first = seq;
            if (!parts.Clock.Collects || lines.Length > Large / 2)
            {
                Seal();
            }
            else if (!isTimed)
            {
                isTimed = true;
                parts.Clock.Add(this);
            }
        }
    }

    private void WriteLine(ChatEvent happened, PooledBody body)
    {
        writer.WriteObject(happened, body, ++seq);
        body.Write("\n"u8);
    }

    /// <summary>Sends the lines before the last one as a message, and keeps that one.</summary>
    private void Split(PooledBody body, int before)
    {
        var rest = new PooledBody(body.Length - before);
        rest.Write(body.Span[before..]);
        body.Truncate(before);
        Seal();
        lines = rest;
    }

    private void Seal()
    {
        if (lines is not { Length: > 0 } whole) return;
        whole.Trim(); // it may wait for as long as the server is away
        parts.Outbox.Add(new EventMessage(subject, $"{traceId}/{first}", whole) { TraceParent = TraceParent }, isEvent: true);
        (lines, first) = (null, 0);
    }

    /// <summary>The event without what may be of any length.</summary>
    private ChatEvent Cut(ChatEvent happened) => happened switch
    {
        ChatEvent.Finished { Error: { } error } finished => finished with
        {
            Opaque = null,
            Error = error with { Message = error.Message[..Math.Min(error.Message.Length, MostText)] },
        },
        ChatEvent.SourcesFound found => found with { Opaque = null, Sources = [] },
        _ => happened with { Opaque = null },
    };

    /// <summary>Cuts a text into pieces, never inside a character.</summary>
    private static IEnumerable<string> Pieces(string text, int most)
    {
        for (var at = 0; at < text.Length;)
        {
            var length = Math.Min(most, text.Length - at);
            if (at + length < text.Length && char.IsHighSurrogate(text[at + length - 1])) length--;
            yield return text.Substring(at, length);
            at += length;
        }
    }
}
