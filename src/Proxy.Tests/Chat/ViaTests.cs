using Proxy.Chat;

namespace Proxy.Tests.Chat;

public sealed class ViaTests
{
    private const string Id = "proxy-0123456789abcdef";

    [Theory]
    [InlineData(null, 0, false, null)]
    [InlineData("", 0, false, null)]
    [InlineData(", ,", 0, false, null)]
    [InlineData("1.1 proxy-0123456789abcdef", 1, true, Id)]
    [InlineData("1.1 PROXY-0123456789ABCDEF", 1, true, null)]
    [InlineData("1.0 fred, 1.1 p.example.net (Apache/1.1)", 2, false, null)]
    [InlineData("HTTP/1.1\tproxy-0123456789abcdef (ours),2 nginx", 2, true, Id)]
    [InlineData("1.1 proxy-0123456789abcdef0", 1, false, null)]
    [InlineData("1.1 fred (proxy-0123456789abcdef)", 1, false, null)]
    [InlineData("1.1 proxy-0123456789abcdef, 1.1 proxy-fedcba9876543210, 1.1 Caddy", 3, true, "proxy-fedcba9876543210")]
    [InlineData("proxy-0123456789abcdef", 1, false, null)]
    public void Value_Is_read(string? via, int hops, bool names, string? last)
    {
        Assert.Equal((hops, names, last), (Via.Hops(via), Via.Names(via, Id), Via.LastProxy(via)));
    }

    [Fact]
    public void Identity_Is_a_name_of_its_own_each_time()
    {
        var (one, other) = (new ProxyIdentity(), new ProxyIdentity());

        Assert.NotEqual(one.Id, other.Id);
        Assert.True(ProxyIdentity.IsId(one.Id));
        Assert.Equal(one.Id, Via.LastProxy(one.Via));
    }

    [Fact]
    public void Value_Is_longer_than_any_chain_It_is_too_far()
    {
        Assert.False(Via.IsTooFar(string.Join(", ", Enumerable.Repeat("1.1 " + Id, 7))));
        Assert.True(Via.IsTooFar(string.Join(", ", Enumerable.Repeat("1.1 " + Id, 8))));
        Assert.True(Via.IsTooFar("1.1 " + new string('x', 4000)));
    }
}
