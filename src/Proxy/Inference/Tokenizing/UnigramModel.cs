namespace Proxy.Inference.Tokenizing;

/// <summary>
/// SentencePiece's unigram model: of all ways to split a piece, it takes the one with the best sum of scores (Viterbi). Neighbouring unknown chars become one
/// token.
/// </summary>
internal sealed class UnigramModel : PieceModel
{
    /// <summary>The score of an unknown char, below that of the worst piece.</summary>
    private const double UnknownPenalty = 10;

    private readonly PieceTrie trie;
    private readonly double[] scores;
    private readonly int unknown;
    private readonly double unknownScore;
    private readonly ByteTokens? bytes;

    /// <param name="scores">Scores by id.</param>
    /// <param name="unknown">The id for unknown chars; -1 if they are dropped.</param>
    /// <param name="bytes">Tokens for the bytes of unknown chars, if the model has them; otherwise <paramref name="unknown"/> is used.</param>
    public UnigramModel(PieceTrie trie, double[] scores, int unknown, ByteTokens? bytes)
    {
        (this.trie, this.scores, this.unknown, this.bytes) = (trie, scores, unknown, bytes);
        unknownScore = (scores.Length == 0 ? 0 : scores.Min()) - UnknownPenalty;
    }

    public override int UnknownId => unknown;

    public override int IdOf(ReadOnlySpan<char> piece) => trie.TokenOf(piece);

    public override void Encode(TextScratch scratch, int start, int end, TokenRun output)
    {
        var text = scratch.Text;
        var piece = text.Chars[start..end];
        var places = piece.Length + 1;
        var best = scratch.ScoresOf(places).AsSpan(0, places);
        var numbers = scratch.NumbersOf(places * 2);
        var from = numbers.AsSpan(0, places);
        var ids = numbers.AsSpan(places, places);
        from.Fill(-1);
        best[0] = 0;

        for (var at = 0; at < piece.Length;)
        {
            var runeLength = char.IsHighSurrogate(piece[at]) && at + 1 < piece.Length ? 2 : 1;
            var single = false;
            var node = PieceTrie.Root;
            for (var i = at; i < piece.Length;)
            {
                node = trie.Step(node, piece[i++]);
                if (node == 0) break;
                if (trie.TokenAt(node) is not (var id and >= 0)) continue;
                var score = scores[id] + best[at];
                if (from[i] < 0 || score > best[i]) (from[i], best[i], ids[i]) = (at, score, id);
                single |= i - at == runeLength;
            }

            if (!single)
            {
                var (to, score) = (at + runeLength, unknownScore + best[at]);
                if (from[to] < 0 || score > best[to]) (from[to], best[to], ids[to]) = (at, score, unknown);
            }

            at += runeLength;
        }

        // Reverse the links, so that the path can be followed from the start.
        var place = piece.Length;
        var (next, nextId) = (-1, -1);
        while (place >= 0)
        {
            var (before, id) = (from[place], ids[place]);
            (from[place], ids[place]) = (next, nextId);
            (next, nextId) = (place, id);
            place = before;
        }

        for (var at = 0; at < piece.Length;)
        {
            var (id, to) = (ids[at], from[at]);
            if (id == unknown)
            {
                while (to < piece.Length && ids[to] == unknown) to = from[to];
                Unknown(text, start + at, start + to, output);
            }
            else
            {
                output.Add(id, text, start + at, start + to);
            }

            at = to;
        }
    }

    private void Unknown(TextBuffer text, int start, int end, TokenRun output)
    {
        var chars = text.Chars[start..end];
        if (trie.TokenOf(chars) is var known and >= 0)
        {
            output.Add(known, text, start, end);
        }
        else if (bytes is not null && bytes.HasAll(chars))
        {
            Span<int> tokens = stackalloc int[4];
            for (var i = 0; i < chars.Length;)
            {
                var length = char.IsHighSurrogate(chars[i]) && i + 1 < chars.Length ? 2 : 1;
                foreach (var token in tokens[..bytes.Of(chars.Slice(i, length), tokens)]) output.Add(token, text, start, end);
                i += length;
            }
        }
        else if (unknown >= 0)
        {
            output.Add(unknown, text, start, end);
        }
    }
}
