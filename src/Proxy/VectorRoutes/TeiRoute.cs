using System.Text.Json;
using Proxy.Backends;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects;
using Proxy.Dialects.Embeddings;
using Proxy.Vectors;

namespace Proxy.VectorRoutes;

/// <summary>
/// Answers TEI's other calls: <c>/tokenize</c>, and the calls that only a TEI host answers (<c>/similarity</c>, <c>/predict</c>, <c>/embed_sparse</c>,
/// <c>/decode</c>; at hosts also <c>/embed_all</c>).
/// </summary>
internal sealed class TeiRoute(string path, VectorHosts hosts) : IVectorRoute
{
    public VectorClientDialect Dialect => TeiWords.Instance;

    public string? FirstModel(Func<string, bool> mayUse)
        => hosts.First(path is "/predict" ? "classifier" : "embedding", mayUse) ?? hosts.First("reranker", mayUse)
            ?? hosts.Table.Embedders.Models.FirstOrDefault(model => mayUse(model.Info.Name))?.Info.Name
            ?? hosts.First("embedding", mayUse, inProxies: true);

    public async ValueTask<VectorAnswer> AnswerAsync(VectorCall call, CancellationToken cancellation)
    {
        if (call.Resolution.InProcess is { } here) return await HereAsync(call, here, cancellation);
        if (Cut(call) is { Count: > 1 } places) return await InPartsAsync(call, places, cancellation);
        var (reply, error) = await hosts.SendAsync(new TeiHostCall(hosts, call), call, cancellation);
        return reply is null ? new VectorAnswer.Refused(error!) : new VectorAnswer.Verbatim(reply);
    }

    private async ValueTask<VectorAnswer> HereAsync(VectorCall call, IVectorModel model, CancellationToken cancellation)
    {
        var refusal = path switch
        {
            "/tokenize" => null,
            "/predict" => TeiErrors.WrongKind("Model is not a classifier model"),
            "/embed_sparse" => TeiErrors.WrongKind("Model is not an embedding model with SPLADE pooling"),
            _ => new(ProxyErrorKind.NotImplemented, $"{path} is not available for the models of this proxy; only a TEI host answers it"),
        };
        var texts = new List<string>();
        var special = true;
        refusal ??= Read(call.Body.Span, texts, out special);
        if (refusal is not null) return new VectorAnswer.Refused(refusal);
        var (tokens, problem) = await model.TokenizeAsync(texts, special, cancellation);
        return tokens is null ? new VectorAnswer.Refused(TeiErrors.Explain(problem!)) : new VectorAnswer.Tokens(tokens) { Served = model.Info.Name };
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

    /// <summary>Where to split a call so that every host of the model accepts each part; null if the call has no list, or its list is short enough.</summary>
    private IReadOnlyList<Range>? Cut(VectorCall call)
    {
        // In a /similarity call, the text that the others are compared with counts as an input too.
        var limits = HostLimits.Of(call.Resolution) is { Inputs: { } most } told ? told with { Inputs = path is "/similarity" ? most - 1 : most } : default;
        if (limits.Inputs is not (> 0 and var least) || call.Body.Span.Count((byte)',') < least || List(call.Body) is not { } inputs) return null;
        return limits.Cut(inputs.GetArrayLength(),
            index => path is "/embed_all" && inputs[index] is { ValueKind: JsonValueKind.Array } ids ? ids.GetArrayLength() : 0);
    }

    /// <summary>The list in a body that may be split: <c>inputs</c>, or for <c>/similarity</c> its <c>sentences</c>. Null if there is none.</summary>
    private JsonElement? List(ReadOnlyMemory<byte> body)
    {
        try
        {
            using var document = JsonDocument.Parse(body, WireJson.ReadingWhole);
            if (document.RootElement.ValueKind is not JsonValueKind.Object || !document.RootElement.TryGetProperty("inputs"u8, out var inputs)) return null;
            if (path is "/similarity" && (inputs.ValueKind is not JsonValueKind.Object || !inputs.TryGetProperty("sentences"u8, out inputs))) return null;
            if (path is "/decode" || inputs.ValueKind is not JsonValueKind.Array) return null;
            // Some lists are a single input: for a classifier a list of texts (many inputs are a list of lists), for an embedder a list of token ids.
            return inputs.EnumerateArray().Any(input =>
                input.ValueKind is JsonValueKind.Number || (path is "/predict" && input.ValueKind is not JsonValueKind.Array)) ? null : inputs.Clone();
        }
        catch (JsonException)
        {
            return null; // the body goes to the host unchanged, and the host reports the invalid JSON
        }
    }

    /// <summary>Sends the parts and joins their answers into one list: the answer to a part is a list with one element per input.</summary>
    private async ValueTask<VectorAnswer> InPartsAsync(VectorCall call, IReadOnlyList<Range> places, CancellationToken cancellation)
    {
        var (lists, first, problem) =
            await new PartedCall<byte[]>(hosts, call, [.. places.Select(place => new TeiHostCall(hosts, call) { Place = place })]).SendAsync(cancellation);
        if (problem is not null) return new VectorAnswer.Refused(problem).From(first);
        var body = new PooledBody(lists.Sum(static list => list.Length + 1) + 1);
        for (var i = 0; i < lists.Length; i++)
        {
            body.Write(i == 0 ? "["u8 : ","u8);
            body.Write(lists[i]);
        }

        body.Write("]"u8);
        return new VectorAnswer.Joined(body).From(first);
    }
}
