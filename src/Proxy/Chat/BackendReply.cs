using Proxy.Buffers;

namespace Proxy.Chat;

/// <summary>
/// A host's answer under way: head, what was already read while the dispatcher made sure that it is an answer, and the rest.
/// One owner, who disposes it; that gives back the connection, the lease and the held bytes.
/// </summary>
internal sealed class BackendReply(ReplyBody body, PooledBody held) : IDisposable
{
    /// <summary>An answer that is one document is held in memory up to here: two thousand long embeddings are a third of it.</summary>
    public const int LongestDocument = 128 << 20;

    private IDisposable? lease;
    private int isDone;
    private int disposed;
    private CancellationTokenRegistration cancellation;

    public required int Status { get; init; }
    public required string Backend { get; init; }

    /// <summary>The model's name at the host.</summary>
    public required string ServedModel { get; init; }

    /// <summary>Null for a reply that is not a chat's: it is only passed on.</summary>
    public BackendDialect? Dialect { get; init; }
    public string? ContentType { get; init; }

    /// <summary>How its frames are marked, where it has frames.</summary>
    public StreamFraming Framing => Dialect?.Framing ?? StreamFraming.JsonLines;

    /// <summary>Has looked at the first frames in <see cref="Held"/> and knows where they are cut; null where they were not looked at.</summary>
    public FrameBatch? Frames { get; init; }
    public long? ContentLength { get; init; }
    public IReadOnlyList<KeyValuePair<string, string>> Headers { get; init; } = [];

    /// <summary>Silence allowed between two pieces of the body.</summary>
    public TimeSpan Idle { get; init; }

    /// <summary>When the whole answer must be over, by the body's clock.</summary>
    public long Total { get; init; } = ReplyBody.Never;

    /// <summary>The deadline for the next piece: the allowed silence, but never past the whole answer's end.</summary>
    public long NextDeadline(long now) => Math.Min(Total, now + (long)Idle.TotalMilliseconds);

    /// <summary>The client did not ask for the token counts: the frame that has nothing else is ours.</summary>
    public bool UnaskedUsage { get; init; }

    /// <summary>A stream of frames, which has an end marker; otherwise one document.</summary>
    public bool Streams { get; init; }

    /// <summary>A chat's answer as one document, all of it in <see cref="Held"/>.</summary>
    public bool IsDocument => Dialect is not null && !Streams;

    /// <summary>The body is complete in <see cref="Held"/>.</summary>
    public bool Complete { get; init; }

    /// <summary>Another proxy answers, which has done for this client all that we would do.</summary>
    public bool FromProxy { get; init; }

    /// <summary>The first bytes of the body, in order. They come before what <see cref="Body"/> still reads.</summary>
    public ReadOnlyMemory<byte> Held => held.Memory;

    /// <summary>Where <see cref="Held"/> is, for whoever has sent it and has a use for its room.</summary>
    public PooledBody HeldRoom => held;

    public ReplyBody Body => body;

    /// <summary>Our credentials at this host, which its errors must not tell; null where there are none.</summary>
    public HostSecrets? Secrets { get; init; }

    /// <summary>Called once, when the host has said all it has to say.</summary>
    public Action? Finished { get; set; }

    /// <summary>What ends with this reply: the slot at the backend and the client's cancellation.</summary>
    public void Bind(IDisposable? slot, CancellationTokenRegistration registration)
    {
        lease = slot;
        cancellation = registration;
    }

    /// <summary>What the host refused the call with, where <see cref="Status"/> is no success: read once, by whoever decided that it goes to the client.</summary>
    public ProxyError? Refusal { get; init; }

    public ProxyError TimedOut() => new(ProxyErrorKind.HostTimedOut, Body.Now >= Total
        ? $"backend '{Backend}' did not finish its answer in the time it has"
        : $"backend '{Backend}' was silent for {Idle.TotalSeconds:0.#} s in the middle of its answer") { Backend = Backend };

    public ProxyError BrokeOff() => new(ProxyErrorKind.HostFailed, $"backend '{Backend}' broke off in the middle of its answer: {Body.Failure}") { Backend = Backend };

    public ProxyError Unfinished() => new(ProxyErrorKind.HostFailed, $"backend '{Backend}' ended its answer without saying that it was complete") { Backend = Backend };

    public ProxyError EndlessFrame() => new(ProxyErrorKind.HostFailed, $"backend '{Backend}' sent a frame without an end") { Backend = Backend };

    public ProxyError EndlessDocument() => new(ProxyErrorKind.HostFailed, $"backend '{Backend}' sent an answer too large to hold") { Backend = Backend };

    public ProxyError TooMuchStructure() => new(ProxyErrorKind.HostFailed, $"backend '{Backend}' sent an answer of more than {JsonStructure.MostValues} JSON values") { Backend = Backend };

    public ProxyError NotAnAnswer() => new(ProxyErrorKind.HostFailed, $"backend '{Backend}' sent an answer that is not one") { Backend = Backend };

    /// <summary>The host has said all it has to say: its slot is free, whatever the client still has to take. A client that calls again at its last byte finds it so.</summary>
    public void GiveBackSlot()
    {
        if (Interlocked.Exchange(ref isDone, 1) != 0) return;
        lease?.Dispose();
        Finished?.Invoke();
    }

    public void Dispose()
    {
        if (Interlocked.Exchange(ref disposed, 1) != 0) return;
        cancellation.Dispose();
        Frames?.Dispose();
        body.Dispose();
        held.Dispose();
        GiveBackSlot();
    }
}
