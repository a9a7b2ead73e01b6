using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Config;
using Proxy.Dialects.OpenAiChat;
using Proxy.Knowledge;

namespace Proxy.Http.Knowledge;

/// <summary>What answers one method at one path, whose parts in braces are variable.</summary>
internal sealed record KnowledgeRow(string Method, string Shape, Func<KnowledgeCall, ValueTask<ProxyError?>> Answer)
{
    /// <summary>The parts between the slashes.</summary>
    public string[] Segments { get; } = Shape.Split('/', StringSplitOptions.RemoveEmptyEntries);
}

/// <summary>
/// OpenAI's files and vector stores. A path that no row has, or a method that its rows do not take, is refused here; so is every call if there is no store of
/// documents, with what to configure.
/// </summary>
/// <param name="knowledge">Null: there is no store.</param>
/// <param name="config">The section <c>[knowledge]</c>.</param>
/// <param name="errors">Refuses URLs.</param>
/// <param name="parts">What every exchange is made of.</param>
internal sealed class KnowledgeEndpoints(KnowledgeParts? knowledge, KnowledgeConfig config, ErrorEndpoints errors, ExchangeParts parts)
{
    private const string Prefix = "/v1";
    private static readonly string[] Roots = ["/files", "/vector_stores"];

    private readonly (KnowledgeRow Row, HandlerExchange Exchange)[] table =
        [.. AllRows(config, parts).Select(row => (row, Handler(row, knowledge, config, parts)))];

    public IReadOnlyList<EndpointRow> Rows =>
        [new("*", [.. Roots.SelectMany(static root => (string[])[Prefix + root, Prefix + root + "/", root, root + "/"])], RouteAsync)];

    private static IEnumerable<KnowledgeRow> AllRows(KnowledgeConfig config, ExchangeParts parts) =>
    [
        .. new FileEndpoints(config, parts.Log, parts.Time).Rows,
        .. new WorkspaceEndpoints(parts.Time).Rows,
        .. new WorkspaceFileEndpoints(parts.Time).Rows,
        .. new FileBatchEndpoints(parts.Time).Rows,
        .. SearchEndpoint.Rows,
    ];

    private Task RouteAsync(HttpContext context)
    {
        var path = Split(context);
        var method = HttpMethods.IsHead(context.Request.Method) ? HttpMethods.Get : context.Request.Method;
        var allowed = "";
        foreach (var (row, exchange) in table)
        {
            if (!Has(row, path)) continue;
            if (row.Method == method) return exchange.HandleAsync(context);
            allowed += allowed.Length > 0 ? ", " + row.Method : row.Method;
        }

        return allowed.Length > 0 ? errors.WrongMethodAsync(context, allowed) : errors.UnknownPathAsync(context);
    }

    private static HandlerExchange Handler(KnowledgeRow row, KnowledgeParts? knowledge, KnowledgeConfig config, ExchangeParts parts)
    {
        // An upload reads its body itself, piece by piece.
        var readsBody = row is { Method: "POST", Segments: not [_, "files"] };
        return new(row.Shape, new OpenAiChatClientDialect(), parts, (scope, body) => AnswerAsync(row, scope, body, knowledge, config, parts))
        {
            ReadsBody = readsBody,
        };
    }

    private static async ValueTask<ProxyError?> AnswerAsync(
        KnowledgeRow row, CallScope scope, PooledBody? body, KnowledgeParts? knowledge, KnowledgeConfig config, ExchangeParts parts)
    {
        using var held = body;
        if (knowledge is null) return new(ProxyErrorKind.NotImplemented, KnowledgeParts.Absent(config));
        var (form, problem) = JsonForm.Read(body is null ? default : body.Span);
        if (form is null) return problem;
        await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding); // stores may work on the caller's thread, which is a loop's
        try
        {
            return await row.Answer(new(scope, knowledge, CallerOf(scope, parts.Gate), IdsOf(row, Split(scope.Context)), form));
        }
        catch (KnowledgeStoreException failed)
        {
            parts.Log.DocumentsUnusable(failed.Message);
            var error = new ProxyError(ProxyErrorKind.StoreFailed, "the store of documents cannot be used now; the proxy's log says why");
            var response = scope.Context.Response;
            if (!response.HasStarted && response.BodyWriter.UnflushedBytes == 0) return error;
            scope.Judge(error);
            scope.Context.Abort(); // the answer must not look complete
            return null;
        }
    }

    private static KnowledgeCaller CallerOf(CallScope scope, ApiKeyGate gate) =>
        new(scope.Caller.Name, gate.IsAdmin(scope.Context, scope.Caller), scope.Caller.Workspaces);

    /// <summary>The segments of the path below <c>/v1</c>, with or without it, as a row has them.</summary>
    private static string[] Split(HttpContext context)
    {
        var segments = context.Request.Path.Value!.Split('/', StringSplitOptions.RemoveEmptyEntries);
        return segments is ["v1", ..] ? segments : ["v1", .. segments];
    }

    private static bool Has(KnowledgeRow row, string[] path)
    {
        if (row.Segments.Length != path.Length) return false;
        for (var i = 0; i < path.Length; i++)
        {
            if (row.Segments[i] != path[i] && row.Segments[i][0] is not '{') return false;
        }

        return true;
    }

    private static string[] IdsOf(KnowledgeRow row, string[] path) => [.. path.Where((_, i) => row.Segments[i][0] is '{')];
}
