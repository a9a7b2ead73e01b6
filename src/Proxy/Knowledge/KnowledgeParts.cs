using Microsoft.Extensions.Logging;
using Proxy.Config;
using Proxy.Knowledge.Analysis;
using Proxy.Knowledge.Ingest;
using Proxy.Knowledge.Search;
using Proxy.Vectors;

namespace Proxy.Knowledge;

/// <summary>The objects of knowledge, made once a process: the proxy's, or a command's that works without a running proxy.</summary>
internal sealed class KnowledgeParts(
    IKnowledgeStore store, KnowledgeModels models, WorkspaceAccess knowledge, IngestQueue ingest, Reembedding reembedding) : IDisposable
{
    public IKnowledgeStore Store => store;
    public KnowledgeModels Models => models;
    public WorkspaceAccess Access => knowledge;
    public IngestQueue Ingest => ingest;
    public Reembedding Reembedding => reembedding;

    /// <summary>Why there is no knowledge, and what to do.</summary>
    public static string Absent(KnowledgeConfig config) => config.Enabled
        ? "there is no folder for documents: set STATE_DIRECTORY, XDG_DATA_HOME or HOME to an absolute path, or use [store] kind = \"postgres\""
        : "knowledge is off: [knowledge] has enabled = false";

    /// <param name="store">Where documents are kept.</param>
    /// <param name="models">Finds models by name.</param>
    /// <param name="config">Names the models.</param>
    /// <param name="here">The models of this process, of which the first are used if none is named.</param>
    /// <param name="analyzer">The analyser of texts and queries.</param>
    /// <param name="log">The log.</param>
    /// <param name="time">The clock.</param>
    public static KnowledgeParts Make(
        IKnowledgeStore store, IVectorModels models, KnowledgeConfig config, EmbedderTable here, ITextAnalyzer analyzer, ILogger log, TimeProvider time)
    {
        IReadOnlyList<string> embedders = config.Embedders.Count > 0 ? config.Embedders : here.FirstEmbedder is { } first ? [first.Info.Name] : [];
        var used = new KnowledgeModels(models, embedders, config.Reranker ?? here.FirstReranker?.Info.Name);
        var reembedding = new Reembedding(store, used);
        var ingest = new IngestQueue(store, used, reembedding, analyzer, log, time);
        var knowledge = new WorkspaceAccess(store, new KnowledgeSearch(store, used, analyzer, time), ingest, time);
        return new(store, used, knowledge, ingest, reembedding);
    }

    public void Dispose()
    {
        store.DisposeAsync().AsTask().GetAwaiter().GetResult();
        ingest.Dispose();
    }
}
