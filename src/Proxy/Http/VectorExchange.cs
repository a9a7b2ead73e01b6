using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects;
using Proxy.Dialects.Embeddings;
using Proxy.Dialects.OllamaChat;
using Proxy.Dialects.Rerank;
using Proxy.Routes;
using Proxy.VectorRoutes;

namespace Proxy.Http;

/// <summary>The objects that all exchanges for vectors and scores share.</summary>
internal sealed record VectorParts(VectorHosts Hosts, ExchangeParts Exchange, string Version);

/// <summary>
/// One call that is answered with vectors or scores: finds its model and what serves the model, has the route answer, and writes the answer in the client's
/// dialect.
/// </summary>
/// <param name="route">Answers the calls to the path.</param>
internal sealed class VectorExchange(string surface, IVectorRoute route, VectorParts parts) : Exchange(surface, route.Dialect, parts.Exchange)
{
    private static readonly OllamaChatBackendDialect Ollama = new();

    /// <summary>Where one path has two dialects: answers the calls whose body has <c>documents</c>.</summary>
    public IVectorRoute? WithDocuments { get; init; }

    protected override async ValueTask<ProxyError?> AnswerAsync(CallScope scope, PooledBody body)
    {
        using var held = body;
        var answering = WithDocuments is not null && BodyMembers.Has(body.Span, "documents"u8) ? WithDocuments : route;
        var dialect = answering.Dialect;
        scope.Dialect = dialect;
        if (EnvelopePeek.Read(body.Span, out var envelope, modelOptional: !dialect.NeedsModel) is { } broken) return dialect.Unreadable(broken);
        var isNamed = envelope!.Model.Length > 0;
        if ((isNamed ? envelope.Model : answering.FirstModel(scope.Caller.MayUse)) is not { } model)
            return new(ProxyErrorKind.UnknownModel, $"no model here answers {Surface}; name one in `model`");
        if (Use(scope, model) is { } refusal) return refusal;
        if (parts.Hosts.Table.Resolve(model) is not { } resolution) return DirectRoute.UnknownModel(model);

        scope.Record.Route = "direct";
        var request = scope.Context.Request;
        var call = new VectorCall(scope.Info, resolution)
        {
            Model = model,
            Path = Surface,
            Query = request.QueryString.ToUriComponent(),
            ContentType = request.ContentType ?? "application/json",
            Headers = scope.CrossingHeaders,
            Body = body.Memory,
            ModelSlice = isNamed ? envelope.ModelSlice : null,
            Answering = scope.Answering,
        };
        var started = Parts.Time.GetTimestamp();
        switch (await answering.AnswerAsync(call, scope.Cancellation))
        {
            case VectorAnswer.Verbatim verbatim:
                await RelayAsync(scope, call, dialect, verbatim);
                return null;
            case VectorAnswer.Refused refused:
                return refused.Error;
            case var answer:
                scope.Answering(answer.Backend, answer.Served);
                using (var written = Write(scope, call, dialect, answer, Parts.Time.GetElapsedTime(started)))
                    await WriteAsync(scope, dialect.ContentType, written);
                return null;
        }
    }

    private async ValueTask RelayAsync(CallScope scope, VectorCall call, VectorClientDialect dialect, VectorAnswer.Verbatim answer)
    {
        using var document = answer.Document;
        var reply = answer.Reply;
        scope.Answering(reply.Backend, reply.ServedModel, reply.Status);
        var model = call.ModelSlice is null ? reply.ServedModel : call.Model;
        BackendDialect host = dialect.Family is "ollama" ? Ollama : parts.Hosts.Errors;
        if (document is null) await VerbatimWriter.RelayAsync(scope, reply, model, host);
        else await VerbatimWriter.WriteWholeAsync(scope, reply, document.Memory, model, host);
    }

    private PooledBody Write(CallScope scope, VectorCall call, VectorClientDialect dialect, VectorAnswer answer, TimeSpan duration)
    {
        if (answer is VectorAnswer.Joined { List: var whole }) return whole;
        int? tokens = null;
        var body = new PooledBody(answer is VectorAnswer.Vectors { Reply.Vectors.Values.Length: var numbers } ? (numbers * 12) + 1024 : 16384);
        switch (answer, dialect)
        {
            case (VectorAnswer.Vectors vectors, EmbeddingClientDialect embeds):
                embeds.Write(vectors.Asked, vectors.Reply, new(call.Model, duration), body);
                tokens = vectors.Reply.Tokens;
                break;
            case (VectorAnswer.PerToken perToken, EmbeddingClientDialect embeds):
                embeds.Write(perToken.Reply, body);
                tokens = perToken.Reply.Tokens.Sum();
                break;
            case (VectorAnswer.Scores scores, RerankClientDialect reranks):
                reranks.Write(scores.Asked, scores.Reply, new(call.Model, scope.Info.TraceId, Parts.Time.GetUtcNow()), body);
                tokens = scores.Reply.Tokens;
                break;
            case (VectorAnswer.Tokens counted, _):
                TeiAnswers.WriteTokens(counted.Texts, body);
                break;
            default:
                throw new System.Diagnostics.UnreachableException();
        }

        if (tokens is { } count) scope.Count(new Usage(count, 0));
        return body;
    }
}
