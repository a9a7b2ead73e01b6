using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Proxy.Inference.Tokenizing;
using Proxy.Tests.Rules;

namespace Proxy.Tests.Inference.Tokenizing;

/// <summary>Added tokens, post-processors and unusual models, compared with the reference: Models/README.md, reference-tokenizers.</summary>
public sealed class VariantTests
{
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(6)]
    [InlineData(7)]
    public void Variant_Answers_as_the_reference(int index)
    {
        var line = GoldenTests.Lines("reference-tokenizers", "variants.jsonl").ElementAt(index);
        var tokenizer = Open(line);
        var output = new TokenList();
        var wrong = new List<string>();
        foreach (var expected in line.GetProperty("cases").EnumerateArray())
        {
            var (text, pair) = (expected.GetProperty("text").GetString()!, expected.GetProperty("pair").GetString());
            var options = new EncodeOptions { SpecialTokens = expected.GetProperty("special").GetBoolean(), Offsets = true };

            if (pair is null) tokenizer.Encode(text, options, output);
            else tokenizer.Encode(text, pair, options, output);

            if (!output.Ids.SequenceEqual(GoldenTests.Ids(expected, "ids"))) wrong.Add("ids: " + text);
            else if (!output.TypeIds.ToArray().Select(type => (int)type).SequenceEqual(GoldenTests.Ids(expected, "type_ids"))) wrong.Add("types: " + text);
            else if (tokenizer.Decode(output.Ids) != expected.GetProperty("decoded").GetString()) wrong.Add("decoded: " + text);
            else if (expected.GetProperty("offsets") is { ValueKind: JsonValueKind.Array } offsets
                && !Offsets(offsets).SequenceEqual(InCodePoints(output, text)))
                wrong.Add("offsets: " + text);
        }

        Assert.True(line.GetProperty("cases").GetArrayLength() > 15);
        Assert.Empty(wrong);
    }

    private static Tokenizer Open(JsonElement line)
    {
        var file = JsonNode.Parse(Repository.Read($"src/Proxy.Tests/Models/{line.GetProperty("model").GetString()}/tokenizer.json"))!.AsObject();
        foreach (var change in line.GetProperty("change").EnumerateObject()) file[change.Name] = JsonNode.Parse(change.Value.GetRawText());
        foreach (var change in line.GetProperty("model_change").EnumerateObject())
        {
            if (change.Name != "vocab") file["model"]![change.Name] = JsonNode.Parse(change.Value.GetRawText());
            else for (var value = 0; value < 256; value++) file["model"]!["vocab"]!.AsArray().Add(new JsonArray($"<0x{value:X2}>", -20));
        }

        return TokenizerFile.Parse(Encoding.UTF8.GetBytes(file.ToJsonString()));
    }

    private static (int, int)[] Offsets(JsonElement offsets) => [.. offsets.EnumerateArray().Select(pair => (pair[0].GetInt32(), pair[1].GetInt32()))];

    private static (int, int)[] InCodePoints(TokenList output, string text)
    {
        var places = new List<int>();
        var count = 0;
        foreach (var rune in text.EnumerateRunes())
        {
            for (var i = 0; i < rune.Utf8SequenceLength; i++) places.Add(count);
            count++;
        }

        places.Add(count);
        return [.. output.Offsets.ToArray().Select(pair => pair.Start < 0 ? (0, 0) : (places[pair.Start], places[pair.Stop]))];
    }
}
