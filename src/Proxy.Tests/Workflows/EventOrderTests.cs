using Proxy.Chat;
using Proxy.Workflows;

namespace Proxy.Tests.Workflows;

public sealed class EventOrderTests
{
    private readonly EventOrder order = new();

    private static JobEvent Token(string text, long? seq, long? attempt = null) => new(seq, attempt, new ChatEvent.Token(text), null);

    private string Taken()
    {
        var text = "";
        while (order.TryTake(out var happened)) text += ((ChatEvent.Token)happened!.Happened!).Text;
        return text;
    }

    [Theory]
    [InlineData("1a 2b 3c", "abc")]
    [InlineData("0a 1b 2c", "abc")] // counted from 0
    [InlineData("2b 1a 3c", "abc")]
    [InlineData("3c 2b 1a", "abc")]
    [InlineData("1a 1a 2b 1a 3c 2b", "abc")] // delivered twice
    [InlineData("3c 3x 1a 2b", "abc")]
    [InlineData("1a 3c 4d", "a")] // waits for the second
    public void Events_come_in_any_order_They_leave_by_their_numbers(string came, string leaves)
    {
        foreach (var one in came.Split(' ')) order.Add(Token(one[1..], one[0] - '0'), out _);

        Assert.Equal(leaves, Taken());
    }

    [Fact]
    public void Events_without_numbers_Pass_as_they_come()
    {
        foreach (var text in (string[])["a", "a", "b"]) Assert.True(order.Add(Token(text, null), out _));

        Assert.Equal("aab", Taken());
    }

    [Fact]
    public void Missing_event_does_not_come_The_rest_goes_on_without_it()
    {
        order.Add(Token("a", 1), out _);
        order.Add(Token("d", 4), out _);
        order.Add(Token("c", 3), out _);
        Assert.True(order.HasGap);

        Assert.Equal(3, order.GiveUp());

        Assert.Equal("acd", Taken());
        Assert.False(order.HasGap);
        Assert.False(order.Add(Token("b", 2), out _)); // too late
    }

    [Fact]
    public void Too_many_wait_The_oldest_gap_is_given_up()
    {
        for (var seq = 2; seq <= EventOrder.MostWaiting + 2; seq++) order.Add(Token("x", seq), out _);

        Assert.Equal(EventOrder.MostWaiting + 1, Taken().Length);
    }

    [Fact]
    public void Newer_attempt_speaks_The_older_one_is_not_heard_any_more()
    {
        Assert.True(order.Add(Token("a", 1, 1), out _));
        Assert.Equal("a", Taken());
        order.Add(Token("c", 3, 1), out _);

        Assert.True(order.Add(Token("A", 1, 2), out var isNewer));

        Assert.True(isNewer);
        Assert.False(order.Add(Token("b", 2, 1), out _));
        Assert.True(order.Add(Token("B", 2, 2), out isNewer));
        Assert.False(isNewer);
        Assert.Equal("AB", Taken());
        Assert.False(order.HasGap);
    }
}
