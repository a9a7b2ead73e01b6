using Proxy.Composition;

namespace Proxy.Tests.Composition;

public sealed class InheritedSocketsTests
{
    const int Self = 77;

    [Fact]
    public void Two_sockets_for_us_Both_in_order_with_their_names() =>
        Assert.Equal([new(3, "http"), new(4, "admin")], InheritedSockets.Read("77", "2", "http:admin", Self));

    [Theory]
    [InlineData(null, "")]
    [InlineData("http", "http")]
    public void Names_are_missing_The_sockets_still_count(string? names, string first) =>
        Assert.Equal([new(3, first), new(4, "")], InheritedSockets.Read("77", "2", names, Self));

    [Theory]
    [InlineData("78", "1")] // LISTEN_PID of another process, inherited from the parent
    [InlineData(null, "1")]
    [InlineData("77", null)]
    [InlineData("77", "-1")]
    [InlineData("77", "many")]
    public void Not_for_us_or_unreadable_None(string? process, string? count) =>
        Assert.Empty(InheritedSockets.Read(process, count, "http", Self));
}
