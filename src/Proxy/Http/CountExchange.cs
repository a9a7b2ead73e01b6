using System.Buffers;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects;
using Proxy.Routes;

namespace Proxy.Http;

/// <summary>A call that only wants to know how many tokens its prompt has. <paramref name="write"/> says the number as the dialect does; an estimate is marked by <c>x-token-count: estimate</c>.</summary>
internal sealed class CountExchange(string surface, ClientDialect dialect, Action<long, IBufferWriter<byte>> write, TokenCount count, ExchangeParts parts) : Exchange(surface, dialect, parts)
{
    protected override async ValueTask<ProxyError?> AnswerAsync(CallScope scope, PooledBody body)
    {
        using var held = body;
        var problem = EnvelopePeek.Read(body.Span, out var envelope);
        scope.Record.Messages = envelope?.Messages; // of a call that is refused too
        if ((problem ?? Use(scope, envelope!.Model)) is { } refusal) return refusal;
        var client = (ClientDialect)Dialect;
        var (counted, error) = await count.CountAsync(new ChatCall(client, envelope!, scope.Info, body.Memory) { Headers = scope.CrossingHeaders }, scope.Cancellation);
        if (error is not null) return error;

        scope.Record.Route = "direct";
        using var answer = new PooledBody(64);
        write(counted.Tokens, answer);
        if (counted.Estimated) scope.Context.Response.Headers["x-token-count"] = "estimate";
        await WriteAsync(scope, client.WholeContentType, answer);
        return null;
    }
}
