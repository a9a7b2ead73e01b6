using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Routes;

namespace Proxy.Http;

/// <summary>
/// The frame of every exchange, from the first byte of a request to its line in the log: begins the call's scope, lets the caller in, reads the body, has the call answered,
/// writes a refusal, and ends the scope.
/// </summary>
internal abstract class Exchange(string surface, ErrorDialect dialect, ExchangeParts parts)
{
    /// <summary>The path that is answered, however the client's URL wrote it; it names the call in the log and in the metrics.</summary>
    public string Surface => surface;

    protected ErrorDialect Dialect => dialect;

    protected ExchangeParts Parts => parts;

    /// <summary>Whether the request's body is read before the call is answered.</summary>
    protected virtual bool HasBody => true;

    public async Task HandleAsync(HttpContext context)
    {
        using var scope = Begin(context);
        try
        {
            PooledBody? body = null;
            var problem = scope.Admit() ?? Forbids(scope);
            if (problem is null && HasBody) (body, problem) = await RequestBody.ReadAsync(context.Request, parts.Server().BodyLimit, scope.Cancellation);
            problem ??= await AnswerAsync(scope, body!);
            if (problem is not null) await scope.RefuseAsync(problem);
        }
        catch (Exception problem) // whatever it is, the client gets an error in its dialect and the log gets the reason
        {
            await scope.FailAsync(problem);
        }
    }

    /// <summary>Writes a whole answer that was made here.</summary>
    public static async ValueTask WriteAsync(CallScope scope, string contentType, PooledBody body)
    {
        var response = scope.Context.Response;
        response.ContentType = contentType;
        response.ContentLength = body.Length;
        if (!HttpMethods.IsHead(scope.Context.Request.Method)) await response.BodyWriter.WriteAsync(body.Memory);
    }

    protected virtual CallScope Begin(HttpContext context) => CallScope.Begin(context, surface, dialect, parts);

    /// <summary>Why the caller may not call this at all, whatever the body says.</summary>
    protected virtual ProxyError? Forbids(CallScope scope) => null;

    /// <summary>Answers a call that was let in; or returns why not, which is then written in the call's dialect. The body belongs to this method, which disposes it; there is none without <see cref="HasBody"/>.</summary>
    protected abstract ValueTask<ProxyError?> AnswerAsync(CallScope scope, PooledBody body);

    /// <summary>Why the call cannot have the model that it names: the key may not use it, or the name asks for a route that this call does not have. Counts the call against the key's limits.</summary>
    protected static ProxyError? Use(CallScope scope, string model) => scope.Use(model) ?? RouteTable.Refusal(scope.Info, model);
}

/// <summary>An exchange that is answered by a method of the class that makes it, where several URLs are one class.</summary>
internal sealed class HandlerExchange(string surface, ErrorDialect dialect, ExchangeParts parts, Func<CallScope, PooledBody, ValueTask<ProxyError?>> answer) : Exchange(surface, dialect, parts)
{
    /// <summary>What <see cref="Exchange.HasBody"/> and <see cref="Exchange.Forbids"/> answer.</summary>
    public bool ReadsBody { get; init; }

    public Func<CallScope, ProxyError?>? Refuses { get; init; }

    protected override bool HasBody => ReadsBody;

    protected override ProxyError? Forbids(CallScope scope) => Refuses?.Invoke(scope);

    protected override ValueTask<ProxyError?> AnswerAsync(CallScope scope, PooledBody body) => answer(scope, body);
}
