using Proxy.Documents;
using Proxy.Tests.Inference;
using Proxy.Tests.Rules;

namespace Proxy.Tests.Documents;

/// <summary>The bundled model's tokenizer cuts the project's own documents.</summary>
public sealed class ChunkerModelTests
{
    /// <summary>0.85 × 256, and 15 % of it.</summary>
    private static readonly ChunkLimits Limits = new(217, 32);

    private static readonly TokenCounter Tokens = static async (texts, cancellation) =>
        [.. (await TestModels.Bundled.TokenizeAsync(texts, special: false, cancellation)).Tokens!.Select(static list => list.Count)];

    [Theory]
    [InlineData("docs/ARCHITECTURE.md")]
    [InlineData("docs/operations.md")]
    [InlineData("README.md")]
    [InlineData("config.example.toml")]
    [InlineData("src/Proxy/Documents/Chunking/ChunkPacker.cs")]
    [InlineData("models/all-minilm/LICENSE")]
    public async Task Document_of_the_project_Every_word_is_in_a_chunk_and_none_is_too_long(string file)
    {
        var text = Repository.Read(file);
        var chunks = await ChunkerTests.CheckAsync(SampleDocuments.Read(text, file), Limits, Tokens);

        var found = chunks.SelectMany(static chunk => Words(chunk.Text + " " + chunk.Heading)).ToHashSet(StringComparer.Ordinal);
        Assert.All(Words(text), word => Assert.Contains(word, found));
    }

    [Fact]
    public async Task Hard_text_No_chunk_is_too_long()
    {
        var text = SampleDocuments.Repeat("日本語。", 500) + SampleDocuments.Repeat("🙂", 500) + new string('é', 2000) + " " + SampleDocuments.Repeat("a-b_c/", 500)
            + " " + SampleDocuments.Repeat("x1y2", 2000);

        await ChunkerTests.CheckAsync(SampleDocuments.Read(text, "a.txt"), Limits, Tokens);
    }

    /// <summary>Words of four letters and more. Addresses of links are markup.</summary>
    private static IEnumerable<string> Words(string text)
    {
        text = System.Text.RegularExpressions.Regex.Replace(text, @"\]\([^)]*\)|```\w*", " ");
        return System.Text.RegularExpressions.Regex.Matches(text, @"\p{L}{4,}").Select(static match => match.Value);
    }
}
