using Proxy.Backends;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects.Embeddings;
using Proxy.Vectors;

namespace Proxy.Http;

// A call with more inputs than its hosts take at once.
internal sealed partial class EmbeddingExchange
{
    /// <summary>More inputs than a host takes at once are sent in parts, and their answers joined. False: there is nothing to cut.</summary>
    private async ValueTask<bool> InPartsAsync(VectorCall call, long started)
    {
        var limits = HostLimits.Of(call.Resolution);
        if (limits.Inputs is not { } most || call.Body.Span.Count((byte)',') < most) return false; // so many stand between more inputs than that
        if (Read(call, out var asked) is not null) return false; // whoever reads it next says what is wrong
        var inputs = asked!.Request.Inputs;
        var places = limits.Cut(inputs.Count, input => inputs[input].TokenIds?.Length ?? 0);
        if (places.Count < 2) return false;

        var pieces = places.Select(place => asked with { Request = asked.Request with { Inputs = [.. inputs.Take(place)] } }).ToArray();
        var hosts = new EmbeddingBackendDialect[pieces.Length];
        var sent = Enumerable.Range(0, pieces.Length).Select(number => new HostCall(call, static _ => null, Writer(number), Parts.Exchange.Log)).ToArray();
        if (dialect.TokenByToken)
        {
            await JoinListsAsync(call, sent);
            return true;
        }

        var (answers, backend, served, problem) = await new PartedCall<EmbeddingReply>(call, Parts, sent, HostErrors,
            (number, answer) => hosts[number].Read(answer.Span) is { } said && said.Vectors.Count == pieces[number].Request.Inputs.Count ? said : null).SendAsync();
        if (problem is null && answers!.Any(answer => answer.Vectors.Dimensions != answers![0].Vectors.Dimensions))
            problem = new(ProxyErrorKind.HostFailed, $"the backends of '{ModelName.Shown(call.Model)}' answered with vectors of different lengths");
        if (problem is not null)
        {
            await call.Scope.RefuseAsync(problem);
            return true;
        }

        call.Scope.Answering(backend, served);
        await AnswerAsync(call, served, asked, Joined(answers!), started);
        return true;

        HostCall.Writer Writer(int number)
        {
            return Write;

            ProxyError? Write(Backend candidate, string name, PooledBody body, List<string> lost, out string path)
            {
                path = "";
                if ((dialect.TokenByToken ? Speaks(candidate, "tei") ? Tei : null : IsNative(candidate) && dialect.Family == "openai" ? OpenAi : Translated(candidate)) is not { } other)
                    return new(ProxyErrorKind.NotImplemented, $"backend '{candidate.Name}' does not embed in any dialect that this proxy can speak") { Backend = candidate.Name };
                if (other.Unsayable(pieces[number]) is { } unsayable) return unsayable;
                hosts[number] = other;
                path = dialect.TokenByToken ? Surface : other.Path;
                other.WriteRequest(pieces[number], name, body, lost);
                return null;
            }
        }
    }

    private static EmbeddingReply Joined(EmbeddingReply[] parts)
    {
        var values = new float[parts.Sum(static part => part.Vectors.Values.Length)];
        var at = 0;
        foreach (var part in parts)
        {
            part.Vectors.Values.CopyTo(values.AsMemory(at));
            at += part.Vectors.Values.Length;
        }

        return new(new(values, parts[0].Vectors.Dimensions, []), parts.All(static part => part.Tokens is not null) ? parts.Sum(static part => part.Tokens) : null);
    }
}
