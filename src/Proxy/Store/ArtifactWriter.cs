using Proxy.Streams;
using Proxy.Workflows;

namespace Proxy.Store;

/// <summary>Keeps what jobs produce beside the records of calls, in the same transactions and the same order.</summary>
internal sealed class ArtifactWriter(IRecordWriter writer, TimeProvider time) : IArtifactStore
{
    public async ValueTask PutAsync(Artifact artifact, CancellationToken cancellation)
    {
        var row = new ArtifactRow
        {
            TraceId = artifact.TraceId, Key = artifact.Key, Owner = artifact.Owner, MediaType = artifact.MediaType, Uri = artifact.Uri, Value = artifact.Value,
            CreatedAt = time.GetUtcNow(),
        };
        try
        {
            await writer.WriteAsync([row], cancellation).ConfigureAwait(false);
        }
        catch (StoreException failure)
        {
            throw new IOException(failure.Message, failure);
        }
    }
}
