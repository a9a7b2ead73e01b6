namespace Proxy.Documents.Chunking;

/// <summary>What the joints between pieces cost in tokens, which differs between tokenizers.</summary>
internal readonly record struct JointTokens(int InBlock, int BetweenBlocks);

/// <summary>
/// Makes chunks of pieces. A section (the blocks below the same headings) is not mixed with others, except that neighbouring sections with one parent that are
/// all very short share a chunk. A section that is too long is cut where a block ends, else where a sentence ends; its last two chunks share what is left
/// evenly. The next chunk repeats the last whole sentences of text, not of code or tables.
/// </summary>
internal sealed class ChunkPacker(DocumentText document, ChunkLimits limits, JointTokens joints, Func<string, int> headTokens)
{
    /// <summary>Sections up to this share of a chunk are joined with their neighbours, up to that share of a chunk.</summary>
    private const double TinyShare = .125, GroupShare = .5;

    /// <summary>
    /// How much shorter a chunk may become, as a share of its aim, to end with a block instead of a sentence, or with a sentence instead of inside one.
    /// </summary>
    private const double BlockWorth = .35, SentenceWorth = .25;

    private readonly List<Piece> section = [];
    private readonly List<Piece> group = [];
    private readonly Queue<Draft> ready = new();
    private int repeated, groupTokens, groupSections;
    private bool hasEmitted;

    /// <summary>A chunk that is not written yet.</summary>
    /// <param name="Pieces">In the document's order, without gaps.</param>
    /// <param name="WithHead">Whether the head of the table is repeated in front.</param>
    /// <param name="Repeated">How many of its first pieces the chunk before it has too.</param>
    internal sealed record Draft(Piece[] Pieces, bool WithHead, int Repeated);

    public void Add(Piece piece)
    {
        if (section.Count > 0 && !SameSection(section[^1].Block, piece.Block)) EndSection();
        section.Add(piece);
        // Enough for this chunk, and to know that the two after it will be full.
        if (section.Count % 64 == 0 && Sum(section, 0, section.Count) > 4 * limits.MaxTokens) Pack(isEnd: false);
    }

    public void End()
    {
        EndSection();
        EndGroup();
    }

    public bool TryTake(out Draft draft) => ready.TryDequeue(out draft!);

    private bool SameSection(int one, int other)
    {
        var (a, b) = (document.Blocks[one].Headings, document.Blocks[other].Headings);
        return ReferenceEquals(a, b) || a.SequenceEqual(b, StringComparer.Ordinal);
    }

    private void EndSection()
    {
        if (section.Count == 0) return;
        var headings = document.Blocks[section[0].Block].Headings;
        var tokens = hasEmitted || headings.Count < 2 ? int.MaxValue : Sum(section, 0, section.Count);
        if (tokens <= limits.MaxTokens * TinyShare) Join(tokens + Math.Max(1, headings[^1].Length / 3));
        else
        {
            EndGroup();
            Pack(isEnd: true);
        }

        section.Clear();
        repeated = 0;
        hasEmitted = false;
    }

    /// <summary>Puts the section into the group of short ones.</summary>
    private void Join(int tokens)
    {
        if (groupSections > 0 && (groupTokens + tokens > limits.MaxTokens * GroupShare || !SameParent(group[^1].Block, section[0].Block))) EndGroup();
        group.AddRange(section);
        groupTokens += tokens;
        groupSections++;
    }

    private bool SameParent(int one, int other)
    {
        var (a, b) = (document.Blocks[one].Headings, document.Blocks[other].Headings);
        return a.Count == b.Count && a.SkipLast(1).SequenceEqual(b.SkipLast(1), StringComparer.Ordinal);
    }

    private void EndGroup()
    {
        if (group.Count > 0) ready.Enqueue(new([.. group], HeadOf(group[0]) > 0, Repeated: 0));
        group.Clear();
        (groupTokens, groupSections) = (0, 0);
    }

    private void Pack(bool isEnd)
    {
        if (!isEnd && !hasEmitted) EndGroup();
        var from = 0;
        while (from < section.Count)
        {
            var left = Sum(section, from, section.Count) + HeadOf(section[from]);
            if (!isEnd && left < 3 * limits.MaxTokens) break;
            if (left <= limits.MaxTokens)
            {
                // A rest that only repeats what the last chunk has is dropped.
                if (section.Count - from > repeated) Emit(from, section.Count);
                from = section.Count;
                break;
            }

            var end = Cut(from, left);
            Emit(from, end);
            repeated = end < section.Count ? Overlap(from, end) : 0;
            from = end - repeated;
        }

        section.RemoveRange(0, from);
    }

    private void Emit(int from, int end)
    {
        ready.Enqueue(new([.. section[from..end]], HeadOf(section[from]) > 0, repeated));
        hasEmitted = true;
    }

    /// <summary>
    /// The tokens of a table's head in front of a chunk that begins with one of its rows; 0 if none is repeated, for example because it is long.
    /// </summary>
    private int HeadOf(Piece first)
    {
        if (document.Blocks[first.Block].TableHead is not { } head) return 0;
        var tokens = headTokens(head) + joints.BetweenBlocks;
        return tokens <= limits.MaxTokens / 3 ? tokens : 0;
    }

    /// <summary>Where the chunk that begins at <paramref name="from"/> ends, exclusive.</summary>
    private int Cut(int from, int left)
    {
        var most = limits.MaxTokens;
        var aim = left < 2 * most - limits.OverlapTokens ? Math.Min(most, (left + limits.OverlapTokens + 1) / 2) : most;
        var tokens = HeadOf(section[from]);
        var best = from + Math.Max(1, repeated + 1);
        var worth = double.NegativeInfinity;
        for (var end = from + 1; end <= section.Count; end++)
        {
            tokens += section[end - 1].Tokens + (end - 1 > from ? Joint(section[end - 2], section[end - 1]) : 0);
            if (tokens > most) break;
            if (end - from <= repeated || end == section.Count) continue;
            var here = Worth(end) * aim - Math.Abs(aim - tokens);
            if (here < worth) continue;
            (best, worth) = (end, here);
        }

        return Math.Min(best, section.Count);
    }

    private double Worth(int end)
    {
        var (last, next) = (section[end - 1], section[end]);
        if (last.Block == next.Block) return last.EndsSentence ? SentenceWorth : 0;
        // The row with the names of a table's columns stays with the first row.
        var (before, after) = (document.Blocks[last.Block], document.Blocks[next.Block]);
        var isHead = after.TableHead is { } head && before.TableHead is null && before.Text == head;
        return isHead ? 0 : SentenceWorth + BlockWorth;
    }

    /// <summary>The pieces before <paramref name="end"/> that the next chunk repeats. They and the piece after them fit into a chunk.</summary>
    private int Overlap(int from, int end)
    {
        var room = Math.Min(limits.OverlapTokens, limits.MaxTokens - section[end].Tokens - joints.BetweenBlocks);
        var tokens = 0;
        var pieces = 0;
        if (document.Blocks[section[end].Block].IsVerbatim) return 0;
        for (var at = end - 1; at > from; at--)
        {
            tokens += section[at].Tokens + Joint(section[at], section[at + 1]);
            if (tokens > room || document.Blocks[section[at].Block].IsVerbatim) break;
            pieces++;
        }

        return pieces;
    }

    private int Sum(List<Piece> pieces, int from, int end)
    {
        var tokens = 0;
        for (var i = from; i < end; i++) tokens += pieces[i].Tokens + (i > from ? Joint(pieces[i - 1], pieces[i]) : 0);
        return tokens;
    }

    private int Joint(Piece one, Piece next) => one.Block == next.Block ? joints.InBlock : joints.BetweenBlocks;
}
