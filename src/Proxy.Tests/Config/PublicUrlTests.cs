using Proxy.Config;

namespace Proxy.Tests.Config;

public sealed class PublicUrlTests
{
    [Theory]
    [InlineData("https://ai.example", "ai.example", "https://ai.example")]
    [InlineData("https://AI.example:443/", "ai.example", "https://ai.example")]
    [InlineData("https://ai.example/llm/v1", "ai.example", "https://ai.example")]
    [InlineData("http://box.lan:8080", "box.lan", "http://box.lan:8080")]
    [InlineData("http://[2001:db8::1]:8080", "[2001:db8::1]", "http://[2001:db8::1]:8080")]
    [InlineData("https://bücher.example", "xn--bcher-kva.example", "https://xn--bcher-kva.example")]
    public void A_url_Is_a_host_and_an_origin_as_they_are_sent(string text, string host, string origin)
    {
        Assert.True(PublicUrl.TryParse(text, out var url, out _));
        Assert.Equal((host, origin), (url.Host, url.Origin));
    }
}
