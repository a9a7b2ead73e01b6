using System.Text.Json;
using Proxy.Chat;
using Proxy.Dialects;
using Proxy.Knowledge.Chat;
using Proxy.Knowledge.Filters;
using Proxy.Knowledge.Search;

namespace Proxy.Http.Knowledge;

/// <summary>The search of one vector store.</summary>
internal static class SearchEndpoint
{
    // Embedding a query of 64 KB takes seconds, and no model reads more than its beginning.
    private const int UsualResults = 10, MostResults = 50, MostQueries = 16, LongestQuery = 4096, LongestWord = 64;

    public static IReadOnlyList<KnowledgeRow> Rows => [new("POST", "/v1/vector_stores/{vector_store_id}/search", SearchAsync)];

    private static async ValueTask<ProxyError?> SearchAsync(KnowledgeCall call)
    {
        if (call.Scope.Enter() is { } limited) return limited;
        var (workspace, problem) = await call.WorkspaceAsync();
        if (workspace is null) return problem;
        using var span = call.Scope.Info.Span.Begin("retrieve");
        var request = Read(call.Form) with { Trace = call.Scope.Info.Wishes?.Rag?.Trace is "1", Span = span };
        if (call.Form.Problem is { } wrong) return wrong;
        var (outcome, refused) = await call.Access.SearchAsync([workspace], request, call.Cancellation);
        if (outcome is null) return refused;
        span.Set("proxy.passages", outcome.Hits.Count);
        if (outcome.Trace is { } trace)
            call.Scope.Context.Response.Headers["x-rag-trace"] = RagTrace.Of(request.Queries[0], trace, outcome.LexicalOnly);
        return await call.AnswerAsync(json => Write(json, request, outcome));
    }

    private static SearchRequest Read(JsonForm form)
    {
        var request = new SearchRequest(Queries(form)) { Most = form.Whole("max_num_results", 1, MostResults) ?? UsualResults };
        _ = form.Truth("rewrite_query"); // accepted; the search itself widens the query by its feedback
        if (form.Any("filters") is { } written)
        {
            if (AttributeFilter.Read(written, out var filter) is { } wrong) form.Refuse("filters", $"cannot be read: {wrong}");
            request = request with { Filter = filter };
        }

        if (form.Object("ranking_options") is not { } ranking) return request;
        var threshold = ranking.Number("score_threshold", 0, 1);
        var ranker = ranking.Text("ranker", LongestWord);
        if (ranker is not (null or "auto" or "none") && !ranker.StartsWith("default", StringComparison.Ordinal))
            ranking.Refuse("ranker", $"is '{ranker}'; it can be auto, none or default-2024-11-15");
        request = request with { Threshold = threshold > 0 ? threshold : null, Rerank = ranker is "none" ? false : null };
        if (ranking.Object("hybrid_search") is not { } weights) return request;
        var dense = weights.Number("embedding_weight", 0, 1e6) ?? 0;
        var lexical = weights.Number("text_weight", 0, 1e6) ?? 0;
        if (dense + lexical > 0) return request with { DenseWeight = dense / (dense + lexical), LexicalWeight = lexical / (dense + lexical) };
        weights.Refuse("embedding_weight", "and text_weight cannot both be 0");
        return request;
    }

    /// <summary><c>query</c> is a text or a list of texts.</summary>
    private static IReadOnlyList<string> Queries(JsonForm form)
    {
        var queries = form.Any("query") is { ValueKind: JsonValueKind.Array }
            ? form.Texts("query", MostQueries, LongestQuery)
            : form.Text("query", LongestQuery) is { } one ? [one] : [];
        if (queries is null) return [];
        if (queries.Count == 0 || queries.Any(string.IsNullOrWhiteSpace)) form.Refuse("query", "is missing or empty");
        return queries;
    }

    private static void Write(Utf8JsonWriter json, SearchRequest request, SearchOutcome outcome)
    {
        json.WriteStartObject();
        json.WriteString("object"u8, "vector_store.search_results.page"u8);
        json.WriteList("search_query"u8, request.Queries);
        json.WriteStartArray("data"u8);
        foreach (var hit in outcome.Hits)
        {
            json.WriteStartObject();
            json.WriteString("file_id"u8, hit.File.FileId);
            json.WriteString("filename"u8, hit.File.Name);
            json.WriteNumber("score"u8, Math.Clamp(Math.Round(hit.Score, 6), 0, 1));
            KnowledgeJson.WriteMap(json, "attributes"u8, hit.File.Attributes);
            json.WriteStartArray("content"u8);
            WorkspaceFileEndpoints.WriteText(json, hit.Text);
            json.WriteEndArray();
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteBoolean("has_more"u8, false);
        json.WriteNull("next_page"u8);
        json.WriteEndObject();
    }
}
