using System.Globalization;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Streams;
using Proxy.Telemetry;
using Proxy.Transport;

namespace Proxy.Http;

/// <summary>The objects that all exchanges share.</summary>
internal sealed record ExchangeParts(
    ApiKeyGate Gate, ActiveCalls Calls, CallLedger Ledger, ProxyMetrics Metrics, Func<Config.ServerConfig> Server, ILogger Log, TimeProvider Time,
    Transport.CoarseTicker Ticker, ProxyIdentity Identity, CallSharing Sharing)
{
    /// <summary>The features that follow the answers to calls. Complete before the first call.</summary>
    public List<Follow> Follow { get; } = [];

    /// <summary>Traces calls. Set before the first call.</summary>
    public CallTracer Tracer { get; set; } = CallTracer.None;

    /// <summary>The features that may answer a call before its route is asked, in this order.</summary>
    public List<AnswerEarly> Early { get; } = [];

    /// <summary>The processes that handed over to this one, and still run calls.</summary>
    public Forwarding Forwarding { get; init; } = Forwarding.None;

    /// <summary>Each says why it cannot do what a call's headers ask (<see cref="CallInfo.Wishes"/>). Asked only about calls that have such headers.</summary>
    public List<Func<CallInfo, ProxyError?>> Refuses { get; } = [];
}

/// <summary>
/// The scope of one call in the HTTP layer, from admission to its log line: ids, caller, cancellation, and errors in the client's dialect. Dispose it when
/// the answer is written.
/// </summary>
internal sealed partial class CallScope : IDisposable
{
    private const int MostKindsNamed = 16;

    private readonly ExchangeParts parts;
    private readonly CallLifetime lifetime = new();
    private readonly CancellationTokenRegistration left;
    private readonly LinkedListNode<CallScope> node;
    private Caller? entered;
    private List<string>? skipped;

    private CallScope(HttpContext context, string surface, ErrorDialect dialect, ExchangeParts parts)
    {
        this.parts = parts;
        Context = context;
        Dialect = dialect;
        var traceId = TraceIds.Mint(parts.Time);
        var said = ClientHeaders.Of(context.Request.Headers);
        var correlationId = said.CorrelationId ?? traceId;
        var requestId = said.RequestId ?? traceId;
        CrossingHeaders = said.Crossing;
        var span = parts.Tracer.Begin(said.TraceParent, context.Request.Method, surface, out var traceParent);
        Info = new CallInfo(traceId, correlationId, Caller.AnonymousName)
        {
            RequestId = requestId,
            TraceParent = traceParent,
            Span = span,
            TraceState = said.TraceParent is null ? null : said.TraceState,
            Workspace = said.Workspace,
            Pipeline = said.Pipeline,
            Route = said.Route,
            Session = said.Session,
            Via = said.Via,
            Wishes = said.Wishes,
        };
        Record = new CallRecord
        {
            TraceId = traceId,
            CorrelationId = correlationId,
            Session = said.Session,
            Surface = surface,
            Started = parts.Time.GetTimestamp(),
            OtelTraceId = span.TraceParent?[TraceParents.TraceId],
        };
        var response = context.Response.Headers;
        response["x-trace-id"] = traceId;
        response["x-correlation-id"] = correlationId;
        response["x-request-id"] = requestId;
        response["traceparent"] = Info.TraceParent;
        if (said.Session is { } session) response["x-session-id"] = session;
        if (dialect.RequestIdHeader is { } header) response[header] = traceId;
        left = context.RequestAborted.UnsafeRegister(static state => ((CallScope)state!).OnClientLeft(), this);
        node = new LinkedListNode<CallScope>(this);
        parts.Calls.Add(node);
        parts.Metrics.Enter();
    }

    public HttpContext Context { get; private set; }

    /// <summary>The dialect of error messages. Can be set later, because one path serves two dialects and only the body shows which one.</summary>
    public ErrorDialect Dialect { get; set; }
    public CallInfo Info { get; }

    /// <summary>The client's headers that are forwarded to a host.</summary>
    public IReadOnlyList<KeyValuePair<string, string>> CrossingHeaders { get; }
    public CallRecord Record { get; }
    public Caller Caller { get; private set; } = Caller.Anonymous;

    /// <summary>The writer of the stream, if it is written from events. It writes an error in the form that fits the stream's state.</summary>
    public EventWriter? Writer { get; set; }

    /// <summary>Decides how long work for this call goes on. A disconnected client removes one reason to go on; the end of the drain period ends it.</summary>
    public CallLifetime Lifetime => lifetime;

    public CancellationToken Cancellation => lifetime.Token;

    /// <summary>Why the proxy ended the call while it was running; null: it did not. The client is still connected and gets this error.</summary>
    public ProxyError? Interruption { get; private set; }

    public bool ClientLeft => Interruption is null && !IsDetached && lifetime.ClientHasLeft;

    public static CallScope Begin(HttpContext context, string surface, ErrorDialect dialect, ExchangeParts parts) => new(context, surface, dialect, parts);

    /// <summary>The call came over the operator's socket, which needs no key.</summary>
    public bool IsOperators => ConnectionFeature.Of(Context) is { Admin: true };

    /// <summary>Authenticates the caller. Returns the error if the call is not admitted.</summary>
    public ProxyError? Admit()
    {
        if (IsOperators) return null;
        if (parts.Calls.Draining)
            return new(ProxyErrorKind.Draining, "this proxy is shutting down; try again in a moment") { RetryAfter = TimeSpan.FromSeconds(1) };
        if (parts.Gate.Admit(Context, out var caller) is { } problem) return problem;
        Caller = caller;
        Info.Owner = caller.Name;
        Record.Key = caller.Name;
        Cors.Answer(Context, parts.Gate);
        return Unpublished(Info.Wishes?.Publish) ?? (Info.Via is { } via ? ProxyLoop.Refusal(via, parts.Identity) : null);
    }

    /// <summary>Refuses a value of <c>x-publish</c> that has no meaning, also where nothing is published: a wish is never ignored.</summary>
    private static ProxyError? Unpublished(string? publish) => publish is null or "none" ? null
        : new(ProxyErrorKind.InvalidRequest, $"x-publish is '{ModelName.Shown(publish)}'; it can only be none") { Param = "x-publish" };

    /// <summary>Checks that the caller may use the model, and counts the call against its limits.</summary>
    public ProxyError? Use(string model)
    {
        Record.Model = ModelName.Shown(model);
        return Caller.MayUse(model) ? Enter() : Routes.DirectRoute.UnknownModel(model);
    }

    /// <summary>Checks that the caller may use the pipeline, and counts the call against its limits.</summary>
    /// <param name="pipeline">The pipeline's name.</param>
    /// <param name="param">What named it.</param>
    public ProxyError? UsePipeline(string pipeline, string param) => Caller.MayRun(pipeline) ? Enter()
        : new(ProxyErrorKind.Forbidden, $"key '{Caller.Name}' may not use the pipeline '{ModelName.Shown(pipeline)}'") { Param = param };

    /// <summary>
    /// Whether the caller may manage models at a host. A host's disk and memory are shared by all callers, so a key that is limited to some models may not
    /// change them, and an anonymous caller may do so only on a local connection.
    /// </summary>
    public bool MayManage => Caller.MayUseAll && (!Caller.IsAnonymous || ConnectionFeature.Of(Context) is { Local: true });

    /// <summary>Counts the call against its caller's limits.</summary>
    public ProxyError? Enter()
    {
        if (Caller.Enter() is { } limited) return limited;
        entered = Caller;
        return null;
    }

    /// <summary>Records the backend, its model name and the time of the first token. An error has no first token.</summary>
    public void Answering(string? backend, string? served, int status = StatusCodes.Status200OK)
    {
        Record.Backend = backend is "" ? null : backend;
        Record.Served = served is "" ? null : served;
        if (status < 300 && Record.FirstToken == 0) Record.FirstToken = parts.Time.GetTimestamp();
    }

    /// <summary>Records the reply of a generation. When the generation ends, the key's slot is freed together with the host's.</summary>
    public void Answering(BackendReply reply)
    {
        reply.Finished = OnHostDone;
        Info.Times.Frames ??= reply.Frames; // a call whose answer goes through a journal reads it from there too
        Answering(reply.Backend, reply.ServedModel, reply.Status);
    }

    public void Count(Usage? usage)
    {
        if (usage is null) return;
        Record.TokensIn = usage.InputTokens;
        Record.TokensOut = usage.OutputTokens;
        Record.TokensCached = usage.CachedInputTokens;
        Record.TokensCacheWritten = usage.CacheWrittenTokens;
        Record.TokensReasoning = usage.ReasoningTokens;
    }

    /// <summary>Records that a part of the answer was left out because no dialect here can express its kind.</summary>
    public void Skip(string kind)
    {
        parts.Metrics.CountSkipped();
        skipped ??= [];
        if (skipped.Count < MostKindsNamed && !skipped.Contains(kind)) skipped.Add(kind);
    }

    /// <summary>
    /// Frees the key's slot when the generation ends, even if the client is still reading. A client that calls again at the last byte is therefore admitted.
    /// </summary>
    public void GiveBackKey() => Interlocked.Exchange(ref entered, null)?.Leave();

    private void OnHostDone()
    {
        if (Info.Times.Ended == 0) Info.Times.Ended = parts.Time.GetTimestamp();
        GiveBackKey();
    }

    /// <summary>Ends a call whose answer was cut off: the client has disconnected, or the drain period has ended and the client gets an error.</summary>
    public ValueTask LeftAsync()
    {
        if (Interruption is null) OnClientLeft();
        return RefuseAsync(new(ProxyErrorKind.ClientLeft, "the client left"));
    }

    /// <summary>Ends the call with an error, for every client that waits for its answer.</summary>
    public void Interrupt(ProxyError why)
    {
        Interruption = why;
        Record.Interrupted = why.Kind is ProxyErrorKind.Draining;
        lifetime.End();
    }

    /// <summary>
    /// Sends an error to the client: as status and body, or inside the stream if it has started. If the client has disconnected, nothing is sent and the
    /// connection is closed, so that a response that has not started does not become an empty 200, and a partial answer does not end like a complete one.
    /// </summary>
    public async ValueTask RefuseAsync(ProxyError error)
    {
        error = Interruption ?? error;
        if (ownsJournal) journal!.Refuse(error); // does nothing if the answer has begun
        var response = Context.Response;
        // Unflushed frames also mean that the stream has started.
        if (!ClientLeft && !response.HasStarted && response.BodyWriter.UnflushedBytes > 0) await response.BodyWriter.FlushAsync(CancellationToken.None);
        Judge(error);
        if (!GeneratesOn) GiveBackKey();
        if (kept is { HasBegun: true } writer)
        {
            await EndKeptAsync(writer, error);
            return;
        }

        kept?.Journal.Refuse(error);
        if (ClientLeft)
        {
            // IEndsUnanswered: if the response has not started, the connection closes itself after the earlier responses are sent.
            if (response.HasStarted || response.BodyWriter.UnflushedBytes > 0 || Context is not IEndsUnanswered) Context.Abort();
            return;
        }

        using var body = new PooledBody(512);
        if (response.HasStarted)
        {
            WriteStreamError(error, body);
        }
        else
        {
            response.StatusCode = Dialect.StatusOf(error);
            response.ContentType = Dialect.ErrorContentType(error);
            if (error.RetryAfter is { } wait)
                response.Headers.RetryAfter = ((int)Math.Ceiling(wait.TotalSeconds)).ToString(CultureInfo.InvariantCulture);
            if (ProxyErrorTable.Of(error).IsFinal) response.Headers["x-should-retry"] = "false";
            if (error.Kind is ProxyErrorKind.Unauthenticated) response.Headers.WWWAuthenticate = "Bearer";
            Dialect.WriteError(error, Info.TraceId, body);
            response.ContentLength = body.Length;
        }

        await response.BodyWriter.WriteAsync(body.Memory, CancellationToken.None);
    }

    private void WriteStreamError(ProxyError error, System.Buffers.IBufferWriter<byte> output)
    {
        if (Writer is { } writer) writer.Write(new ChatEvent.Finished(FinishReason.Error, Error: error), output);
        else Dialect.WriteStreamError(error, Info.TraceId, output);
    }

    /// <summary>Records the outcome and the fault of an error.</summary>
    public void Judge(ProxyError error)
    {
        var isGone = ClientLeft || Context.RequestAborted.IsCancellationRequested;
        Record.Error = error.Kind is ProxyErrorKind.ClientLeft ? null : error.Code ?? ProxyErrorTable.Of(error.Kind).Code; // a disconnect is not an error
        Record.Backend ??= error.Backend;
        (Record.Outcome, Record.Fault) = error.Kind switch
        {
            ProxyErrorKind.Internal => (CallOutcome.ProxyError, Fault.Proxy),
            ProxyErrorKind.ClientLeft when Interruption is { Kind: ProxyErrorKind.Draining } => (CallOutcome.Drained, Fault.Proxy),
            ProxyErrorKind.Cancelled => (CallOutcome.ClientLeft, Fault.Client),
            _ when isGone || error.Kind is ProxyErrorKind.ClientLeft => (CallOutcome.ClientLeft, Fault.Client),
            ProxyErrorKind.HostTimedOut => (CallOutcome.Timeout, Fault.Backend),
            ProxyErrorKind.HostFailed or ProxyErrorKind.NoBackend => (CallOutcome.BackendError, Fault.Backend),
            ProxyErrorKind.HostUnauthorized => (CallOutcome.BackendError, Fault.Proxy), // the configured key is wrong
            ProxyErrorKind.HostRefused => (CallOutcome.Refused, error.Status is 429 or >= 500 ? Fault.Backend : Fault.Client),
            ProxyErrorKind.QueueFull => (CallOutcome.Refused, Fault.Backend),
            ProxyErrorKind.Draining => (Interruption is null ? CallOutcome.Refused : CallOutcome.Drained, Fault.Proxy),
            ProxyErrorKind.ProxyLoop => (CallOutcome.Refused, Fault.Proxy), // a URL in a proxy's configuration is wrong, not the client's request
            ProxyErrorKind.OutOfDescriptors or ProxyErrorKind.StoreFailed => (CallOutcome.ProxyError, Fault.Proxy),
            ProxyErrorKind.NotImplemented => (CallOutcome.Refused, Fault.Proxy),
            _ => (CallOutcome.Refused, Fault.Client),
        };
        Record.Status = ClientLeft ? 499 : Context.Response.HasStarted ? Context.Response.StatusCode : Dialect.StatusOf(error);
    }

    /// <summary>
    /// Handles an unexpected exception: the client gets an error without a stack trace; the stack trace is logged, even if the client has disconnected.
    /// Exceptions that a disconnect causes are not bugs and are handled as <see cref="LeftAsync"/>.
    /// </summary>
    public async ValueTask FailAsync(Exception problem)
    {
        if (RequestBody.IsBrokenOff(problem) || (problem is OperationCanceledException or IOException && (ClientLeft || Interruption is not null)))
        {
            await LeftAsync();
            return;
        }

        parts.Log.CallFailed(problem, Info.TraceId);
        try
        {
            await RefuseAsync(new(ProxyErrorKind.Internal, $"the proxy failed; its log has the reason under trace id {Info.TraceId}"));
        }
        catch (Exception second) when (second is IOException or OperationCanceledException or InvalidOperationException)
        {
            Context.Abort(); // the error cannot be sent, so the answer must not look complete
        }
    }

    /// <summary>Notes in the record how long the call's stages took, and counts the attempts that failed.</summary>
    private void NoteTimes()
    {
        var times = Info.Times;
        if (times.Asked != 0) Record.Waited = times.Waited;
        if (times.Connected != 0) Record.Connecting = times.Connected - times.Sent;
        if (times is { Content: not 0, Ended: not 0, Frames: { } frames })
        {
            Record.Generating = times.Ended - times.Content;
            Record.Chunks = frames.Number;
        }

        for (var failed = times.Failed; failed is not null; failed = failed.Before) parts.Metrics.CountFailure(failed.Backend);
    }

    public void Dispose()
    {
        left.Dispose();
        if (Interlocked.Exchange(ref hasLeft, 1) == 0)
        {
            journal?.Leave(TimeSpan.Zero);
            kept?.Journal.Leave(TimeSpan.Zero);
        }

        kept?.Journal.End(new(EndKind.BrokeOff, null, new(ProxyErrorKind.Internal, "the proxy failed"))); // does nothing if it has ended
        if (ownsJournal) journal!.End(new(EndKind.BrokeOff, null, new(ProxyErrorKind.Internal, "the proxy failed"))); // does nothing if it has ended
        lifetime.Dispose();
        GiveBackKey();
        parts.Metrics.Leave();
        if (skipped is not null) parts.Log.PartsSkipped(Info.TraceId, Record.Backend, string.Join(", ", skipped));
        if (Record.Status == 0) Record.Status = Context.Response.StatusCode; // Judge has set the status of calls that failed
        NoteTimes();
        if (Info.Span.IsOn) CallSpans.End(Info, Record, parts.Time);
        parts.Ledger.Write(Record);
        parts.Calls.Remove(node); // last: when no call is left, a draining process closes the log
    }
}
