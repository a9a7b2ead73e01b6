using Proxy.Backends;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects.Embeddings;
using Proxy.Dialects.OllamaChat;
using Proxy.Vectors;

namespace Proxy.Http;

/// <summary>One call to embed. Over a host of the client's dialect the bytes are the host's, unless it ignored what the call asks of the vectors' form; otherwise the vectors are read and written anew.</summary>
internal sealed partial class EmbeddingExchange(string surface, EmbeddingClientDialect dialect, VectorParts parts) : VectorExchange(surface, dialect, parts)
{
    private static readonly OpenAiEmbeddingsBackendDialect OpenAi = new();
    private static readonly OllamaEmbedBackendDialect Ollama = new();
    private static readonly TeiEmbedBackendDialect Tei = new();
    private static readonly OllamaChatBackendDialect OllamaWords = new();

    protected override bool NeedsModel => dialect.NeedsModel;

    protected override ProxyError Unreadable(CallScope scope, ProxyError problem) => dialect.Unreadable(problem);

    protected override string? FirstModel(CallScope scope)
        => FirstAtHost(scope.Caller.MayUse, "embedding") ?? Parts.Directory.Table.Embedders.Models.FirstOrDefault(model => model is IEmbedder && Serves(model.Info.Kind) && scope.Caller.MayUse(model.Info.Name))?.Info.Name;

    protected override async ValueTask AnswerHereAsync(VectorCall call, IVectorModel model)
    {
        var scope = call.Scope;
        var started = Parts.Exchange.Time.GetTimestamp();
        var info = model.Info;
        if (Read(call, out var asked) is { } wrong)
        {
            await scope.RefuseAsync(wrong);
            return;
        }

        if (model is not IEmbedder embedder || !Serves(info.Kind))
        {
            await scope.RefuseAsync(dialect.Explain(new(VectorErrorKind.WrongKind, $"\"{ModelName.Shown(call.Model)}\" does not embed texts{(model is IReranker ? "; it reranks" : "")}")));
            return;
        }

        var request = asked!.Request;
        if (request.Inputs.Count == 0)
        {
            scope.Answering(null, info.Name);
            await WriteAsync(scope, asked, new(Nothing, 0), call.Model, TimeSpan.Zero);
            return;
        }

        var refusal = request.Inputs.Count > info.MaxInputs ? dialect.TooMany(request.Inputs.Count, info.MaxInputs) : Uncuttable(asked, info.Dimensions, info.Matryoshka, call.Model);
        if (refusal is not null)
        {
            await scope.RefuseAsync(refusal);
            return;
        }

        using var body = new PooledBody(16384);
        VectorError? problem;
        IReadOnlyList<int> tokens;
        if (dialect.TokenByToken)
        {
            (var matrices, problem) = await embedder.EmbedTokensAsync(request, scope.Cancellation);
            tokens = matrices?.Tokens ?? [];
            if (matrices is not null) dialect.Write(matrices, body);
        }
        else
        {
            (var vectors, problem) = await embedder.EmbedAsync(request, scope.Cancellation);
            tokens = vectors?.Tokens ?? [];
            if (vectors is not null) dialect.Write(asked, new(vectors, tokens.Sum()), new(call.Model, Parts.Exchange.Time.GetElapsedTime(started)), body);
        }

        if (problem is not null)
        {
            await scope.RefuseAsync(dialect.Explain(problem));
            return;
        }

        scope.Answering(null, info.Name);
        scope.Count(new Usage(tokens.Sum(), 0));
        await WriteAsync(scope, dialect.ContentType, body);
    }

    protected override async ValueTask AnswerFromHostAsync(VectorCall call)
    {
        var started = Parts.Exchange.Time.GetTimestamp();
        var request = call.Scope.Context.Request;
        if (await InPartsAsync(call, started)) return;
        EmbeddingCall? asked = null;
        EmbeddingBackendDialect? host = null;
        // Nothing to embed is answered without a host, where none of those that serve the model says it itself.
        if (!call.Resolution.Candidates.Any(backend => !backend.IsEcho && IsNative(backend)))
        {
            if (Read(call, out asked) is { } wrong)
            {
                await call.Scope.RefuseAsync(wrong);
                return;
            }

            if (asked!.Request.Inputs.Count == 0)
            {
                call.Scope.Answering(null, call.Resolution.Served);
                await WriteAsync(call.Scope, asked, new(Nothing, 0), call.Model, TimeSpan.Zero);
                return;
            }
        }

        var sent = new HostCall(call, backend => IsNative(backend) ? Surface + request.QueryString.ToUriComponent() : null, Translate, Parts.Exchange.Log);
        if (await SendAsync(call, sent) is not { } reply) return;
        using var held = reply;
        if (!sent.Verbatim) await RewriteAsync(call, reply, asked!, host!, started);
        else if (dialect is OpenAiEmbeddingsClientDialect && reply.Status < 300 && !(reply.ContentLength > BackendReply.LongestDocument)) await InFormAsync(call, reply, started);
        else await VerbatimWriter.RelayAsync(call.Scope, reply, NameFor(call, reply), dialect.Family == "ollama" ? OllamaWords : HostErrors);

        ProxyError? Translate(Backend backend, string served, PooledBody body, List<string> lost, out string path)
        {
            path = "";
            if (dialect.TokenByToken || Translated(backend) is not { } other)
                return new(ProxyErrorKind.NotImplemented, $"backend '{backend.Name}' does not {(dialect.TokenByToken ? "answer with one vector a token" : "embed in any dialect that this proxy can speak")}") { Backend = backend.Name };
            if (asked is null && Read(call, out asked) is { } wrong) return wrong;
            if (other.Unsayable(asked!) is { } unsayable) return unsayable;
            host = other;
            path = other.Path;
            other.WriteRequest(asked!, served, body, lost);
            return null;
        }
    }

    private static VectorBatch Nothing => new(default, 0, []);

    private bool Serves(VectorModelKind kind) => kind is VectorModelKind.Embed || (kind is VectorModelKind.LateInteraction && dialect.TokenByToken);

    /// <summary>A host that is asked in the client's own words. TEI has OpenAI's path, whatever its backend's <c>dialects</c> list.</summary>
    private bool IsNative(Backend backend) => Speaks(backend, dialect.Family) || (dialect.Family == "openai" && Speaks(backend, "tei"));

    private static EmbeddingBackendDialect? Translated(Backend backend)
    {
        foreach (var family in backend.Families)
        {
            switch (family)
            {
                case Config.DialectFamily.Ollama: return Ollama;
                case Config.DialectFamily.Tei: return Tei;
                case Config.DialectFamily.OpenAi: return OpenAi;
            }
        }

        return null;
    }

    private ProxyError? Read(VectorCall call, out EmbeddingCall? asked) => dialect.Read(call.Body.Span, out asked);

    /// <summary>OpenAI's own bytes, unless the host ignored <c>encoding_format</c> or <c>dimensions</c>: its SDKs ask for base64 and read whatever comes as that.</summary>
    private async ValueTask InFormAsync(VectorCall call, BackendReply reply, long started)
    {
        using var document = NewDocument(reply);
        if (!await ReadAsync(call, reply, document)) return;
        if (OpenAiEmbeddingsAnswer.Form(document.Span) is { } form && MayWantAnother(form.Base64, call.Body.Span) && Read(call, out var asked) is null
            && (form.Base64 != asked!.Base64 || (asked.Request.Dimensions is { } wanted && wanted != form.Dimensions)))
        {
            await AnswerAsync(call, reply, asked, OpenAiEmbeddingsAnswer.Read(document.Span), started);
            return;
        }

        await VerbatimWriter.WriteWholeAsync(call.Scope, reply, document.Memory, call.Model, HostErrors);
    }

    /// <summary>Whether the request is worth parsing for it: two members decide, and most requests have neither.</summary>
    private static bool MayWantAnother(bool base64, ReadOnlySpan<byte> request)
        => base64 || request.IndexOf("encoding_format"u8) >= 0 || request.IndexOf("dimensions"u8) >= 0;

    private async ValueTask RewriteAsync(VectorCall call, BackendReply reply, EmbeddingCall asked, EmbeddingBackendDialect host, long started)
    {
        using var document = NewDocument(reply);
        if (await ReadAsync(call, reply, document)) await AnswerAsync(call, reply, asked, host.Read(document.Span), started);
    }

    /// <summary>What a host answered, in the client's dialect and with the dimensions that it asked for.</summary>
    private async ValueTask AnswerAsync(VectorCall call, BackendReply reply, EmbeddingCall asked, EmbeddingReply? said, long started)
    {
        if (said is null || said.Vectors.Count != asked.Request.Inputs.Count)
        {
            await call.Scope.RefuseAsync(reply.NotAnAnswer());
            return;
        }

        await AnswerAsync(call, reply.ServedModel, asked, said, started);
    }

    private async ValueTask AnswerAsync(VectorCall call, string served, EmbeddingCall asked, EmbeddingReply said, long started)
    {
        var vectors = said.Vectors;
        if (Uncuttable(asked, vectors.Dimensions, Matryoshka.Knows(served), call.Model) is { } refusal)
        {
            await call.Scope.RefuseAsync(refusal);
            return;
        }

        if (asked.Request.Dimensions is { } wanted && wanted < vectors.Dimensions) vectors = vectors.Cut(wanted, asked.Request.Normalize is not false);
        else if (dialect.Family == "tei" && asked.Request.Normalize is true) vectors = vectors.Normalized();
        if (said.Tokens is { } tokens) call.Scope.Count(new Usage(tokens, 0));
        await WriteAsync(call.Scope, asked, said with { Vectors = vectors }, call.Model, Parts.Exchange.Time.GetElapsedTime(started));
    }

    /// <summary>Why vectors of that length cannot be given the length that is asked for.</summary>
    private ProxyError? Uncuttable(EmbeddingCall asked, int dimensions, bool matryoshka, string model)
    {
        if (asked.Request.Dimensions is not { } wanted || wanted == dimensions) return null;
        if (wanted < dimensions && (matryoshka || dialect.CutsAnyVector)) return null;
        if (wanted > dimensions && dialect.CutsAnyVector) return null; // there is nothing to cut
        return new(ProxyErrorKind.InvalidRequest, wanted > dimensions
            ? $"\"dimensions\" is {wanted}, and the vectors of '{ModelName.Shown(model)}' have {dimensions}"
            : $"\"dimensions\" is {wanted}, but the vectors of '{ModelName.Shown(model)}' have {dimensions} numbers and are not known to be made for cutting; leave it out") { Param = "dimensions" };
    }

    private async ValueTask WriteAsync(CallScope scope, EmbeddingCall asked, EmbeddingReply reply, string model, TimeSpan duration)
    {
        using var body = new PooledBody((reply.Vectors.Values.Length * 12) + 1024);
        dialect.Write(asked, reply, new(model, duration), body);
        await WriteAsync(scope, dialect.ContentType, body);
    }
}
