using System.Globalization;
using Microsoft.Extensions.Logging;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Transport;

namespace Proxy.Backends;

/// <summary>What one try at one backend came to.</summary>
internal abstract record AttemptResult
{
    private AttemptResult() { }

    /// <summary>An answer, a host's own refusal of the call included.</summary>
    public sealed record Answered(BackendReply Reply) : AttemptResult;

    /// <summary>No other backend would do better.</summary>
    public sealed record Refused(ProxyError Error) : AttemptResult;

    /// <summary>Another backend may make it good. <paramref name="Uncertain"/>: it may be the call's fault and not the host's.</summary>
    public sealed record TryNext(ProxyError Error, bool Uncertain = false) : AttemptResult
    {
        /// <summary>The host said when to come again.</summary>
        public TimeSpan? ComeAgain { get; init; }

        /// <summary>The host does not have the model that it is said to serve.</summary>
        public bool LacksModel { get; init; }
    }
}

/// <summary>
/// One try at one backend: sends the call and looks at the answer until it is sure that it is one. Owns the exchange, the lease and what was read,
/// until a reply takes them over.
/// </summary>
internal sealed class BackendAttempt : IDisposable
{
    /// <summary>A stream that has said so much without any content is passed on as it is.</summary>
    private const int LongestPreamble = 256 * 1024;

    /// <summary>An error body is read this far.</summary>
    private const int LongestError = 1 << 20;

    /// <summary>A stream that was not asked for is looked at as a whole up to here; its events take many times its size.</summary>
    private const int LongestUnasked = 4 << 20;

    /// <summary>What a host says of its answer's length is believed this far before it has come.</summary>
    private const int LongestFirstRoom = 64 << 10;

    /// <summary>Once so much of an answer has come, its host is believed.</summary>
    private const int LongestBelieved = 1 << 20;

    private readonly Backend backend;
    private readonly string served;
    private readonly string traceId;
    private readonly OutgoingCall call;
    private readonly ILogger log;
    private readonly UpstreamExchange exchange;
    private readonly Lease lease;
    private readonly CancellationTokenRegistration registration;
    private readonly long total;
    private readonly bool late;
    private UpstreamHead? head;
    private ReplyBody body; // the exchange, or what decodes it
    private PooledBody? held;
    private FrameBatch? frames; // has looked at the first frames
    private bool handedOver;

    /// <param name="queued">How long the call has waited for this slot: it counts against the time to the first token. What other backends took of it does not.</param>
    /// <param name="elapsed">How long the call has run in all: it counts against the time for the whole answer.</param>
    public BackendAttempt(OutgoingCall call, Lease lease, string served, string traceId, TimeSpan queued, TimeSpan elapsed, ILogger log, CancellationToken cancellation)
    {
        this.call = call;
        this.lease = lease;
        this.served = served;
        this.traceId = traceId;
        this.log = log;
        backend = lease.Backend;
        late = queued > backend.Config.FirstToken / 2;
        exchange = backend.Upstream.Open();
        body = exchange;
        total = backend.Config.Total is { } limit ? exchange.Now + (long)(limit - elapsed).TotalMilliseconds : ReplyBody.Never;
        exchange.Deadline = call.Streams ? Math.Min(total, exchange.Now + (long)(backend.Config.FirstToken - queued).TotalMilliseconds) : total;
        registration = cancellation.UnsafeRegister(static state => ((UpstreamExchange)state!).Cancel(), exchange);
    }

    /// <summary>Where the host says that it does not have the model, another one is there to be asked.</summary>
    public bool HasAlternative { get; init; }

    // Rented when there is something to hold: most of a call's time is the wait for that.
    private PooledBody Held => held ??= new((int)Math.Clamp((head!.ContentLength ?? 0) + 1, 2048, LongestFirstRoom));

    public ValueTask<UpstreamHead> SendAsync(IDispatchable from)
    {
        var headers = CrossingHeaders.Of(from.Headers, from.Info, backend);
        if (call.Errors.VersionHeader is { } version && !headers.Any(header => header.Name.Equals(version.Key, StringComparison.OrdinalIgnoreCase))) headers = [.. headers, new(version.Key, version.Value)];
        return exchange.SendAsync(new(call.Method, backend.PathOf(call.Path), call.Body) { ContentType = call.ContentType, Headers = headers, Via = from.Info.Via });
    }

    /// <summary>What the answer that begins like this comes to.</summary>
    public ValueTask<AttemptResult> ReadAsync(UpstreamHead answered)
    {
        head = answered;
        if (head.Outcome is not UpstreamOutcome.Answered) return new(NoAnswer(head));
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
        contentType?.StartsWith(framing is StreamFraming.ServerSentEvents ? "text/event-stream" : "application/x-ndjson", StringComparison.OrdinalIgnoreCase) is true;

    /// <summary>Whether what is held begins a stream, once its byte order mark is off; null while that cannot be told.</summary>
    private bool? BeginsStream(StreamFraming framing)
    {
        if (FirstBytes.MarkLength(Held.Span) is not { } mark) return null;
        if (mark > 0) Held.Consume(mark);
        return FirstBytes.Streams(Held.Span, framing, SaysStream(framing, head!.ContentType));
    }

    /// <summary>Reads a stream until a frame says something that a client would miss. A host that answers with a document has it read to its end.</summary>
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

    /// <summary>Reads an answer that is one document to its end: a host that dies in the middle of it can still be replaced.</summary>
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
                return Failed(ProxyErrorKind.HostFailed, "its answer says itself that it is not complete, or is none", connection: false);
            case ReplyReadKind.TimedOut:
                return Failed(ProxyErrorKind.HostTimedOut, "it did not finish its answer in the time it has", connection: false);
            case ReplyReadKind.Cancelled:
                return Left();
            default:
                return Failed(ProxyErrorKind.HostFailed, $"it broke off in the middle of its answer: {body.Failure}", connection: false);
        }
    }

    /// <summary>Some hosts stream unless they are told not to, and some then too: all of it is here, so it is looked at as a whole. Null where it is no stream, or not a whole one.</summary>
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
        if (events.OfType<ChatEvent.Finished>().FirstOrDefault(static happened => happened.Error is not null) is { Error: { } error }) return HostSaid(new HostError(error.Message, error.HostType, error.Code, error.Param));
        return reader.End(events) ? Reply(streams: true, complete: true) : null;
    }

    /// <summary>A status that is not a success. The client's mistakes go to the client; what another host may do better goes there.</summary>
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

    /// <summary>The beginning of an error that has no end here.</summary>
    private static HostError Cut(HostError said, ReplyReadKind end) => said with
    {
        Message = said.Message + (end is ReplyReadKind.Data ? $" (cut here: the host's error is longer than {LongestError >> 20} MiB)" : " (cut here: the host broke off in the middle of its error)"),
    };

    /// <summary>A failure inside a 200: as if the host had used the status it should have.</summary>
    private AttemptResult HostSaid(HostError said) => Judge(said, said.Status ?? 500, inside: true);

    private AttemptResult Judge(HostError said, int status, bool inside = false, bool isCut = false)
    {
        if (backend.Secrets is { } secrets) said = secrets.Strike(said);
        switch (status)
        {
            case 401 or 403:
                log.Unauthorized(backend.Name, status);
                return new AttemptResult.TryNext(new(ProxyErrorKind.HostUnauthorized, $"backend '{backend.Name}' does not accept this proxy's credentials; its operator has to set the backend's key") { Backend = backend.Name });
            case 508: // by another way the call would go round just the same
                return inside || isCut ? new AttemptResult.Refused(Said(said, status)) : Reply(streams: false, complete: true, Said(said, status));
            case >= 500 when backend.IsProxy: // its words are ours already, and say which of its hosts it was
                log.AttemptFailed(traceId, backend.Name, string.Create(CultureInfo.InvariantCulture, $"status {status}"));
                return new AttemptResult.TryNext(Said(said, status is 529 ? 503 : status) with { RetryAfter = RetryAfter() }, Uncertain: status is not (503 or 529));
            case 429 or 503 or 529: // the last is Anthropic's way to say the second
                return new AttemptResult.TryNext(new(ProxyErrorKind.HostRefused, said.Message) { Status = Math.Min(status, 503), Code = said.Code, HostType = said.Type, Backend = backend.Name, RetryAfter = RetryAfter() ?? TimeSpan.FromSeconds(1) }) { ComeAgain = RetryAfter() };
            case 404 when HasAlternative && MeansModel(said):
                log.AttemptFailed(traceId, backend.Name, "it does not have the model");
                return new AttemptResult.TryNext(Said(said, status)) { LacksModel = true };
            case >= 400 and < 500 when inside || isCut:
                return new AttemptResult.Refused(Said(said, status));
            case >= 400 and < 500:
                return Reply(streams: false, complete: true, Said(said, status));
            case < 400:
                return new AttemptResult.Refused(new(ProxyErrorKind.HostFailed, $"backend '{backend.Name}' answered with status {status}, which means nothing here; is its url right?") { Backend = backend.Name });
            default:
                log.AttemptFailed(traceId, backend.Name, string.Create(CultureInfo.InvariantCulture, $"status {status}{(inside ? " inside a 200" : "")}"));
                // The message is the host's: a 500 is often its way to name a client's mistake.
                return new AttemptResult.TryNext(new(ProxyErrorKind.HostFailed, $"backend '{backend.Name}' failed: {said.Message}") { Backend = backend.Name }, Uncertain: true);
        }
    }

    private ProxyError Said(HostError said, int status) => new(ProxyErrorKind.HostRefused, said.Message) { Status = status, Code = said.Code, HostType = said.Type, Param = said.Param, Backend = backend.Name };

    /// <summary>Whether what a 404 says is missing is the model, and not the path: by its code, its name or the word.</summary>
    private bool MeansModel(HostError said) =>
        said.Code is "model_not_found" || said.Param is "model" || said.Message.Contains("model", StringComparison.OrdinalIgnoreCase) || (served.Length > 0 && said.Message.Contains(served, StringComparison.OrdinalIgnoreCase));

    private TimeSpan? RetryAfter()
    {
        foreach (var header in head!.Headers)
        {
            if (header.Name.Equals("retry-after", StringComparison.OrdinalIgnoreCase) && int.TryParse(header.Value, NumberStyles.None, CultureInfo.InvariantCulture, out var seconds)) return TimeSpan.FromSeconds(seconds);
        }

        return null;
    }

    /// <summary>Reads what comes into what is held. How it ended; <see cref="ReplyReadKind.Data"/> when there was more than the limit.</summary>
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
        // What has come in earnest has a length to believe: room for all of it, which takes memory only as it is written to.
        if (Held.Length > LongestBelieved && head!.ContentLength is { } whole && whole > Held.Length && whole <= limit) _ = Held.GetSpan((int)whole - Held.Length);
        return Held.Length > limit ? ReplyReadKind.Data : null;
    }

    private AttemptResult NoAnswer(UpstreamHead head) => head.Outcome switch
    {
        UpstreamOutcome.Cancelled => Left(),
        UpstreamOutcome.TimedOut => Failed(ProxyErrorKind.HostTimedOut, call.Streams ? $"no first token within {backend.Config.FirstToken.TotalSeconds:0.#} s" : "no answer in the time it has", connection: false),
        UpstreamOutcome.OutOfDescriptors => OutOfDescriptors(),
        UpstreamOutcome.ConnectTimedOut => Failed(ProxyErrorKind.HostTimedOut, $"no connection within {backend.Config.Connect.TotalSeconds:0.#} s", connection: true),
        UpstreamOutcome.ConnectFailed => Failed(ProxyErrorKind.HostFailed, $"it cannot be reached: {head.Failure}", connection: true),
        _ => Failed(ProxyErrorKind.HostFailed, head.Failure ?? "it broke off before answering", connection: false),
    };

    /// <summary>Ours, and nothing against the host; another one may have a connection that lies idle.</summary>
    private AttemptResult.TryNext OutOfDescriptors()
    {
        log.AttemptFailed(traceId, backend.Name, "this process has no descriptor left for a connection");
        return new(new(ProxyErrorKind.OutOfDescriptors, "this proxy has too many files open to reach a host; try again in a moment") { RetryAfter = TimeSpan.FromSeconds(1) });
    }

    private AttemptResult.TryNext Failed(ProxyErrorKind kind, string reason, bool connection)
    {
        if (backend.Secrets is { } secrets) reason = secrets.Strike(reason); // what a client library says may quote the host
        log.AttemptFailed(traceId, backend.Name, reason);
        // A call that spent its time in our queue says nothing of the host: an overload must not take the hosts away as well.
        // What a proxy could not bring was one of its hosts' to bring, and its others answer.
        var blameless = (kind is ProxyErrorKind.HostTimedOut && late && !connection) || (backend.IsProxy && !connection) || exchange.HostWasAway;
        if (!blameless && backend.State.MarkFailed(reason, connection)) log.WentDown(backend.Name, reason);
        return new(new(kind, $"backend '{backend.Name}': {reason}") { Backend = backend.Name });
    }

    private AttemptResult.Refused Left() => new(new(ProxyErrorKind.ClientLeft, "the client left") { Backend = backend.Name });

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
            Headers = head.Headers.Count == 0 ? [] : [.. head.Headers.Select(h => KeyValuePair.Create(h.Name, head.Status >= 300 && backend.Secrets is { } secrets ? secrets.Strike(h.Value) : h.Value))],
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
        if (head.Status < 300) backend.State.MarkServed();
        return new(reply);
    }
}
