using System.Text.Json;

namespace Proxy.Inference.Tokenizing;

internal static partial class TokenizerFile
{
    private static (PieceModel Model, List<(string Piece, int Id)> Pieces) ReadModel(JsonPlace model) => ModelType(model) switch
    {
        "WordPiece" => ReadWordPiece(model),
        "Unigram" => ReadUnigram(model),
        "BPE" => ReadBpe(model),
        "WordLevel" => ReadWordLevel(model),
        var type => throw model.Unknown(type),
    };

    /// <summary>Old files lack the type; then the other members determine it.</summary>
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

    private static (PieceModel, List<(string, int)>) ReadWordLevel(JsonPlace model)
    {
        var pieces = ReadVocabulary(model["vocab"]);
        var trie = PieceTrie.Read(pieces);
        return (new WordLevelModel(trie, UnknownId(model, trie, "<unk>")), pieces);
    }

    private static (PieceModel, List<(string, int)>) ReadUnigram(JsonPlace model)
    {
        var pieces = new List<(string, int)>();
        var scores = new List<double>();
        foreach (var row in model["vocab"].Items)
        {
            if (row.Items.ToArray() is not [var piece, var score]) throw row.Wrong("is not a pair of piece and score");
            pieces.Add((piece.Text, pieces.Count));
            scores.Add(score.Score);
        }

        var trie = PieceTrie.Read(pieces);
        var unknown = model.Optional("unk_id") is { IsNull: false } id ? Id(id) : -1;
        if (unknown >= pieces.Count) throw model["unk_id"].Wrong("is not in the vocabulary");
        return (new UnigramModel(trie, [.. scores], unknown, model.Flag("byte_fallback", false) ? new ByteTokens(trie) : null), pieces);
    }

    private static (PieceModel, List<(string, int)>) ReadBpe(JsonPlace model)
    {
        var pieces = ReadVocabulary(model["vocab"]);
        var trie = PieceTrie.Read(pieces);
        var prefix = model.TextOrNull("continuing_subword_prefix") ?? "";
        var merges = new List<(int, int, int)>();
        foreach (var merge in model["merges"].Items)
        {
            var (left, right) = ReadMerge(merge);
            var (leftId, rightId, joined) = (trie.TokenOf(left), trie.TokenOf(right),
                trie.TokenOf(left + (right.StartsWith(prefix, StringComparison.Ordinal) ? right[prefix.Length..] : right)));
            if (leftId < 0 || rightId < 0 || joined < 0) throw merge.Wrong($"'{left} {right}' is not of the vocabulary");
            merges.Add((leftId, rightId, joined));
        }

        var rules = new BpeRules(
            model.TextOrNull("unk_token") is null ? -1 : UnknownId(model, trie, ""), model.Flag("fuse_unk", false),
            model.Flag("byte_fallback", false) ? new ByteTokens(trie) : null,
            model.Flag("ignore_merges", false), prefix, model.TextOrNull("end_of_word_suffix") ?? "");
        return (new BpeModel(trie, new(merges), rules), pieces);
    }

    /// <summary>A list of two, or in old files one text with a space between the two.</summary>
    private static (string Left, string Right) ReadMerge(JsonPlace merge)
    {
        if (merge.Value.ValueKind == JsonValueKind.Array)
        {
            return merge.Items.ToArray() is [var left, var right] ? (left.Text, right.Text) : throw merge.Wrong("is not a pair");
        }

        return merge.Text.Split(' ') is [var one, var two] ? (one, two) : throw merge.Wrong("is not a pair");
    }

    private static int UnknownId(JsonPlace model, PieceTrie trie, string otherwise)
    {
        var unknown = model.TextOrNull("unk_token") ?? otherwise;
        var id = trie.TokenOf(unknown);
        return id >= 0 ? id : throw new TokenizerException($"{model.File}: {model.Path}.unk_token '{unknown}' is not in the vocabulary");
    }

    private static List<(string Piece, int Id)> ReadVocabulary(JsonPlace vocabulary)
    {
        var pieces = new List<(string, int)>();
        foreach (var (piece, id) in vocabulary.Members) pieces.Add((piece, Id(id)));
        return pieces;
    }
}
