using Proxy.Chat;
using Proxy.Dialects.Rerank;
using Proxy.Vectors;

namespace Proxy.VectorRoutes;

/// <summary>
/// Answers calls for scores. If the host speaks the client's dialect, the host's bytes are forwarded, unless the results differ from the requested order,
/// number or form. Otherwise the scores are parsed and written anew.
/// </summary>
internal sealed class RerankRoute(RerankClientDialect dialect, VectorHosts hosts) : IVectorRoute
{
    public Dialects.Embeddings.VectorClientDialect Dialect => dialect;

    public string? FirstModel(Func<string, bool> mayUse)
    {
        var models = hosts.Table.Embedders.Models.Where(model => mayUse(model.Info.Name)).ToList();
        return hosts.First("reranker", mayUse)
            ?? models.FirstOrDefault(VectorModels.Reranks)?.Info.Name
            ?? (dialect.AllowsCosine
                ? models.FirstOrDefault(model => model is IEmbedder)?.Info.Name ?? hosts.First("embedding", mayUse, inProxies: true)
                : null);
    }

    public async ValueTask<VectorAnswer> AnswerAsync(VectorCall call, CancellationToken cancellation)
    {
        if (dialect.Read(call.Body.Span, out var asked) is { } problem) return new VectorAnswer.Refused(problem);
        var answer = call.Resolution.InProcess is { } here
            ? await HereAsync(call, asked!, here, cancellation)
            : await AtHostAsync(call, asked!, cancellation);
        if (answer is not VectorAnswer.Scores { Reply: var said } scores) return answer;
        var ordered = dialect.Sorts
            ? said.Results.OrderByDescending(static result => result.Score).ThenBy(static result => result.Index)
            : said.Results.OrderBy(static result => result.Index);
        return scores with { Reply = said with { Results = [.. ordered.Take(asked!.Top ?? int.MaxValue)] } };
    }

    private async ValueTask<VectorAnswer> HereAsync(VectorCall call, RerankCall asked, IVectorModel model, CancellationToken cancellation)
    {
        if (VectorModels.Reranker(model, dialect.AllowsCosine) is not { } reranker)
            return new VectorAnswer.Refused(dialect.Explain(new(VectorErrorKind.WrongKind, $"\"{ModelName.Shown(call.Model)}\" does not rerank; it embeds")));
        var count = asked.Requests.Count > 1 ? asked.Requests.Count : asked.Request.Documents.Count;
        if (count > model.Info.MaxInputs) return new VectorAnswer.Refused(dialect.TooMany(count, model.Info.MaxInputs));

        var results = new List<RerankResult>();
        var (tokens, method) = (0, RerankMethod.CrossEncoder);
        foreach (var request in asked.Requests)
        {
            var (scores, refusal) = await reranker.ScoreAsync(request, cancellation);
            if (scores is null) return new VectorAnswer.Refused(dialect.Explain(refusal!));
            foreach (var score in scores.Scores) results.Add(new(results.Count, score));
            tokens += scores.Tokens;
            method = scores.Method;
        }

        return new VectorAnswer.Scores(asked, new(results, tokens, method)) { Served = model.Info.Name };
    }

    private async ValueTask<VectorAnswer> AtHostAsync(VectorCall call, RerankCall asked, CancellationToken cancellation)
    {
        var reranker = new HostReranker(hosts, call);
        if (reranker.Cut(asked).Count > 1) return await reranker.AskAsync(asked, cancellation);
        var sent = new RerankHostCall(hosts, call, asked) { Client = dialect };
        var (reply, error) = await hosts.SendAsync(sent, call, cancellation);
        if (reply is null) return new VectorAnswer.Refused(error!);
        if (sent.Verbatim)
            return reply.Status >= 300 || !dialect.Sorts || sent.AskedProxy ? new VectorAnswer.Verbatim(reply) : await AsAskedAsync(asked, reply);
        using (reply)
        {
            var (ranking, problem) = await VectorHosts.ReadAsync(reply, sent);
            return (ranking is null ? (VectorAnswer)new VectorAnswer.Refused(problem!) : HostReranker.Scores(asked, ranking, sent.HonoursRaw)).From(reply);
        }
    }

    private ValueTask<VectorAnswer> AsAskedAsync(RerankCall asked, BackendReply reply) => VectorHosts.CheckAsync(reply, document =>
    {
        if (RerankHostCall.ReadVerbatim(dialect, document.Span) is not { } ranking) return null;
        if (ranking.IsSorted && ranking.Results.Count <= (asked.Top ?? int.MaxValue) && (!asked.ReturnDocuments || ranking.Brought)) return null;
        return ranking.Results.All(result => result.Index >= 0 && result.Index < asked.Request.Documents.Count)
            ? HostReranker.Scores(asked, ranking, asAsked: true) : new VectorAnswer.Refused(reply.NotAnAnswer());
    });
}
