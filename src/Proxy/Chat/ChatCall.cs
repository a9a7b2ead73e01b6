using Proxy.Buffers;

namespace Proxy.Chat;

/// <summary>
/// The part of a call that routing needs, found in one forward scan without parsing the request. <paramref name="ModelSlice"/> is the position of the model's
/// JSON string, quotes included. <paramref name="Stream"/> is null if the body does not say.
/// </summary>
internal sealed record ChatEnvelope(string Model, bool? Stream, Range ModelSlice)
{
    /// <summary>The client asked for usage in its stream.</summary>
    public bool IncludeUsage { get; init; }

    /// <summary>The position of the value of <c>stream_options</c>; null if there is none.</summary>
    public Range? StreamOptionsSlice { get; init; }

    /// <summary>
    /// The number of elements of <c>messages</c>, of Responses' <c>input</c>, or of <c>prompt</c>; a string counts as one. Null if the body has none of them.
    /// </summary>
    public int? Messages { get; init; }
}

/// <summary>The owner of a call, its ids and its routing headers.</summary>
internal sealed record CallInfo(string TraceId, string CorrelationId, string Owner)
{
    /// <summary>The name of the API key, or <c>anonymous</c>. Set once, after authentication.</summary>
    public string Owner { get; set; } = Owner;

    /// <summary>When the call's stages began.</summary>
    public CallTimes Times { get; } = new();

    public string? TraceParent { get; init; }
    public string? TraceState { get; init; }
    public string? RequestId { get; init; }
    public string? Workspace { get; init; }
    public string? Pipeline { get; init; }

    /// <summary>The value of <c>x-route</c>, with which a client forces a route: direct, rag or workflow.</summary>
    public string? Route { get; init; }
    public string? Session { get; init; }

    /// <summary>What the call's headers ask of the stream, the cache and the publisher; null: nothing.</summary>
    public CallWishes? Wishes { get; init; }

    /// <summary>What the exact cache did for the call, as the client is told: hit, miss or bypass. Null: there is no cache.</summary>
    public string? Cache { get; set; }

    /// <summary>The proxies that the call has passed through (<see cref="Chat.Via"/>); null if the client called this proxy directly.</summary>
    public string? Via { get; init; }
}

/// <summary>Headers that few calls have, as the client wrote them. Each is checked by the feature that it is meant for.</summary>
internal sealed record CallWishes
{
    /// <summary><c>Idempotency-Key</c>: calls with the same key and the same body get the same answer.</summary>
    public string? IdempotencyKey { get; set; }

    /// <summary><c>x-resume</c>: the answer can be read again and followed while it is generated.</summary>
    public string? Resume { get; set; }

    /// <summary><c>X-Conversation-Id</c>: the same, in llama.cpp's way.</summary>
    public string? ConversationId { get; set; }

    /// <summary><c>x-publish</c>: <c>none</c> keeps the call's events from being published.</summary>
    public string? Publish { get; set; }

    /// <summary><c>x-cache</c>: <c>use</c> lets the exact cache answer, <c>bypass</c> does not.</summary>
    public string? Cache { get; set; }

    /// <summary>The headers <c>x-rag-*</c>; null: there are none.</summary>
    public RagWishes? Rag { get; set; }

    /// <summary><c>x-stainless-retry-count</c> is 1 or more: an SDK says that this call is a retry.</summary>
    public bool IsRetry { get; set; }
}

/// <summary>The headers that say how documents are searched, as the client wrote them; null where it did not.</summary>
internal sealed record RagWishes
{
    /// <summary>The start of the names of these headers.</summary>
    public const string Prefix = "x-rag-";

    /// <summary><c>x-rag-top-k</c>: the most passages.</summary>
    public string? TopK { get; set; }

    /// <summary><c>x-rag-threshold</c>: the least score of a passage.</summary>
    public string? Threshold { get; set; }

    /// <summary><c>x-rag-filter</c>: which files, as JSON.</summary>
    public string? Filter { get; set; }

    /// <summary><c>x-rag-rerank</c>: <c>on</c> or <c>off</c>.</summary>
    public string? Rerank { get; set; }

    /// <summary><c>x-rag-trace</c>: <c>1</c> asks for the stages of the search.</summary>
    public string? Trace { get; set; }

    /// <summary>The name of a header that begins like these and is none of them.</summary>
    public string? Unknown { get; set; }

    /// <summary>The name of one of the headers that were sent, for an error.</summary>
    public string First => TopK is not null ? "x-rag-top-k" : Threshold is not null ? "x-rag-threshold" : Filter is not null ? "x-rag-filter"
        : Rerank is not null ? "x-rag-rerank" : Trace is not null ? "x-rag-trace" : Unknown ?? Prefix + "*";
}

/// <summary>How an answer is kept, as a response of OpenAI's Responses repeats it.</summary>
/// <param name="IsStored">Later calls can continue the answer.</param>
/// <param name="IsBackground">It is generated whether or not a client reads it.</param>
/// <param name="Previous">The id of the response that the call continues.</param>
internal sealed record KeepingTerms(bool IsStored, bool IsBackground, string? Previous);

/// <summary>A call's body for one backend only.</summary>
internal sealed record RememberedBody(string Backend, ReadOnlyMemory<byte> Bytes, ChatEnvelope Envelope);

/// <summary>
/// A client's chat call, in up to two forms: the original bytes and the parsed request. A route that edits the request drops the bytes, so that nothing
/// can forward a stale body. The call owns its body: dispose the call when the answer has been written.
/// </summary>
internal sealed class ChatCall : IDisposable
{
    private const int LongBody = 64 << 10;

    private readonly PooledBody? owned;
    private ChatRequest? request;

    public ChatCall(ClientDialect dialect, ChatEnvelope envelope, CallInfo info, PooledBody body) : this(dialect, envelope, info, body.Memory) =>
        owned = body;

    public ChatCall(ClientDialect dialect, ChatEnvelope envelope, CallInfo info, ReadOnlyMemory<byte> body)
    {
        Dialect = dialect;
        Envelope = envelope;
        Info = info;
        OriginalBody = body;
    }

    private ChatCall(ChatCall origin, ChatRequest edited)
    {
        Dialect = origin.Dialect;
        Envelope = new ChatEnvelope(edited.Model, origin.Envelope.Stream, default) { IncludeUsage = edited.IncludeUsage, Messages = edited.Messages.Count };
        Info = origin.Info;
        Headers = origin.Headers;
        request = edited;
    }

    private ChatCall(ChatCall origin, IReadOnlyList<BodyEdit> edits)
    {
        Dialect = origin.Dialect;
        Envelope = origin.Envelope;
        Info = origin.Info;
        Headers = origin.Headers;
        Terms = origin.Terms;
        OriginalBody = origin.OriginalBody;
        Edits = edits;
    }

    public ClientDialect Dialect { get; }
    public ChatEnvelope Envelope { get; }
    public CallInfo Info { get; }

    /// <summary>The client's headers that are forwarded to a host.</summary>
    public IReadOnlyList<KeyValuePair<string, string>> Headers { get; init; } = [];

    /// <summary>The client's bytes, which are never written to. Null once the request was edited or its body was released.</summary>
    public ReadOnlyMemory<byte>? OriginalBody { get; private set; }

    /// <summary>Edits that are applied to a copy of <see cref="OriginalBody"/> before it is sent or parsed, sorted by position.</summary>
    public IReadOnlyList<BodyEdit> Edits
    {
        get;
        set
        {
            field = value;
            if (OriginalBody is not null) request = null; // it was parsed without them
        }
    } = [];

    /// <summary>The call's digest, if it has been computed (<see cref="RoutedCall.RequestId"/>).</summary>
    public string? RequestId { get; private set; }

    /// <summary>
    /// True if the body takes a millisecond or more to parse. Code that runs on an event loop leaves it first, so that other calls are not held up.
    /// </summary>
    public bool IsLongToParse => OriginalBody is { Length: > LongBody };

    /// <summary>What the answer repeats of the wish to be kept; null: the call says nothing of it.</summary>
    public KeepingTerms? Terms { get; init; }

    /// <summary>
    /// The body for the one backend that remembers the beginning of the conversation, without that beginning. Null: no backend does; all get
    /// <see cref="OriginalBody"/>.
    /// </summary>
    public RememberedBody? Remembered { get; init; }

    public bool Streams => Envelope.Stream ?? Dialect.StreamsByDefault;

    /// <summary>
    /// Parses the request at first use; a verbatim relay never needs it. Returns the error if the request is invalid.
    /// </summary>
    public ProxyError? TryGetRequest(out ChatRequest? parsed)
    {
        var problem = request is null ? Parse(Edits, out request) : null;
        parsed = request;
        return problem;
    }

    /// <summary>
    /// Computes <see cref="RequestId"/>. Values that an agent changes in every prompt although they carry no meaning do not count, whether or not they are
    /// replaced in what the host gets.
    /// </summary>
    /// <param name="routed">This call.</param>
    public string? Identify(in RoutedCall routed)
    {
        ChatRequest? whole = null;
        if (OriginalBody is { } body && Dialect.NormalisePrompt(body.Span) is { Count: > 0 } marks) Parse(marks, out whole);
        else if (request is not null || OriginalBody is not null) TryGetRequest(out whole);
        return RequestId = whole is null ? null : RequestDigest.Of(routed, whole);
    }

    /// <summary>
    /// A call with another request. Its envelope has the model, the number of messages and the wish for token counts of that request. Whether the answer is
    /// streamed stays as the client asked.
    /// </summary>
    public ChatCall Edited(ChatRequest edited) => new(this, edited);

    /// <summary>
    /// A call with the same bytes, of which its hosts get these edits, sorted by position. Every backend gets the whole conversation. The bytes stay those of
    /// this call: do not use the other one after this one is disposed.
    /// </summary>
    public ChatCall EditedBytes(IReadOnlyList<BodyEdit> edits) => new(this, edits);

    /// <summary>Gives the body's memory back; no code may need the request after this.</summary>
    public void Dispose()
    {
        OriginalBody = null;
        owned?.Dispose();
    }

    private ProxyError? Parse(IReadOnlyList<BodyEdit> edits, out ChatRequest? parsed)
    {
        parsed = null;
        var body = OriginalBody!.Value;
        if (JsonStructure.IsTooMuch(body.Span))
            return new(ProxyErrorKind.BodyTooLarge, $"the body has more than {JsonStructure.MostValues} JSON values, more than is translated for a host; "
                + "send fewer messages, parts or tools");
        using var edited = BodyEdit.Apply(edits, body.Span);
        return Dialect.ReadRequest(edited?.Memory ?? body, out parsed);
    }
}
