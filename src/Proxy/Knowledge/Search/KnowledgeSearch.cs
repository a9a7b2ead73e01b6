using Proxy.Chat;
using Proxy.Knowledge.Analysis;

namespace Proxy.Knowledge.Search;

/// <summary>Finds the passages of workspaces that answer a query.</summary>
internal interface IKnowledgeSearch
{
    /// <summary>Searches all workspaces as one. Returns why it cannot be done.</summary>
    ValueTask<(SearchOutcome? Outcome, ProxyError? Error)> SearchAsync(
        IReadOnlyList<Workspace> workspaces, SearchRequest request, CancellationToken cancellation);
}

/// <inheritdoc/>
/// <param name="store">Where they are.</param>
/// <param name="models">The models that embed and rerank.</param>
/// <param name="analyzer">Makes terms of queries, as it did of the documents.</param>
/// <param name="time">Times the stages.</param>
internal sealed class KnowledgeSearch(IKnowledgeStore store, KnowledgeModels models, ITextAnalyzer analyzer, TimeProvider time) : IKnowledgeSearch
{
    public ValueTask<(SearchOutcome? Outcome, ProxyError? Error)> SearchAsync(
        IReadOnlyList<Workspace> workspaces, SearchRequest request, CancellationToken cancellation)
    {
        _ = (store, models, analyzer, time, workspaces, request, cancellation);
        throw new NotImplementedException();
    }
}
