using Proxy.Buffers;
using Proxy.Chat;

namespace Proxy.Streams;

/// <summary>What is known of an answer besides its bytes. It is kept with the bytes, so that the answer can be written again for another client.</summary>
internal sealed record AnswerHead
{
    public required int Status { get; init; }
    public required string Backend { get; init; }
    public required string ServedModel { get; init; }

    /// <summary>The dialect of the bytes; null: they are events of a route that has no host.</summary>
    public required BackendDialect? Dialect { get; init; }
    public string? ContentType { get; init; }

    /// <summary>The host's headers that clients may see.</summary>
    public IReadOnlyList<KeyValuePair<string, string>> Headers { get; init; } = [];
    public bool UnaskedUsage { get; init; }

    /// <summary>Frames with an end marker, or one document.</summary>
    public bool Streams { get; init; }
    public HostSecrets? Secrets { get; init; }

    /// <summary>The host's own error, if the document is one.</summary>
    public ProxyError? Refusal { get; init; }

    /// <summary>Whether the first client gets the bytes as they are. If not, its dialect's writer makes its answer of their events.</summary>
    public required bool Verbatim { get; init; }

    /// <summary>The answer is written as one document, even for clients that asked for a stream.</summary>
    public bool Whole { get; init; }

    /// <summary>The ids and times in what a writer writes. The same for everyone who reads this answer.</summary>
    public required ReplyStamp Stamp { get; init; }

    /// <summary>Response headers that the route added.</summary>
    public IReadOnlyList<KeyValuePair<string, string>> RouteHeaders { get; init; } = [];

    public static AnswerHead Of(BackendReply reply, ChatAnswer answer, ReplyStamp stamp) => new()
    {
        Status = reply.Status,
        Backend = reply.Backend,
        ServedModel = reply.ServedModel,
        Dialect = reply.Dialect,
        ContentType = reply.ContentType,
        Headers = reply.Headers,
        UnaskedUsage = reply.UnaskedUsage,
        Streams = reply.Streams,
        Secrets = reply.Secrets,
        Refusal = reply.Refusal,
        Verbatim = answer is ChatAnswer.Verbatim,
        Whole = answer is ChatAnswer.Translated { Whole: true },
        Stamp = stamp,
        RouteHeaders = answer.Headers,
    };

    /// <summary>The answer with its bytes in <paramref name="body"/>, as if the host sent it again.</summary>
    /// <param name="body">The bytes of a stream.</param>
    /// <param name="held">The bytes of a document.</param>
    /// <param name="why">Why the bytes end before the answer does; asked when the body fails.</param>
    public BackendReply Reply(ReplyBody body, PooledBody held, Func<ProxyError?> why) => new(body, held)
    {
        Status = Status,
        Backend = Backend,
        ServedModel = ServedModel,
        Dialect = Dialect,
        ContentType = ContentType,
        Headers = Headers,
        UnaskedUsage = UnaskedUsage,
        Streams = Streams,
        Complete = !Streams,
        Secrets = Secrets,
        Refusal = Refusal,
        Idle = TimeSpan.FromDays(1), // the generation that writes the journal watches the host's silence
        WhyBroken = why,
    };
}
