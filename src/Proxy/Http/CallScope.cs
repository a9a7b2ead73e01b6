using System.Globalization;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Streams;
using Proxy.Telemetry;
using Proxy.Transport;

namespace Proxy.Http;

/// <summary>What every exchange is made of, whatever it serves.</summary>
internal sealed record ExchangeParts(ApiKeyGate Gate, ActiveCalls Calls, CallLedger Ledger, ProxyMetrics Metrics, Func<Config.ServerConfig> Server, ILogger Log, TimeProvider Time, Transport.CoarseTicker Ticker, ProxyIdentity Identity)
{
    /// <summary>Who follows the answer to a call besides its client. Set before the first call.</summary>
    public Func<CallInfo, Followers> Follow { get; set; } = static _ => Followers.None;
}

/// <summary>
/// One call at the edge, from admission to its line in the log: ids, caller, cancellation, and the error in the client's dialect. Dispose it when the answer is written.
/// </summary>
internal sealed class CallScope : IDisposable
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
        Info = new CallInfo(traceId, correlationId, Caller.AnonymousName)
        {
            RequestId = requestId,
            TraceParent = said.TraceParent ?? TraceParents.Mint(),
            TraceState = said.TraceParent is null ? null : said.TraceState,
            Workspace = said.Workspace,
            Pipeline = said.Pipeline,
            Route = said.Route,
            Session = said.Session,
            Via = said.Via,
        };
        Record = new CallRecord { TraceId = traceId, CorrelationId = correlationId, Session = said.Session, Surface = surface, Started = parts.Time.GetTimestamp() };
        var response = context.Response.Headers;
        response["x-trace-id"] = traceId;
        response["x-correlation-id"] = correlationId;
        response["x-request-id"] = requestId;
        response["traceparent"] = Info.TraceParent;
        if (said.Session is { } session) response["x-session-id"] = session;
        if (dialect.RequestIdHeader is { } header) response[header] = traceId;
        left = context.RequestAborted.UnsafeRegister(static state => ((CallLifetime)state!).ClientLeft(), lifetime);
        node = new LinkedListNode<CallScope>(this);
        parts.Calls.Add(node);
        parts.Metrics.Enter();
    }

    public HttpContext Context { get; }

    /// <summary>How errors are told. One path has two dialects: which it is, its body tells.</summary>
    public ErrorDialect Dialect { get; set; }
    public CallInfo Info { get; }

    /// <summary>The client's headers that may cross to a host.</summary>
    public IReadOnlyList<KeyValuePair<string, string>> CrossingHeaders { get; }
    public CallRecord Record { get; }
    public Caller Caller { get; private set; } = Caller.Anonymous;

    /// <summary>Writes the stream that has begun, where it is written from events: it knows how that stream is to end.</summary>
    public EventWriter? Writer { get; set; }

    /// <summary>How long the work for this call goes on. The client's leaving takes one reason away, the end of the drain's time ends it.</summary>
    public CallLifetime Lifetime => lifetime;

    public CancellationToken Cancellation => lifetime.Token;

    /// <summary>The drain's time ran out; the client is still there and has to be told.</summary>
    public bool Interrupted { get; private set; }

    public bool ClientLeft => !Interrupted && lifetime.ClientHasLeft;

    public static CallScope Begin(HttpContext context, string surface, ErrorDialect dialect, ExchangeParts parts) => new(context, surface, dialect, parts);

    /// <summary>Lets the caller in, or says why not.</summary>
    public ProxyError? Admit()
    {
        if (parts.Calls.Draining) return new(ProxyErrorKind.Draining, "this proxy is shutting down; try again in a moment") { RetryAfter = TimeSpan.FromSeconds(1) };
        if (parts.Gate.Admit(Context, out var caller) is { } problem) return problem;
        Caller = caller;
        Info.Owner = caller.Name;
        Record.Key = caller.Name;
        Cors.Answer(Context, parts.Gate);
        return Info.Via is { } via ? ProxyLoop.Refusal(via, parts.Identity) : null;
    }

    /// <summary>Checks that the caller may use the model, and counts the call against its limits.</summary>
    public ProxyError? Use(string model)
    {
        Record.Model = ModelName.Shown(model);
        return Caller.MayUse(model) ? Enter() : Routes.DirectRoute.UnknownModel(model);
    }

    /// <summary>
    /// The caller may do more at a host than infer. A host's disk and memory are everybody's: a key that is limited to some models may not change them, nor may strangers where they are let in.
    /// </summary>
    public bool MayManage => Caller.MayUseAll && (!Caller.IsAnonymous || ConnectionFeature.Of(Context) is { Local: true });

    /// <summary>Counts the call against its caller's limits.</summary>
    public ProxyError? Enter()
    {
        if (Caller.Enter() is { } limited) return limited;
        entered = Caller;
        return null;
    }

    /// <summary>The answer is here: who speaks, and since when; a refusal has no first token.</summary>
    public void Answering(string? backend, string? served, int status = StatusCodes.Status200OK)
    {
        Record.Backend = backend is "" ? null : backend;
        Record.Served = served is "" ? null : served;
        if (status < 300) Record.FirstToken = parts.Time.GetTimestamp();
    }

    /// <summary>The generation's reply: the key is given back with the host's slot.</summary>
    public void Answering(BackendReply reply)
    {
        reply.Finished = GiveBackKey;
        Answering(reply.Backend, reply.ServedModel, reply.Status);
    }

    public void Count(Usage? usage)
    {
        if (usage is null) return;
        Record.TokensIn = usage.InputTokens;
        Record.TokensOut = usage.OutputTokens;
    }

    /// <summary>A part of the answer, of that kind, is left out because no dialect here can say it.</summary>
    public void Skip(string kind)
    {
        parts.Metrics.CountSkipped();
        skipped ??= [];
        if (skipped.Count < MostKindsNamed && !skipped.Contains(kind)) skipped.Add(kind);
    }

    /// <summary>Nothing more is done for the caller's key: it may call again, whatever its client still has to take. A client that does so at the last byte is let in.</summary>
    public void GiveBackKey() => Interlocked.Exchange(ref entered, null)?.Leave();

    /// <summary>The answer was cut off: the client took no more, or the drain's time is over, which the client is told.</summary>
    public ValueTask LeftAsync()
    {
        if (!Interrupted) lifetime.ClientLeft();
        return RefuseAsync(new(ProxyErrorKind.ClientLeft, "the client left"));
    }

    public void Interrupt()
    {
        Interrupted = true;
        lifetime.End();
    }

    /// <summary>
    /// Tells the client: by status and body, or inside the stream when that has begun. A client that is gone gets nothing, and its connection ends: what has not begun must not become
    /// an empty 200, and half an answer must not end like a whole one.
    /// </summary>
    public async ValueTask RefuseAsync(ProxyError error)
    {
        if (Interrupted) error = new(ProxyErrorKind.Draining, "this proxy is shutting down and could not finish the answer in time") { RetryAfter = TimeSpan.FromSeconds(1) };
        var response = Context.Response;
        // Frames that wait to be flushed are a beginning too.
        if (!ClientLeft && !response.HasStarted && response.BodyWriter.UnflushedBytes > 0) await response.BodyWriter.FlushAsync(CancellationToken.None);
        Judge(error);
        GiveBackKey();
        if (ClientLeft)
        {
            // A loop that finds nothing begun ends the connection itself, behind the answers that are on their way.
            if (response.HasStarted || response.BodyWriter.UnflushedBytes > 0 || Context is not IEndsUnanswered) Context.Abort();
            return;
        }

        using var body = new PooledBody(512);
        if (response.HasStarted)
        {
            if (Writer is { } writer) writer.Write(new ChatEvent.Finished(FinishReason.Error, Error: error), body);
            else Dialect.WriteStreamError(error, Info.TraceId, body);
        }
        else
        {
            response.StatusCode = Dialect.StatusOf(error);
            response.ContentType = Dialect.ErrorContentType(error);
            if (error.RetryAfter is { } wait) response.Headers.RetryAfter = ((int)Math.Ceiling(wait.TotalSeconds)).ToString(CultureInfo.InvariantCulture);
            if (ProxyErrorTable.Of(error).IsFinal) response.Headers["x-should-retry"] = "false";
            if (error.Kind is ProxyErrorKind.Unauthenticated) response.Headers.WWWAuthenticate = "Bearer";
            Dialect.WriteError(error, Info.TraceId, body);
            response.ContentLength = body.Length;
        }

        await response.BodyWriter.WriteAsync(body.Memory, CancellationToken.None);
    }

    /// <summary>Puts an error's meaning into the record.</summary>
    public void Judge(ProxyError error)
    {
        var isGone = ClientLeft || Context.RequestAborted.IsCancellationRequested;
        Record.Error = error.Kind is ProxyErrorKind.ClientLeft ? null : error.Code ?? ProxyErrorTable.Of(error.Kind).Code; // to leave is no error of ours
        Record.Backend ??= error.Backend;
        (Record.Outcome, Record.Fault) = error.Kind switch
        {
            ProxyErrorKind.Internal => (CallOutcome.ProxyError, Fault.Proxy),
            _ when isGone || error.Kind is ProxyErrorKind.ClientLeft => (CallOutcome.ClientLeft, Fault.Client),
            ProxyErrorKind.HostTimedOut => (CallOutcome.Timeout, Fault.Backend),
            ProxyErrorKind.HostFailed or ProxyErrorKind.NoBackend => (CallOutcome.BackendError, Fault.Backend),
            ProxyErrorKind.HostUnauthorized => (CallOutcome.BackendError, Fault.Proxy), // the key that we were given is wrong
            ProxyErrorKind.HostRefused => (CallOutcome.Refused, error.Status is 429 or >= 500 ? Fault.Backend : Fault.Client),
            ProxyErrorKind.QueueFull => (CallOutcome.Refused, Fault.Backend),
            ProxyErrorKind.Draining => (Interrupted ? CallOutcome.Drained : CallOutcome.Refused, Fault.Proxy),
            ProxyErrorKind.ProxyLoop => (CallOutcome.Refused, Fault.Proxy), // an operator's url is wrong, which is not the client's fault
            ProxyErrorKind.OutOfDescriptors => (CallOutcome.ProxyError, Fault.Proxy),
            ProxyErrorKind.NotImplemented => (CallOutcome.Refused, Fault.Proxy),
            _ => (CallOutcome.Refused, Fault.Client),
        };
        Record.Status = ClientLeft ? 499 : Context.Response.HasStarted ? Context.Response.StatusCode : Dialect.StatusOf(error);
    }

    /// <summary>A bug of ours: the client gets an error without a stack trace, the log gets the trace, whether the client is still there or not. What a client's leaving throws is no bug.</summary>
    public async ValueTask FailAsync(Exception problem)
    {
        if (RequestBody.IsBrokenOff(problem) || (problem is OperationCanceledException or IOException && (ClientLeft || Interrupted)))
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
            Context.Abort(); // the answer cannot be ended properly, so it must not look as if it had been
        }
    }

    public void Dispose()
    {
        left.Dispose();
        lifetime.Dispose();
        GiveBackKey();
        parts.Metrics.Leave();
        if (skipped is not null) parts.Log.PartsSkipped(Info.TraceId, Record.Backend, string.Join(", ", skipped));
        if (Record.Status == 0) Record.Status = Context.Response.StatusCode; // whoever could not be answered in full has been judged
        parts.Ledger.Write(Record);
        parts.Calls.Remove(node); // last: a drain that sees no call any more closes the log
    }
}
