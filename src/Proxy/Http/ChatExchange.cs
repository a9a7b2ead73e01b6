using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects;
using Proxy.Relay;
using Proxy.Routes;
using Proxy.Transport;

namespace Proxy.Http;

/// <summary>
/// One chat call from first byte in to last byte out: let the caller in, read the body, peek at it, let the route answer, write the answer.
/// Nothing below this folder writes to a client.
/// </summary>
internal sealed class ChatExchange(string surface, ClientDialect dialect, RouteTable routes, ExchangeParts parts)
{
    private readonly byte[] keepAlive = dialect.KeepAlive.ToArray();

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
            var pending = route.AnswerAsync(call, scope.Cancellation);
            await WriteAsync(scope, call, await (pending.IsCompleted || !call.Streams || keepAlive.Length == 0 ? pending : KeepAliveAsync(scope, pending)));
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

    /// <summary>Waits for the route's answer, and keeps the client's connection alive meanwhile.</summary>
    private async ValueTask<ChatAnswer> KeepAliveAsync(CallScope scope, ValueTask<ChatAnswer> pending)
    {
        var keeper = new PendingKeepAlive(scope.Context.Response, dialect, parts.Ticker, parts.Server().KeepaliveAfter);
        try
        {
            return await pending;
        }
        finally
        {
            await keeper.StopAsync();
        }
    }

    private ValueTask WriteAsync(CallScope scope, ChatCall call, ChatAnswer answer)
    {
        switch (answer)
        {
            case ChatAnswer.Refused refused:
                return scope.RefuseAsync(refused.Error);
            case ChatAnswer.Verbatim { Reply: var reply }:
                scope.Answering(reply);
                return reply.Streams ? RelayAsync(scope, call, reply) : VerbatimWriter.WriteWholeAsync(scope, reply, reply.Held, call.Envelope.Model, reply.Dialect!);
            case ChatAnswer.Events events:
                scope.Answering(events.Backend, events.Served);
                return call.Streams && !events.Whole ? EncodeAsync(scope, call, events.Stream) : FoldAsync(scope, call, events.Stream);
            default:
                throw new System.Diagnostics.UnreachableException();
        }
    }

    /// <summary>A host's stream in the client's dialect: its bytes.</summary>
    private async ValueTask RelayAsync(CallScope scope, ChatCall call, BackendReply reply)
    {
        using var held = reply;
        var response = scope.Context.Response;
        if (!response.HasStarted)
        {
            StreamHeaders.Set(response, reply.ContentType ?? dialect.StreamContentType);
            VerbatimWriter.CopyHeaders(reply, response);
        }

        var renamed = reply.ServedModel == call.Envelope.Model ? null : call.Envelope.Model;
        var edits = renamed is null && !reply.UnaskedUsage ? null : new FrameEdits(renamed, reply.UnaskedUsage ? reply.Dialect : null);
        using var relay = new ByteRelay(reply, RelayOutput.Of(scope.Context), edits, keepAlive, parts.Server().KeepaliveAfter);
        var outcome = await relay.RunAsync();
        scope.Count(outcome.Usage);
        switch (outcome.End)
        {
            case RelayEnd.ClientLeft:
                await scope.LeftAsync();
                break;
            case RelayEnd.HostSaidError:
                scope.Judge(outcome.Error!);
                break;
            case RelayEnd.BrokeOff:
                await scope.RefuseAsync(outcome.Error!);
                break;
        }
    }

    /// <summary>Events as a stream. What came together leaves together: a flush only when the next event has to be waited for.</summary>
    private async ValueTask EncodeAsync(CallScope scope, ChatCall call, IAsyncEnumerable<ChatEvent> stream)
    {
        var response = scope.Context.Response;
        var output = response.BodyWriter;
        var writer = dialect.NewEventWriter(Stamp(scope, call));
        scope.Writer = writer;
        var isWhole = false;
        await using var events = stream.GetAsyncEnumerator(scope.Cancellation);
        while (true)
        {
            var next = events.MoveNextAsync();
            // A client that is gone cancels the scope, which ends the wait for the next event.
            if (!next.IsCompleted && output.UnflushedBytes > 0) await output.FlushAsync();

            if (!await next) break;
            if (events.Current is ChatEvent.Finished { Error: { } error })
            {
                await scope.RefuseAsync(error);
                return;
            }

            isWhole |= events.Current is ChatEvent.Finished;
            if (!response.HasStarted && output.UnflushedBytes == 0) StreamHeaders.Set(response, dialect.StreamContentType);
            if (events.Current is ChatEvent.UsageReported usage) scope.Count(usage.Usage);
            if (events.Current is ChatEvent.Skipped skipped) scope.Skip(skipped.Kind);
            else if (events.Current is not ChatEvent.Quiet) writer.Write(events.Current, output);
            else if (keepAlive.Length > 0) await output.WriteAsync(keepAlive);
        }

        if (!isWhole && scope.Cancellation.IsCancellationRequested)
        {
            await scope.LeftAsync();
            return;
        }

        writer.End(output);
        scope.GiveBackKey();
        await output.FlushAsync();
    }

    /// <summary>Events as one document.</summary>
    private async ValueTask FoldAsync(CallScope scope, ChatCall call, IAsyncEnumerable<ChatEvent> stream)
    {
        var events = new List<ChatEvent>();
        await foreach (var happened in stream.WithCancellation(scope.Cancellation))
        {
            if (happened is ChatEvent.Finished { Error: { } error })
            {
                await scope.RefuseAsync(error);
                return;
            }

            if (happened is ChatEvent.UsageReported usage) scope.Count(usage.Usage);
            if (happened is ChatEvent.Skipped skipped) scope.Skip(skipped.Kind);
            else if (happened is not ChatEvent.Quiet) events.Add(happened);
        }

        // An answer that is complete is written, whoever is there to take it.
        if (scope.Cancellation.IsCancellationRequested && !events.Exists(static one => one is ChatEvent.Finished))
        {
            await scope.LeftAsync();
            return;
        }

        using var body = new PooledBody();
        dialect.WriteWhole(events, Stamp(scope, call), body);
        scope.GiveBackKey();
        var response = scope.Context.Response;
        response.StatusCode = StatusCodes.Status200OK;
        response.ContentType = dialect.WholeContentType;
        response.ContentLength = body.Length;
        await response.BodyWriter.WriteAsync(body.Memory);
    }

    private ReplyStamp Stamp(CallScope scope, ChatCall call)
    {
        call.TryGetRequest(out var request); // who answers in events has read it already
        return new(scope.Info.TraceId, parts.Time.GetUtcNow(), call.Envelope.Model) { IncludeUsage = call.Envelope.IncludeUsage, Request = request };
    }
}
