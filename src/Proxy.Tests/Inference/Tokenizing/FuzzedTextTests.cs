using System.Text;
using System.Text.Json;
using CsCheck;
using Proxy.Inference.Tokenizing;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Inference.Tokenizing;

/// <summary>
/// Texts with random changes, broken characters included: all ways to encode a text agree on its tokens, and each token is a part of the text.
/// </summary>
public sealed class FuzzedTextTests
{
    [Theory]
    [InlineData("all-MiniLM-L6-v2")]
    [InlineData("tiny-unigram-embed")]
    [InlineData("tiny-bpe-embed")]
    public void Text_with_changes_Is_encoded_alike_in_every_way(string model)
    {
        var tokenizer = GoldenTests.Open(model);
        List<byte[]> corpus = [.. File.ReadLines(Path.Combine(TestModels.Folder(model), "golden.jsonl")).Take(120)
            .Select(static line => JsonElement.Parse(line).GetProperty("text").GetString()!).Where(static text => text.Length is > 0 and < 300)
            .Select(Encoding.Unicode.GetBytes)]; // changed by bytes, so that halves of characters come up
        Gen.Int.Holds(600, static seed => $"seed {seed}", seed =>
        {
            var bytes = Mutation.Of(corpus, new Random(seed), most: 4);
            var text = Encoding.Unicode.GetString(bytes); // what is broken becomes U+FFFD
            if (seed % 3 == 0) text += '\ud83d';
            var (plain, placed, cut) = (new TokenList(), new TokenList(), new TokenList());

            tokenizer.Encode(text, EncodeOptions.Default, plain);
            tokenizer.Encode(text, new() { Offsets = true }, placed);
            tokenizer.Encode(text, new() { MaxLength = 8 }, cut);

            Assert.Equal(plain.Ids.ToArray(), placed.Ids.ToArray());
            Assert.Equal(plain.Count, tokenizer.CountTokens(text));
            Assert.Equal((Math.Min(plain.Count, 8), plain.Count), (cut.Count, cut.FullLength));
            Assert.All(plain.Ids.ToArray(), id => Assert.InRange(id, 0, tokenizer.Size - 1));
            var length = Encoding.UTF8.GetByteCount(text);
            foreach (var (start, stop) in placed.Offsets)
                Assert.True((start, stop) is (-1, -1) || (start >= 0 && start <= stop && stop <= length), $"{start}, {stop} of {length}");
        });
    }
}
