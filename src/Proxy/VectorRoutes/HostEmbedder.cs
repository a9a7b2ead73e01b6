using Proxy.Backends;
using Proxy.Chat;
using Proxy.Dialects.Embeddings;
using Proxy.Vectors;

namespace Proxy.VectorRoutes;

/// <summary>Embeds at the hosts of a model, in whatever dialect they speak. A host is told nothing of what a text is for (<see cref="PromptKind"/>): no dialect has a field for it.</summary>
internal sealed class HostEmbedder(VectorHosts hosts, VectorCall call) : HostModel(call, VectorModelKind.Embed), IEmbedder
{
    public async ValueTask<(VectorBatch? Vectors, VectorError? Error)> EmbedAsync(EmbedRequest request, CancellationToken cancellation)
    {
        var answer = await AskAsync(new EmbeddingCall(request), null, cancellation);
        if (answer is not VectorAnswer.Vectors { Reply: { Vectors: var vectors } said }) return (null, Explain(answer, cancellation));
        if (request.Dimensions > vectors.Dimensions && vectors.Count > 0)
            return (null, new(VectorErrorKind.InvalidDimensions, $"the vectors of '{ModelName.Shown(Call.Model)}' have {vectors.Dimensions} numbers; {request.Dimensions} cannot be had"));
        if (request.Dimensions < vectors.Dimensions) vectors = vectors.Cut(request.Dimensions.Value, request.Normalize is not false);
        else if (request.Normalize is true) vectors = vectors.Normalized();
        return (vectors with { TokensOfAll = said.Tokens }, null);
    }

    public ValueTask<(TokenVectors? Vectors, VectorError? Error)> EmbedTokensAsync(EmbedRequest request, CancellationToken cancellation)
        => new((null, new(VectorErrorKind.WrongKind, $"the hosts of '{ModelName.Shown(Call.Model)}' are asked for one vector a text only")));

    /// <summary>Asks in the dialects of the hosts, in as many parts as they need. The vectors are as the hosts gave them.</summary>
    /// <param name="client">The dialect of the client that asks: a host that speaks several is asked in the one that answers what it wants to know.</param>
    public async ValueTask<VectorAnswer> AskAsync(EmbeddingCall asked, EmbeddingClientDialect? client, CancellationToken cancellation)
    {
        var inputs = asked.Request.Inputs;
        if (inputs.Count == 0) return new VectorAnswer.Vectors(asked, new(new(default, 0, []), null)) { Served = Call.Resolution.Served };
        var sent = Cut(asked).Select(place => new EmbeddingHostCall(hosts, Call, asked with { Request = asked.Request with { Inputs = [.. inputs.Take(place)] } }) { Client = client, IsPart = true }).ToArray();
        var (answers, first, problem) = await new PartedCall<EmbeddingReply>(hosts, Call, sent).SendAsync(cancellation);
        if (problem is null && answers.Any(answer => answer.Vectors.Dimensions != answers[0].Vectors.Dimensions))
            problem = new(ProxyErrorKind.HostFailed, $"the backends of '{ModelName.Shown(Call.Model)}' answered with vectors of different lengths");
        return (problem is not null ? (VectorAnswer)new VectorAnswer.Refused(problem) : new VectorAnswer.Vectors(asked, answers.Length == 1 ? answers[0] : Joined(answers))).From(first);
    }

    /// <summary>Where a call has to be cut so that every host of the model takes its parts.</summary>
    public IReadOnlyList<Range> Cut(EmbeddingCall asked) => HostLimits.Of(Call.Resolution).Cut(asked.Request.Inputs.Count, input => asked.Request.Inputs[input].TokenIds?.Length ?? 0);

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
