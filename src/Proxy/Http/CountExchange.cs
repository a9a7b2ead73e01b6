using System.Buffers;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects;
using Proxy.Routes;

namespace Proxy.Http;

/// <summary>
/// A call that only asks how many tokens its prompt has. <paramref name="write"/> writes the number in the client's dialect; the header
/// <c>x-token-count: estimate</c> marks an estimate.
/// </summary>
internal sealed class CountExchange(string surface, ClientDialect dialect, Action<long, IBufferWriter<byte>> write, TokenCount count, ExchangeParts parts)
    : Exchange(surface, dialect, parts)
{
    protected override async ValueTask<ProxyError?> AnswerAsync(CallScope scope, PooledBody body)
    {
        using var held = body;
        var problem = EnvelopePeek.Read(body.Span, out var envelope);
        scope.Record.Messages = envelope?.Messages; // logged for refused calls too
        if ((problem ?? Use(scope, envelope!.Model)) is { } refusal) return refusal;
        var client = (ClientDialect)Dialect;
        var (counted, error) =
            await count.CountAsync(new ChatCall(client, envelope!, scope.Info, body.Memory) { Headers = scope.CrossingHeaders }, scope.Cancellation);
        if (error is not null) return error;

        scope.Record.Route = "direct";
        using var answer = new PooledBody(64);
        write(counted.Tokens, answer);
        if (counted.Estimated) scope.Context.Response.Headers["x-token-count"] = "estimate";
        await WriteAsync(scope, client.WholeContentType, answer);
        return null;
    }
}
