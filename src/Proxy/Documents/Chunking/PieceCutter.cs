using System.Buffers;
using System.Runtime.CompilerServices;

namespace Proxy.Documents.Chunking;

/// <summary>
/// Cuts blocks into pieces that fit into a chunk: text into sentences, code and rows only if they do not fit as a whole: into lines. What is still too long is
/// cut at white space. Many pieces are counted in one call.
/// </summary>
internal sealed class PieceCutter(DocumentText document, int maxTokens, TokenCounter count)
{
    /// <summary>Blocks, and characters of them, that are cut together.</summary>
    private const int WindowBlocks = 512, WindowLength = 128 << 10;

    /// <summary>The texts of one call of the counter.</summary>
    private const int BatchTexts = 256;

    /// <summary>Tokens of the parts of a sentence that is too long, as a share of a chunk, so that parts fill chunks well.</summary>
    private const double PartShare = .4;

    /// <summary>Characters after which a sentence that is too long is cut.</summary>
    private static readonly SearchValues<char> Gaps = SearchValues.Create(" \n\t\u3000，、,;");

    private readonly Dictionary<string, int> heads = new(StringComparer.Ordinal);

    private enum Grain
    {
        Block,
        Sentence,
        Line,
        Part,
    }

    /// <summary>The tokens of a table's head that was met so far.</summary>
    public int HeadTokens(string head) => heads[head];

    /// <summary>The pieces of the document in their order, those of many blocks at a time.</summary>
    public async IAsyncEnumerable<List<Piece>> CutAsync([EnumeratorCancellation] CancellationToken cancellation)
    {
        for (var block = 0; block < document.Blocks.Count;)
        {
            var window = new List<Candidate>();
            var newHeads = new List<string>();
            var first = block;
            for (var length = 0; block < document.Blocks.Count && block - first < WindowBlocks && length < WindowLength; block++)
            {
                var text = document.Blocks[block];
                length += text.Text.Length;
                if (text.IsVerbatim) window.Add(new(block, 0, text.Text.Length, Grain.Block));
                else window.AddRange(Sentences.Of(text.Text).Select(range => new Candidate(block, range.From, range.To, Grain.Sentence)));
                if (text.TableHead is { } head && heads.TryAdd(head, 0)) newHeads.Add(head);
            }

            var counts = await CountAsync(newHeads, cancellation).ConfigureAwait(false);
            for (var i = 0; i < newHeads.Count; i++) heads[newHeads[i]] = counts[i];
            yield return await FitAsync(window, cancellation).ConfigureAwait(false);
        }
    }

    /// <summary>Counts the candidates and cuts those that are too long, until all fit.</summary>
    private async Task<List<Piece>> FitAsync(List<Candidate> candidates, CancellationToken cancellation)
    {
        while (true)
        {
            var open = candidates.FindAll(static c => c.Tokens < 0);
            if (open.Count == 0) break;
            var counts = await CountAsync(open.ConvertAll(Text), cancellation).ConfigureAwait(false);
            var next = new List<Candidate>(candidates.Count);
            var at = 0;
            foreach (var candidate in candidates)
            {
                if (candidate.Tokens >= 0) next.Add(candidate);
                else if (counts[at++] is var tokens && tokens <= maxTokens) next.Add(candidate with { Tokens = tokens });
                else next.AddRange(Cut(candidate, tokens));
            }

            candidates = next;
        }

        return candidates.ConvertAll(static c => new Piece(c.Block, c.From, c.To, c.Tokens, c.EndsSentence));
    }

    private string Text(Candidate candidate) => document.Blocks[candidate.Block].Text[candidate.From..candidate.To];

    private async Task<List<int>> CountAsync(List<string> texts, CancellationToken cancellation)
    {
        var counts = new List<int>(texts.Count);
        foreach (var batch in texts.Chunk(BatchTexts)) counts.AddRange(await count(batch, cancellation).ConfigureAwait(false));
        return counts;
    }

    private List<Candidate> Cut(Candidate whole, int tokens)
    {
        var text = document.Blocks[whole.Block].Text;
        var lines = whole.Grain == Grain.Block ? Lines(whole, text) : [];
        if (lines.Count > 1) return lines;
        var length = whole.To - whole.From;
        // A single character cannot be cut; it stays, whatever it counts.
        if (length <= 1 || (length == 2 && char.IsHighSurrogate(text[whole.From]))) return [whole with { Tokens = tokens }];
        return Parts(whole, text, Math.Clamp((int)Math.Ceiling(tokens / Math.Max(1, maxTokens * PartShare)), 2, length));
    }

    private static List<Candidate> Lines(Candidate whole, string text)
    {
        var lines = new List<Candidate>();
        for (var from = whole.From; from < whole.To;)
        {
            var end = text.IndexOf('\n', from, whole.To - from);
            if (end < 0) end = whole.To;
            var (start, to) = Sentences.Trimmed(text, from, end);
            if (start < to) lines.Add(new(whole.Block, start, to, Grain.Line));
            from = end + 1;
        }

        return lines;
    }

    /// <summary>Parts of about the same length, cut at white space where there is some near.</summary>
    private static List<Candidate> Parts(Candidate whole, string text, int parts)
    {
        var cut = new List<Candidate>(parts);
        var size = Math.Max(1, (whole.To - whole.From) / parts);
        for (var from = whole.From; from < whole.To;)
        {
            var to = Math.Min(whole.To, from + size);
            if (whole.To - to < size / 2) to = whole.To;
            if (to < whole.To)
            {
                var space = text.AsSpan(from, to - from).LastIndexOfAny(Gaps);
                if (space > 0 && space >= (to - from) / 2) to = from + space + 1;
                else if (char.IsHighSurrogate(text[to - 1])) to = to - 1 > from ? to - 1 : to + 1;
            }

            var (start, end) = Sentences.Trimmed(text, from, to);
            if (start < end) cut.Add(new(whole.Block, start, end, Grain.Part) { EndsSentence = to == whole.To });
            from = to;
        }

        return cut;
    }

    /// <summary>A piece that may still be too long; -1 tokens: not counted yet.</summary>
    private sealed record Candidate(int Block, int From, int To, Grain Grain)
    {
        public int Tokens { get; init; } = -1;
        public bool EndsSentence { get; init; } = true;
    }
}
