using Proxy.Cli;

namespace Proxy.Tests.Cli;

/// <summary><c>proxy polkit</c>. What polkit makes of the rule is in PolkitRuleTests.</summary>
public sealed class PolkitCommandTests : IDisposable
{
    private readonly CommandLine proxy = new();

    public void Dispose() => proxy.Dispose();

    [Fact]
    public async Task Pipelines_are_units_Their_templates_are_in_the_rule_and_no_others()
    {
        proxy.Config = """
            [[backends]]
            name = "gpu"
            url = "http://127.0.0.1:8080"
            key = "${SECRET_OF_THE_SERVICE}"
            [[pipelines]]
            name = "research"
            launcher = "systemd"
            unit = "dagster-research@{trace_id}.service"
            [[pipelines]]
            name = "other"
            launcher = "systemd"
            unit = "b@{trace_id}.service"
            [[pipelines]]
            name = "same"
            launcher = "systemd"
            unit = "b@{trace_id}.service"
            [[pipelines]]
            name = "alone"
            launcher = "process"
            command = ["/opt/job"]
            """;

        var (code, rule, error) = await proxy.RunAsync("polkit");

        Assert.Equal((ExitCode.Ok, ""), (code, error));
        Assert.Contains("/^(?:b|dagster-research)@[0-9A-HJKMNP-TV-Z]{26}\\.service$/", rule, StringComparison.Ordinal);
        Assert.Contains("subject.user != \"llm-proxy\"", rule, StringComparison.Ordinal);
        Assert.Single(rule.Split('\n'), static line => line.StartsWith("polkit.addRule(", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Proxy_is_another_user_The_rule_is_for_that_one()
    {
        proxy.Config = "[[pipelines]]\nname = \"p\"\nlauncher = \"systemd\"\nunit = \"a@{trace_id}.service\"\n";

        var (_, rule, _) = await proxy.RunAsync("polkit --user chat_proxy");

        Assert.Contains("subject.user != \"chat_proxy\"", rule, StringComparison.Ordinal);
        Assert.DoesNotContain("llm-proxy", rule, StringComparison.Ordinal);
    }

    [Fact]
    public async Task No_pipeline_is_a_unit_Nothing_is_granted()
    {
        proxy.Config = "[nats]\nurl = \"nats://127.0.0.1\"\n";

        var (code, rule, _) = await proxy.RunAsync("polkit");

        Assert.Equal(ExitCode.Ok, code);
        Assert.All(rule.Split('\n', StringSplitOptions.RemoveEmptyEntries), static line => Assert.StartsWith("//", line, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("[[pipelines]]\nname = \"p\"\nlauncher = \"systemd\"\nunit = \"a*@{trace_id}.service\"\n", "pipelines[0].unit")]
    [InlineData("[[pipelines]]\nname = \"p\"\nlauncher = \"systemd\"\nunit = \"a@{trace_id}.service", ":4:")]
    public async Task Pipelines_are_wrong_No_rule_is_printed(string config, string where)
    {
        proxy.Config = config;

        var (code, rule, error) = await proxy.RunAsync("polkit");

        Assert.Equal((ExitCode.ConfigProblem, ""), (code, rule));
        Assert.Contains(where, error, StringComparison.Ordinal);
    }
}
