using System.Runtime.CompilerServices;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects;
using Proxy.Routes;
using Proxy.Streams;

namespace Proxy.Http;

/// <summary>
/// One chat call: reads the body's envelope, chooses the route, gets its answer and writes it (<see cref="ChatWriter"/>). Only this folder writes to
/// clients.
/// </summary>
internal class ChatExchange(string surface, ClientDialect dialect, RouteTable routes, ExchangeParts parts) : Exchange(surface, dialect, parts)
{
    private readonly ChatWriter writer = new(dialect, parts);

    protected override ValueTask<ProxyError?> AnswerAsync(CallScope scope, PooledBody body) =>
        Open(scope, body, out var call) is { } problem ? new(problem) : AnswerAsync(scope, call!, null);

    /// <summary>Makes a call of the body. The call owns it; if there is a problem, the body is disposed.</summary>
    protected ProxyError? Open(CallScope scope, PooledBody body, out ChatCall? call)
    {
        call = null;
        var problem = EnvelopePeek.Read(body.Span, out var envelope);
        scope.Record.Messages = envelope?.Messages; // recorded even if the call is refused below
        problem ??= dialect.Refuses(body.Span);
        if (problem is not null) body.Dispose();
        else call = new ChatCall(dialect, envelope!, scope.Info, body) { Headers = scope.CrossingHeaders };
        return problem;
    }

    /// <summary>Answers the call, and disposes it.</summary>
    /// <param name="scope">The call's scope.</param>
    /// <param name="call">The call.</param>
    /// <param name="kept">The request, if the client can fetch the answer by its own id; else null.</param>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    protected async ValueTask<ProxyError?> AnswerAsync(CallScope scope, ChatCall call, KeptRequest? kept)
    {
        var runsOn = false;
        try
        {
            var routed = routes.Read(call);
            scope.Record.Stream = call.Streams;
            if (routed.Workspace is { } workspace) scope.Record.Workspace = ModelName.Shown(workspace);
            if (routed.Pipeline is { } asked) scope.Record.Pipeline = ModelName.Shown(asked);
            if (Unmet(scope.Info) is { } unmet) return unmet;
            if (scope.Info.Wishes is not null || kept is not null || !Parts.Sharing.IsIdle)
            {
                if (ConnectionFeature.Of(scope.Context) is { Joins: true }) return await JoinOnlyAsync(scope, call);
                if (CallSharing.MayJoin(scope) && Parts.Forwarding.IsNeeded
                    && await Parts.Forwarding.AnswerAsync(scope, call.OriginalBody!.Value, joins: true)) return null;
                var (unclear, joined) = await ShareAsync(scope, call, kept);
                if (unclear is not null) return unclear;
                if (joined is not null) return await JoinAsync(scope, call, joined);
            }

            IChatRoute? route = null;
            var problem = (routed.Pipeline is not { } pipeline ? scope.Use(routed.Model)
                : scope.UsePipeline(pipeline, scope.Info.Pipeline is null ? "model" : "x-pipeline")) ?? routes.Find(routed, out route);
            scope.Record.Model = ModelName.Shown(call.Envelope.Model); // as the client wrote it
            if (problem is not null) return problem;

            if (scope.Info.Wishes is not null && Parts.Sharing.Conversations.Begin(scope, call) is { } wrong) return wrong;
            var early = Parts.Early.Count == 0 ? null : await EarlyAsync(routed, scope.Cancellation);
            scope.Record.Route = early?.By ?? route!.Name;
            var waits = kept is not { AnswersAtOnce: true };
            var followers = Followers.Of(Parts.Follow, routed, scope.Record, early is not null, scope.Journal);
            AnswerHeaders.Set(scope.Context.Response, call);
            scope.Record.RequestId = call.RequestId;
            var client = call.Streams && waits ? writer.Stream(scope, followers) : null;
            scope.OpenJoins(call);
            var pending = early is null ? route!.AnswerAsync(routed, scope.Cancellation) : new(early);
            if (waits)
            {
                var answer = await (pending.IsCompleted || client is not { KeepsAlive: true } ? pending : client.WhileAsync(pending));
                await WriteAsync(scope, call, client, followers, answer);
                return null;
            }

            var refused = await LetRunAsync(scope, call, followers, pending.Preserve());
            runsOn = refused is null;
            return refused;
        }
        finally
        {
            if (!runsOn)
            {
                scope.CloseJoins(); // no other call may look at a body that is given back
                call.Dispose();
            }
        }
    }

    /// <summary>The taps and gates that follow an answer that is kept.</summary>
    protected virtual Followers Following(Followers followers, AnswerJournal journal) => followers;

    /// <summary>Writes what there is of an answer now, for a client that does not wait for it.</summary>
    protected virtual ValueTask WriteStateAsync(CallScope scope, AnswerJournal journal) => throw new NotSupportedException();

    /// <summary>Writes the answer to the client, or into what its clients read.</summary>
    private ValueTask WriteAsync(CallScope scope, ChatCall call, ClientStream? client, Followers followers, ChatAnswer answer)
    {
        var journal = scope.CloseJoins();
        return journal is null && scope.Kept is null
            ? writer.WriteAsync(scope, call, client, followers, answer)
            : KeepAsync(scope, call, client, followers, answer, journal);
    }

    private async ValueTask KeepAsync(CallScope scope, ChatCall call, ClientStream? client, Followers followers, ChatAnswer answer, AnswerJournal? journal)
    {
        if (journal is not null) await writer.KeepAsync(scope, call, client, Following(followers, journal), answer, journal);
        else await writer.WriteAsync(scope, call, client, followers, answer);
        await scope.EndKeptAsync();
    }

    /// <summary>
    /// Tells the client what it needs to ask for the answer later, and lets the work go on, which disposes the scope and the call. Returns the error if the
    /// route has refused the call already.
    /// </summary>
    private async ValueTask<ProxyError?> LetRunAsync(CallScope scope, ChatCall call, Followers followers, ValueTask<ChatAnswer> pending)
    {
        if (pending is { IsCompletedSuccessfully: true, Result: ChatAnswer.Refused { Error: var refused } }) return refused;
        try
        {
            await WriteStateAsync(scope, scope.Journal!);
        }
        catch (Exception gone) when (gone is IOException or OperationCanceledException)
        {
            // The client has left. The answer is generated anyway.
        }

        scope.Detach();
        _ = RunOnAsync(scope, call, followers, pending);
        return null;
    }

    /// <summary>Generates the answer of a call whose client does not wait for it.</summary>
    private async Task RunOnAsync(CallScope scope, ChatCall call, Followers followers, ValueTask<ChatAnswer> pending)
    {
        using var ended = scope;
        using var owned = call;
        try
        {
            await WriteAsync(scope, call, null, followers, await pending);
        }
        catch (Exception problem) // no caller is left that could handle it; the log gets the reason
        {
            scope.CloseJoins();
            await scope.FailAsync(problem);
        }
    }

    /// <summary>
    /// Finds the answer that the call shares, or begins its journal. While it waits for another process that generates the answer to its key, its client's
    /// stream is kept alive.
    /// </summary>
    private ValueTask<(ProxyError? Problem, AnswerJournal? Joined)> ShareAsync(CallScope scope, ChatCall call, KeptRequest? kept)
    {
        var pending = Parts.Sharing.BeginAsync(scope, call, kept);
        if (pending.IsCompleted || !call.Streams || kept is { AnswersAtOnce: true }) return pending;
        // Shared journals set headers at the end of their wait, and the bytes of a conversation's stream are kept from the first on.
        if (Parts.Sharing.Shared is not null || scope.Info.Wishes?.ConversationId is not null) return pending;
        var client = writer.Stream(scope, Followers.None);
        return client.KeepsAlive ? client.WhileAsync(pending) : pending;
    }

    /// <summary>For the process that took over: answers with what an equal call generates here, or has generated.</summary>
    private async ValueTask<ProxyError?> JoinOnlyAsync(CallScope scope, ChatCall call)
    {
        var (problem, joined) = Parts.Sharing.Find(scope, call);
        if (problem is not null) return problem;
        return joined is null ? new(ProxyErrorKind.UnknownPath, "no equal call runs here") : await JoinAsync(scope, call, joined);
    }

    /// <summary>Answers with what an equal call generates, or has generated.</summary>
    private async ValueTask<ProxyError?> JoinAsync(CallScope scope, ChatCall call, AnswerJournal journal)
    {
        scope.Record.Model = ModelName.Shown(call.Envelope.Model);
        scope.Record.Joined = journal.Head?.Stamp.TraceId ?? journal.Origin.TraceId; // another than the origin's if the answer comes from the store
        var response = scope.Context.Response;
        if (!response.HasStarted)
        {
            response.Headers["x-joined-trace-id"] = scope.Record.Joined;
            if (journal is { IsOver: true, Origin.Key: not null }) response.Headers["idempotent-replayed"] = "true";
        }

        if (journal is { Origin.Request.AnswersAtOnce: true })
        {
            await WriteStateAsync(scope, journal);
            return null;
        }

        var client = call.Streams ? writer.Stream(scope, Followers.None) : null;
        var pending = JournalReply.OpenAsync(journal, Dialect as ClientDialect ?? call.Dialect, scope.Cancellation);
        var answer = await (pending.IsCompleted || client is not { KeepsAlive: true } ? pending : client.WhileAsync(pending));
        await writer.ReadAsync(scope, client, journal, answer, StreamPlace.Start);
        return null;
    }

    private async ValueTask<ChatAnswer?> EarlyAsync(RoutedCall routed, CancellationToken cancellation)
    {
        foreach (var answer in Parts.Early)
        {
            if (await answer(routed, cancellation) is { } early) return early;
        }

        return null;
    }

    /// <summary>The error if a header asks for what is not configured here.</summary>
    private ProxyError? Unmet(CallInfo info)
    {
        if (info.Wishes is null) return null;
        foreach (var refuse in Parts.Refuses)
        {
            if (refuse(info) is { } unmet) return unmet;
        }

        return null;
    }
}
