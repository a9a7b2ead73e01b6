using Proxy.Chat;
using Proxy.Knowledge.Chat;

namespace Proxy.Tests.Knowledge.Chat;

public sealed class ChatQueryTests
{
    [Fact]
    public void Turn_stands_alone_It_is_the_query() =>
        Assert.Equal("How long does the queue hold?", ChatQuery.Of(Of(User("What is a queue?"), Said("A list."), User(" How long does the queue hold? "))));

    [Fact]
    public void Turn_is_short_The_users_turn_before_it_comes_first() =>
        Assert.Equal("What is a queue?\nAnd how long?", ChatQuery.Of(Of(User("What is a queue?"), Said("A list."), User("And how long?"))));

    [Fact]
    public void Turn_is_short_and_alone_It_is_the_query() =>
        Assert.Equal("queue limits", ChatQuery.Of(Of(new(ChatRole.System, [Text("Be brief.")]), User("queue limits"))));

    [Fact]
    public void Tools_answered_Their_results_are_no_turn() =>
        Assert.Equal("How long does the queue hold?",
            ChatQuery.Of(Of(User("How long does the queue hold?"), Said(""), new ChatMessage(ChatRole.Tool, [Text("a very long result of a tool")]))));

    [Fact]
    public void Last_turn_is_an_image_The_text_before_it_is_the_query() =>
        Assert.Equal("What is a queue?",
            ChatQuery.Of(Of(User("What is a queue?"), new ChatMessage(ChatRole.User, [new ContentPart.Image(null, "AA==", null)]))));

    [Fact]
    public void User_wrote_nothing_There_is_no_query() => Assert.Equal("", ChatQuery.Of(Of(new ChatMessage(ChatRole.System, [Text("Be brief.")]))));

    [Fact]
    public void Text_is_long_Its_beginning_and_its_end_are_the_query()
    {
        var query = ChatQuery.Of(Of(User("FIRST " + new string('x', 50_000) + " LAST")));

        Assert.StartsWith("FIRST", query, StringComparison.Ordinal);
        Assert.EndsWith("LAST", query, StringComparison.Ordinal);
        Assert.InRange(query.Length, 3000, ChatQuery.MostCharacters + 1);
    }

    [Theory]
    [InlineData("", 0)]
    [InlineData("And on Debian?", 3)]
    [InlineData("don't re-do net.core.rmem_max now", 4)]
    [InlineData("キューはどのくらい待ちますか", 7)]
    [InlineData("为什么", 2)]
    [InlineData("… ?!", 0)]
    public void Words_are_counted(string text, int words) => Assert.Equal(words, ChatQuery.Words(text));

    private static ChatRequest Of(params ChatMessage[] messages) => new() { Model = "m", Messages = messages };

    private static ChatMessage User(string text) => new(ChatRole.User, [Text(text)]);

    private static ChatMessage Said(string text) => new(ChatRole.Assistant, [Text(text)]);

    private static ContentPart.Text Text(string text) => new(text);
}
