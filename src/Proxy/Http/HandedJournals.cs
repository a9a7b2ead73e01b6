using System.Text.Json;
using Proxy.Buffers;
using Proxy.Dialects;
using Proxy.Streams;

namespace Proxy.Http;

/// <summary>
/// Gives the finished answers that this process keeps to the process that took over, before this one ends, so that they can be read again for as long as was
/// promised. Kept responses are not among them: with a store they are there.
/// </summary>
internal sealed class HandedJournals(JournalTable journals, Forwarding forwarding)
{
    public const string Path = "/journals";

    /// <summary>Sends them to a process's admin socket. Returns how many it took.</summary>
    public async Task<int> SendAsync(string socket, CancellationToken cancellation)
    {
        var taken = 0;
        foreach (var journal in journals.Finished())
        {
            using var body = new PooledBody();
            using (var json = WireJson.NewWriter(body))
            {
                json.WriteStartObject();
                JournalJson.WriteOrigin(json, journal.Origin);
                if (journal.Origin.Conversation is { } conversation) json.WriteString("conversation", conversation);
                json.WriteNumber("keep_ms", journal.Until - journals.Now);
                if (journal.Head is { } head) JournalJson.WriteHead(json, head);
                JournalJson.WriteEnd(json, new(journal.State is JournalState.Finished ? EndKind.Whole : EndKind.BrokeOff, null, journal.Error));
                json.WriteEndObject();
            }

            body.Write("\n"u8);
            body.Write(journal.ToWholeArray());
            if (!await forwarding.PostAsync(socket, Path, body.Memory, cancellation)) break;
            taken++;
        }

        return taken;
    }

    /// <summary>Takes one of them.</summary>
    public async Task ReceiveAsync(HttpContext context)
    {
        using var received = new MemoryStream();
        await context.Request.Body.CopyToAsync(received, context.RequestAborted);
        context.Response.StatusCode = Take(received.ToArray()) ? StatusCodes.Status204NoContent : StatusCodes.Status400BadRequest;
    }

    private bool Take(ReadOnlyMemory<byte> message)
    {
        var end = message.Span.IndexOf((byte)'\n');
        if (end < 0) return false;
        JsonElement said;
        try
        {
            said = WireJson.Parse(message.Span[..end]);
        }
        catch (JsonException)
        {
            return false;
        }

        if (JournalJson.ReadOrigin(said) is not { } origin) return false;
        var head = JournalJson.ReadHead(said, null);
        if (head is null && said.TryGetProperty("status", out _)) return false; // a dialect that this version does not know
        origin = origin with
        {
            Conversation = JournalJson.Text(said, "conversation"), Keep = TimeSpan.FromMilliseconds(Math.Max(0, JournalJson.Number(said, "keep_ms"))),
        };
        journals.TakeOver(origin, journal =>
        {
            if (head is not null) journal.Begin(head);
            journal.Append(message.Span[(end + 1)..]);
            journal.End(JournalJson.ReadEnd(said));
        });
        return true;
    }
}
