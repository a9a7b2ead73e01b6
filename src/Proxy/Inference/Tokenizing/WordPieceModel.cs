namespace Proxy.Inference.Tokenizing;

/// <summary>
/// BERT's: repeatedly takes the longest piece of the vocabulary from the left; a word that cannot be split in this way is unknown as a whole.
/// </summary>
internal sealed class WordPieceModel(PieceTrie trie, string continuation, int unknown, int longestWord) : PieceModel
{
    private readonly int continued = trie.Walk(PieceTrie.Root, continuation);

    public override int UnknownId => unknown;

    public override int IdOf(ReadOnlySpan<char> piece) => trie.TokenOf(piece);

    public override void Encode(TextScratch scratch, int start, int end, TokenRun output)
    {
        var text = scratch.Text;
        var word = text.Chars[start..end];
        if (word.Length > longestWord && CodePoints(word) > longestWord)
        {
            output.Add(unknown, text, start, end);
            return;
        }

        var before = output.Count;
        for (var at = 0; at < word.Length;)
        {
            var node = at == 0 ? PieceTrie.Root : continued;
            var (token, tokenEnd) = (-1, at);
            for (var i = at; i < word.Length && node != 0;)
            {
                node = trie.Step(node, word[i++]);
                if (trie.TokenAt(node) is var id and >= 0) (token, tokenEnd) = (id, i);
            }

            if (token < 0)
            {
                output.Truncate(before);
                output.Add(unknown, text, start, end);
                return;
            }

            output.Add(token, text, start + at, start + tokenEnd);
            at = tokenEnd;
        }
    }

    private static int CodePoints(ReadOnlySpan<char> word)
    {
        var count = 0;
        foreach (var c in word)
        {
            if (!char.IsLowSurrogate(c)) count++;
        }

        return count;
    }
}
