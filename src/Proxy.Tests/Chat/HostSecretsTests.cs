using System.Text;
using Proxy.Chat;

namespace Proxy.Tests.Chat;

public sealed class HostSecretsTests
{
    [Theory]
    [InlineData("no key here", "no key here")]
    [InlineData("sk-12345/67", "[redacted]")]
    [InlineData("a sk-12345/67 b sk-12345/67", "a [redacted] b [redacted]")]
    [InlineData("""{"m":"sk-12345\/67"}""", """{"m":"[redacted]"}""")]
    [InlineData("""{"m":"\u0073k-12345\u002f67!"}""", """{"m":"[redacted]!"}""")]
    [InlineData("sk-12345/6", "sk-12345/6")]
    [InlineData("sk-1sk-12345/67", "sk-1[redacted]")]
    [InlineData("\\sk-12345/67\\", "\\[redacted]\\")]
    [InlineData("\\u00", "\\u00")]
    [InlineData("longer-than-sk-12345/67", "[redacted]")]
    public void Credential_Is_struck_out_however_it_is_written(string text, string expected)
    {
        var secrets = HostSecrets.Of(["Bearer sk-12345/67", "longer-than-sk-12345/67", "none", ""])!;

        Assert.Equal(expected, secrets.Strike(text));
        Assert.Equal(text != expected, secrets.TryStrike(Encoding.UTF8.GetBytes(text), out _));
    }

    [Fact]
    public void Placeholders_are_no_credentials() => Assert.Null(HostSecrets.Of(["none", "ollama", "Bearer x"]));
}
