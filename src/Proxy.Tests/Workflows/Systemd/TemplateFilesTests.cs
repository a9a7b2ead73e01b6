using Proxy.Tests.Rules;
using Proxy.Workflows.Systemd;

namespace Proxy.Tests.Workflows.Systemd;

/// <summary>The example templates: what the launcher needs of a unit, and what only a container needs.</summary>
public sealed class TemplateFilesTests
{
    [Theory]
    [InlineData("packaging/systemd/dagster-job@.service")]
    [InlineData("packaging/quadlet/dagster-job@.container")]
    public void Template_of_a_job_Runs_once_and_reads_its_job(string file)
    {
        var unit = Read(file);

        Assert.Equal("oneshot", unit["Service.Type"]);
        Assert.Equal($"file:{JobFiles.Usual}/%i.json", unit["Service.StandardInput"]);
        Assert.Equal("inactive-or-failed", unit["Unit.CollectMode"]);
        Assert.DoesNotContain("Service.Restart", unit.Keys);
    }

    [Fact]
    public void Container_of_a_job_Is_given_its_standard_input() =>
        Assert.Equal("--interactive", Read("packaging/quadlet/dagster-job@.container")["Container.PodmanArgs"]);

    [Fact]
    public void Container_of_the_proxy_Says_when_it_is_ready_and_keeps_its_state()
    {
        var unit = Read("packaging/quadlet/proxy.container");

        Assert.Equal("true", unit["Container.Notify"]);
        Assert.StartsWith("proxy-state:/var/lib/proxy:", unit["Container.Volume"], StringComparison.Ordinal);
        Assert.Contains("STATE_DIRECTORY=/var/lib/proxy", unit["Container.Environment"], StringComparison.Ordinal);
        Assert.DoesNotContain("dbus", Repository.Read("packaging/quadlet/proxy.container"), StringComparison.OrdinalIgnoreCase);
    }

    /// <summary>The settings, each as <c>SECTION.KEY</c>; of a repeated one the last.</summary>
    private static Dictionary<string, string> Read(string file)
    {
        var (section, settings) = ("", new Dictionary<string, string>());
        foreach (var line in Repository.Read(file).Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            if (line is ['#', ..]) continue;
            if (line is ['[', .. var name, ']']) section = name;
            else settings[$"{section}.{line[..line.IndexOf('=')]}"] = line[(line.IndexOf('=') + 1)..];
        }

        return settings;
    }
}
