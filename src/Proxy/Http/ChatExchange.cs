using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects;
using Proxy.Routes;

namespace Proxy.Http;

/// <summary>
/// One chat call: lets the caller in, reads the body, peeks at it, lets the route answer, has the answer written (<see cref="ChatWriter"/>).
/// Nothing below this folder writes to a client.
/// </summary>
internal sealed class ChatExchange(string surface, ClientDialect dialect, RouteTable routes, ExchangeParts parts)
{
    private readonly ChatWriter writer = new(dialect, parts);

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
            problem ??= dialect.Refuses(body!.Span);
            RoutedCall routed = default;
            IChatRoute? route = null;
            if (problem is null)
            {
                routed = RouteTable.Split(new ChatCall(dialect, envelope!, scope.Info, body!.Memory) { Headers = scope.CrossingHeaders });
                problem = scope.Use(routed.Model) ?? routes.Find(routed, out route);
                scope.Record.Model = ModelName.Shown(envelope!.Model); // as the client wrote it
            }

            if (problem is not null)
            {
                await scope.RefuseAsync(problem);
                return;
            }

            var call = routed.Call;
            scope.Record.Route = route!.Name;
            scope.Record.Stream = call.Streams;
            var followers = parts.Follow(scope.Info);
            var client = call.Streams ? writer.Stream(scope, followers) : null;
            var pending = route.AnswerAsync(routed, scope.Cancellation);
            var answer = await (pending.IsCompleted || client is not { KeepsAlive: true } ? pending : client.WhileAsync(pending));
            await writer.WriteAsync(scope, call, client, followers, answer);
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
