using System.Runtime.CompilerServices;
using Proxy.Documents.Chunking;

namespace Proxy.Documents;

/// <summary>Counts the tokens of texts, in their order.</summary>
internal delegate ValueTask<IReadOnlyList<int>> TokenCounter(IReadOnlyList<string> texts, CancellationToken cancellation);

/// <summary>Cuts documents into chunks that follow headings, blocks and sentences.</summary>
internal static class Chunker
{
    /// <summary>Chunks that are counted in one call.</summary>
    private const int Batch = 64;

    /// <summary>
    /// The chunks of a document, in its order. The same document with the same limits and counter gives the same chunks. No chunk has more than
    /// <see cref="ChunkLimits.MaxTokens"/>, unless a single character has. A chunk's text is the document's text from <see cref="Chunk.Start"/> to
    /// <see cref="Chunk.End"/>, with two exceptions: one that begins with a table's row has the names of the columns in front, and one that joins very short
    /// sections has their headings between them.
    /// </summary>
    public static async IAsyncEnumerable<Chunk> CutAsync(
        DocumentText document, ChunkLimits limits, TokenCounter count, [EnumeratorCancellation] CancellationToken cancellation)
    {
        var max = Math.Max(1, limits.MaxTokens);
        limits = new(max, Math.Clamp(limits.OverlapTokens, 0, max / 2));
        var joints = await JointsAsync(count, cancellation).ConfigureAwait(false);
        var cutter = new PieceCutter(document, max, count);
        var packer = new ChunkPacker(document, limits, joints, cutter.HeadTokens);
        var writer = new ChunkWriter(document, limits, count);
        var drafts = new List<ChunkPacker.Draft>();
        await foreach (var pieces in cutter.CutAsync(cancellation).ConfigureAwait(false))
        {
            foreach (var piece in pieces) packer.Add(piece);
            Take();
            if (drafts.Count < Batch) continue;
            foreach (var chunk in await WriteAsync().ConfigureAwait(false)) yield return chunk;
        }

        packer.End();
        Take();
        foreach (var chunk in await WriteAsync().ConfigureAwait(false)) yield return chunk;

        void Take()
        {
            while (packer.TryTake(out var draft)) drafts.Add(draft);
        }

        async ValueTask<List<Chunk>> WriteAsync()
        {
            var chunks = new List<Chunk>(drafts.Count);
            foreach (var batch in drafts.Chunk(Batch)) chunks.AddRange(await writer.WriteAsync([.. batch], cancellation).ConfigureAwait(false));
            drafts.Clear();
            return chunks;
        }
    }

    /// <summary>Measures what a space and an empty line cost: nothing in a model of word pieces, a token in many others.</summary>
    private static async ValueTask<JointTokens> JointsAsync(TokenCounter count, CancellationToken cancellation)
    {
        var counts = await count(["one.", "Two", "one. Two", "one.\n\nTwo"], cancellation).ConfigureAwait(false);
        return new(Math.Max(0, counts[2] - counts[0] - counts[1]), Math.Max(0, counts[3] - counts[0] - counts[1]));
    }
}
