namespace Proxy.Inference.Tokenizing;

/// <summary>Every piece is a word of the vocabulary, or unknown.</summary>
internal sealed class WordLevelModel(PieceTrie trie, int unknown) : PieceModel
{
    public override int UnknownId => unknown;

    public override int IdOf(ReadOnlySpan<char> piece) => trie.TokenOf(piece);

    public override void Encode(TextScratch scratch, int start, int end, TokenRun output)
    {
        var id = trie.TokenOf(scratch.Text.Chars[start..end]);
        output.Add(id >= 0 ? id : unknown, scratch.Text, start, end);
    }
}
