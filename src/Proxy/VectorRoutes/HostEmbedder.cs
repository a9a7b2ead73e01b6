using Proxy.Backends;
using Proxy.Chat;
using Proxy.Dialects.Embeddings;
using Proxy.Vectors;

namespace Proxy.VectorRoutes;

/// <summary>
/// Embeds at the hosts of a model, in whatever dialect they speak. <see cref="PromptKind"/> is not sent to them, because no dialect has a field for it.
/// </summary>
internal sealed class HostEmbedder(VectorHosts hosts, VectorCall call) : HostModel(call, VectorModelKind.Embed), IEmbedder
{
    public async ValueTask<(VectorBatch? Vectors, VectorError? Error)> EmbedAsync(EmbedRequest request, CancellationToken cancellation)
    {
        var answer = await AskAsync(new EmbeddingCall(request), null, cancellation);
        if (answer is not VectorAnswer.Vectors { Reply: { Vectors: var vectors } said }) return (null, Explain(answer, cancellation));
        if (request.Dimensions > vectors.Dimensions && vectors.Count > 0)
            return (null, new(VectorErrorKind.InvalidDimensions,
                $"the vectors of '{ModelName.Shown(Call.Model)}' have {vectors.Dimensions} numbers, but the call asks for {request.Dimensions}"));
        if (request.Dimensions < vectors.Dimensions) vectors = vectors.Cut(request.Dimensions.Value, request.Normalize is not false);
        else if (request.Normalize is true) vectors = vectors.Normalized();
        return (vectors with { TokensOfAll = said.Tokens }, null);
    }

    public ValueTask<(TokenVectors? Vectors, VectorError? Error)> EmbedTokensAsync(EmbedRequest request, CancellationToken cancellation)
        => new((null, new(VectorErrorKind.WrongKind, $"the hosts of '{ModelName.Shown(Call.Model)}' can only be asked for one vector per text")));

    /// <summary>Asks the hosts in their own dialects, in as many parts as their limits require. The vectors are returned as the hosts sent them.</summary>
    /// <param name="client">The client's dialect. If it is OpenAI's and the host speaks that among others, the host is asked in it: its answer has what the
    /// client needs.</param>
    public async ValueTask<VectorAnswer> AskAsync(EmbeddingCall asked, EmbeddingClientDialect? client, CancellationToken cancellation)
    {
        var inputs = asked.Request.Inputs;
        if (inputs.Count == 0) return new VectorAnswer.Vectors(asked, new(new(default, 0, []), null)) { Served = Call.Resolution.Served };
        var call = CallUnder(asked.Request.TraceParent);
        var sent = Cut(asked)
            .Select(place => new EmbeddingHostCall(hosts, call, asked with { Request = asked.Request with { Inputs = [.. inputs.Take(place)] } })
            {
                Client = client,
                IsPart = true
            })
            .ToArray();
        var (answers, first, problem) = await new PartedCall<EmbeddingReply>(hosts, call, sent).SendAsync(cancellation);
        if (problem is null && answers.Any(answer => answer.Vectors.Dimensions != answers[0].Vectors.Dimensions))
            problem = new(ProxyErrorKind.HostFailed, $"the backends of '{ModelName.Shown(Call.Model)}' answered with vectors of different lengths");
        return (problem is not null
            ? (VectorAnswer)new VectorAnswer.Refused(problem)
            : new VectorAnswer.Vectors(asked, answers.Length == 1 ? answers[0] : Joined(answers))).From(first);
    }

    /// <summary>Where to split a call so that every host of the model accepts each part.</summary>
    public IReadOnlyList<Range> Cut(EmbeddingCall asked) =>
        HostLimits.Of(Call.Resolution).Cut(asked.Request.Inputs.Count, input => asked.Request.Inputs[input].TokenIds?.Length ?? 0);

    private static EmbeddingReply Joined(EmbeddingReply[] parts)
    {
        var values = new float[parts.Sum(static part => part.Vectors.Values.Length)];
        var at = 0;
        foreach (var part in parts)
        {
            part.Vectors.Values.CopyTo(values.AsMemory(at));
            at += part.Vectors.Values.Length;
        }

        return new(new(values, parts[0].Vectors.Dimensions, []),
            parts.All(static part => part.Tokens is not null) ? parts.Sum(static part => part.Tokens) : null);
    }
}
