using Proxy.Backends;
using Proxy.Dialects.Rerank;
using Proxy.Vectors;

namespace Proxy.VectorRoutes;

/// <summary>Scores documents at the hosts of a model, in whatever dialect they speak.</summary>
internal sealed class HostReranker(VectorHosts hosts, VectorCall call) : HostModel(call, VectorModelKind.Rerank), IReranker
{
    public async ValueTask<(RerankScores? Scores, VectorError? Error)> ScoreAsync(RerankRequest request, CancellationToken cancellation)
    {
        if (request.Documents.Count == 0) return (new([], 0, RerankMethod.CrossEncoder), null);
        var answer = await AskAsync(new RerankCall([request]), cancellation);
        if (answer is not VectorAnswer.Scores { Reply: var said }) return (null, Explain(answer, cancellation));
        return (new([.. said.Results.OrderBy(static result => result.Index).Select(static result => result.Score)], said.Tokens ?? 0,
            RerankMethod.CrossEncoder), null);
    }

    /// <summary>
    /// Asks the hosts in their own dialects, in as many parts as their limits require. Returns one score per document, of the kind that was asked for.
    /// </summary>
    public async ValueTask<VectorAnswer> AskAsync(RerankCall asked, CancellationToken cancellation)
    {
        var places = Cut(asked);
        var call = CallUnder(asked.Request.TraceParent);
        RerankHostCall[] sent = places.Count == 1
            ? [new(hosts, call, asked)]
            : [.. places.Select(place => new RerankHostCall(hosts, call,
                asked with { Requests = [asked.Request with { Documents = [.. asked.Request.Documents.Take(place)] }] }))];
        var (answers, first, problem) = await new PartedCall<HostRanking>(hosts, call, sent).SendAsync(cancellation);
        if (problem is not null) return new VectorAnswer.Refused(problem).From(first);
        var results = answers.SelectMany((answer, number) =>
            answer.Results.Select(result => result with { Index = result.Index + places[number].Start.Value }));
        var ranking = new HostRanking([.. results],
            answers.All(static answer => answer.Tokens is not null) ? answers.Sum(static answer => answer.Tokens) : null, Brought: false);
        return Scores(asked, ranking, Array.TrueForAll(sent, static part => part.HonoursRaw)).From(first);
    }

    /// <summary>Where to split a call so that every host of the model accepts each part. A call of several pairs is not split.</summary>
    public IReadOnlyList<Range> Cut(RerankCall asked) => HostLimits.Of(Call.Resolution) is { Inputs: not null } limits && asked.Requests.Count == 1
        ? limits.Cut(asked.Request.Documents.Count, static _ => 0)
        : [Range.All];

    /// <summary>Converts a host's scores to the kind that was asked for: logits, or probabilities, which are the sigmoids of the logits.</summary>
    /// <param name="asAsked">The host has sent that kind already.</param>
    public static VectorAnswer.Scores Scores(RerankCall asked, HostRanking ranking, bool asAsked)
    {
        var results = (ranking.AreLogits, asked.Request.RawScores) switch
        {
            _ when asAsked => ranking.Results,
            (true, false) => ranking.Results.Select(static result => result with { Score = (float)(1 / (1 + Math.Exp(-result.Score))) }),
            (false, true) => ranking.Results.Select(static result =>
                result with { Score = (float)Math.Log(Math.Clamp(result.Score, 1e-9, 1 - 1e-9) / (1 - Math.Clamp(result.Score, 1e-9, 1 - 1e-9))) }),
            _ => ranking.Results,
        };
        return new(asked, new([.. results], ranking.Tokens, null));
    }
}
