namespace Proxy.Inference.Tokenizing;

internal static partial class TokenizerFile
{
    private static (PieceModel Model, List<(string Piece, int Id)> Pieces) ReadModel(JsonPlace model) => ModelType(model) switch
    {
        "WordPiece" => ReadWordPiece(model),
        var type => throw model.Unknown(type),
    };

    /// <summary>Old files leave the type out; then it is told by what else is there.</summary>
    private static string ModelType(JsonPlace model) => model.TextOrNull("type") ?? (
        !model.Optional("merges").IsNull ? "BPE"
        : !model.Optional("unk_id").IsNull ? "Unigram"
        : !model.Optional("continuing_subword_prefix").IsNull ? "WordPiece"
        : "WordLevel");

    private static (PieceModel, List<(string, int)>) ReadWordPiece(JsonPlace model)
    {
        var pieces = ReadVocabulary(model["vocab"]);
        var trie = PieceTrie.Read(pieces);
        var longest = model.Optional("max_input_chars_per_word") is { IsNull: false } limit ? limit.Number : 100;
        return (new WordPieceModel(trie, model.TextOrNull("continuing_subword_prefix") ?? "##", UnknownId(model, trie, "[UNK]"), longest), pieces);
    }

    private static int UnknownId(JsonPlace model, PieceTrie trie, string otherwise)
    {
        var unknown = model.TextOrNull("unk_token") ?? otherwise;
        var id = trie.TokenOf(unknown);
        return id >= 0 ? id : throw model.Wrong($".unk_token '{unknown}' is not in the vocabulary");
    }

    private static List<(string Piece, int Id)> ReadVocabulary(JsonPlace vocabulary)
    {
        var pieces = new List<(string, int)>();
        foreach (var (piece, id) in vocabulary.Members) pieces.Add((piece, Id(id)));
        return pieces;
    }
}
