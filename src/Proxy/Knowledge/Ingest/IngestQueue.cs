using Microsoft.Extensions.Logging;
using Proxy.Knowledge.Analysis;

namespace Proxy.Knowledge.Ingest;

/// <summary>Reads the files that were put into workspaces, one after the other, in the background.</summary>
internal sealed class IngestQueue(IKnowledgeStore store, KnowledgeModels models, ITextAnalyzer analyzer, ILogger log, TimeProvider time)
{
    /// <summary>There may be a file to read.</summary>
    public void Wake()
    {
    }

    /// <summary>Reads files until it is cancelled.</summary>
    public Task RunAsync(CancellationToken cancellation)
    {
        _ = (store, models, analyzer, log, time);
        return Task.Delay(Timeout.InfiniteTimeSpan, time, cancellation);
    }
}
