using Proxy.Config;

namespace Proxy.Tests.Config;

public sealed class ConsoleConfigTests
{
    [Fact]
    public void No_section_The_console_is_on() => Assert.Equal(new ConsoleConfig { Enabled = true }, Toml.Good("").Console);

    [Fact]
    public void Switch_Is_read() => Assert.False(Toml.Good("[console]\nenabled = false\n").Console.Enabled);

    [Theory]
    [InlineData("key = \"k\"", "any key of [[auth.keys]] that has admin = true")]
    [InlineData("password = \"p\"", "any key of [[auth.keys]] that has admin = true")]
    [InlineData("listen = \"127.0.0.1:80\"", "every address of [server] listen")]
    [InlineData("path = \"/\"", "always at /console")]
    [InlineData("enabled = 1", "true or false")]
    public void Wrong_setting_Says_what_to_write(string line, string hint) =>
        Toml.IsRefused($"[console]\n{line}\n", 2, $"console.{line.Split(' ')[0]}", hint);
}
