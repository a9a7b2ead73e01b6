using System.Text;
using Proxy.Inference.Tokenizing;

namespace Proxy.Tests.Inference.Tokenizing;

public sealed class TokenizerTests
{
    private static readonly Tokenizer MiniLm = GoldenTests.Open("all-MiniLM-L6-v2");

    /// <summary>As a real TEI answers: recordings of /tokenize.</summary>
    [Fact]
    public void Offsets_Are_bytes_of_the_text()
    {
        var output = Encode("Héllo wörld", new() { Offsets = true });

        Assert.Equal([101, 7592, 2088, 102], output.Ids.ToArray());
        Assert.Equal([(-1, -1), (0, 6), (7, 13), (-1, -1)], output.Offsets.ToArray());
        Assert.Equal([true, false, false, true], output.Special.ToArray());
        Assert.Equal(["[CLS]", "hello", "world", "[SEP]"], output.Ids.ToArray().Select(MiniLm.TextOf));
    }

    [Fact]
    public void Offsets_of_a_pair_Are_each_texts_own()
    {
        var output = new TokenList();

        MiniLm.Encode("é a", "b ö", new() { Offsets = true }, output);

        Assert.Equal([(-1, -1), (0, 2), (3, 4), (-1, -1), (0, 1), (2, 4), (-1, -1)], output.Offsets.ToArray());
    }

    [Fact]
    public void Offsets_that_nobody_asked_for_Are_none() => Assert.Empty(Encode("a b", new()).Offsets.ToArray());

    [Theory]
    [InlineData("Right", new[] { 101, 1037, 1038, 102 })]
    [InlineData("Left", new[] { 101, 1038, 1039, 102 })]
    public void Text_that_is_too_long_Is_cut_within_the_special_tokens(string side, int[] expected)
    {
        var output = Encode("a b c", new() { MaxLength = 4, Cut = Enum.Parse<CutSide>(side) });

        Assert.Equal(expected, output.Ids.ToArray());
        Assert.Equal(5, output.FullLength);
    }

    [Fact]
    public void Without_special_tokens_There_are_none()
    {
        var output = Encode("a b c", new() { SpecialTokens = false, MaxLength = 2 });

        Assert.Equal([1037, 1038], output.Ids.ToArray());
        Assert.Equal(3, output.FullLength);
        Assert.Equal(3, MiniLm.CountTokens("a b c", specialTokens: false));
    }

    [Fact]
    public void Room_for_less_than_the_special_tokens_Leaves_these() => Assert.Equal([101, 102], Encode("a b c", new() { MaxLength = 1 }).Ids.ToArray());

    /// <summary>As in the reference: the longer text is cut to the length that the shorter one leaves, but not below half.</summary>
    [Theory]
    [InlineData(3, 10, 8, "LongestFirst", 3, 5)]
    [InlineData(10, 3, 8, "LongestFirst", 5, 3)]
    [InlineData(10, 10, 7, "LongestFirst", 3, 4)]
    [InlineData(10, 12, 5, "LongestFirst", 2, 3)]
    [InlineData(3, 4, 8, "LongestFirst", 3, 4)]
    [InlineData(3, 10, 8, "OnlySecond", 3, 5)]
    [InlineData(10, 3, 8, "OnlySecond", 8, 0)]
    public void Pair_that_is_too_long_Is_cut_as_asked(int first, int second, int room, string cut, int keptFirst, int keptSecond) =>
        Assert.Equal((keptFirst, keptSecond), Tokenizer.Share(first, second, room, Enum.Parse<PairCut>(cut)));

    [Fact]
    public void Pair_that_is_cut_Keeps_its_types()
    {
        var output = new TokenList();

        MiniLm.Encode("a b c", "a b c", new() { MaxLength = 7 }, output);

        Assert.Equal([101, 1037, 1038, 102, 1037, 1038, 102], output.Ids.ToArray());
        Assert.Equal([0, 0, 0, 0, 1, 1, 1], output.TypeIds.ToArray());
        Assert.Equal(9, output.FullLength);
    }

    [Theory]
    [InlineData("all-MiniLM-L6-v2")]
    [InlineData("tiny-unigram-embed")]
    [InlineData("tiny-bpe-embed")]
    public void Lone_surrogate_Counts_as_the_replacement_char(string model)
    {
        var tokenizer = GoldenTests.Open(model);
        var (one, two) = (new TokenList(), new TokenList());
        foreach (var (broken, whole) in new[] { ("a\uD800b", "a\uFFFDb"), ("\uDC00\uD800", "\uFFFD\uFFFD"), ("😀\uD83D", "😀\uFFFD") })
        {
            tokenizer.Encode(broken, new() { Offsets = true }, one);
            tokenizer.Encode(whole, new() { Offsets = true }, two);

            Assert.Equal(two.Ids.ToArray(), one.Ids.ToArray());
            Assert.Equal(two.Offsets.ToArray(), one.Offsets.ToArray());
        }
    }

    /// <summary>
    /// One string for each of the 280 pieces would be 9 KB. The bound leaves room for vectorised searches, which box until the JIT optimises them (3 KB here).
    /// </summary>
    [Theory]
    [InlineData("all-MiniLM-L6-v2")]
    [InlineData("tiny-unigram-embed")]
    public void Warm_tokenizer_Allocates_nothing_for_its_pieces(string model)
    {
        var tokenizer = GoldenTests.Open(model);
        var output = new TokenList();
        var text = string.Concat(Enumerable.Repeat("A text about naïve proxies, streams that survive and 42 other things. ", 20));
        for (var i = 0; i < 20; i++) tokenizer.Encode(text, EncodeOptions.Default, output);

        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 20; i++) tokenizer.CountTokens(text);
        for (var i = 0; i < 20; i++) tokenizer.Encode(text, EncodeOptions.Default, output);

        Assert.InRange((GC.GetAllocatedBytesForCurrentThread() - before) / 40, 0, 6000);
    }

    [Fact]
    public async Task Many_threads_at_once_Get_each_their_own()
    {
        var tokenizer = GoldenTests.Open("tiny-bpe-embed");
        var lines = GoldenTests.Lines("tiny-bpe-embed", "golden.jsonl")
            .Select(line => (Text: line.GetProperty("text").GetString()!, Ids: GoldenTests.Ids(line, "ids"))).ToArray();

        var wrong = await Task.WhenAll(Enumerable.Range(0, 4).Select(start => Task.Run(() =>
        {
            var output = new TokenList();
            var count = 0;
            for (var i = 0; i < lines.Length; i++)
            {
                var (text, ids) = lines[(i + start * 97) % lines.Length];
                tokenizer.Encode(text, EncodeOptions.Default, output);
                if (!output.Ids.SequenceEqual(ids)) count++;
            }

            return count;
        })));

        Assert.All(wrong, count => Assert.Equal(0, count));
    }

    [Fact]
    public void Names_Lead_to_ids_and_back()
    {
        Assert.Equal(101, MiniLm.IdOf("[CLS]"));
        Assert.Equal(7592, MiniLm.IdOf("hello"));
        Assert.Null(MiniLm.IdOf("no such piece"));
        Assert.Null(MiniLm.TextOf(30522));
        Assert.Equal(30522, MiniLm.Size);
        Assert.Equal(0, MiniLm.PaddingId);
        Assert.True(MiniLm.IsSpecial(102));
        Assert.False(MiniLm.IsSpecial(7592));
        Assert.Equal((2, 3), (MiniLm.SpecialCount(pair: false), MiniLm.SpecialCount(pair: true)));
        Assert.Equal("hello, world", MiniLm.Decode(Encode("Hello, world", new()).Ids));
    }

    [Theory]
    [InlineData("{", "tokenizer.json: is not JSON")]
    [InlineData("[]", "tokenizer.json: the file is not an object")]
    [InlineData("{}", "tokenizer.json: the file has no \"model\"")]
    [InlineData("""{"model":{"type":"X"}}""", "tokenizer.json: model.type 'X' is not known")]
    [InlineData("""{"model":{"type":"WordPiece"}}""", "tokenizer.json: model has no \"vocab\"")]
    [InlineData("""{"model":{"type":"WordPiece","vocab":{"a":0}}}""", "tokenizer.json: model.unk_token '[UNK]' is not in the vocabulary")]
    [InlineData("""{"model":{"type":"WordPiece","vocab":{"[UNK]":-1}}}""", "tokenizer.json: model.vocab is not an id: -1")]
    [InlineData("""{"model":{"type":"Unigram","vocab":[["a",-1],["b"]]}}""", "tokenizer.json: model.vocab[1] is not a pair of piece and score")]
    [InlineData("""{"model":{"type":"Unigram","unk_id":3,"vocab":[["a",-1]]}}""", "tokenizer.json: model.unk_id is not in the vocabulary")]
    [InlineData("""{"model":{"type":"BPE","vocab":{"a":0},"merges":["a b"]}}""", "tokenizer.json: model.merges[0] 'a b' is not of the vocabulary")]
    [InlineData("""{"normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Upper"}]},"model":{"type":"BPE","vocab":{},"merges":[]}}""",
        "tokenizer.json: normalizer.normalizers[1].type 'Upper' is not known")]
    [InlineData("""{"normalizer":{"type":"Precompiled","precompiled_charsmap":"AA=="},"model":{"type":"BPE","vocab":{},"merges":[]}}""",
        "tokenizer.json: normalizer.precompiled_charsmap is cut off")]
    [InlineData("""{"pre_tokenizer":{"type":"Split","pattern":{"Regex":"[a-z&&[^b]]"},"behavior":"Isolated"},"model":{"type":"BPE","vocab":{},"merges":[]}}""",
        "tokenizer.json: pre_tokenizer.pattern.Regex is an expression that cannot be used: classes are intersected")]
    [InlineData("""{"added_tokens":[{"id":0}],"model":{"type":"BPE","vocab":{},"merges":[]}}""", "tokenizer.json: added_tokens[0] has no \"content\"")]
    [InlineData("""{"model":{"type":"BPE","vocab":{"\ud800":0},"merges":[]}}""", "tokenizer.json: model.vocab holds half a surrogate pair")]
    public void Broken_file_Is_refused_with_the_place(string json, string complaint)
    {
        var error = Assert.Throws<TokenizerException>(() => TokenizerFile.Parse(Encoding.UTF8.GetBytes(json)));

        Assert.StartsWith(complaint, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void File_that_is_not_there_Is_named()
    {
        var error = Assert.Throws<TokenizerException>(() => TokenizerFile.Load(Path.Combine(Path.GetTempPath(), Guid.NewGuid().ToString("N"),
            "tokenizer.json")));

        Assert.StartsWith("tokenizer.json: cannot be read: ", error.Message, StringComparison.Ordinal);
    }

    private static TokenList Encode(string text, EncodeOptions options)
    {
        var output = new TokenList();
        MiniLm.Encode(text, options, output);
        return output;
    }
}
