using System.Text.Json;
using Proxy.Buffers;

namespace Proxy.Dialects.Rerank;

/// <summary>A host's answer: the scores as the host sent them, and in which form.</summary>
/// <param name="Brought">True if every result includes its document.</param>
internal sealed record HostRanking(IReadOnlyList<RerankResult> Results, int? Tokens, bool Brought)
{
    public bool IsSorted => Results.Zip(Results.Skip(1), static (one, next) => one.Score >= next.Score).All(static right => right);

    /// <summary>True if a score is outside 0 to 1, so that the scores cannot be probabilities: the host sends the model's raw output.</summary>
    public bool AreLogits => Results.Any(static result => result.Score is < 0 or > 1);
}

/// <summary>
/// The host's side of one rerank API. The host is always asked for all documents; the proxy itself selects the results for the client, so that it compares
/// scores of one kind.
/// </summary>
internal abstract class RerankBackendDialect
{
    public abstract string Path { get; }

    /// <summary>True if the host sends logits when a call asks for raw scores. Other hosts ignore that wish.</summary>
    public virtual bool HonoursRaw => false;

    public abstract void WriteRequest(RerankCall call, string model, PooledBody output, List<string> lost);

    /// <summary>Null if the body is not an answer.</summary>
    public abstract HostRanking? Read(ReadOnlySpan<byte> body);

    protected static HostRanking? Read(ReadOnlySpan<byte> body, string list, string score, string document)
    {
        try
        {
            using var json = JsonDocument.Parse(body.ToArray(), WireJson.ReadingWhole);
            var root = json.RootElement;
            var results = root;
            int? tokens = null;
            if (root.ValueKind is JsonValueKind.Object)
            {
                if (!root.TryGetProperty(list, out results)) return null;
                if (root.TryGetProperty("usage"u8, out var usage) && usage.ValueKind is JsonValueKind.Object
                    && (usage.TryGetProperty("prompt_tokens"u8, out var count) || usage.TryGetProperty("total_tokens"u8, out count))
                    && UsageJson.Count(count) is { } said) tokens = said;
            }

            if (results.ValueKind is not JsonValueKind.Array) return null;
            var ranking = new List<RerankResult>();
            var brought = true;
            foreach (var result in results.EnumerateArray())
            {
                if (result.ValueKind is not JsonValueKind.Object || !result.TryGetProperty("index"u8, out var index)
                    || index.ValueKind is not JsonValueKind.Number || !index.TryGetInt32(out var at))
                    return null;
                if (!result.TryGetProperty(score, out var number) || number.ValueKind is not JsonValueKind.Number || !number.TryGetSingle(out var value)
                    || !float.IsFinite(value))
                    return null;
                brought &= result.TryGetProperty(document, out _);
                ranking.Add(new(at, value));
            }

            return ranking.Count == 0 ? null : new(ranking, tokens, brought);
        }
        catch (JsonException)
        {
            return null;
        }
    }
}

/// <summary>A host's <c>/v1/rerank</c>: vLLM, llama.cpp, Jina, Cohere.</summary>
internal sealed class JinaRerankBackendDialect : RerankBackendDialect
{
    public override string Path => "/v1/rerank";

    public override void WriteRequest(RerankCall call, string model, PooledBody output, List<string> lost)
    {
        using var json = WireJson.NewWriter(output);
        json.WriteStartObject();
        json.WriteString("model"u8, model);
        json.WriteString("query"u8, call.Request.Query);
        json.WriteList("documents"u8, call.Request.Documents);
        json.WriteOptional("max_tokens_per_doc"u8, call.Request.MaxTokensPerDocument);
        json.WriteEndObject();
        lost.AddRange(call.Others);
        lost.AddIf(!call.Request.Truncate, "truncate");
        lost.AddIf(call.Request.TruncateLeft, "truncation_direction");
    }

    public override HostRanking? Read(ReadOnlySpan<byte> body) => Read(body, "results", "relevance_score", "document");
}

/// <summary>A TEI host's <c>/rerank</c>.</summary>
internal sealed class TeiRerankBackendDialect : RerankBackendDialect
{
    public override string Path => "/rerank";
    public override bool HonoursRaw => true;

    public override void WriteRequest(RerankCall call, string model, PooledBody output, List<string> lost)
    {
        using var json = WireJson.NewWriter(output);
        json.WriteStartObject();
        json.WriteString("query"u8, call.Request.Query);
        json.WriteList("texts"u8, call.Request.Documents);
        json.WriteBoolean("truncate"u8, call.Request.Truncate);
        if (call.Request.RawScores) json.WriteBoolean("raw_scores"u8, true);
        json.WriteEndObject();
        lost.AddRange(call.Others);
        lost.AddIf(call.Request.MaxTokensPerDocument is not null, "max_tokens_per_doc");
    }

    public override HostRanking? Read(ReadOnlySpan<byte> body) => Read(body, "results", "score", "text");
}
