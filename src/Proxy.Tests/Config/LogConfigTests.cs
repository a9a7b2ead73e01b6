using Proxy.Config;

namespace Proxy.Tests.Config;

public sealed class LogConfigTests
{
    [Fact]
    public void Every_setting_Is_read() => Assert.Equal(
        new LogConfig { Level = "debug", Format = "json", Bodies = "/var/b.log", BodiesSize = 2 << 20, BodiesFiles = 0 },
        Toml.Good("[log]\nlevel = \"debug\"\nformat = \"json\"\nbodies = \"/var/b.log\"\nbodies_size = \"2MiB\"\nbodies_files = 0\n").Log);

    [Fact]
    public void Hosts_own_metrics_Are_shown_only_if_the_file_says_so()
    {
        Assert.False(Toml.Good("").Metrics.Hosts);
        Assert.True(Toml.Good("[metrics]\nhosts = true\n").Metrics.Hosts);
    }

    [Theory]
    [InlineData("[log]\nbodies_size = \"64KiB\"", 2, "log.bodies_size", "64KiB is too small for bodies; write \"1MiB\" or more")]
    [InlineData("[log]\nbodies_files = 101", 2, "log.bodies_files", "100")]
    [InlineData("[log]\nprompts = true", 2, "log.prompts", "write bodies = \"/path\"")]
    [InlineData("[metrics]\nenabled = true", 2, "metrics.enabled", "GET /metrics needs no setting")]
    [InlineData("[metrics]\nhosts = \"all\"", 2, "metrics.hosts", "true or false, without quotes")]
    public void Wrong_setting_Says_what_to_write(string toml, int line, string key, string hint) => Toml.IsRefused(toml + "\n", line, key, hint);
}
