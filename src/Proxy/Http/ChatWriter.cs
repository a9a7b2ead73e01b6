using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects.Events;
using Proxy.Streams;
using Proxy.Transport;

namespace Proxy.Http;

/// <summary>Writes a route's answer in the client's dialect: chooses its sink and runs the generation.</summary>
internal sealed class ChatWriter(ClientDialect dialect, ExchangeParts parts)
{
    /// <summary>Creates the client's stream. If taps follow the answer, bytes are held for a slow client, so that it does not delay them.</summary>
    public ClientStream Stream(CallScope scope, Followers followers)
    {
        var writer = RelayOutput.Of(scope.Context);
        var holding = followers.Taps.Length == 0 ? null : new HoldingWriter(writer);
        return new(scope.Context.Response, holding ?? writer, dialect, parts.Ticker, parts.Server().KeepaliveAfter) { Holding = holding };
    }

    /// <param name="scope">The call's scope.</param>
    /// <param name="call">The client's call.</param>
    /// <param name="client">The client's stream; null if the client wants a document.</param>
    /// <param name="followers">The taps and gates that follow the answer.</param>
    /// <param name="answer">The answer. This method disposes its reply.</param>
    public ValueTask WriteAsync(CallScope scope, ChatCall call, ClientStream? client, Followers followers, ChatAnswer answer)
    {
        AnswerHeaders.Set(scope.Context.Response, answer);
        switch (answer)
        {
            case ChatAnswer.Refused refused:
                return scope.RefuseAsync(refused.Error);
            case ChatAnswer.Verbatim { Reply: { Streams: false } reply }:
                scope.Answering(reply);
                return followers.IsNone || reply.Refusal is not null
                    ? WholeAsync(scope, call, reply)
                    : FollowAsync(scope, call, followers, reply);
            case ChatAnswer.Verbatim { Reply: var reply }:
                scope.Answering(reply);
                return RelayAsync(scope, call, client ?? Stream(scope, followers), followers, reply);
            case ChatAnswer.Translated { Reply: var reply } translated:
                scope.Answering(reply);
                return TranslateAsync(scope, Stamp(scope, call) with { Sources = translated.Sources }, client, followers, reply);
            case ChatAnswer.Events events:
                var said = Reply(scope, events);
                scope.Answering(said);
                var stamp = Stamp(scope, call) with { RunId = events.RunId };
                return TranslateAsync(scope, stamp, events.Whole ? null : client, followers, said, new EventSchemaReader());
            default:
                throw new System.Diagnostics.UnreachableException();
        }
    }

    /// <summary>Relays the bytes of a host's document that is in the client's dialect.</summary>
    private static ValueTask WholeAsync(CallScope scope, ChatCall call, BackendReply reply) =>
        VerbatimWriter.WriteWholeAsync(scope, reply, reply.Held, call.Envelope.Model, reply.Dialect!);

    // Not in WriteAsync: a lambda there would cost every call a closure.
    private ValueTask FollowAsync(CallScope scope, ChatCall call, Followers followers, BackendReply reply) =>
        RunAsync(scope, null, reply, new DocumentSink(reply, () => WholeAsync(scope, call, reply)), followers);

    /// <summary>Relays the bytes of a host's stream that is in the client's dialect.</summary>
    private ValueTask RelayAsync(CallScope scope, ChatCall call, ClientStream client, Followers followers, BackendReply reply)
    {
        call.Dispose(); // the host has the whole request, and its answer is not translated: a stream that lasts minutes holds no body
        var response = scope.Context.Response;
        if (!response.HasStarted)
        {
            StreamHeaders.Set(response, reply.ContentType ?? dialect.StreamContentType);
            VerbatimWriter.CopyHeaders(reply, response);
        }

        var renamed = reply.ServedModel == call.Envelope.Model ? null : call.Envelope.Model;
        var edits = renamed is null && !reply.UnaskedUsage ? null : new FrameEdits(renamed, reply.UnaskedUsage ? reply.Dialect : null);
        return RunAsync(scope, client, reply, new VerbatimSink(reply, client, edits, holdsEnd: followers.Gates.Length > 0), followers);
    }

    /// <summary>Writes an answer from its events: as a stream if the client wants one, otherwise as one document.</summary>
    /// <param name="scope">The call's scope.</param>
    /// <param name="stamp">The values that the answer's writer needs besides the events.</param>
    /// <param name="client">The client's stream; null if the client wants a document.</param>
    /// <param name="followers">The taps and gates that follow the answer.</param>
    /// <param name="reply">The answer.</param>
    /// <param name="reader">Reads its frames; null: its dialect's own reader.</param>
    private ValueTask TranslateAsync(
        CallScope scope, ReplyStamp stamp, ClientStream? client, Followers followers, BackendReply reply, EventReader? reader = null)
    {
        if (client is null)
            return RunAsync(scope, client, reply, new FoldingSink(reply, events => FoldAsync(scope, stamp, events), scope.Skip, reader), followers);
        scope.Writer = dialect.NewEventWriter(stamp);
        return RunAsync(scope, client, reply, new TranslatingSink(reply, scope.Writer, client, scope.Skip, reader), followers);
    }

    private async ValueTask RunAsync(CallScope scope, ClientStream? client, BackendReply reply, IFrameSink sink, Followers followers)
    {
        var keepAliveAfter = (reply.Body as EventBody)?.KeepAliveAfter ?? parts.Server().KeepaliveAfter;
        using var generation = new Generation(reply, sink, keepAliveAfter, followers, scope.Lifetime);
        var end = await generation.RunAsync();
        scope.Count(end.Usage);
        using var holding = client?.Holding;
        if (holding is not null) await holding.DrainAsync();
        switch (end.Kind)
        {
            case EndKind.ClientLeft:
                await scope.LeftAsync();
                break;
            case EndKind.HostSaidError:
                scope.Judge(end.Error!);
                break;
            case EndKind.BrokeOff:
                await scope.RefuseAsync(end.Error!);
                break;
        }
    }

    /// <summary>Writes events as one document.</summary>
    private async ValueTask FoldAsync(CallScope scope, ReplyStamp stamp, IReadOnlyList<ChatEvent> events)
    {
        using var body = new PooledBody();
        dialect.WriteWhole(events, stamp with { Created = parts.Time.GetUtcNow() }, body);
        var response = scope.Context.Response;
        response.StatusCode = StatusCodes.Status200OK;
        response.ContentType = dialect.WholeContentType;
        AnswerHeaders.Set(response, events, stamp);
        response.ContentLength = body.Length;
        await response.BodyWriter.WriteAsync(body.Memory);
    }

    /// <summary>Wraps the events of a route that uses no host in a reply.</summary>
    private BackendReply Reply(CallScope scope, ChatAnswer.Events events)
    {
        var body = new EventBody(events.Stream, new EventSchemaWriter(), parts.Time, scope.Cancellation) { KeepAliveAfter = events.KeepAliveAfter };
        var reply = new BackendReply(body, new PooledBody(16))
        {
            Status = StatusCodes.Status200OK,
            Backend = events.Backend ?? "",
            ServedModel = events.Served ?? "",
            Idle = TimeSpan.FromDays(1),
            Streams = true,
        };
        reply.Bind(null, scope.Cancellation.UnsafeRegister(static state => ((EventBody)state!).Cancel(), body));
        return reply;
    }

    private ReplyStamp Stamp(CallScope scope, ChatCall call)
    {
        call.TryGetRequest(out var request); // no error is possible: a call that is answered in events has already been parsed
        return new(scope.Info.TraceId, parts.Time.GetUtcNow(), call.Envelope.Model) { IncludeUsage = call.Envelope.IncludeUsage, Request = request };
    }
}
