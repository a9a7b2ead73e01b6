using System.Text.Json;
using Proxy.Backends;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects.Embeddings;
using Proxy.Vectors;

namespace Proxy.Http;

/// <summary>TEI's other calls: <c>/tokenize</c>, and those that only a TEI host answers (<c>/similarity</c>, <c>/predict</c>, <c>/embed_sparse</c>, <c>/decode</c>).</summary>
internal sealed partial class TeiExchange(string surface, VectorParts parts) : VectorExchange(surface, TeiWords.Instance, parts)
{
    protected override bool NeedsModel => false;

    protected override ProxyError Unreadable(CallScope scope, ProxyError problem) => TeiErrors.Unreadable(problem);

    protected override string? FirstModel(CallScope scope)
        => FirstAtHost(scope.Caller.MayUse, Surface is "/predict" ? "classifier" : "embedding") ?? FirstAtHost(scope.Caller.MayUse, "reranker")
            ?? Parts.Directory.Table.Embedders.Models.FirstOrDefault(model => scope.Caller.MayUse(model.Info.Name))?.Info.Name
            ?? FirstAtHost(scope.Caller.MayUse, "embedding", inProxies: true);

    protected override async ValueTask AnswerFromHostAsync(VectorCall call)
    {
        if (await InPartsAsync(call)) return;
        var sent = new HostCall(call, backend => Speaks(backend, "tei") ? Surface : null, Refuse, Parts.Exchange.Log);
        if (await SendAsync(call, sent) is not { } reply) return;
        using var held = reply;
        await VerbatimWriter.RelayAsync(call.Scope, reply, NameFor(call, reply), HostErrors);

        ProxyError? Refuse(Backend backend, string served, PooledBody body, List<string> lost, out string path)
        {
            path = "";
            return OnlyTei(backend);
        }
    }

    private ProxyError OnlyTei(Backend backend) => new(ProxyErrorKind.NotImplemented, $"only a TEI host answers {Surface}, and backend '{backend.Name}' is none") { Backend = backend.Name };

    protected override async ValueTask AnswerHereAsync(VectorCall call, IVectorModel model)
    {
        var scope = call.Scope;
        var refusal = Surface switch
        {
            "/tokenize" => null,
            "/predict" => TeiErrors.WrongKind("Model is not a classifier model"),
            "/embed_sparse" => TeiErrors.WrongKind("Model is not an embedding model with SPLADE pooling"),
            _ => new(ProxyErrorKind.NotImplemented, $"{Surface} is not available for the models of this proxy; a TEI host answers it"),
        };
        var texts = new List<string>();
        var special = true;
        refusal ??= Read(call.Body.Span, texts, out special);
        if (refusal is not null)
        {
            await scope.RefuseAsync(refusal);
            return;
        }

        var (tokens, problem) = await model.TokenizeAsync(texts, special, scope.Cancellation);
        if (tokens is null)
        {
            await scope.RefuseAsync(TeiErrors.Explain(problem!));
            return;
        }

        scope.Answering(null, model.Info.Name);
        using var body = new PooledBody();
        TeiAnswers.WriteTokens(tokens, body);
        await WriteAsync(scope, "application/json", body);
    }

    private static ProxyError? Read(ReadOnlySpan<byte> body, List<string> texts, out bool special)
    {
        var inputs = new List<EmbedInput>();
        bool asked = true, said = false, right = true;
        var problem = BodyMembers.Read(body, [], (ref json, name) =>
        {
            switch (name)
            {
                case "inputs":
                    said = true;
                    right = VectorJson.TryReadInputs(ref json, inputs) && inputs.TrueForAll(input => input.Text is not null);
                    return true;
                case "add_special_tokens":
                    asked = json.TokenType is not JsonTokenType.False;
                    return true;
                default:
                    return false;
            }
        });
        special = asked;
        if (!right) return TeiErrors.Misfitting("inputs", "inputs: data did not match any variant of untagged enum TokenizeInput");
        if (problem is not null) return TeiErrors.Unreadable(problem);
        if (!said) return TeiErrors.Missing("inputs");
        if (inputs.Count == 0 || inputs.Exists(input => input.Text!.Length == 0)) return TeiErrors.IsEmpty("inputs");
        texts.AddRange(inputs.Select(input => input.Text!));
        return null;
    }
}
