using System.Net.Sockets;
using System.Text.Json;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Sdk;

/// <summary>
/// Coding agents without a user interface carry out a task with one tool call, through a host whose dialect they do not speak. They can reach only the proxy.
/// </summary>
[Trait("Category", "Sdk")]
public sealed class AgentTests(AgentRoom room) : IClassFixture<AgentRoom>, IDisposable
{
    private const string Task = "Make the file made.txt with the text that I told you about.";
    private readonly string home = Directory.CreateTempSubdirectory("proxy-agent-").FullName;

    public void Dispose() => Directory.Delete(home, recursive: true);

    [Theory]
    [InlineData("openai")]
    [InlineData("ollama")]
    public async Task Claude_Code_has_a_task_It_is_done(string dialect)
    {
        Machine.NeedsNamespaces();
        var model = $"coder-{dialect}";

        var run = await room.RunAsync(home, "@anthropic-ai/claude-code/cli-wrapper.cjs", new Dictionary<string, string>
        {
            ["ANTHROPIC_BASE_URL"] = room.Proxy.Address.GetLeftPart(UriPartial.Authority),
            ["ANTHROPIC_AUTH_TOKEN"] = "unused",
            ["ANTHROPIC_MODEL"] = model,
            ["ANTHROPIC_DEFAULT_HAIKU_MODEL"] = model,
            ["CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC"] = "1",
            ["DISABLE_AUTOUPDATER"] = "1",
            ["DISABLE_TELEMETRY"] = "1",
        }, "--print", Task, "--allowedTools", "Bash");

        Done(run, dialect, "Bash");
    }

    [Theory]
    [InlineData("openai")]
    [InlineData("ollama")]
    public async Task Codex_has_a_task_It_is_done(string dialect)
    {
        Machine.NeedsNamespaces();

        var run = await RunCodexAsync($"coder-{dialect}", Task);

        Done(run, dialect, "exec_command");
    }

    [Fact]
    public async Task Codex_patches_a_file_with_its_custom_tool_It_is_patched()
    {
        Machine.NeedsNamespaces();

        var run = await RunCodexAsync(AgentRoom.Patcher, $"Make the file made.txt {AgentHost.ByPatch}.");

        Assert.True(run.ExitCode == 0, $"exit {run.ExitCode}\n{run.Output}\n{run.Errors}");
        Assert.Equal(AgentHost.Content + "\n", File.ReadAllText(Path.Combine(home, "work", AgentHost.File)));
        var messages = Calls("openai").Last(call => call.TryGetProperty("tools", out _)).GetProperty("messages").EnumerateArray().ToArray();
        var call = Assert.Single(Assert.Single(messages, message => message.GetProperty("role").GetString() == "assistant")
            .GetProperty("tool_calls").EnumerateArray()).GetProperty("function");
        Assert.Equal("apply_patch", call.GetProperty("name").GetString());
        Assert.True(JsonElement.DeepEquals(JsonElement.Parse(AgentHost.Arguments("apply_patch")!.ToJsonString()),
            JsonElement.Parse(call.GetProperty("arguments").GetString()!)), call.GetRawText());
        Assert.Contains("Success", Assert.Single(messages, message => message.GetProperty("role").GetString() == "tool").GetProperty("content").GetString());
    }

    private async Task<(int ExitCode, string Output, string Errors)> RunCodexAsync(string model, string task)
    {
        var settings = Directory.CreateDirectory(Path.Combine(home, ".codex")).FullName;
        await File.WriteAllTextAsync(Path.Combine(settings, "config.toml"), $"""
            model = "{model}"
            model_provider = "proxy"
            check_for_update_on_startup = false
            [analytics]
            enabled = false
            [model_providers.proxy]
            name = "proxy"
            base_url = "{new Uri(room.Proxy.Address, "/v1")}"
            wire_api = "responses"
            """, TestContext.Current.CancellationToken);

        return await room.RunAsync(home, "@openai/codex/bin/codex.js", new Dictionary<string, string>(),
            "exec", "--dangerously-bypass-approvals-and-sandbox", "--skip-git-repo-check", task);
    }

    [Fact]
    public async Task The_agents_room_Has_no_way_out()
    {
        Machine.NeedsNamespaces();
        await using var outside = FakeBackend.Start();
        using var client = room.Network.Client(new Uri(outside.Url));

        var failure = await Assert.ThrowsAnyAsync<Exception>(() => client.GetAsync("/v1/models", TestContext.Current.CancellationToken));

        Assert.Equal(SocketError.ConnectionRefused, Assert.IsType<SocketException>(failure.GetBaseException()).SocketErrorCode);
        Assert.Equal("lo", string.Join(' ', (await Command.RunAsync("nsenter", $"--net={room.Network.Path}", "cat", "/proc/self/net/dev")).Split('\n').Skip(2)
            .Select(line => line.Split(':')[0].Trim())));
    }


    private void Done((int ExitCode, string Output, string Errors) run, string dialect, string tool)
    {
        Assert.True(run.ExitCode == 0, $"exit {run.ExitCode}\n{run.Output}\n{run.Errors}");
        Assert.Equal(AgentHost.Report, run.Output.Trim());
        Assert.Equal(AgentHost.Content, File.ReadAllText(Path.Combine(home, "work", AgentHost.File)));

        // The host received its own call again, together with the tool's result.
        var messages = Calls(dialect).Last(call => call.TryGetProperty("tools", out _)).GetProperty("messages").EnumerateArray().ToArray();
        var asked = Assert.Single(messages, message => message.GetProperty("role").GetString() == "assistant");
        var call = Assert.Single(asked.GetProperty("tool_calls").EnumerateArray()).GetProperty("function");
        Assert.Equal(tool, call.GetProperty("name").GetString());
        var answered = Assert.Single(messages, message => message.GetProperty("role").GetString() == "tool");
        Assert.Contains(AgentHost.Result, answered.GetProperty("content").GetString());
        var arguments = call.GetProperty("arguments");
        if (dialect == "openai")
        {
            Assert.Equal(AgentHost.CallId, asked.GetProperty("tool_calls")[0].GetProperty("id").GetString());
            Assert.Equal(AgentHost.CallId, answered.GetProperty("tool_call_id").GetString());
            arguments = JsonElement.Parse(arguments.GetString()!);
        }
        else
        {
            Assert.Equal(tool, answered.GetProperty("tool_name").GetString());
        }

        Assert.True(JsonElement.DeepEquals(JsonElement.Parse(AgentHost.Arguments(tool)!.ToJsonString()), arguments), arguments.GetRawText());
    }

    /// <summary>The calls of this test's own run: those whose system prompt or messages contain its folder's name.</summary>
    private IEnumerable<JsonElement> Calls(string dialect) =>
        room.Host(dialect).Calls.Where(call => call.Text.Contains(Path.GetFileName(home), StringComparison.Ordinal)).Select(call => call.Json);
}
