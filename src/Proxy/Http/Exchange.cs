using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Routes;

namespace Proxy.Http;

/// <summary>
/// The steps that all calls share, from the first byte of a request to its line in the log: begins the call's scope, admits the caller, reads the body, has the
/// call answered, writes a refusal, and ends the scope.
/// </summary>
internal abstract class Exchange(string surface, ErrorDialect dialect, ExchangeParts parts)
{
    /// <summary>The path of our endpoint, however the client's URL spelled it. It names the call in the log and in the metrics.</summary>
    public string Surface => surface;

    protected ErrorDialect Dialect => dialect;

    protected ExchangeParts Parts => parts;

    /// <summary>Whether the request's body is read before the call is answered.</summary>
    public bool ReadsBody { get; init; } = true;

    public async Task HandleAsync(HttpContext context)
    {
        var scope = Begin(context);
        try
        {
            PooledBody? body = null;
            var problem = scope.Admit() ?? Forbids(scope);
            if (problem is null && ReadsBody) (body, problem) = await RequestBody.ReadAsync(context.Request, parts.Server().BodyLimit, scope.Cancellation);
            problem ??= await AnswerAsync(scope, body!);
            if (problem is not null) await scope.RefuseAsync(problem);
        }
        catch (Exception problem) // for every failure, the client gets an error in its dialect and the log gets the reason
        {
            await scope.FailAsync(problem);
        }
        finally
        {
            if (!scope.IsDetached) scope.Dispose();
        }
    }

    /// <summary>Writes a complete answer that this proxy has made.</summary>
    public static async ValueTask WriteAsync(CallScope scope, string contentType, PooledBody body)
    {
        var response = scope.Context.Response;
        response.ContentType = contentType;
        response.ContentLength = body.Length;
        if (!HttpMethods.IsHead(scope.Context.Request.Method)) await response.BodyWriter.WriteAsync(body.Memory);
    }

    protected virtual CallScope Begin(HttpContext context) => CallScope.Begin(context, surface, dialect, parts);

    /// <summary>Why the caller may not make this call at all, whatever its body.</summary>
    protected virtual ProxyError? Forbids(CallScope scope) => null;

    /// <summary>
    /// Answers a call that was admitted, or returns an error to be written in the call's dialect. Owns the body and disposes it; the body is null unless
    /// <see cref="ReadsBody"/> is set.
    /// </summary>
    protected abstract ValueTask<ProxyError?> AnswerAsync(CallScope scope, PooledBody body);

    /// <summary>
    /// Why the call cannot use the model that it names: the key may not use it, or the name asks for a route that this kind of call does not have.
    /// Counts the call against the key's limits.
    /// </summary>
    protected static ProxyError? Use(CallScope scope, string model) => scope.Use(model) ?? RouteTable.Refusal(scope.Info, model);
}

/// <summary>An exchange that a delegate answers, for classes that serve several URLs.</summary>
internal sealed class HandlerExchange(string surface, ErrorDialect dialect, ExchangeParts parts, Func<CallScope, PooledBody, ValueTask<ProxyError?>> answer)
    : Exchange(surface, dialect, parts)
{
    /// <summary>The result of <see cref="Exchange.Forbids"/>.</summary>
    public Func<CallScope, ProxyError?>? Refuses { get; init; }

    protected override ProxyError? Forbids(CallScope scope) => Refuses?.Invoke(scope);

    protected override ValueTask<ProxyError?> AnswerAsync(CallScope scope, PooledBody body) => answer(scope, body);
}
