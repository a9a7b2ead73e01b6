using Proxy.Config;

namespace Proxy.Tests.Config;

public sealed class PipelineConfigTests
{
    private const string Nats = "[nats]\nurl = \"nats://127.0.0.1:4222\"\n";

    private static PipelineConfig Read(string pipeline, string more = "") => Toml.Good(more + "[[pipelines]]\n" + pipeline).Pipelines[0];

    [Fact]
    public void Process_needs_only_its_command_The_rest_has_defaults()
    {
        var read = Read("name = \"a\"\nlauncher = \"process\"\ncommand = [\"/bin/job\", \"x\"]");

        Assert.Equal(["/bin/job", "x"], read.Command);
        Assert.Equal(("first", "reasoning", "error"), (read.Present, read.ToolCalls, read.OnRetry));
        Assert.Equal((TimeSpan.FromMinutes(10), TimeSpan.FromMinutes(5), TimeSpan.FromSeconds(60)), (read.Timeout, read.Idle, read.LaunchTimeout));
    }

    [Theory]
    [InlineData("name = \"a\"\nlauncher = \"jetstream\"")]
    [InlineData("name = \"a\"\nlauncher = \"systemd\"\nunit = \"job@{trace_id}.service\"")]
    [InlineData("name = \"a\"\nlauncher = \"dagster\"\nurl = \"http://127.0.0.1:3000\"\njob = \"j\"\npresent = \"task:A\"\non_retry = \"restart\"")]
    public void Other_launchers_need_nats_With_it_they_are_good(string pipeline)
    {
        Read(pipeline, Nats);
        Assert.Contains(Toml.Bad("[[pipelines]]\n" + pipeline), static problem => problem.Key is "pipelines[0].launcher");
    }

    [Theory]
    [InlineData("name", "name = \"A\"\nlauncher = \"process\"\ncommand = [\"/a\"]")]
    [InlineData("name", "name = \"-a\"\nlauncher = \"process\"\ncommand = [\"/a\"]")]
    [InlineData("name", "launcher = \"process\"\ncommand = [\"/a\"]")]
    [InlineData("launcher", "name = \"a\"\ncommand = [\"/a\"]")]
    [InlineData("launcher", "name = \"a\"\nlauncher = \"cron\"")]
    [InlineData("command", "name = \"a\"\nlauncher = \"process\"")]
    [InlineData("command[0]", "name = \"a\"\nlauncher = \"process\"\ncommand = [\"job\"]")]
    [InlineData("unit", "name = \"a\"\nlauncher = \"process\"\ncommand = [\"/a\"]\nunit = \"j@{trace_id}.service\"")]
    [InlineData("unit", "name = \"a\"\nlauncher = \"systemd\"")]
    [InlineData("unit", "name = \"a\"\nlauncher = \"systemd\"\nunit = \"job.service\"")]
    [InlineData("unit", "name = \"a\"\nlauncher = \"systemd\"\nunit = \"job@x{trace_id}.service\"")]
    [InlineData("url", "name = \"a\"\nlauncher = \"dagster\"\njob = \"j\"")]
    [InlineData("url", "name = \"a\"\nlauncher = \"dagster\"\njob = \"j\"\nurl = \"127.0.0.1:3000\"")]
    [InlineData("job", "name = \"a\"\nlauncher = \"dagster\"\nurl = \"http://127.0.0.1:3000\"")]
    [InlineData("present", "name = \"a\"\nlauncher = \"process\"\ncommand = [\"/a\"]\npresent = \"last\"")]
    [InlineData("present", "name = \"a\"\nlauncher = \"process\"\ncommand = [\"/a\"]\npresent = \"task:\"")]
    [InlineData("timeout", "name = \"a\"\nlauncher = \"process\"\ncommand = [\"/a\"]\ntimeout = \"0s\"")]
    [InlineData("tool_calls", "name = \"a\"\nlauncher = \"process\"\ncommand = [\"/a\"]\ntool_calls = \"show\"")]
    [InlineData("cmd", "name = \"a\"\nlauncher = \"process\"\ncmd = [\"/a\"]\ncommand = [\"/a\"]")]
    public void Setting_is_wrong_The_problem_names_it(string key, string pipeline)
    {
        Assert.Contains(Toml.Bad(Nats + "[[pipelines]]\n" + pipeline), problem => problem.Key == $"pipelines[0].{key}");
    }
}
