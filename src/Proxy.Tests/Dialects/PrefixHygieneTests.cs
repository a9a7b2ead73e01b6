using System.Text;
using Proxy.Chat;
using Proxy.Dialects;
using Proxy.Dialects.Anthropic;

namespace Proxy.Tests.Dialects;

public sealed class PrefixHygieneTests
{
    private const string Marked =
        """{"model":"m","system":[{"type":"text","text":"x-anthropic-billing-header: cc_version=2.1.38.e5a; cc_entrypoint=cli; cch=CHECK;"},{"type":"text","text":"You are <total_tokens>TOTAL tokens left</total_tokens> \"cch=x1\""}],"messages":[{"role":"user","content":"cch=ab1 <total_tokens>55</total_tokens> x-anthropic-billing-header: cch=ab1"}]}""";

    private static string Normalised(string body)
    {
        var bytes = Encoding.UTF8.GetBytes(body);
        using var normalised = BodyEdit.Apply(new AnthropicClientDialect().NormalisePrompt(bytes), bytes);

        Assert.Equal(body, Encoding.UTF8.GetString(bytes)); // never written to
        return normalised is null ? body : Encoding.UTF8.GetString(normalised.Span);
    }

    [Fact]
    public void Marks_of_two_calls_Become_the_same_and_nothing_else_changes()
    {
        var first = Normalised(Marked.Replace("CHECK", "fa690", StringComparison.Ordinal).Replace("TOTAL", "1234567", StringComparison.Ordinal));
        var second = Normalised(Marked.Replace("CHECK", "0b1d2", StringComparison.Ordinal).Replace("TOTAL", "7654321", StringComparison.Ordinal));

        Assert.Equal(Marked.Replace("CHECK", "00000", StringComparison.Ordinal).Replace("TOTAL", "0000000", StringComparison.Ordinal), first);
        Assert.Equal(first, second);
    }

    [Fact]
    public void System_prompt_is_one_string_Its_line_ends_the_mark()
    {
        const string Body = """{"system":"x-anthropic-billing-header: cc_version=2.1;\ncch=keep1 me","messages":[],"model":"m"}""";

        Assert.Equal(Body, Normalised(Body));
        Assert.Equal(Body.Replace("2.1;", "2.1; cch=000;", StringComparison.Ordinal),
            Normalised(Body.Replace("2.1;", "2.1; cch=9f9;", StringComparison.Ordinal)));
    }

    [Fact]
    public void Two_marks_share_a_word_It_is_blanked_once()
    {
        const string Body = """{"system":"x-anthropic-billing-header x-anthropic-billing-header cch=a1 <total_tokens>7","messages":[],"model":"m"}""";

        Assert.Equal(Body.Replace("=a1", "=00", StringComparison.Ordinal).Replace(">7", ">0", StringComparison.Ordinal), Normalised(Body));
    }

    [Theory]
    [InlineData("""{"type":"thinking","thinking":"t","signature":"c2ln"}""")]
    [InlineData("""{"type":"thinking","thinking":"t", "signature" : "c2ln"}""")]
    public void Call_with_signed_thoughts_Is_left_alone(string thought)
    {
        var body = Marked.Replace("CHECK", "fa690", StringComparison.Ordinal)
            .Replace("\"messages\":[", $"\"messages\":[{{\"role\":\"assistant\",\"content\":[{thought}]}},", StringComparison.Ordinal);

        Assert.Equal(body, Normalised(body));
        var unsigned = body.Replace("c2ln", "", StringComparison.Ordinal);
        Assert.NotEqual(unsigned, Normalised(unsigned));
    }

    [Theory]
    [InlineData("""{"system":"x-anthropic-billing-header: cch=fa690;","messages":[]""")]
    [InlineData("""{"syst\u0065m":"x-anthropic-billing-header: cch=fa690;","messages":[]}""")]
    [InlineData("""x-anthropic-billing-header: cch=fa690""")]
    public void Body_is_unusual_It_is_left_alone(string body) => Assert.Equal(body, Normalised(body));

    [Fact]
    public void Prompt_Is_cut_into_tools_system_and_messages()
    {
        var body = """{"model":"m","messages":[ {"role":"user","content":"a"} ,{"role":"assistant","content":"b"}],"system":"s","tools":[1]}"""u8;
        var pieces = new List<Range>();

        PromptPieces.Find(body, pieces);

        var texts = new List<string>();
        foreach (var piece in pieces) texts.Add(Encoding.UTF8.GetString(body[piece]));
        Assert.Equal(["[1]", "\"s\"", """{"role":"user","content":"a"}""", """{"role":"assistant","content":"b"}"""], texts);
    }

    [Fact]
    public void Prompt_of_very_many_messages_Has_a_bounded_number_of_pieces_that_cover_it()
    {
        var body = Encoding.UTF8.GetBytes("{\"messages\":[" + string.Join(',', Enumerable.Repeat("{\"role\":\"user\"}", 10_000)) + "]}");
        var pieces = new List<Range>();

        PromptPieces.Find(body, pieces);

        Assert.Equal(PromptPieces.Most + 1, pieces.Count);
        Assert.Equal(body.Length - 1, pieces[^1].End.Value);
    }
}
