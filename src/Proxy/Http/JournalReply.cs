using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects.Events;
using Proxy.Streams;

namespace Proxy.Http;

/// <summary>Makes an answer of a journal, for one of its clients.</summary>
internal static class JournalReply
{
    /// <summary>Waits until the answer has begun, and a document until it is complete.</summary>
    /// <param name="journal">The journal.</param>
    /// <param name="client">The dialect in which the answer will be written.</param>
    /// <param name="cancellation">The client has left.</param>
    public static async ValueTask<ChatAnswer> OpenAsync(AnswerJournal journal, ClientDialect client, CancellationToken cancellation)
    {
        await journal.WhenBegunAsync(cancellation);
        if (journal.Head is not { } head) return new ChatAnswer.Refused(journal.Error!);
        if (journal.Read() is not { } body) return new ChatAnswer.Refused(Gone);
        var held = new PooledBody(16);
        if (!head.Streams && await ReadDocumentAsync(journal, body, held, cancellation) is { } failure) return new ChatAnswer.Refused(failure);

        var reply = head.Reply(body, held, () => body.IsCut ? TooSlow : journal.Error);
        reply.Bind(null, cancellation.UnsafeRegister(static state => ((ReplyBody)state!).Cancel(), body));
        if (head.Verbatim && client.Name == journal.Origin.Dialect.Name) return new ChatAnswer.Verbatim(reply) { Headers = head.RouteHeaders };
        return new ChatAnswer.Translated(reply)
        {
            Headers = head.RouteHeaders,
            NewReader = head.Dialect is null ? static () => new EventSchemaReader() : null,
            Whole = head.Whole,
            Sources = head.Stamp.Sources,
            Search = head.Stamp.Search,
            RunId = head.Stamp.RunId,
        };
    }

    /// <summary>Reads a whole document. If there is none, disposes what it would be read with.</summary>
    private static async ValueTask<ProxyError?> ReadDocumentAsync(AnswerJournal journal, JournalBody body, PooledBody held, CancellationToken cancellation)
    {
        var isRead = false;
        try
        {
            await journal.WhenEndedAsync(cancellation);
            if (journal is { State: JournalState.Failed, Error: { } error }) return error;
            while (await body.ReadAsync() is { Kind: ReplyReadKind.Data } read) held.Write(read.Bytes.Span);
            isRead = true;
            return null;
        }
        finally
        {
            if (!isRead)
            {
                body.Dispose();
                held.Dispose();
            }
        }
    }

    private static ProxyError Gone => new(ProxyErrorKind.StreamExpired, "the beginning of the answer is not kept any more: it is larger than [streams] memory");

    private static ProxyError TooSlow => new(ProxyErrorKind.StreamExpired,
        "the answer is larger than [streams] memory, and this client read it too slowly to get it while it was generated");
}
