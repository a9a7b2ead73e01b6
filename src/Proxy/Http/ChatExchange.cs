using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects;
using Proxy.Dialects.Events;
using Proxy.Routes;
using Proxy.Streams;
using Proxy.Transport.Loops;

namespace Proxy.Http;

/// <summary>
/// One chat call from first byte in to last byte out: let the caller in, read the body, peek at it, let the route answer, write the answer.
/// Nothing below this folder writes to a client.
/// </summary>
internal sealed class ChatExchange(string surface, ClientDialect dialect, RouteTable routes, ExchangeParts parts)
{
    public async Task HandleAsync(HttpContext context)
    {
        using var scope = CallScope.Begin(context, surface, dialect, parts);
        PooledBody? body = null;
        try
        {
            var problem = scope.Admit();
            if (problem is null) (body, problem) = await RequestBody.ReadAsync(context.Request, parts.Server().BodyLimit, scope.Cancellation);
            ChatEnvelope? envelope = null;
            problem ??= EnvelopePeek.Read(body!.Span, out envelope);
            scope.Record.Messages = envelope?.Messages; // of a call that is refused too
            problem ??= dialect.Refuses(body!.Span) ?? scope.Use(envelope!.Model);
            IChatRoute? route = null;
            problem ??= routes.Find(scope.Info, envelope!.Model, out route);
            if (problem is not null)
            {
                await scope.RefuseAsync(problem);
                return;
            }

            var call = new ChatCall(dialect, envelope!, scope.Info, body!.Memory) { Headers = scope.CrossingHeaders };
            scope.Record.Route = route!.Name;
            scope.Record.Stream = call.Streams;
            var client = call.Streams ? Stream(scope) : null;
            var pending = route.AnswerAsync(call, scope.Cancellation);
            await WriteAsync(scope, call, client, await (pending.IsCompleted || client is not { KeepsAlive: true } ? pending : client.WhileAsync(pending)));
        }
        catch (Exception problem) // whatever it is, the client gets an error in its dialect and the log gets the reason
        {
            await scope.FailAsync(problem);
        }
        finally
        {
            body?.Dispose();
        }
    }

    private ValueTask WriteAsync(CallScope scope, ChatCall call, ClientStream? client, ChatAnswer answer) => answer switch
    {
        ChatAnswer.Refused refused => scope.RefuseAsync(refused.Error),
        ChatAnswer.Verbatim { Reply: { Streams: false } reply } => WholeAsync(scope, call, reply),
        ChatAnswer.Verbatim { Reply: var reply } => RelayAsync(scope, call, client ?? Stream(scope), reply),
        ChatAnswer.Translated { Reply: var reply } => TranslateAsync(scope, call, client, reply),
        ChatAnswer.Events events => TranslateAsync(scope, call, events.Whole ? null : client, Reply(scope, events), new EventSchemaReader()),
        _ => throw new System.Diagnostics.UnreachableException(),
    };

    /// <summary>A host's document in the client's dialect: its bytes.</summary>
    private ValueTask WholeAsync(CallScope scope, ChatCall call, BackendReply reply)
    {
        scope.Answering(reply);
        var followers = parts.Follow(scope.Info);
        return followers.IsNone ? WriteAsync() : FollowAsync();

        ValueTask WriteAsync() => VerbatimWriter.WriteWholeAsync(scope, reply, reply.Held, call.Envelope.Model, reply.Dialect!);

        async ValueTask FollowAsync()
        {
            using var generation = new Generation(reply, new DocumentSink(reply, WriteAsync), default, followers, scope.Lifetime);
            await EndAsync(scope, await generation.RunAsync());
        }
    }

    /// <summary>A host's stream in the client's dialect: its bytes.</summary>
    private async ValueTask RelayAsync(CallScope scope, ChatCall call, ClientStream client, BackendReply reply)
    {
        scope.Answering(reply);
        var response = scope.Context.Response;
        if (!response.HasStarted)
        {
            StreamHeaders.Set(response, reply.ContentType ?? dialect.StreamContentType);
            VerbatimWriter.CopyHeaders(reply, response);
        }

        var followers = parts.Follow(scope.Info);
        var renamed = reply.ServedModel == call.Envelope.Model ? null : call.Envelope.Model;
        var edits = renamed is null && !reply.UnaskedUsage ? null : new FrameEdits(renamed, reply.UnaskedUsage ? reply.Dialect : null);
        using var sink = new VerbatimSink(reply, client, edits, holdsEnd: followers.Gates.Length > 0);
        using var generation = new Generation(reply, sink, parts.Server().KeepaliveAfter, followers, scope.Lifetime);
        await EndAsync(scope, await generation.RunAsync());
    }

    /// <summary>An answer as events: a stream where the client wants one, else one document.</summary>
    /// <param name="scope">The call's.</param>
    /// <param name="call">What was asked.</param>
    /// <param name="client">The client's stream; null: it wants a document.</param>
    /// <param name="reply">Disposed at the end.</param>
    /// <param name="reader">Reads the reply's frames; null: its dialect's own reader.</param>
    private async ValueTask TranslateAsync(CallScope scope, ChatCall call, ClientStream? client, BackendReply reply, EventReader? reader = null)
    {
        scope.Answering(reply);
        EventSink sink;
        if (client is null)
        {
            sink = new FoldingSink(reply, events => FoldAsync(scope, call, events), scope.Skip, reader);
        }
        else
        {
            scope.Writer = dialect.NewEventWriter(Stamp(scope, call));
            sink = new TranslatingSink(reply, scope.Writer, client, scope.Skip, reader);
        }

        using var generation = new Generation(reply, sink, parts.Server().KeepaliveAfter, parts.Follow(scope.Info), scope.Lifetime);
        await EndAsync(scope, await generation.RunAsync());
    }

    private static async ValueTask EndAsync(CallScope scope, GenerationEnd end)
    {
        scope.Count(end.Usage);
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
    private async ValueTask FoldAsync(CallScope scope, ChatCall call, IReadOnlyList<ChatEvent> events)
    {
        using var body = new PooledBody();
        dialect.WriteWhole(events, Stamp(scope, call), body);
        var response = scope.Context.Response;
        response.StatusCode = StatusCodes.Status200OK;
        response.ContentType = dialect.WholeContentType;
        response.ContentLength = body.Length;
        await response.BodyWriter.WriteAsync(body.Memory);
    }

    private ClientStream Stream(CallScope scope) =>
        new(scope.Context.Response, DirectWriter.Of(scope.Context), dialect, parts.Ticker, parts.Server().KeepaliveAfter);

    private BackendReply Reply(CallScope scope, ChatAnswer.Events events)
    {
        var body = new EventBody(events.Stream, new EventSchemaWriter(), parts.Time, scope.Cancellation);
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
        call.TryGetRequest(out var request); // who answers in events has read it already
        return new(scope.Info.TraceId, parts.Time.GetUtcNow(), call.Envelope.Model) { IncludeUsage = call.Envelope.IncludeUsage, Request = request };
    }
}
