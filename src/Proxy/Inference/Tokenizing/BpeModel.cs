namespace Proxy.Inference.Tokenizing;

/// <summary>The settings of a BPE model besides its vocabulary and merges.</summary>
/// <param name="Unknown">The id for a char that the vocabulary lacks; -1 if such a char is dropped.</param>
/// <param name="Bytes">Tokens for the bytes of such a char, if the model has them; otherwise <paramref name="Unknown"/> is used.</param>
/// <param name="WholeFirst">Whether a piece that is itself a token is used as it is, without merging.</param>
internal sealed record BpeRules(int Unknown, bool FuseUnknown, ByteTokens? Bytes, bool WholeFirst, string Prefix, string Suffix);

/// <summary>Byte pair encoding: starts with single chars and merges neighbours, always the pair that was learnt first.</summary>
internal sealed class BpeModel(PieceTrie trie, MergeTable merges, BpeRules rules) : PieceModel
{
    /// <summary>Up to this number the best pair is found by a linear search, which is faster than a queue: most pieces have 3 to 8 symbols.</summary>
    private const int FewSymbols = 48;

    private readonly PieceCache cache = new();

    public override int UnknownId => rules.Unknown;

    public override int IdOf(ReadOnlySpan<char> piece) => trie.TokenOf(piece);

    public override void Encode(TextScratch scratch, int start, int end, TokenRun output)
    {
        var text = scratch.Text;
        var piece = text.Chars[start..end];
        if (rules.WholeFirst && trie.TokenOf(piece) is var whole and >= 0)
        {
            output.Add(whole, text, start, end);
            return;
        }

        if (cache.Find(piece) is { } known)
        {
            foreach (var symbol in known.Symbols) output.Add(symbol.Id, text, start + symbol.Start, start + symbol.End);
            return;
        }

        // Byte fallback makes up to three symbols from one UTF-16 unit.
        var symbols = scratch.SymbolsOf(piece.Length * 3 + 1);
        var count = Begin(piece, symbols);
        count = count <= FewSymbols ? MergeFew(symbols, count) : MergeMany(symbols, count);
        foreach (var symbol in symbols.AsSpan(0, count)) output.Add(symbol.Id, text, start + symbol.Start, start + symbol.End);
        cache.Keep(piece, symbols.AsSpan(0, count));
    }

    private int Begin(ReadOnlySpan<char> piece, Symbol[] symbols)
    {
        var count = 0;
        Symbol? unknown = null;
        Span<int> tokens = stackalloc int[4];
        for (var at = 0; at < piece.Length;)
        {
            var length = char.IsHighSurrogate(piece[at]) && at + 1 < piece.Length ? 2 : 1;
            var node = trie.Walk(at > 0 && rules.Prefix.Length > 0 ? trie.Walk(PieceTrie.Root, rules.Prefix) : PieceTrie.Root, piece.Slice(at, length));
            if (at + length == piece.Length) node = trie.Walk(node, rules.Suffix);
            var id = trie.TokenAt(node);
            if (id >= 0)
            {
                if (unknown is { } pending) symbols[count++] = pending;
                unknown = null;
                symbols[count++] = new(id, at, at + length);
            }
            else if (rules.Bytes?.Of(piece.Slice(at, length), tokens) is { } fallback and > 0)
            {
                foreach (var value in tokens[..fallback]) symbols[count++] = new(value, at, at + length);
            }
            else if (rules.Unknown >= 0)
            {
                if (unknown is { } pending && !rules.FuseUnknown) symbols[count++] = pending;
                unknown = unknown is { } longer && rules.FuseUnknown ? longer with { End = at + length } : new(rules.Unknown, at, at + length);
            }

            at += length;
        }

        if (unknown is { } last) symbols[count++] = last;
        return count;
    }

    private int MergeFew(Symbol[] symbols, int count)
    {
        Span<int> ranks = stackalloc int[FewSymbols];
        Span<int> joined = stackalloc int[FewSymbols];
        for (var i = 0; i + 1 < count; i++) ranks[i] = merges.Rank(symbols[i].Id, symbols[i + 1].Id, out joined[i]);
        while (count > 1)
        {
            var best = 0;
            for (var i = 1; i + 1 < count; i++)
            {
                if (ranks[i] < ranks[best]) best = i;
            }

            if (ranks[best] == MergeTable.Never) break;
            symbols[best] = new(joined[best], symbols[best].Start, symbols[best + 1].End);
            count--;
            for (var i = best + 1; i < count; i++) (symbols[i], ranks[i], joined[i]) = (symbols[i + 1], ranks[i + 1], joined[i + 1]);
            if (best + 1 < count) ranks[best] = merges.Rank(symbols[best].Id, symbols[best + 1].Id, out joined[best]);
            if (best > 0) ranks[best - 1] = merges.Rank(symbols[best - 1].Id, symbols[best].Id, out joined[best - 1]);
        }

        return count;
    }

    /// <summary>The same with a queue and linked symbols: a piece of n symbols costs n log n.</summary>
    private int MergeMany(Symbol[] symbols, int count)
    {
        var (before, after) = (new int[count], new int[count]);
        var queue = new PriorityQueue<int, (int Rank, int Place)>(count);
        for (var i = 0; i < count; i++) (before[i], after[i]) = (i - 1, i + 1 < count ? i + 1 : -1);
        for (var i = 0; i < count; i++) Offer(i);

        while (queue.TryDequeue(out var id, out var top))
        {
            var place = top.Place;
            if (symbols[place].Id < 0 || after[place] < 0) continue;
            var next = after[place];
            // An earlier merge may have consumed the queued pair.
            if (merges.Rank(symbols[place].Id, symbols[next].Id, out var joined) == MergeTable.Never || joined != id) continue;
            symbols[place] = new(joined, symbols[place].Start, symbols[next].End);
            symbols[next] = symbols[next] with { Id = -1 };
            after[place] = after[next];
            if (after[place] >= 0) before[after[place]] = place;
            if (before[place] >= 0) Offer(before[place]);
            Offer(place);
        }

        var kept = 0;
        for (var i = 0; i < count; i++)
        {
            if (symbols[i].Id >= 0) symbols[kept++] = symbols[i];
        }

        return kept;

        void Offer(int place)
        {
            if (after[place] < 0) return;
            var rank = merges.Rank(symbols[place].Id, symbols[after[place]].Id, out var joined);
            if (rank != MergeTable.Never) queue.Enqueue(joined, (rank, place));
        }
    }

    /// <summary>A token of a piece, and the range of chars that it covers.</summary>
    internal readonly record struct Symbol(int Id, int Start, int End);
}
