using System.Text.Json;
using Proxy.Inference.Tokenizing;
using Proxy.Tests.Rules;

namespace Proxy.Tests.Inference.Tokenizing;

/// <summary>Compares with the answers of the reference tokenizers library, line by line: Models/README.md.</summary>
public sealed class GoldenTests
{
    private static readonly JsonSerializerOptions Readable = new() { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    [Theory]
    [InlineData("all-MiniLM-L6-v2", 515)]
    [InlineData("tiny-wordpiece-rerank", 501)]
    [InlineData("tiny-wordpiece-colbert", 503)]
    [InlineData("tiny-unigram-embed", 503)]
    [InlineData("tiny-bpe-embed", 503)]
    public void Every_line_Has_the_ids_of_the_reference(string model, int lines)
    {
        var tokenizer = Open(model);
        var output = new TokenList();
        var wrong = new List<string>();
        var seen = 0;
        foreach (var line in Lines(model, "golden.jsonl"))
        {
            var text = line.GetProperty("text").GetString()!;
            seen++;

            tokenizer.Encode(text, EncodeOptions.Default, output);

            Compare(wrong, text, Ids(line, "ids"), output.Ids);
            if (tokenizer.CountTokens(text) != output.Count) wrong.Add($"counted {tokenizer.CountTokens(text)}, encoded {output.Count}: {text}");
        }

        Assert.Equal(lines, seen);
        Assert.Empty(wrong);
    }

    [Fact]
    public void Every_pair_Has_the_ids_and_types_of_the_reference()
    {
        var tokenizer = Open("tiny-wordpiece-rerank");
        var output = new TokenList();
        var wrong = new List<string>();
        var seen = 0;
        foreach (var line in Lines("tiny-wordpiece-rerank", "golden-pairs.jsonl"))
        {
            var (query, document) = (line.GetProperty("query").GetString()!, line.GetProperty("document").GetString()!);
            seen++;

            tokenizer.Encode(query, document, EncodeOptions.Default, output);

            Compare(wrong, query + " | " + document, Ids(line, "ids"), output.Ids);
            Compare(wrong, "types of " + query + " | " + document, Ids(line, "type_ids"), [.. output.TypeIds.ToArray().Select(type => (int)type)]);
        }

        Assert.Equal(299, seen);
        Assert.Empty(wrong);
    }

    /// <summary>The position of the marker after [CLS] and the padding belong to the model; the tokens in between are the tokenizer's.</summary>
    [Fact]
    public void Every_late_interaction_line_Has_the_tokens_of_the_reference()
    {
        var tokenizer = Open("tiny-wordpiece-colbert");
        var output = new TokenList();
        var wrong = new List<string>();
        var seen = 0;
        var mask = tokenizer.IdOf("[MASK]")!.Value;
        foreach (var line in Lines("tiny-wordpiece-colbert", "golden-maxsim.jsonl"))
        {
            seen++;
            foreach (var (member, marker, limit) in new[] { ("query", "[Q]", 32), ("document", "[D]", 300) })
            {
                tokenizer.Encode(line.GetProperty(member).GetString(), new EncodeOptions { MaxLength = limit - 1 }, output);

                List<int> ids = [output.Ids[0], tokenizer.IdOf(marker)!.Value, .. output.Ids[1..]];
                while (member == "query" && ids.Count < limit) ids.Add(mask);
                Compare(wrong, line.GetProperty(member).GetString()!, Ids(line, member + "_ids"), [.. ids]);
            }
        }

        Assert.Equal(150, seen);
        Assert.Empty(wrong);
    }

    internal static Tokenizer Open(string model) =>
        TokenizerFile.Load(Path.Combine(Repository.Root, model == "all-MiniLM-L6-v2" ? "models/all-minilm" : "src/Proxy.Tests/Models/" + model,
            "tokenizer.json"));

    internal static IEnumerable<JsonElement> Lines(string model, string file) =>
        File.ReadLines(Path.Combine(Repository.Root, "src/Proxy.Tests/Models", model, file)).Select(line => JsonDocument.Parse(line).RootElement);

    internal static int[] Ids(JsonElement line, string name) => [.. line.GetProperty(name).EnumerateArray().Select(id => id.GetInt32())];

    private static void Compare(List<string> wrong, string text, int[] expected, ReadOnlySpan<int> ids)
    {
        if (ids.SequenceEqual(expected)) return;
        var at = ids.CommonPrefixLength(expected);
        wrong.Add($"{JsonSerializer.Serialize(text.Length > 200 ? text[..200] : text, Readable)} at {at}:"
                + $" expected {string.Join(' ', expected.Skip(at).Take(12))}, not {string.Join(' ', ids[at..].ToArray().Take(12))}");
    }
}
