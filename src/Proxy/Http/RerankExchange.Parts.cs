using Proxy.Backends;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects.Rerank;

namespace Proxy.Http;

// A call with more documents than its hosts take at once.
internal sealed partial class RerankExchange
{
    /// <summary>More documents than a host takes at once are sent in parts, and the scores joined. False: there is nothing to cut.</summary>
    private async ValueTask<bool> InPartsAsync(VectorCall call, RerankCall asked)
    {
        var documents = asked.Request.Documents;
        if (asked.Requests.Count > 1 || HostLimits.Of(call.Resolution) is not { Inputs: { } most } limits || documents.Count <= most) return false;
        var places = limits.Cut(documents.Count, static _ => 0);
        var pieces = places.Select(place => asked with { Requests = [asked.Request with { Documents = [.. documents.Take(place)] }] }).ToArray();
        var hosts = new RerankBackendDialect[pieces.Length];
        var sent = Enumerable.Range(0, pieces.Length).Select(number => new HostCall(call, static _ => null, Writer(number), Parts.Exchange.Log)).ToArray();
        var (answers, backend, served, problem) = await new PartedCall<HostRanking>(call, Parts, sent, HostErrors, (number, answer) =>
            hosts[number].Read(answer.Span) is { } said && said.Results.Count == pieces[number].Request.Documents.Count
                && said.Results.Select(static result => result.Index).Order().SequenceEqual(Enumerable.Range(0, said.Results.Count)) ? said : null).SendAsync();
        if (problem is not null)
        {
            await call.Scope.RefuseAsync(problem);
            return true;
        }

        call.Scope.Answering(backend, served);
        var ranking = new HostRanking(
            [.. answers!.SelectMany((answer, number) => answer.Results.Select(result => result with { Index = result.Index + places[number].Start.Value }))],
            answers!.All(static answer => answer.Tokens is not null) ? answers!.Sum(static answer => answer.Tokens) : null, Brought: false);
        await AnswerAsync(call, asked, Array.TrueForAll(hosts, static host => host.HonoursRaw) ? ranking.Results : Scaled(ranking, asked.Request.RawScores), ranking.Tokens, null);
        return true;

        HostCall.Writer Writer(int number)
        {
            return Write;

            ProxyError? Write(Backend candidate, string name, PooledBody body, List<string> lost, out string path)
            {
                path = "";
                if (Translated(candidate) is not { } other) return NoReranker(candidate);
                hosts[number] = other;
                path = other.Path;
                other.WriteRequest(pieces[number], name, body, lost);
                return null;
            }
        }
    }
}
