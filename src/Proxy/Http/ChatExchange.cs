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
internal sealed class ChatExchange(string surface, ClientDialect dialect, RouteTable routes, ExchangeParts parts) : Exchange(surface, dialect, parts)
{
    private readonly ChatWriter writer = new(dialect, parts);

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    protected override async ValueTask<ProxyError?> AnswerAsync(CallScope scope, PooledBody body)
    {
        var unreadable = EnvelopePeek.Read(body.Span, out var envelope);
        scope.Record.Messages = envelope?.Messages; // recorded even if the call is refused below
        if (unreadable is not null)
        {
            body.Dispose();
            return unreadable;
        }

        using var call = new ChatCall(dialect, envelope!, scope.Info, body) { Headers = scope.CrossingHeaders };
        if (dialect.Refuses(body.Span) is { } refused) return refused;
        var routed = RouteTable.Split(call);
        scope.Record.Stream = call.Streams;
        AnswerJournal? joined = null;
        if ((scope.Info.Wishes is not null || !Parts.Sharing.IsIdle) && Parts.Sharing.Begin(scope, call, out joined) is { } unclear) return unclear;
        if (joined is not null) return await JoinAsync(scope, call, joined);

        IChatRoute? route = null;
        var problem = scope.Use(routed.Model) ?? routes.Find(routed, out route);
        scope.Record.Model = ModelName.Shown(envelope!.Model); // as the client wrote it
        if (problem is not null) return problem;

        scope.Record.Route = route!.Name;
        if (scope.Info.Wishes is not null && Parts.Sharing.Conversations.Begin(scope, call) is { } wrong) return wrong;
        var followers = Followers.Of(Parts.Follow, routed, scope.Record);
        var client = call.Streams ? writer.Stream(scope, followers) : null;
        scope.OpenJoins(call);
        var pending = route.AnswerAsync(routed, scope.Cancellation);
        var answer = await (pending.IsCompleted || client is not { KeepsAlive: true } ? pending : client.WhileAsync(pending));
        if (scope.CloseJoins() is { } journal) await writer.KeepAsync(scope, call, client, followers, answer, journal);
        else await writer.WriteAsync(scope, call, client, followers, answer);
        if (scope.Kept is not null) await scope.EndKeptAsync();
        return null;
    }

    /// <summary>Answers with what an equal call generates, or has generated.</summary>
    private async ValueTask<ProxyError?> JoinAsync(CallScope scope, ChatCall call, AnswerJournal journal)
    {
        scope.Record.Model = ModelName.Shown(call.Envelope.Model);
        scope.Record.Joined = journal.Origin.TraceId;
        var headers = scope.Context.Response.Headers;
        headers["x-joined-trace-id"] = journal.Origin.TraceId;
        if (journal is { IsOver: true, Origin.Key: not null }) headers["idempotent-replayed"] = "true";
        var client = call.Streams ? writer.Stream(scope, Followers.None) : null;
        var pending = JournalReply.OpenAsync(journal, Dialect as ClientDialect ?? call.Dialect, scope.Cancellation);
        var answer = await (pending.IsCompleted || client is not { KeepsAlive: true } ? pending : client.WhileAsync(pending));
        await writer.ReadAsync(scope, client, journal, answer, StreamPlace.Start);
        return null;
    }
}
