using System.Globalization;
using Microsoft.Extensions.Logging;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Transport;

namespace Proxy.Backends;

/// <summary>The result of one try at one backend.</summary>
internal abstract record AttemptResult
{
    private AttemptResult() { }

    /// <summary>An answer. A host's refusal that goes to the client is one too.</summary>
    public sealed record Answered(BackendReply Reply) : AttemptResult;

    /// <summary>An error that another backend would not avoid.</summary>
    public sealed record GaveUp(ProxyError Error) : AttemptResult;

    /// <summary>An error that another backend may avoid. <paramref name="Uncertain"/>: the call may be at fault and not the host.</summary>
    public sealed record TryNext(ProxyError Error, bool Uncertain = false) : AttemptResult
    {
        /// <summary>How long the host asked us to wait before the next call (<c>retry-after</c>).</summary>
        public TimeSpan? ComeAgain { get; init; }

        /// <summary>The host does not have the model that the backend table says it serves.</summary>
        public bool LacksModel { get; init; }
    }
}

/// <summary>
/// One try at one backend: sends the call and reads until it is certain that an answer has begun. Owns the exchange, the lease and the bytes read,
/// until a reply takes them over.
/// </summary>
internal sealed class BackendAttempt : IDisposable
{
    /// <summary>A stream of this many bytes without any content is forwarded as it is.</summary>
    private const int LongestPreamble = 256 * 1024;

    /// <summary>Bytes of an error body that are read at most.</summary>
    private const int LongestError = 1 << 20;

    /// <summary>The longest stream that is parsed whole although one document was asked for. Its events take many times its size in memory.</summary>
    private const int LongestUnasked = 4 << 20;

    /// <summary>Bytes reserved at most because of the announced length, before any of the answer has arrived.</summary>
    private const int LongestFirstRoom = 64 << 10;

    /// <summary>Once this many bytes have arrived, room for the whole announced length is reserved.</summary>
    private const int LongestBelieved = 1 << 20;

    private readonly Backend backend;
    private readonly string served;
    private readonly string traceId;
    private readonly CallTimes times;
    private readonly TimeProvider time;
    private readonly OutgoingCall call;
    private readonly ILogger log;
    private readonly UpstreamExchange exchange;
    private readonly Lease lease;
    private readonly CancellationTokenRegistration registration;
    private readonly long total;
    private readonly bool late;
    private UpstreamHead? head;
    private ReplyBody body; // the exchange, or the decoder of its content coding
    private PooledBody? held;
    private FrameBatch? frames; // has inspected the first frames
    private bool handedOver;

    /// <param name="queued">How long the call waited for this slot. Deducted from the time to the first token; time spent on earlier, failed backends is
    /// not.</param>
    /// <param name="elapsed">How long the call has run in all. Deducted from the time for the whole answer.</param>
    public BackendAttempt(OutgoingCall call, Lease lease, string served, CallInfo info, TimeSpan queued, TimeSpan elapsed, ILogger log, TimeProvider time,
        CancellationToken cancellation)
    {
        this.call = call;
        this.lease = lease;
        this.served = served;
        traceId = info.TraceId;
        times = info.Times;
        this.log = log;
        this.time = time;
        backend = lease.Backend;
        late = queued > backend.Config.FirstToken / 2;
        exchange = backend.Upstream.Open();
        body = exchange;
        total = backend.Config.Total is { } limit ? exchange.Now + (long)(limit - elapsed).TotalMilliseconds : ReplyBody.Never;
        exchange.Deadline = call.Streams ? Math.Min(total, exchange.Now + (long)(backend.Config.FirstToken - queued).TotalMilliseconds) : total;
        registration = cancellation.UnsafeRegister(static state => ((UpstreamExchange)state!).Cancel(), exchange);
    }

    /// <summary>There is another backend to try if this host says that it does not have the model.</summary>
    public bool HasAlternative { get; init; }

    // Rented when the first bytes arrive: a call spends most of its time waiting for them.
    private PooledBody Held => held ??= new((int)Math.Clamp((head!.ContentLength ?? 0) + 1, 2048, LongestFirstRoom));

    public ValueTask<UpstreamHead> SendAsync(IDispatchable from)
    {
        var headers = CrossingHeaders.Of(from.Headers, from.Info, backend);
        if (call.Errors.VersionHeader is { } version && !headers.Any(header => header.Name.Equals(version.Key, StringComparison.OrdinalIgnoreCase)))
            headers = [.. headers, new(version.Key, version.Value)];
        times.Send(time.GetTimestamp());
        return exchange.SendAsync(
            new(call.Method, backend.PathOf(call.Path), call.Body) { ContentType = call.ContentType, Headers = headers, Via = from.Info.Via });
    }

    /// <summary>Reads as much of the answer as the decision needs: is it an answer, a refusal, or a reason to try the next backend?</summary>
    public ValueTask<AttemptResult> ReadAsync(UpstreamHead answered)
    {
        head = answered;
        times.Connected = exchange.Connected;
        if (head.Outcome is not UpstreamOutcome.Answered) return new(NoAnswer(head));
        times.Head = time.GetTimestamp();
        if (head.ContentEncoding is { } coding) Decode(coding);
        if (head.Status is < 200 or > 299) return RefusalAsync();
        if (call.Dialect is null) return new(Reply(streams: false, complete: false));

        return call.Streams ? FirstContentAsync(call.Dialect) : WholeAsync(call.Dialect);
    }

    public void Dispose()
    {
        call.Owned?.Dispose();
        if (handedOver) return;
        registration.Dispose();
        body.Dispose();
        held?.Dispose();
        frames?.Dispose();
        lease.Dispose();
    }

    private void Decode(string coding)
    {
        body = new DecodedBody(exchange, coding) { Deadline = exchange.Deadline };
        head = head! with { ContentLength = null };
    }

    private static bool SaysStream(StreamFraming framing, string? contentType) =>
        contentType?.StartsWith(framing is StreamFraming.ServerSentEvents ? "text/event-stream" : "application/x-ndjson",
            StringComparison.OrdinalIgnoreCase) is true;

    /// <summary>Removes a byte order mark and tells whether the held bytes begin a stream; null while they are too few to tell.</summary>
    private bool? BeginsStream(StreamFraming framing)
    {
        if (FirstBytes.MarkLength(Held.Span) is not { } mark) return null;
        if (mark > 0) Held.Consume(mark);
        return FirstBytes.Streams(Held.Span, framing, SaysStream(framing, head!.ContentType));
    }

    /// <summary>
    /// Reads a stream up to its first frame with content; until then, another backend can be tried. If the host sends one document instead, reads it to its
    /// end.
    /// </summary>
    private async ValueTask<AttemptResult> FirstContentAsync(BackendDialect dialect)
    {
        frames = new FrameBatch(dialect.Framing);
        bool? streams = null;
        while (true)
        {
            var read = await body.ReadAsync();
            switch (read.Kind)
            {
                case ReplyReadKind.Data:
                    Held.Write(read.Bytes.Span);
                    streams ??= BeginsStream(dialect.Framing) ?? (Held.Length > LongestPreamble ? (bool?)false : null);
                    if (streams is false) return await WholeAsync(dialect);
                    if (streams is null) break;
                    switch (Look(dialect, frames, out var error))
                    {
                        case FrameKind.Error:
                            return HostSaid(error!);
                        case FrameKind.Content or FrameKind.End:
                            return Reply(streams: true, complete: false);
                    }

                    if (Held.Length > LongestPreamble) return Reply(streams: true, complete: false);
                    break;
                case ReplyReadKind.Quiet:
                    break;
                case ReplyReadKind.End when streams is null && Held.Length > 0:
                    return Whole(dialect, ReplyReadKind.End);
                case ReplyReadKind.End:
                    var rest = frames.PayloadOfRest(Held.Span[frames.Taken..]);
                    var kind = rest.IsEmpty ? FrameKind.Preamble : dialect.Classify(rest);
                    if (kind is FrameKind.Error) return HostSaid(dialect.ReadError(rest));
                    if (kind is not FrameKind.Preamble) return Reply(streams: true, complete: true);
                    return Failed(ProxyErrorKind.HostFailed, "it ended its answer before it began", connection: false);
                case ReplyReadKind.TimedOut:
                    return Failed(ProxyErrorKind.HostTimedOut, $"no first token within {backend.Config.FirstToken.TotalSeconds:0.#} s", connection: false);
                case ReplyReadKind.Cancelled:
                    return Left();
                default:
                    return Failed(ProxyErrorKind.HostFailed, $"it broke off before its first token: {body.Failure}", connection: false);
            }
        }
    }

    private FrameKind Look(BackendDialect dialect, FrameBatch frames, out HostError? error)
    {
        error = null;
        while (frames.TryLook(Held.Span, out var payload))
        {
            if (payload.IsEmpty) continue;
            var kind = dialect.Classify(payload);
            if (kind is FrameKind.Error) error = dialect.ReadError(payload);
            if (kind is not FrameKind.Preamble) return kind;
        }

        return FrameKind.Preamble;
    }

    /// <summary>Reads an answer that is one document to its end. If the host fails in the middle of it, another backend can still be tried.</summary>
    private ValueTask<AttemptResult> WholeAsync(BackendDialect dialect)
    {
        var reading = ReadToEndAsync(BackendReply.LongestDocument);
        return reading.IsCompletedSuccessfully ? new(Whole(dialect, reading.Result)) : WholeAsync(dialect, reading);
    }

    private async ValueTask<AttemptResult> WholeAsync(BackendDialect dialect, ValueTask<ReplyReadKind> reading) => Whole(dialect, await reading);

    private AttemptResult Whole(BackendDialect dialect, ReplyReadKind end)
    {
        switch (end)
        {
            case ReplyReadKind.Data:
                return Failed(ProxyErrorKind.HostFailed, $"its answer is longer than {BackendReply.LongestDocument >> 20} MiB", connection: false);
            case ReplyReadKind.End:
                if (FirstBytes.MarkLength(Held.Span) is > 0 and var mark) Held.Consume(mark);
                if (dialect.IsWholeAnswer(Held.Span)) return Reply(streams: false, complete: true);
                if (HeldStream(dialect) is { } streamed) return streamed;
                if (dialect.Classify(Held.Span) is FrameKind.Error) return HostSaid(dialect.ReadError(Held.Span));
                return Failed(ProxyErrorKind.HostFailed, "its answer is marked as incomplete or cannot be read", connection: false);
            case ReplyReadKind.TimedOut:
                return Failed(ProxyErrorKind.HostTimedOut, "it did not finish its answer within its total time limit", connection: false);
            case ReplyReadKind.Cancelled:
                return Left();
            default:
                return Failed(ProxyErrorKind.HostFailed, $"it broke off in the middle of its answer: {body.Failure}", connection: false);
        }
    }

    /// <summary>
    /// A host that was asked for one document has sent a stream: some hosts stream unless told not to, and some even then. The whole stream is held here, so it
    /// is parsed as a whole. Null if the held bytes are not a stream, or not a complete one.
    /// </summary>
    private AttemptResult? HeldStream(BackendDialect dialect)
    {
        if (Held.Length > LongestUnasked || FirstBytes.Streams(Held.Span, dialect.Framing, saidSo: false) is not true) return null;
        using var cutter = FrameCutter.For(dialect.Framing);
        var reader = dialect.NewEventReader();
        var events = new List<ChatEvent>();
        var pending = Held.Span;
        while (cutter.TryTake(ref pending, out _, out var payload))
        {
            if (!payload.IsEmpty) reader.Read(payload, events);
        }

        if (cutter.PayloadOfRest(pending) is { IsEmpty: false } rest) reader.Read(rest, events);
        if (events.OfType<ChatEvent.Finished>().FirstOrDefault(static happened => happened.Error is not null) is { Error: { } error })
            return HostSaid(new HostError(error.Message, error.HostType, error.Code, error.Param));
        return reader.End(events) ? Reply(streams: true, complete: true) : null;
    }

    /// <summary>
    /// Handles a status that is not a success. A mistake of the client is reported to the client; for a failure of the host, another backend is tried.
    /// </summary>
    private async ValueTask<AttemptResult> RefusalAsync()
    {
        body.Deadline = Math.Min(body.Deadline, body.Now + (long)backend.Config.Idle.TotalMilliseconds);
        var end = await ReadToEndAsync(LongestError);
        if (end is ReplyReadKind.Cancelled) return Left();
        if (FirstBytes.MarkLength(Held.Span) is > 0 and var mark) Held.Consume(mark);
        if (backend.Secrets is { } secrets && secrets.TryStrike(Held.Span, out var struck))
        {
            Held.Clear();
            Held.Write(struck);
        }

        var said = call.Errors.ReadError(Held.Span);
        return end is ReplyReadKind.End ? Judge(said, head!.Status) : Judge(Cut(said, end), head!.Status, isCut: true);
    }

    /// <summary>Notes in an error that its end is missing.</summary>
    private static HostError Cut(HostError said, ReplyReadKind end) => said with
    {
        Message = said.Message + (end is ReplyReadKind.Data
            ? $" (cut here: the host's error is longer than {LongestError >> 20} MiB)"
            : " (cut here: the host broke off in the middle of its error)"),
    };

    /// <summary>Handles an error inside a 200 as if the host had sent the status that the error stands for.</summary>
    private AttemptResult HostSaid(HostError said) => Judge(said, said.Status ?? 500, inside: true);

    private AttemptResult Judge(HostError said, int status, bool inside = false, bool isCut = false)
    {
        if (backend.Secrets is { } secrets) said = secrets.Strike(said);
        switch (status)
        {
            case 401 or 403:
                log.Unauthorized(backend.Name, status);
                return new AttemptResult.TryNext(new(ProxyErrorKind.HostUnauthorized,
                    $"backend '{backend.Name}' does not accept this proxy's credentials; its operator has to set the backend's key")
                {
                    Backend = backend.Name
                });
            case 508: // "loop detected" between proxies: through another backend the call would loop just the same
                return inside || isCut ? new AttemptResult.GaveUp(Said(said, status)) : Reply(streams: false, complete: true, Said(said, status));
            case >= 500 when backend.IsProxy: // the message of another proxy needs no explanation: it names the host that failed
                log.AttemptFailed(traceId, backend.Name, string.Create(CultureInfo.InvariantCulture, $"status {status}"));
                return new AttemptResult.TryNext(Said(said, status is 529 ? 503 : status) with { RetryAfter = RetryAfter() },
                    Uncertain: status is not (503 or 529));
            case 429 or 503 or 529: // Anthropic sends 529 for 503
                return new AttemptResult.TryNext(new(ProxyErrorKind.HostRefused, said.Message)
                {
                    Status = Math.Min(status, 503),
                    Code = said.Code,
                    HostType = said.Type,
                    Backend = backend.Name,
                    RetryAfter = RetryAfter() ?? TimeSpan.FromSeconds(1)
                }) { ComeAgain = RetryAfter() };
            case 404 when HasAlternative && MeansModel(said):
                log.AttemptFailed(traceId, backend.Name, "it does not have the model");
                return new AttemptResult.TryNext(Said(said, status)) { LacksModel = true };
            case >= 400 and < 500 when inside || isCut:
                return new AttemptResult.GaveUp(Said(said, status));
            case >= 400 and < 500:
                return Reply(streams: false, complete: true, Said(said, status));
            case < 400:
                return new AttemptResult.GaveUp(new(ProxyErrorKind.HostFailed,
                    $"backend '{backend.Name}' answered with status {status}, which is not an answer to a call; is its url right?") { Backend = backend.Name });
            default:
                log.AttemptFailed(traceId, backend.Name, string.Create(CultureInfo.InvariantCulture, $"status {status}{(inside ? " inside a 200" : "")}"));
                // The host's message is kept, because some hosts answer a client's mistake with 500 and explain it in the message.
                return new AttemptResult.TryNext(new(ProxyErrorKind.HostFailed, $"backend '{backend.Name}' failed: {said.Message}") { Backend = backend.Name },
                    Uncertain: true);
        }
    }

    private ProxyError Said(HostError said, int status) => new(ProxyErrorKind.HostRefused, said.Message)
    {
        Status = status,
        Code = said.Code,
        HostType = said.Type,
        Param = said.Param,
        Backend = backend.Name
    };

    /// <summary>Whether a 404 says that the model is missing and not the path: its code, its parameter, the word "model" or the model's name says so.</summary>
    private bool MeansModel(HostError said) =>
        said.Code is "model_not_found" || said.Param is "model" || said.Message.Contains("model", StringComparison.OrdinalIgnoreCase)
            || (served.Length > 0 && said.Message.Contains(served, StringComparison.OrdinalIgnoreCase));

    private TimeSpan? RetryAfter()
    {
        foreach (var header in head!.Headers)
        {
            if (header.Name.Equals("retry-after", StringComparison.OrdinalIgnoreCase)
                && int.TryParse(header.Value, NumberStyles.None, CultureInfo.InvariantCulture, out var seconds)) return TimeSpan.FromSeconds(seconds);
        }

        return null;
    }

    /// <summary>Reads the body into <see cref="Held"/>. Returns how it ended; <see cref="ReplyReadKind.Data"/> if it is longer than the limit.</summary>
    private ValueTask<ReplyReadKind> ReadToEndAsync(int limit)
    {
        while (true)
        {
            var reading = body.ReadAsync();
            if (!reading.IsCompletedSuccessfully) return ReadToEndAsync(reading, limit);
            if (Ended(reading.Result, limit) is { } end) return new(end);
        }
    }

    private async ValueTask<ReplyReadKind> ReadToEndAsync(ValueTask<ReplyRead> reading, int limit)
    {
        while (true)
        {
            if (Ended(await reading, limit) is { } end) return end;
            reading = body.ReadAsync();
        }
    }

    private ReplyReadKind? Ended(ReplyRead read, int limit)
    {
        if (read.Kind is ReplyReadKind.Quiet) return null;
        if (read.Kind is not ReplyReadKind.Data) return read.Kind;
        Held.Write(read.Bytes.Span);
        // So much has arrived that the announced length is plausible: reserve room for all of it. The system commits the memory only as it is written.
        if (Held.Length > LongestBelieved && head!.ContentLength is { } whole && whole > Held.Length && whole <= limit)
            _ = Held.GetSpan((int)whole - Held.Length);
        return Held.Length > limit ? ReplyReadKind.Data : null;
    }

    private AttemptResult NoAnswer(UpstreamHead head) => head.Outcome switch
    {
        UpstreamOutcome.Cancelled => Left(),
        UpstreamOutcome.TimedOut => Failed(ProxyErrorKind.HostTimedOut, call.Streams
            ? $"no first token within {backend.Config.FirstToken.TotalSeconds:0.#} s"
            : "no answer within its total time limit", connection: false),
        UpstreamOutcome.OutOfDescriptors => OutOfDescriptors(),
        UpstreamOutcome.ConnectTimedOut =>
            Failed(ProxyErrorKind.HostTimedOut, $"no connection within {backend.Config.Connect.TotalSeconds:0.#} s", connection: true),
        UpstreamOutcome.ConnectFailed => Failed(ProxyErrorKind.HostFailed, $"it cannot be reached: {head.Failure}", connection: true),
        _ => Failed(ProxyErrorKind.HostFailed, head.Failure ?? "it broke off before answering", connection: false),
    };

    /// <summary>The fault of this process and not of the host. Another backend may have an idle connection, which needs no new descriptor.</summary>
    private AttemptResult.TryNext OutOfDescriptors()
    {
        log.AttemptFailed(traceId, backend.Name, "this process has no file descriptor left for a connection");
        return new(new(ProxyErrorKind.OutOfDescriptors, "this proxy has too many files open to reach a host; try again in a moment")
        {
            RetryAfter = TimeSpan.FromSeconds(1)
        });
    }

    private AttemptResult.TryNext Failed(ProxyErrorKind kind, string reason, bool connection)
    {
        if (backend.Secrets is { } secrets) reason = secrets.Strike(reason); // an HTTP library's message may quote the host
        log.AttemptFailed(traceId, backend.Name, reason);
        // Three failures do not count against the backend. The call timed out after spending its time in our queue: an overload must not take the hosts down
        // as well. The backend is a proxy that could be reached: one of its hosts failed, the others may answer. The host was down for a moment and is up
        // again.
        var blameless = (kind is ProxyErrorKind.HostTimedOut && late && !connection) || (backend.IsProxy && !connection) || exchange.HostWasAway;
        if (!blameless && backend.State.MarkFailed(reason, connection)) log.WentDown(backend.Name, reason);
        return new(new(kind, $"backend '{backend.Name}': {reason}") { Backend = backend.Name });
    }

    private AttemptResult.GaveUp Left() => new(new(ProxyErrorKind.ClientLeft, "the client left") { Backend = backend.Name });

    private AttemptResult.Answered Reply(bool streams, bool complete, ProxyError? refusal = null)
    {
        handedOver = true;
        if (!streams) frames?.Dispose();
        var reply = new BackendReply(body, Held)
        {
            Status = head!.Status,
            Backend = backend.Name,
            ServedModel = served,
            Dialect = call.Dialect,
            ContentType = streams && !SaysStream(call.Dialect!.Framing, head.ContentType) ? null : head.ContentType,
            ContentLength = head.ContentLength,
            Headers = head.Headers.Count == 0
                ? []
                : [.. head.Headers.Select(h =>
                    KeyValuePair.Create(h.Name, head.Status >= 300 && backend.Secrets is { } secrets ? secrets.Strike(h.Value) : h.Value))],
            Secrets = backend.Secrets,
            Idle = call.Patient ? TimeSpan.FromDays(1) : backend.Config.Idle,
            Total = total,
            UnaskedUsage = call.UnaskedUsage,
            Refusal = refusal,
            Streams = streams,
            Frames = streams ? frames : null,
            Complete = complete,
            FromProxy = backend.IsProxy,
        };
        reply.Bind(lease, registration);
        if (head.Status < 300)
        {
            times.Content = time.GetTimestamp();
            backend.State.MarkServed();
        }

        return new(reply);
    }
}
