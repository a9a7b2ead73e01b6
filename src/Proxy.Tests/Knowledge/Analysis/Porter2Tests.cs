using Proxy.Knowledge.Analysis;
using Proxy.Tests.Rules;

namespace Proxy.Tests.Knowledge.Analysis;

/// <summary>
/// Words of this repository's documents, and words for every rule, with the stems that Snowball's own program gives (<c>stemwords -l en</c> of Debian's
/// libstemmer-tools). Words that it leaves as they are were left out of the file.
/// </summary>
public sealed class Porter2Tests
{
    [Fact]
    public void Every_stem_Is_Snowballs()
    {
        var pairs = Repository.Read("src/Proxy.Tests/Knowledge/Analysis/english-stems.txt").Split('\n', StringSplitOptions.RemoveEmptyEntries)
            .Select(static line => line.Split(' ')).ToList();

        Assert.True(pairs.Count > 1000);
        Assert.Empty(pairs.Where(static pair => Stem(pair[0]) != pair[1]).Select(static pair => $"{pair[0]}: {Stem(pair[0])}, not {pair[1]}"));
    }

    [Theory]
    [InlineData("sky")]
    [InlineData("news")]
    [InlineData("by")]
    [InlineData("proceed")]
    [InlineData("kiwi")]
    [InlineData("feed")]
    public void These_words_Stay_as_they_are(string word) => Assert.Equal(word, Stem(word));

    private static string Stem(string word)
    {
        var buffer = new char[word.Length + 1];
        word.CopyTo(buffer);
        return new(buffer, 0, Porter2.Stem(buffer, word.Length));
    }
}
