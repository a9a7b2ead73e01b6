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
        var writer = scope.Kept ?? RelayOutput.Of(scope.Context);
        var holding = followers.Taps.Length == 0 || scope.Kept is not null ? null : new HoldingWriter(writer);
        return new(scope.Context.Response, holding ?? writer, dialect, parts.Ticker, parts.Server().KeepaliveAfter) { Holding = holding };
    }

    /// <summary>Writes the answer to the call's client.</summary>
    /// <param name="scope">The call's scope.</param>
    /// <param name="call">The client's call.</param>
    /// <param name="client">The client's stream; null if the client wants a document.</param>
    /// <param name="followers">The taps and gates that follow the answer.</param>
    /// <param name="answer">The answer. This method disposes its reply.</param>
    public ValueTask WriteAsync(CallScope scope, ChatCall call, ClientStream? client, Followers followers, ChatAnswer answer)
    {
        if (answer is ChatAnswer.Refused refused) return RefuseAsync(scope, refused);
        if (answer is ChatAnswer.Verbatim { Reply: { Streams: false } reply })
        {
            AnswerHeaders.Set(scope.Context.Response, answer);
            scope.Answering(reply);
            return followers.IsNone || reply.Refusal is not null
                ? WholeAsync(scope, call.Envelope.Model, reply)
                : FollowAsync(scope, call, followers, reply);
        }

        var opened = answer is ChatAnswer.Events events ? Open(scope, events) : answer;
        // A relayed answer needs only the model's name of its stamp.
        var stamp = opened is ChatAnswer.Verbatim ? new ReplyStamp(scope.Info.TraceId, default, call.Envelope.Model) : Stamp(scope, call, opened);
        if (opened is ChatAnswer.Verbatim) call.Dispose(); // the host has the whole request, and its answer is not translated: a long stream holds no body
        return RunAsync(scope, client, followers, opened, stamp, null);
    }

    /// <summary>
    /// Generates the answer into a journal and writes it to the call's client from there. Returns when the generation has ended, which may be long after the
    /// client has left.
    /// </summary>
    /// <inheritdoc cref="WriteAsync" path="/param"/>
    public async ValueTask KeepAsync(CallScope scope, ChatCall call, ClientStream? client, Followers followers, ChatAnswer answer, AnswerJournal journal)
    {
        if (answer is ChatAnswer.Refused refused)
        {
            journal.Refuse(refused.Error);
            await RefuseAsync(scope, refused);
            return;
        }

        var given = answer is ChatAnswer.Events events ? Open(scope, events) : answer;
        var reply = ReplyOf(given);
        var reader = given is ChatAnswer.Translated { NewReader: { } make } ? make() : null;
        var stamp = given is ChatAnswer.Verbatim
            ? new ReplyStamp(scope.Info.TraceId, parts.Time.GetUtcNow(), call.Envelope.Model) { IncludeUsage = call.Envelope.IncludeUsage }
            : KeptStamp(scope, call, given, journal);
        scope.Answering(reply);
        call.Dispose();
        journal.Begin(AnswerHead.Of(reply, given, stamp));
        // Opened before the first frame comes, because an answer that is larger than the memory cannot be opened later.
        var reading = scope.Kept is null ? scope.Context.RequestAborted : scope.Cancellation;
        var opening = scope.IsDetached || (scope.ClientLeft && scope.Kept is null) ? default : JournalReply.OpenAsync(journal, dialect, reading);
        var pump = JournalPump.RunAsync(reply, journal, reader, followers, scope.Lifetime).AsTask();
        try
        {
            if (await opening is { } opened) await ReadAsync(scope, client, journal, opened, StreamPlace.Start);
        }
        catch (OperationCanceledException) when (reading.IsCancellationRequested)
        {
            // The client has left. Its answer goes on, or ends with the journal's last client.
        }
        finally
        {
            var end = await pump;
            scope.Count(end.Usage);
            scope.Record.Winner = end.Winner;
        }

        if (scope.ClientLeft && scope.Kept is null) await scope.LeftAsync();
        else if (scope.IsDetached && (journal.Error ?? journal.Head!.Refusal) is { } failure) scope.Judge(scope.Interruption ?? failure);
    }

    /// <summary>Writes an answer that another call generates or has generated.</summary>
    /// <param name="scope">The scope of this call.</param>
    /// <param name="client">The client's stream; null if the client wants a document.</param>
    /// <param name="journal">The journal of that answer.</param>
    /// <param name="answer">The answer, opened by <see cref="JournalReply"/>.</param>
    /// <param name="after">What the client already has.</param>
    public ValueTask ReadAsync(CallScope scope, ClientStream? client, AnswerJournal journal, ChatAnswer answer, StreamPlace after)
    {
        if (answer is ChatAnswer.Refused refused) return RefuseAsync(scope, refused);
        var head = journal.Head!;
        scope.Answering(head.Backend, head.ServedModel, head.Status);
        journal.WasSeen = true;
        if (answer is ChatAnswer.Verbatim { Reply: { Streams: false } reply })
        {
            AnswerHeaders.Set(scope.Context.Response, answer);
            return WholeAsync(scope, head.Stamp.Model, reply);
        }

        var numbers = journal.Origin.Resumable || after != StreamPlace.Start
            ? new FrameIds(journal.Origin.TraceId, after,
                writes: journal.Origin.Resumable && dialect.Framing is StreamFraming.ServerSentEvents && scope.Kept is null)
            : null;
        return RunAsync(scope, client, Followers.None, answer, head.Stamp, numbers);
    }

    /// <summary>Writes an answer that is kept, from a place on, and follows it to its end.</summary>
    /// <param name="scope">The scope of the call that reads.</param>
    /// <param name="journal">The answer. The caller has entered it.</param>
    /// <param name="after">What the client already has.</param>
    public async ValueTask ReplayAsync(CallScope scope, AnswerJournal journal, StreamPlace after)
    {
        scope.Record.Model = ModelName.Shown(journal.Origin.Model);
        scope.Record.Stream = journal.Origin.Streams;
        scope.Read(journal);
        var stream = journal.Origin.Streams ? Stream(scope, Followers.None) : null;
        var pending = JournalReply.OpenAsync(journal, dialect, scope.Cancellation);
        var answer = await (pending.IsCompleted || stream is not { KeepsAlive: true } ? pending : stream.WhileAsync(pending));
        await ReadAsync(scope, stream, journal, answer, after);
    }

    private static ValueTask RefuseAsync(CallScope scope, ChatAnswer.Refused refused)
    {
        AnswerHeaders.Set(scope.Context.Response, refused);
        return scope.RefuseAsync(refused.Error);
    }

    /// <summary>Relays the bytes of a host's document that is in the client's dialect.</summary>
    private static ValueTask WholeAsync(CallScope scope, string model, BackendReply reply) =>
        VerbatimWriter.WriteWholeAsync(scope, reply, reply.Held, model, reply.Dialect!);

    private static BackendReply ReplyOf(ChatAnswer answer) => answer switch
    {
        ChatAnswer.Verbatim verbatim => verbatim.Reply,
        ChatAnswer.Translated translated => translated.Reply,
        _ => throw new System.Diagnostics.UnreachableException(),
    };

    // Not in WriteAsync: a lambda there would cost every call a closure.
    private ValueTask FollowAsync(CallScope scope, ChatCall call, Followers followers, BackendReply reply) =>
        PumpAsync(scope, null, reply, new DocumentSink(reply, () => WholeAsync(scope, call.Envelope.Model, reply)), followers);

    /// <summary>Writes a stream, or a document that is made of events.</summary>
    private ValueTask RunAsync(CallScope scope, ClientStream? client, Followers followers, ChatAnswer answer, ReplyStamp stamp, FrameIds? ids)
    {
        AnswerHeaders.Set(scope.Context.Response, answer);
        var reply = ReplyOf(answer);
        scope.Answering(reply);
        return answer is ChatAnswer.Translated translated
            ? TranslateAsync(scope, stamp, translated.Whole ? null : client, followers, translated, ids)
            : RelayAsync(scope, stamp, client ?? Stream(scope, followers), followers, reply, ids);
    }

    /// <summary>Relays the bytes of a host's stream that is in the client's dialect.</summary>
    private ValueTask RelayAsync(CallScope scope, ReplyStamp stamp, ClientStream client, Followers followers, BackendReply reply, FrameIds? ids)
    {
        var response = scope.Context.Response;
        if (!response.HasStarted)
        {
            StreamHeaders.Set(response, reply.ContentType ?? dialect.StreamContentType);
            VerbatimWriter.CopyHeaders(reply, response);
        }

        var renamed = reply.ServedModel == stamp.Model ? null : stamp.Model;
        var edits = renamed is null && !reply.UnaskedUsage ? null : new FrameEdits(renamed, reply.UnaskedUsage ? reply.Dialect : null);
        return PumpAsync(scope, client, reply, new VerbatimSink(reply, client, edits, holdsEnd: followers.Gates.Length > 0, ids), followers);
    }

    /// <summary>Writes an answer from its events: as a stream if the client wants one, otherwise as one document.</summary>
    private ValueTask TranslateAsync(
        CallScope scope, ReplyStamp stamp, ClientStream? client, Followers followers, ChatAnswer.Translated translated, FrameIds? ids)
    {
        var (reply, reader) = (translated.Reply, translated.NewReader?.Invoke());
        if (client is null)
            return PumpAsync(scope, client, reply, new FoldingSink(reply, events => FoldAsync(scope, stamp, events, reply), scope.Skip, reader), followers);
        scope.Writer = dialect.NewEventWriter(stamp);
        var numbered = ids is null ? null : new NumberedMessages(ids, dialect.Framing);
        return PumpAsync(scope, client, reply, new TranslatingSink(reply, scope.Writer, client, scope.Skip, reader, numbered), followers);
    }

    private async ValueTask PumpAsync(CallScope scope, ClientStream? client, BackendReply reply, IFrameSink sink, Followers followers)
    {
        var keepAliveAfter = (reply.Body as EventBody)?.KeepAliveAfter ?? parts.Server().KeepaliveAfter;
        using var generation = new Generation(reply, sink, keepAliveAfter, followers, scope.Lifetime);
        var end = await generation.RunAsync();
        if (reply.Body is not JournalBody)
        {
            scope.Count(end.Usage); // else the call that generates the answer counts
            scope.Record.Winner = end.Winner;
        }

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
    private async ValueTask FoldAsync(CallScope scope, ReplyStamp stamp, IReadOnlyList<ChatEvent> events, BackendReply reply)
    {
        using var body = new PooledBody();
        // A document that is read again is the same document.
        dialect.WriteWhole(events, reply.Body is JournalBody ? stamp : stamp with { Created = parts.Time.GetUtcNow() }, body);
        var response = scope.Context.Response;
        response.StatusCode = StatusCodes.Status200OK;
        response.ContentType = dialect.WholeContentType;
        AnswerHeaders.Set(response, events, stamp);
        response.ContentLength = body.Length;
        await response.BodyWriter.WriteAsync(body.Memory);
    }

    /// <summary>Wraps the events of a route that uses no host in a reply.</summary>
    private ChatAnswer.Translated Open(CallScope scope, ChatAnswer.Events events)
    {
        var body = new EventBody(events.Stream, new EventSchemaWriter(), parts.Time, scope.Cancellation) { KeepAliveAfter = events.KeepAliveAfter };
        var reply = new BackendReply(body, new PooledBody(16))
        {
            Status = StatusCodes.Status200OK,
            Backend = events.Backend ?? "",
            ServedModel = events.Served ?? "",
            Idle = TimeSpan.FromDays(1),
            Streams = true,
            IsPublished = events.IsPublished,
        };
        reply.Bind(null, scope.Cancellation.UnsafeRegister(static state => ((EventBody)state!).Cancel(), body));
        return new(reply)
        {
            Headers = events.Headers,
            NewReader = static () => new EventSchemaReader(),
            Whole = events.Whole,
            Sources = events.Sources,
            Search = events.Search,
            RunId = events.RunId,
        };
    }

    /// <summary>The stamp of an answer that is kept. Only Responses repeats its request, which then counts as kept too.</summary>
    private ReplyStamp KeptStamp(CallScope scope, ChatCall call, ChatAnswer answer, AnswerJournal journal)
    {
        var stamp = Stamp(scope, call, answer);
        if (dialect.Name != DialectName.OpenAiResponses) return stamp with { Request = null };
        if (journal.Origin.Request is null) journal.CountRequest(call.OriginalBody?.Length ?? 0);
        return stamp;
    }

    private ReplyStamp Stamp(CallScope scope, ChatCall call, ChatAnswer answer)
    {
        call.TryGetRequest(out var request); // no error is possible: a call that is answered in events has already been parsed
        var translated = answer as ChatAnswer.Translated;
        scope.Record.RunId = translated?.RunId;
        return new(scope.Info.TraceId, parts.Time.GetUtcNow(), call.Envelope.Model)
        {
            IncludeUsage = call.Envelope.IncludeUsage,
            Request = request,
            Sources = translated?.Sources,
            Search = translated?.Search,
            RunId = translated?.RunId,
            Terms = call.Terms,
        };
    }
}
