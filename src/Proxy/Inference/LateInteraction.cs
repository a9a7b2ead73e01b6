using System.Text.Json;

namespace Proxy.Inference;

/// <summary>How a ColBERT model takes its texts: a marker after the first token, queries filled up with [MASK], punctuation of documents ignored.</summary>
internal sealed record LateInteraction
{
    public string QueryPrefix { get; init; } = "[Q] ";
    public string DocumentPrefix { get; init; } = "[D] ";

    /// <summary>Number of tokens to which a query is cut or filled up.</summary>
    public int QueryLength { get; init; } = 32;

    /// <summary>Number of tokens to which a document is cut.</summary>
    public int DocumentLength { get; init; } = 300;

    /// <summary>Whether queries are filled up with [MASK].</summary>
    public bool Expand { get; init; } = true;

    /// <summary>Whether the added [MASK] tokens take part in attention.</summary>
    public bool AttendToExpansion { get; init; }

    /// <summary>Words whose tokens in a document are ignored.</summary>
    public IReadOnlyList<string> Skip { get; init; } = [.. "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~".Select(static c => c.ToString())];

    /// <param name="said">config_sentence_transformers.json, as PyLate writes it.</param>
    /// <param name="artifact">artifact.metadata, as ColBERT's own library writes it.</param>
    public static LateInteraction Read(JsonElement? said, JsonElement? artifact)
    {
        var defaults = artifact is null ? new() : new LateInteraction
        {
            QueryPrefix = ModelFolder.Text(artifact, "query_token_id") ?? "[unused0]",
            DocumentPrefix = ModelFolder.Text(artifact, "doc_token_id") ?? "[unused1]",
            QueryLength = ModelFolder.Whole(artifact, "query_maxlen") ?? 32,
            DocumentLength = ModelFolder.Whole(artifact, "doc_maxlen") ?? 300,
            AttendToExpansion = ModelFolder.Truth(artifact, "attend_to_mask_tokens") ?? false,
            Skip = ModelFolder.Truth(artifact, "mask_punctuation") is false ? [] : new LateInteraction().Skip,
        };
        return new()
        {
            QueryPrefix = ModelFolder.Text(said, "query_prefix") ?? defaults.QueryPrefix,
            DocumentPrefix = ModelFolder.Text(said, "document_prefix") ?? defaults.DocumentPrefix,
            QueryLength = ModelFolder.Whole(said, "query_length") ?? defaults.QueryLength,
            DocumentLength = ModelFolder.Whole(said, "document_length") ?? defaults.DocumentLength,
            Expand = ModelFolder.Truth(said, "do_query_expansion") ?? defaults.Expand,
            AttendToExpansion = ModelFolder.Truth(said, "attend_to_expansion_tokens") ?? defaults.AttendToExpansion,
            Skip = said is { } table && table.TryGetProperty("skiplist_words", out var words) && words.ValueKind is JsonValueKind.Array
                ? [.. words.EnumerateArray().Select(static w => w.GetString() ?? "")]
                : defaults.Skip,
        };
    }
}
