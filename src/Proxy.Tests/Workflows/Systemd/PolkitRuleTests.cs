using Proxy.Config;
using Proxy.Tests.Harness;
using Proxy.Workflows.Systemd;

namespace Proxy.Tests.Workflows.Systemd;

/// <summary>What the generated rule lets the service's user do, asked of a real polkit and a real systemd.</summary>
[Trait("Category", "System")]
[Collection(WorkflowBox.Shared)]
public sealed class PolkitRuleTests(WorkflowBox box) : IAsyncLifetime
{
    private const string Trace = "01JAAAAAAAAAAAAAAAAAAAAAAA";

    public async ValueTask InitializeAsync()
    {
        await box.BootAsync();
        await box.MakeUserAsync();
        foreach (var name in (string[])["granted@", "other@", "granted-too@"]) await box.TemplateAsync(name, "StandardInput=null\nExecStart=/bin/sleep 60");
        // "ghost" is configured and not installed: only then a transient unit may take the name.
        await WriteAsync(PolkitRule.User, "granted", "ghost");
    }

    public async ValueTask DisposeAsync() => await box.TryAsync("rm", PolkitRule.File);

    [Fact]
    public async Task Instance_of_a_template_is_a_trace_id_The_service_starts_and_stops_it()
    {
        var unit = $"granted@{Trace}.service";
        await AllowedAsync("StartUnit", "ss", unit, "replace");
        Assert.Equal("active", await box.ShowAsync(unit, "ActiveState"));

        await AllowedAsync("StopUnit", "ss", unit, "replace");
        await Patience.Until(async () => await box.ShowAsync(unit, "ActiveState") == "inactive", "the unit is stopped");
    }

    [Theory]
    [InlineData("StartUnit", "ss", $"other@{Trace}.service", "replace")]
    [InlineData("StartUnit", "ss", $"granted-too@{Trace}.service", "replace")]
    [InlineData("StartUnit", "ss", "granted@short.service", "replace")]
    [InlineData("StartUnit", "ss", $"granted@{Trace}0.service", "replace")]
    [InlineData("StartUnit", "ss", "granted@01JAAAAAAAAAAAAAAAAAAAAAAI.service", "replace")] // I is no letter of trace ids
    [InlineData("RestartUnit", "ss", $"granted@{Trace}.service", "replace")]
    [InlineData("SetUnitProperties", "sba(sv)", $"granted@{Trace}.service", "true", "0")]
    [InlineData("Reload", "")]
    public Task Anything_else_The_service_is_refused(params string[] call) => RefusedAsync(call);

    /// <summary>A transient unit is a command of the caller's, run as root.</summary>
    [Theory]
    [InlineData($"ghost@{Trace}.service")]
    [InlineData($"granted@{Trace}.service")]
    [InlineData("mine.service")]
    public async Task Transient_unit_The_service_is_refused_whatever_its_name(string unit)
    {
        await RefusedAsync(
            "StartTransientUnit", "ssa(sv)a(sa(sv))", unit, "fail", "1", "ExecStart", "a(sasb)", "1", "/bin/touch", "2", "/bin/touch", "/run/root-was-here",
            "false", "0");

        Assert.False(File.Exists(box.Inside("/run/root-was-here")));
    }

    [Fact]
    public async Task User_is_made_by_systemd_for_one_run_Nothing_is_granted()
    {
        const string User = "made-for-one-run";
        await WriteAsync(User, "granted");

        var (exitCode, output) = await box.CallAsAsync(User, "StartUnit", "ss", $"granted@{Trace}.service", "replace");

        Assert.NotEqual(0, exitCode);
        Assert.Contains("Transport endpoint is not connected", output, StringComparison.Ordinal); // dbus-daemon closes the connection
        Assert.NotEqual("active", await box.ShowAsync($"granted@{Trace}.service", "ActiveState"));
    }

    [Fact]
    public async Task No_pipeline_is_a_unit_Nothing_is_granted()
    {
        await WriteAsync(PolkitRule.User);

        await RefusedAsync("StartUnit", "ss", $"granted@{Trace}.service", "replace");
    }

    private async Task AllowedAsync(params string[] call)
    {
        var (exitCode, output) = await box.CallAsAsync(PolkitRule.User, call);

        Assert.True(exitCode == 0, output);
    }

    private async Task RefusedAsync(params string[] call)
    {
        var (exitCode, output) = await box.CallAsAsync(PolkitRule.User, call);

        Assert.NotEqual(0, exitCode);
        Assert.Matches("Access denied|Permission denied|Interactive authentication required", output);
    }

    private async Task WriteAsync(string user, params string[] templates)
    {
        var rule = PolkitRule.Text([.. templates.Select(Pipeline)], user);
        await File.WriteAllTextAsync(box.Inside("/root/rule"), rule, TestContext.Current.CancellationToken);
        await box.RunAsync("install", "-m", "644", "/root/rule", PolkitRule.File);
        await box.RestartPolkitAsync();
    }

    private static PipelineConfig Pipeline(string template) =>
        new() { Name = template, Launcher = "systemd", Unit = template + "@{trace_id}.service" };
}
