using System.Text.Json;
using Proxy.Backends;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects.Rerank;
using Proxy.Vectors;

namespace Proxy.Http;

/// <summary>
/// One call for scores. Over a host of the client's dialect the bytes are the host's, unless they are not in the order, number or form that was asked for;
/// otherwise the scores are read and written anew.
/// </summary>
internal sealed partial class RerankExchange(string surface, RerankClientDialect dialect, VectorParts parts, RerankClientDialect? withDocuments = null) : VectorExchange(surface, dialect, parts)
{
    private static readonly JinaRerankBackendDialect Jina = new();
    private static readonly TeiRerankBackendDialect Tei = new();

    protected override bool NeedsModel => false;

    /// <summary>One path has two dialects: a body with <c>documents</c> is Jina's, any other TEI's.</summary>
    protected override ErrorDialect Settle(ReadOnlySpan<byte> body) => withDocuments is not null && HasDocuments(body) ? withDocuments : dialect;

    protected override ProxyError Unreadable(CallScope scope, ProxyError problem) => In(scope).Unreadable(problem);

    protected override string? FirstModel(CallScope scope)
    {
        var models = Parts.Directory.Table.Embedders.Models.Where(model => scope.Caller.MayUse(model.Info.Name)).ToList();
        return FirstAtHost(scope.Caller.MayUse, "reranker")
            ?? models.FirstOrDefault(model => Reranks(model))?.Info.Name
            ?? (In(scope).AllowsCosine ? models.FirstOrDefault(model => model is IEmbedder)?.Info.Name ?? FirstAtHost(scope.Caller.MayUse, "embedding", inProxies: true) : null);
    }

    protected override async ValueTask AnswerHereAsync(VectorCall call, IVectorModel model)
    {
        var scope = call.Scope;
        var speaks = In(scope);
        var problem = speaks.Read(call.Body.Span, out var asked);
        var reranker = model is IReranker own && Reranks(model) ? own : model is IEmbedder embedder && speaks.AllowsCosine ? new CosineReranker(embedder) : null;
        if (problem is null && reranker is null) problem = speaks.Explain(new(VectorErrorKind.WrongKind, $"\"{ModelName.Shown(call.Model)}\" does not rerank; it embeds"));
        if (problem is null && Count(asked!) > model.Info.MaxInputs) problem = speaks.TooMany(Count(asked!), model.Info.MaxInputs);
        if (problem is not null)
        {
            await scope.RefuseAsync(problem);
            return;
        }

        var results = new List<RerankResult>();
        var (tokens, method) = (0, RerankMethod.CrossEncoder);
        foreach (var request in asked!.Requests)
        {
            var (scores, refusal) = await reranker!.ScoreAsync(request, scope.Cancellation);
            if (scores is null)
            {
                await scope.RefuseAsync(speaks.Explain(refusal!));
                return;
            }

            foreach (var score in scores.Scores) results.Add(new(results.Count, score));
            tokens += scores.Tokens;
            method = scores.Method;
        }

        scope.Answering(null, model.Info.Name);
        await AnswerAsync(call, asked, results, tokens, method);
    }

    protected override async ValueTask AnswerFromHostAsync(VectorCall call)
    {
        var speaks = In(call.Scope);
        if (speaks.Read(call.Body.Span, out var asked) is { } problem)
        {
            await call.Scope.RefuseAsync(problem);
            return;
        }

        if (await InPartsAsync(call, asked!)) return;
        RerankBackendDialect? host = null;
        var request = call.Scope.Context.Request;
        var query = request.QueryString.ToUriComponent();
        var sent = new HostCall(call, PathAt, Translate, Parts.Exchange.Log);
        if (await SendAsync(call, sent) is not { } reply) return;
        using var held = reply;
        if (sent.Verbatim && (reply.Status >= 300 || !speaks.Sorts || sent.AskedProxy))
        {
            await VerbatimWriter.RelayAsync(call.Scope, reply, NameFor(call, reply), HostErrors);
            return;
        }

        using var document = NewDocument(reply);
        if (!await ReadAsync(call, reply, document)) return;
        var native = speaks.Family == "tei" ? (RerankBackendDialect)Tei : Jina;
        var ranking = (sent.Verbatim ? native : host!).Read(document.Span);
        if (sent.Verbatim && (ranking is null || IsAsAsked(asked!, ranking)))
        {
            await VerbatimWriter.WriteWholeAsync(call.Scope, reply, document.Memory, NameFor(call, reply), HostErrors);
            return;
        }

        var documents = asked!.Request.Documents.Count;
        if (ranking is null || ranking.Results.Any(result => result.Index < 0 || result.Index >= documents) || (ranking.Results.Count < documents && !sent.Verbatim))
        {
            await call.Scope.RefuseAsync(reply.NotAnAnswer());
            return;
        }

        await AnswerAsync(call, asked, sent.Verbatim || host!.HonoursRaw ? ranking.Results : Scaled(ranking, asked.Request.RawScores), ranking.Tokens, null);

        // A proxy has every path that we have.
        string? PathAt(Backend backend) => backend.IsProxy && Speaks(backend, "tei") ? request.Path.ToUriComponent() + query : IsNative(backend, speaks, asked!) ? speaks.HostPath + query : null;

        ProxyError? Translate(Backend backend, string served, PooledBody body, List<string> lost, out string path)
        {
            path = "";
            host = Translated(backend);
            if (host is null) return NoReranker(backend);
            if (asked!.Requests.Count > 1) return new(ProxyErrorKind.NotImplemented, $"backend '{backend.Name}' scores one text against many, no pairs") { Backend = backend.Name };
            path = host.Path;
            host.WriteRequest(asked, served, body, lost);
            return null;
        }
    }

    private static RerankBackendDialect? Translated(Backend backend) => Speaks(backend, "tei") ? Tei : Speaks(backend, "openai") ? Jina : null;

    private static ProxyError NoReranker(Backend backend) => new(ProxyErrorKind.NotImplemented, $"backend '{backend.Name}' does not rerank in any dialect that this proxy can speak") { Backend = backend.Name };

    private static RerankClientDialect In(CallScope scope) => (RerankClientDialect)scope.Dialect;

    private static bool Reranks(IVectorModel model) => model is IReranker && model.Info.Kind is not VectorModelKind.Embed;

    private static int Count(RerankCall call) => call.Requests.Count > 1 ? call.Requests.Count : call.Request.Documents.Count;

    /// <summary>A host that is asked in the client's own words. Only vLLM and its like score; documents that are objects few hosts take.</summary>
    private static bool IsNative(Backend backend, RerankClientDialect speaks, RerankCall asked)
        => Speaks(backend, speaks.Family) && !asked.Objects && (speaks.Family == "tei" || !Speaks(backend, "tei")) && (speaks.Sorts || backend.State.Report?.Kind is not "llama.cpp");

    private static bool IsAsAsked(RerankCall asked, HostRanking ranking)
        => ranking.IsSorted && ranking.Results.Count <= (asked.Top ?? int.MaxValue) && (!asked.ReturnDocuments || ranking.Brought);

    /// <summary>Scores of the kind that was asked for, whatever kind the host answers with: probabilities, or logits, of which they are the sigmoids.</summary>
    private static IEnumerable<RerankResult> Scaled(HostRanking ranking, bool raw) => (ranking.AreLogits, raw) switch
    {
        (true, false) => ranking.Results.Select(static result => result with { Score = (float)(1 / (1 + Math.Exp(-result.Score))) }),
        (false, true) => ranking.Results.Select(static result => result with { Score = (float)Math.Log(Math.Clamp(result.Score, 1e-9, 1 - 1e-9) / (1 - Math.Clamp(result.Score, 1e-9, 1 - 1e-9))) }),
        _ => ranking.Results,
    };

    private static bool HasDocuments(ReadOnlySpan<byte> body)
    {
        try
        {
            var json = new Utf8JsonReader(body);
            json.Read();
            while (json.TokenType is not JsonTokenType.None && json.Read() && json.TokenType is JsonTokenType.PropertyName)
            {
                if (json.ValueTextEquals("documents"u8)) return true;
                json.Skip();
            }
        }
        catch (JsonException)
        {
            // Whoever reads it next says so to the client.
        }

        return false;
    }

    private async ValueTask AnswerAsync(VectorCall call, RerankCall asked, IEnumerable<RerankResult> results, int? tokens, RerankMethod? method)
    {
        var speaks = In(call.Scope);
        var ordered = speaks.Sorts ? results.OrderByDescending(static result => result.Score).ThenBy(static result => result.Index) : results.OrderBy(static result => result.Index);
        List<RerankResult> best = asked.Top is { } top ? [.. ordered.Take(top)] : [.. ordered];
        if (tokens is { } count) call.Scope.Count(new Usage(count, 0));
        using var body = new PooledBody();
        speaks.Write(asked, new(best, tokens, method), new(call.Model, call.Scope.Info.TraceId, Parts.Exchange.Time.GetUtcNow()), body);
        await WriteAsync(call.Scope, "application/json", body);
    }
}
