using System.Text;

namespace Proxy.Documents.Chunking;

/// <summary>Writes the text of chunks and counts it. A chunk that is longer than the sum of its pieces promised is divided.</summary>
internal sealed class ChunkWriter(DocumentText document, ChunkLimits limits, TokenCounter count)
{
    private const string BlockJoint = "\n\n";
    private const string HeadingJoint = " › ";

    private readonly int[] starts = Starts(document.Blocks);

    public async ValueTask<List<Chunk>> WriteAsync(List<ChunkPacker.Draft> drafts, CancellationToken cancellation)
    {
        var open = drafts;
        var chunks = new List<(Chunk? Chunk, ChunkPacker.Draft Draft)>();
        chunks.AddRange(drafts.Select(static draft => ((Chunk?)null, draft)));
        while (open.Count > 0)
        {
            var texts = open.ConvertAll(Text);
            var counts = await count(texts, cancellation).ConfigureAwait(false);
            var next = new List<(Chunk?, ChunkPacker.Draft)>(chunks.Count);
            var at = 0;
            foreach (var (chunk, draft) in chunks)
            {
                if (chunk is not null)
                {
                    next.Add((chunk, draft));
                    continue;
                }

                var (text, tokens) = (texts[at], counts[at]);
                at++;
                if (tokens <= limits.MaxTokens || (draft.Pieces.Length == 1 && !draft.WithHead)) next.Add((Make(draft, text, tokens), draft));
                else next.AddRange(Divide(draft).Select(static part => ((Chunk?)null, part)));
            }

            chunks = next;
            open = [.. chunks.Where(static c => c.Chunk is null).Select(static c => c.Draft)];
        }

        return chunks.ConvertAll(static c => c.Chunk!);
    }

    /// <summary>Without the table's head, or without what it repeats, or else in two halves.</summary>
    private static IEnumerable<ChunkPacker.Draft> Divide(ChunkPacker.Draft draft)
    {
        if (draft.WithHead) return [draft with { WithHead = false }];
        if (draft.Repeated > 0) return [draft with { Pieces = draft.Pieces[draft.Repeated..], Repeated = 0 }];
        var half = draft.Pieces.Length / 2;
        return [new(draft.Pieces[..half], false, 0), new(draft.Pieces[half..], false, 0)];
    }

    /// <summary>Where each block begins in the document's text.</summary>
    private static int[] Starts(IReadOnlyList<TextBlock> blocks)
    {
        var starts = new int[blocks.Count];
        for (var i = 1; i < starts.Length; i++) starts[i] = starts[i - 1] + blocks[i - 1].Text.Length + BlockJoint.Length;
        return starts;
    }

    private Chunk Make(ChunkPacker.Draft draft, string text, int tokens)
    {
        var (first, last) = (draft.Pieces[0], draft.Pieces[^1]);
        var block = document.Blocks[first.Block];
        return new(text, tokens)
        {
            Heading = string.Join(HeadingJoint, HoldsSeveralSections(draft) ? block.Headings.SkipLast(1) : block.Headings),
            Page = block.Page,
            Start = starts[first.Block] + first.From,
            End = starts[last.Block] + last.To,
        };
    }

    private bool HoldsSeveralSections(ChunkPacker.Draft draft) =>
        !ReferenceEquals(document.Blocks[draft.Pieces[0].Block].Headings, document.Blocks[draft.Pieces[^1].Block].Headings)
        && !document.Blocks[draft.Pieces[0].Block].Headings.SequenceEqual(document.Blocks[draft.Pieces[^1].Block].Headings, StringComparer.Ordinal);

    private string Text(ChunkPacker.Draft draft)
    {
        var text = new StringBuilder();
        var several = HoldsSeveralSections(draft);
        if (draft.WithHead) text.Append(document.Blocks[draft.Pieces[0].Block].TableHead).Append(BlockJoint);
        IReadOnlyList<string>? section = null;
        for (var i = 0; i < draft.Pieces.Length;)
        {
            var first = draft.Pieces[i];
            var last = first;
            while (++i < draft.Pieces.Length && draft.Pieces[i].Block == first.Block) last = draft.Pieces[i];
            var block = document.Blocks[first.Block];
            if (section is not null) text.Append(BlockJoint);
            if (several && (section is null || !section.SequenceEqual(block.Headings, StringComparer.Ordinal))) text.Append(block.Headings[^1]).Append('\n');
            section = block.Headings;
            text.Append(block.Text, first.From, last.To - first.From);
        }

        return text.ToString();
    }
}
