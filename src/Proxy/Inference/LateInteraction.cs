using System.Text.Json;

namespace Proxy.Inference;

/// <summary>How a ColBERT model wants its texts: a marker behind the first token, queries filled up with [MASK], punctuation of documents left out.</summary>
internal sealed record LateInteraction
{
    public string QueryPrefix { get; init; } = "[Q] ";
    public string DocumentPrefix { get; init; } = "[D] ";

    /// <summary>Tokens that a query is cut or filled up to.</summary>
    public int QueryLength { get; init; } = 32;

    /// <summary>Tokens that a document is cut to.</summary>
    public int DocumentLength { get; init; } = 300;

    /// <summary>Queries are filled up with [MASK].</summary>
    public bool Expand { get; init; } = true;

    /// <summary>The filling takes part in attention.</summary>
    public bool AttendToExpansion { get; init; }

    /// <summary>Words whose tokens in a document count for nothing.</summary>
    public IReadOnlyList<string> Skip { get; init; } = [.. "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~".Select(static c => c.ToString())];

    public static LateInteraction Read(JsonElement? said)
    {
        var defaults = new LateInteraction();
        return new()
        {
            QueryPrefix = ModelFolder.Text(said, "query_prefix") ?? defaults.QueryPrefix,
            DocumentPrefix = ModelFolder.Text(said, "document_prefix") ?? defaults.DocumentPrefix,
            QueryLength = ModelFolder.Whole(said, "query_length") ?? defaults.QueryLength,
            DocumentLength = ModelFolder.Whole(said, "document_length") ?? defaults.DocumentLength,
            Expand = ModelFolder.Truth(said, "do_query_expansion") ?? defaults.Expand,
            AttendToExpansion = ModelFolder.Truth(said, "attend_to_expansion_tokens") ?? defaults.AttendToExpansion,
            Skip = said is { } table && table.TryGetProperty("skiplist_words", out var words) && words.ValueKind is JsonValueKind.Array ? [.. words.EnumerateArray().Select(static w => w.GetString() ?? "")] : defaults.Skip,
        };
    }
}
