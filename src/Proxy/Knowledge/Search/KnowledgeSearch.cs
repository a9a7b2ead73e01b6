using Proxy.Chat;
using Proxy.Knowledge.Analysis;
using Proxy.Knowledge.Index;
using Proxy.Knowledge.Ranking;

namespace Proxy.Knowledge.Search;

/// <summary>Finds the passages of workspaces that answer a query.</summary>
internal interface IKnowledgeSearch
{
    /// <summary>Told how long the stages of each search took, also of one that failed.</summary>
    event Action<IReadOnlyList<StageTime>>? Timed;

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
    private readonly FilterMasks masks = new(store);

    /// <inheritdoc/>
    public event Action<IReadOnlyList<StageTime>>? Timed;

    /// <summary>Searches workspaces as one collection. An error is for the client: an empty query, a busy model.</summary>
    public async ValueTask<(SearchOutcome? Outcome, ProxyError? Error)> SearchAsync(
        IReadOnlyList<Workspace> workspaces, SearchRequest request, CancellationToken cancellation)
    {
        if (request.Queries.Count == 0 || request.Queries.Any(string.IsNullOrWhiteSpace))
            return (null, new(ProxyErrorKind.InvalidRequest, "the query is empty") { Param = "query" });

        var clock = new StageClock(time);
        var opened = new List<IWorkspaceIndex>();
        try
        {
            foreach (var workspace in workspaces)
            {
                if (await store.OpenAsync(workspace.Id, cancellation).ConfigureAwait(false) is not { } index) continue;
                if (index.Slots.Count > 0) opened.Add(index);
                else index.Dispose();
            }

            var filters = new SlotMask?[opened.Count];
            for (var i = 0; request.Filter is { } filter && i < opened.Count; i++)
                filters[i] = await masks.MaskAsync(opened[i], filter, cancellation).ConfigureAwait(false);
            clock.End("open");

            var slots = new SearchedSlots(opened, filters);
            if (slots.Candidates == 0 || request.Most < 1) return (new([], request.Trace ? new(clock.Stages, []) : null), null);
            return await new SearchRun(slots, request, store, models, analyzer, clock).RunAsync(cancellation).ConfigureAwait(false);
        }
        finally
        {
            foreach (var index in opened) index.Dispose();
            Timed?.Invoke(clock.Stages);
        }
    }
}
