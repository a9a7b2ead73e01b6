using System.Text;
using Proxy.Inference.Tokenizing;

namespace Proxy.Tests.Inference.Tokenizing;

public sealed class NormalFormTests
{
    [Theory]
    [InlineData("NFC", "q\u0307\u0323", "q\u0323\u0307")] // reordered; nothing to compose
    [InlineData("NFC", "e\u0301\u0323", "\u1EB9\u0301")] // the mark below is composed first
    [InlineData("NFC", "a\u0332\u0302", "\u00E2\u0332")] // composes across a mark of a lower combining class
    [InlineData("NFC", "a\u0305\u0301", "a\u0305\u0301")] // does not compose across a mark of the same class
    [InlineData("NFC", "\u0958", "\u0915\u093C")] // composition exclusion: stays decomposed
    [InlineData("NFC", "\u1100\u1161\u11A8 \uAC00\u11A8", "\uAC01 \uAC01")]
    [InlineData("NFC", "\U00011099\U000110BA", "\U0001109A")]
    [InlineData("NFD", "\uAC01\u1EC7", "\u1100\u1161\u11A8e\u0323\u0302")]
    [InlineData("NFKC", "\uFB01\u2460\uFF21\u1E9B\u0323", "fi1A\u1E69")]
    [InlineData("NFKD", "\u00E9\u00BD", "e\u03011\u20442")]
    [InlineData("NFC", "plain, naïve", "plain, naïve")]
    public void Text_Takes_its_form(string form, string text, string expected)
    {
        var scratch = new TextScratch();
        scratch.Text.Clear(tracking: false);
        scratch.Text.Load(text, 0);

        NormalForms.Apply(scratch, compatible: form.Contains('K', StringComparison.Ordinal), compose: form.EndsWith('C'));

        Assert.Equal(expected, scratch.Text.Chars.ToString());
    }

    [Theory]
    [InlineData("\"lstrip\":true", "a  <x>  b", 1, 6)]
    [InlineData("\"rstrip\":true", "a  <x>  b", 3, 8)]
    [InlineData("\"special\":true", "a  <x>  b", 3, 6)]
    [InlineData("\"lstrip\":true,\"rstrip\":true,\"normalized\":true", "a  <x>  b", 1, 8)]
    [InlineData("\"single_word\":true", "a<x>b <x>", 6, 9)]
    public void Added_token_Takes_the_white_space_that_is_its_own(string rules, string text, int start, int stop)
    {
        var file = $$"""{"added_tokens":[{"id":7,"content":"<x>",{{rules}}}],"pre_tokenizer":{"type":"WhitespaceSplit"},"model":{"type":"WordLevel","unk_token":"u","vocab":{"u":0,"a":1,"b":2} } }""";
        var output = new TokenList();

        TokenizerFile.Parse(Encoding.UTF8.GetBytes(file)).Encode(text, new() { Offsets = true }, output);

        Assert.Equal([(start, stop)], Enumerable.Range(0, output.Count).Where(i => output.Ids[i] == 7).Select(i => output.Offsets[i]));
    }
}
