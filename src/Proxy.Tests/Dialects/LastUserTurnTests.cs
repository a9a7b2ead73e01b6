using System.Text;
using Proxy.Chat;
using Proxy.Dialects;
using Proxy.Dialects.OpenAiResponses;

namespace Proxy.Tests.Dialects;

/// <summary>Where a text is put in front of the user's last turn.</summary>
public sealed class LastUserTurnTests
{
    [Theory]
    [InlineData("""{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}""", """{"messages":[{"role":"user","content":"T\"a"},{"role":"assistant","content":"b"}]}""")]
    [InlineData("""{"messages":[{"content":[{"type":"text","text":"a"}],"role":"user"}]}""", """{"messages":[{"content":[{"type":"text","text":"T\""},{"type":"text","text":"a"}],"role":"user"}]}""")]
    [InlineData("""{"messages":[{"role":"user","content":"a"},{"role":"user","content":[{"type":"tool_result","content":"x"}]}]}""", """{"messages":[{"role":"user","content":"T\"a"},{"role":"user","content":[{"type":"tool_result","content":"x"}]}]}""")]
    [InlineData("""{"messages":[{"role":"user","content":[{"type":"tool_result"},{"type":"image"}]}]}""", """{"messages":[{"role":"user","content":[{"type":"tool_result"},{"type":"text","text":"T\""},{"type":"image"}]}]}""")]
    [InlineData("""{"messages":[{"role":"\u0075ser","cont\u0065nt":"a"}]}""", """{"messages":[{"role":"\u0075ser","cont\u0065nt":"T\"a"}]}""")]
    [InlineData("""{"messages":[{"role":"user","content":"a","content":"b"}]}""", null)]
    [InlineData("""{"messages":[{"role":"user","content":null}]}""", null)]
    [InlineData("""{"messages":[{"role":"user","content":{}}]}""", null)]
    [InlineData("""{"messages":[{"role":"user"}]}""", null)]
    [InlineData("""{"messages":[{"role":"assistant","content":"a"}]}""", null)]
    [InlineData("""{"messages":{"role":"user","content":"a"}}""", null)]
    [InlineData("""{"messages":[7]}""", null)]
    [InlineData("""{}""", null)]
    public void Text_is_put_before_it(string body, string? expected) =>
        Assert.Equal(expected, Edited(body, LastUserTurn.PutBefore(Encoding.UTF8.GetBytes(body), "messages"u8, "text"u8, "T\"")));

    [Theory]
    [InlineData("""{"prompt":"a","x":1.0}""", """{"prompt":"Ta","x":1.0}""")]
    [InlineData("""{"prompt":["a"]}""", null)]
    [InlineData("""{"prompt":"a","prompt":"b"}""", null)]
    public void Text_is_put_before_a_prompt(string body, string? expected) =>
        Assert.Equal(expected, Edited(body, LastUserTurn.PutBeforePrompt(Encoding.UTF8.GetBytes(body), "T")));

    [Theory]
    [InlineData("plain", "1:5 2:5")]
    [InlineData("a [1] b [2][1]", "1:2 2:8 1:11")]
    [InlineData("😀[2, 1]", "2:1 1:1")]
    [InlineData("[3] [0] [x] [1", "1:14 2:14")]
    public void Marks_in_a_text_are_citations(string text, string expected) => Assert.Equal(expected, string.Join(' ',
        FileCitation.Of(text, [new Source("a") { Number = 1, FileId = "1" }, new Source("b") { Number = 2, FileId = "2" }, new Source("c")])
            .Select(one => $"{one.FileId}:{one.Index}")));

    private static string? Edited(string body, BodyEdit? edit)
    {
        if (edit is not { } one) return null;
        using var copy = BodyEdit.Apply([one], Encoding.UTF8.GetBytes(body));
        return Encoding.UTF8.GetString(copy.Span);
    }
}
