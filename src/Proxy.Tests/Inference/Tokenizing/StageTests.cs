using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Proxy.Inference.Tokenizing;

namespace Proxy.Tests.Inference.Tokenizing;

/// <summary>Each normaliser and pre-tokeniser by itself, compared with the reference: Models/README.md, reference-tokenizers.</summary>
public sealed class StageTests
{
    /// <summary>Tokens are bytes, and each piece begins with a space, so the ids show the output of the stages before.</summary>
    private const string Revealing = """{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":false,"use_regex":false}""";

    public static TheoryData<int, string> Stages()
    {
        var stages = new TheoryData<int, string>();
        var lines = GoldenTests.Lines("reference-tokenizers", "stages.jsonl").ToArray();
        for (var i = 0; i < lines.Length; i++)
        {
            var (normalizer, splitter) = (lines[i].GetProperty("normalizer").GetRawText(), lines[i].GetProperty("pre_tokenizer").GetRawText());
            stages.Add(i, $"{normalizer[..Math.Min(80, normalizer.Length)]} {splitter[..Math.Min(80, splitter.Length)]}");
        }

        return stages;
    }

    [Theory]
    [MemberData(nameof(Stages))]
    public void Stage_Rewrites_and_cuts_as_the_reference(int index, string stage)
    {
        var line = GoldenTests.Lines("reference-tokenizers", "stages.jsonl").ElementAt(index);
        var tokenizer = Reveal(line);
        var output = new TokenList();
        var wrong = new List<string>();
        foreach (var pair in line.GetProperty("cases").EnumerateArray())
        {
            var answer = Answer(tokenizer, pair[0].GetString()!, output);
            if (answer != pair[1].GetString()) wrong.Add($"{pair[0].GetRawText()}: {answer}, not {pair[1].GetString()}");
        }

        Assert.NotEmpty(stage);
        Assert.Empty(wrong);
    }

    [Theory]
    [Trait("Category", "Slow")]
    [MemberData(nameof(Stages))]
    public void Stage_Knows_every_code_point_as_the_reference(int index, string stage)
    {
        var line = GoldenTests.Lines("reference-tokenizers", "stages.jsonl").ElementAt(index);
        var tokenizer = Reveal(line);
        var output = new TokenList();
        Assert.NotEmpty(stage);

        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (var text in EveryCodePoint()) hash.AppendData(Encoding.UTF8.GetBytes(Answer(tokenizer, text, output) + "\n"));
        Assert.Equal(line.GetProperty("every").GetString(), Convert.ToHexStringLower(hash.GetHashAndReset()));
    }

    [Theory]
    [InlineData(@"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")]
    [InlineData(@"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")]
    public void Expression_that_has_code_Cuts_as_it_would_interpreted(string expression)
    {
        Assert.NotNull(WordPattern.For(expression));
        var written = new SplitPreTokenizer(WordPattern.For(expression)!, SplitBehavior.Isolated, invert: false);
        var interpreted = new SplitPreTokenizer(new SplitPattern.Expression(Oniguruma.Translate(expression)), SplitBehavior.Isolated, invert: false);
        foreach (var line in GoldenTests.Lines("tiny-bpe-embed", "golden.jsonl"))
        {
            var text = line.GetProperty("text").GetString()!;

            Assert.Equal(Pieces(interpreted, text), Pieces(written, text));
        }
    }

    [Fact]
    public void Merges_of_a_long_piece_Are_the_same_with_and_without_the_queue()
    {
        var tokenizer = GoldenTests.Open("tiny-bpe-embed");
        var output = new TokenList();
        var text = string.Concat(Enumerable.Repeat("straightforwardness", 3));

        tokenizer.Encode(text, EncodeOptions.Default, output); // 57 letters: long enough for the merge queue
        var whole = tokenizer.Decode(output.Ids);
        var first = output.Ids[0];
        tokenizer.Encode("straightforwardness", EncodeOptions.Default, output); // 19 letters: merged without the queue

        Assert.Equal(text, whole);
        Assert.Equal(first, output.Ids[0]);
    }

    private static Tokenizer Reveal(JsonElement line)
    {
        var vocabulary = new JsonObject();
        var next = 256;
        for (var value = 0; value < 256; value++)
        {
            var letter = value is >= 33 and <= 126 or >= 0xA1 and <= 0xAC or >= 0xAE ? value : next++;
            vocabulary[((char)letter).ToString()] = value;
        }

        var splitter = line.GetProperty("pre_tokenizer") is { ValueKind: JsonValueKind.Object } own
            ? $$"""{"type":"Sequence","pretokenizers":[{{own.GetRawText()}},{{Revealing}}]}"""
            : Revealing;
        var file = $$"""{"normalizer":{{line.GetProperty("normalizer").GetRawText()}},"pre_tokenizer":{{splitter}},"model":{"type":"BPE","vocab":{{vocabulary.ToJsonString()}},"merges":[] } }""";
        return TokenizerFile.Parse(Encoding.UTF8.GetBytes(file));
    }

    private static string Answer(Tokenizer tokenizer, string text, TokenList output)
    {
        tokenizer.Encode(text, EncodeOptions.Default, output);
        return Encoding.UTF8.GetString([.. output.Ids.ToArray().Select(id => (byte)id)]);
    }

    private static IEnumerable<string> EveryCodePoint()
    {
        foreach (var (from, to) in new[] { (0, 0x32400), (0xE0000, 0xE0200) })
        {
            for (var start = from; start < to; start += 32)
            {
                var text = new StringBuilder();
                for (var c = start; c < start + 32; c++)
                {
                    if (c is < 0xD800 or > 0xDFFF) text.Append(char.ConvertFromUtf32(c)).Append('Z');
                }

                if (text.Length > 0) yield return text.ToString();
            }
        }
    }

    private static (int, int)[] Pieces(PreTokenizer splitter, string text)
    {
        var scratch = new TextScratch();
        scratch.Text.Clear(tracking: false);
        scratch.Text.Load(text, 0);
        scratch.Pieces.Add(0, scratch.Text.Length);
        splitter.Split(scratch, first: true);
        return [.. scratch.Pieces.Items.ToArray().Select(piece => (piece.Start, piece.End))];
    }
}
