using Proxy.Backends;
using Proxy.Chat;
using Proxy.Dialects.Embeddings;
using Proxy.Vectors;

namespace Proxy.VectorRoutes;

/// <summary>
/// Answers calls to embed. If the host speaks the client's dialect, the host's bytes are forwarded, unless the host ignored the form in which the call asks for
/// the vectors. Otherwise the vectors are parsed and written anew.
/// </summary>
internal sealed class EmbeddingRoute(EmbeddingClientDialect dialect, VectorHosts hosts) : IVectorRoute
{
    public VectorClientDialect Dialect => dialect;

    public string? FirstModel(Func<string, bool> mayUse)
        => hosts.First("embedding", mayUse)
            ?? hosts.Table.Embedders.Models.FirstOrDefault(model => model is IEmbedder && Serves(model.Info.Kind) && mayUse(model.Info.Name))?.Info.Name;

    public ValueTask<VectorAnswer> AnswerAsync(VectorCall call, CancellationToken cancellation)
        => call.Resolution.InProcess is { } here ? HereAsync(call, here, cancellation)
            : dialect.TokenByToken ? new TeiRoute(call.Path, hosts).AnswerAsync(call, cancellation) // of all hosts, only TEI returns one vector per token
            : AtHostAsync(call, cancellation);

    private async ValueTask<VectorAnswer> HereAsync(VectorCall call, IVectorModel model, CancellationToken cancellation)
    {
        if (dialect.Read(call.Body.Span, out var asked) is { } wrong) return new VectorAnswer.Refused(wrong);
        var info = model.Info;
        if (model is not IEmbedder embedder || !Serves(info.Kind))
        {
            return Refuse(new(VectorErrorKind.WrongKind,
                $"\"{ModelName.Shown(call.Model)}\" does not embed texts{(model is IReranker ? "; it reranks" : "")}"));
        }

        var request = asked!.Request;
        if (request.Inputs.Count == 0) return new VectorAnswer.Vectors(asked, new(new(default, 0, []), null)) { Served = info.Name };
        if ((request.Inputs.Count > info.MaxInputs
            ? dialect.TooMany(request.Inputs.Count, info.MaxInputs)
            : Uncuttable(asked, info.Dimensions, info.Matryoshka, call.Model)) is { } refusal)
            return new VectorAnswer.Refused(refusal);

        if (dialect.TokenByToken)
        {
            var (matrices, problem) = await embedder.EmbedTokensAsync(request, cancellation);
            return matrices is null ? Refuse(problem!) : new VectorAnswer.PerToken(matrices) { Served = info.Name };
        }

        var (vectors, error) = await embedder.EmbedAsync(request, cancellation);
        return vectors is null ? Refuse(error!) : new VectorAnswer.Vectors(asked, new(vectors, vectors.TokensOfAll)) { Served = info.Name };
    }

    private async ValueTask<VectorAnswer> AtHostAsync(VectorCall call, CancellationToken cancellation)
    {
        var mayStay = call.Resolution.Candidates.Any(backend => !backend.IsEcho && EmbeddingHostCall.IsNative(dialect, backend));
        // Cheaper than parsing: n inputs are separated by n - 1 commas, so a body with fewer commas than the limit has no more inputs than the limit.
        var mayBeMany = HostLimits.Of(call.Resolution).Inputs is { } most && call.Body.Span.Count((byte)',') >= most;
        EmbeddingCall? asked = null;
        // If a host speaks the client's dialect, that host reports what is wrong with the call.
        if ((mayBeMany || !mayStay) && dialect.Read(call.Body.Span, out asked) is { } wrong && !mayStay) return new VectorAnswer.Refused(wrong);
        var embedder = new HostEmbedder(hosts, call);
        if (asked is not null && (!mayStay || embedder.Cut(asked).Count > 1)) return Fitted(call, await embedder.AskAsync(asked, dialect, cancellation));

        var sent = new EmbeddingHostCall(hosts, call, asked) { Client = dialect };
        var (reply, error) = await hosts.SendAsync(sent, call, cancellation);
        if (reply is null) return new VectorAnswer.Refused(error!);
        if (sent.Verbatim)
        {
            return dialect is OpenAiEmbeddingsClientDialect && reply.Status < 300 && !(reply.ContentLength > BackendReply.LongestDocument)
                ? await InFormAsync(call, reply)
                : new VectorAnswer.Verbatim(reply);
        }

        using (reply)
        {
            var (said, problem) = await VectorHosts.ReadAsync(reply, sent);
            return Fitted(call, (said is null ? (VectorAnswer)new VectorAnswer.Refused(problem!) : new VectorAnswer.Vectors(sent.Asked!, said)).From(reply));
        }
    }

    private bool Serves(VectorModelKind kind) => kind is VectorModelKind.Embed || (kind is VectorModelKind.LateInteraction && dialect.TokenByToken);

    private VectorAnswer.Refused Refuse(VectorError error) => new(dialect.Explain(error));

    /// <summary>
    /// The host's own bytes, unless it ignored <c>encoding_format</c> or <c>dimensions</c>. OpenAI's SDKs ask for base64 and decode every answer as base64.
    /// </summary>
    private ValueTask<VectorAnswer> InFormAsync(VectorCall call, BackendReply reply) => VectorHosts.CheckAsync(reply, document =>
    {
        if (OpenAiEmbeddingsAnswer.Form(document.Span) is not { } form || !MayWantAnother(form.Base64, call.Body.Span)
            || dialect.Read(call.Body.Span, out var asked) is not null) return null;
        if (form.Base64 == asked!.Base64 && (asked.Request.Dimensions is not { } wanted || wanted == form.Dimensions)) return null;
        return OpenAiEmbeddingsAnswer.Read(document.Span) is { } said && said.Vectors.Count == asked.Request.Inputs.Count
            ? Fitted(call, new VectorAnswer.Vectors(asked, said).From(reply)) : new VectorAnswer.Refused(reply.NotAnAnswer());
    });

    /// <summary>Whether the request may ask for another form, so that it has to be parsed. Most requests have neither of the two members that decide.</summary>
    private static bool MayWantAnother(bool base64, ReadOnlySpan<byte> request)
        => base64 || request.IndexOf("encoding_format"u8) >= 0 || request.IndexOf("dimensions"u8) >= 0;

    /// <summary>A host's vectors, cut to the dimensions that the call asks for.</summary>
    private VectorAnswer Fitted(VectorCall call, VectorAnswer answer)
    {
        if (answer is not VectorAnswer.Vectors { Asked: var asked, Reply: var said } given || said.Vectors.Count == 0) return answer;
        var vectors = said.Vectors;
        if (Uncuttable(asked, vectors.Dimensions, Matryoshka.Knows(given.Served!), call.Model) is { } refusal)
            return new VectorAnswer.Refused(refusal) { Backend = given.Backend, Served = given.Served };
        if (asked.Request.Dimensions is { } wanted && wanted < vectors.Dimensions) vectors = vectors.Cut(wanted, asked.Request.Normalize is not false);
        else if (dialect.Family == "tei" && asked.Request.Normalize is true) vectors = vectors.Normalized();
        return given with { Reply = said with { Vectors = vectors } };
    }

    /// <summary>Why vectors of this length cannot be given the requested length; null if they can.</summary>
    private ProxyError? Uncuttable(EmbeddingCall asked, int dimensions, bool matryoshka, string model)
    {
        if (asked.Request.Dimensions is not { } wanted || wanted == dimensions) return null;
        if (wanted < dimensions && (matryoshka || dialect.CutsAnyVector)) return null;
        if (wanted > dimensions && dialect.CutsAnyVector) return null; // there is nothing to cut
        return new(ProxyErrorKind.InvalidRequest, wanted > dimensions
            ? $"\"dimensions\" is {wanted}, but the vectors of '{ModelName.Shown(model)}' have only {dimensions} numbers"
            : $"\"dimensions\" is {wanted}, but the vectors of '{ModelName.Shown(model)}' have {dimensions} numbers "
                + "and are not known to allow shortening; leave it out")
        {
            Param = "dimensions"
        };
    }
}
