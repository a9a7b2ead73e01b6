using Proxy.Buffers;

namespace Proxy.Chat;

/// <summary>
/// A host's answer under way: its head, the bytes that the dispatcher read to make sure that it is an answer, and the rest of the body.
/// It has one owner; disposing it releases the connection, the lease and the held bytes.
/// </summary>
internal sealed class BackendReply(ReplyBody body, PooledBody held) : IDisposable
{
    /// <summary>The longest document, in bytes, that is held in memory. Two thousand long embeddings take a third of it.</summary>
    public const int LongestDocument = 128 << 20;

    private IDisposable? lease;
    private int isDone;
    private int disposed;
    private CancellationTokenRegistration cancellation;

    public required int Status { get; init; }
    public required string Backend { get; init; }

    /// <summary>The model's name at the host.</summary>
    public required string ServedModel { get; init; }

    /// <summary>The dialect of the answer; null for a reply that is not a chat's and is only forwarded.</summary>
    public BackendDialect? Dialect { get; init; }
    public string? ContentType { get; init; }

    /// <summary>How frames are delimited, if the reply has frames.</summary>
    public StreamFraming Framing => Dialect?.Framing ?? StreamFraming.JsonLines;

    /// <summary>Knows where the first frames in <see cref="Held"/> begin and end; null if they were not inspected.</summary>
    public FrameBatch? Frames { get; init; }
    public long? ContentLength { get; init; }
    public IReadOnlyList<KeyValuePair<string, string>> Headers { get; init; } = [];

    /// <summary>Silence allowed between two pieces of the body.</summary>
    public TimeSpan Idle { get; init; }

    /// <summary>When the whole answer must be complete, by the body's clock.</summary>
    public long Total { get; init; } = ReplyBody.Never;

    /// <summary>The client did not ask for the token counts: the frame that has nothing else is ours.</summary>
    public bool UnaskedUsage { get; init; }

    /// <summary>True: a stream of frames with an end marker. False: one document.</summary>
    public bool Streams { get; init; }

    /// <summary>Whether this is a chat's answer as one document, all of it in <see cref="Held"/>.</summary>
    public bool IsDocument => Dialect is not null && !Streams;

    /// <summary>Whether the whole body is in <see cref="Held"/>.</summary>
    public bool Complete { get; init; }

    /// <summary>The answer comes from another proxy, which has already made every change for this client that we would make.</summary>
    public bool FromProxy { get; init; }

    /// <summary>Its events come from workers that have published them to NATS; they are not published again.</summary>
    public bool IsPublished { get; init; }

    /// <summary>The first bytes of the body, in order. They come before what <see cref="Body"/> still reads.</summary>
    public ReadOnlyMemory<byte> Held => held.Memory;

    /// <summary>The buffer of <see cref="Held"/>, to be reused once those bytes have been sent.</summary>
    public PooledBody HeldRoom => held;

    public ReplyBody Body => body;

    /// <summary>Our credentials at this host, which must not reach the client in the host's errors; null if there are none.</summary>
    public HostSecrets? Secrets { get; init; }

    /// <summary>Called once, when the host has finished its answer.</summary>
    public Action? Finished { get; set; }

    /// <summary>Hands over what must be released with this reply: the slot at the backend and the registration for the client's cancellation.</summary>
    public void Bind(IDisposable? slot, CancellationTokenRegistration registration)
    {
        lease = slot;
        cancellation = registration;
    }

    /// <summary>The host's error, if <see cref="Status"/> is not a success. Parsed once, by the code that decided to pass it to the client.</summary>
    public ProxyError? Refusal { get; init; }

    public ProxyError TimedOut() => new(ProxyErrorKind.HostTimedOut, Body.Now >= Total
        ? $"backend '{Backend}' did not finish its answer within its total time limit"
        : $"backend '{Backend}' was silent for {Idle.TotalSeconds:0.#} s in the middle of its answer") { Backend = Backend };

    /// <summary>Why the body failed, if it is not a host's connection. Null, or a null result: its <see cref="ReplyBody.Failure"/> says why.</summary>
    public Func<ProxyError?>? WhyBroken { get; init; }

    public ProxyError BrokeOff() => WhyBroken?.Invoke() ??
        new ProxyError(ProxyErrorKind.HostFailed, $"backend '{Backend}' broke off in the middle of its answer: {Body.Failure}") { Backend = Backend };

    public ProxyError Unfinished() =>
        new(ProxyErrorKind.HostFailed, $"backend '{Backend}' ended its answer without saying that it was complete") { Backend = Backend };

    public ProxyError EndlessFrame() => new(ProxyErrorKind.HostFailed, $"backend '{Backend}' sent a frame that is too long") { Backend = Backend };

    public ProxyError EndlessDocument() => new(ProxyErrorKind.HostFailed, $"backend '{Backend}' sent an answer too large to hold") { Backend = Backend };

    public ProxyError TooMuchStructure() =>
        new(ProxyErrorKind.HostFailed, $"backend '{Backend}' sent an answer of more than {JsonStructure.MostValues} JSON values") { Backend = Backend };

    public ProxyError NotAnAnswer() => new(ProxyErrorKind.HostFailed, $"backend '{Backend}' sent an answer that cannot be read") { Backend = Backend };

    /// <summary>
    /// Frees the host's slot when the host has finished, even if the client is still reading. A client that calls again on receiving the last byte finds it
    /// free.
    /// </summary>
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
