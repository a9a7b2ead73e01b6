using System.Buffers;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects;
using Proxy.Routes;

namespace Proxy.Http;

/// <summary>A call that only wants to know how many tokens its prompt has. <paramref name="write"/> says the number as the dialect does; an estimate is marked by <c>x-token-count: estimate</c>.</summary>
internal sealed class CountExchange(string surface, ClientDialect dialect, Action<long, IBufferWriter<byte>> write, TokenCount count, ExchangeParts parts)
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
            problem ??= scope.Use(envelope!.Model) ?? RouteTable.Refusal(scope.Info, envelope!.Model);
            CountedTokens counted = default;
            if (problem is null) (counted, problem) = await count.CountAsync(new ChatCall(dialect, envelope!, scope.Info, body!.Memory) { Headers = scope.CrossingHeaders }, scope.Cancellation);
            if (problem is not null)
            {
                await scope.RefuseAsync(problem);
                return;
            }

            scope.Record.Route = "direct";
            using var answer = new PooledBody(64);
            write(counted.Tokens, answer);
            var response = context.Response;
            response.ContentType = dialect.WholeContentType;
            response.ContentLength = answer.Length;
            if (counted.Estimated) response.Headers["x-token-count"] = "estimate";
            await response.BodyWriter.WriteAsync(answer.Memory);
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
}
