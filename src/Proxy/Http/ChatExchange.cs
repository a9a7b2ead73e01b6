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
        IChatRoute? route = null;
        var problem = scope.Use(routed.Model) ?? routes.Find(routed, out route);
        scope.Record.Model = ModelName.Shown(envelope!.Model); // as the client wrote it
        if (problem is not null) return problem;

        if (Unmet(scope.Info) is { } unmet) return unmet;
        var early = Parts.Early.Count == 0 ? null : await EarlyAsync(routed, scope.Cancellation);
        scope.Record.Route = early?.By ?? route!.Name;
        scope.Record.Stream = call.Streams;
        var followers = Followers.Of(Parts.Follow, routed, scope.Record, isAnswered: early is not null);
        AnswerHeaders.Set(scope.Context.Response, call);
        var client = call.Streams ? writer.Stream(scope, followers) : null;
        var pending = early is null ? route!.AnswerAsync(routed, scope.Cancellation) : new(early);
        var answer = await (pending.IsCompleted || client is not { KeepsAlive: true } ? pending : client.WhileAsync(pending));
        await writer.WriteAsync(scope, call, client, followers, answer);
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
