using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using System.Text.RegularExpressions;
using Proxy.Cli;
using Proxy.Cli.Doctor;
using Proxy.Tests.Backends;
using Proxy.Tests.Rules;

namespace Proxy.Tests.Cli;

public sealed partial class DoctorTests : IDisposable
{
    private const string Models = """{"object":"list","data":[{"id":"qwen3:8b","object":"model"},{"id":"other","object":"model"}]}""";

    private readonly CommandLine proxy = new();

    public void Dispose() => proxy.Dispose();

    [Fact]
    public async Task What_works_Is_ok_with_the_time_that_the_host_took()
    {
        await using var host = new RecordedHost().Json("/v1/models", Models);
        proxy.Config = $"[server]\nlisten = [\"127.0.0.1:0\"]\n[[backends]]\nname = \"gpu\"\nurl = \"{host.Url}\"\n";

        var (code, output, error) = await proxy.RunAsync("doctor");

        Assert.Equal((ExitCode.Ok, ""), (code, error));
        Assert.Contains($"ok    config     {proxy.ConfigPath}: 1 backend, serves this machine only\n", output, StringComparison.Ordinal);
        Assert.Contains("ok    proxy      is not running\n", output, StringComparison.Ordinal);
        Assert.Matches($@"\nok    host       gpu \({host.Url}\): openai, 2 models, \d+ ms\n", output);
        Assert.Contains("ok    model      all-minilm-q4: built in\n", output, StringComparison.Ordinal);
        foreach (var area in (string[])["disk", "clock", "files"]) Assert.Matches($"(ok|warn|fail) +{area} +[^\n]+\n", output);
        Assert.EndsWith(" 0 failed\n", output, StringComparison.Ordinal);
        Assert.DoesNotContain("\e[", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_fails_Is_named_with_what_to_do_and_exits_1_and_the_rest_is_still_checked()
    {
        await using var closed = new RecordedHost().Json("/v1/models", "{}", 401);
        var gone = Unused();
        proxy.Config = $"""
            nonsense = 1
            [[backends]]
            name = "off"
            url = "http://{gone}"
            [[backends]]
            name = "closed"
            url = "{closed.Url}"
            [[pipelines]]
            name = "p"
            launcher = "process"
            command = ["/nowhere/program"]
            """;

        var (code, json, _) = await proxy.RunAsync("doctor --json");

        Assert.Equal(ExitCode.Failed, code);
        using var report = JsonDocument.Parse(json);
        Assert.False(report.RootElement.GetProperty("ok").GetBoolean());
        var failed = report.RootElement.GetProperty("checks").EnumerateArray().Where(static row => row.GetProperty("mark").GetString() == "fail")
            .ToDictionary(static row => row.GetProperty("text").GetString()!, static row => row.GetProperty("advice").GetString()!);
        Assert.Contains($"{proxy.ConfigPath}:1: nonsense: ", failed.Keys.First(), StringComparison.Ordinal);
        Assert.StartsWith("start the host", failed[$"off (http://{gone}): connection refused"], StringComparison.Ordinal);
        var keyless = failed.Single(static one => one.Key.StartsWith("closed", StringComparison.Ordinal));
        Assert.StartsWith("set [[backends]] key", keyless.Value, StringComparison.Ordinal);
        Assert.StartsWith("correct [[pipelines]] command",
            failed["p: /nowhere/program does not exist, or this user may not see it"], StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_host_that_hangs_Does_not_hold_up_the_rest()
    {
        using var silent = new TcpListener(IPAddress.Loopback, 0);
        silent.Start();
        proxy.Config = $"[[backends]]\nname = \"slow\"\nurl = \"http://{silent.LocalEndpoint}\"\n";

        var (code, output, _) = await proxy.RunAsync("doctor --timeout 300ms");

        Assert.Equal(ExitCode.Failed, code);
        Assert.Contains($"fail  host       slow (http://{silent.LocalEndpoint}): no result within 300ms\n"
            + "                 -> try again with a longer --timeout\n", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task No_secret_is_printed()
    {
        await using var host = new RecordedHost().Json("/v1/models", "{}", 401);
        var dead = Unused();
        proxy.Environment["KEY"] = "gpu-secret-1";
        proxy.Config = $$"""
            [[backends]]
            name = "gpu-secret-1"
            url = "{{host.Url}}"
            key = "gpu-secret-1"
            headers = { x-extra = "Basic extra-secret-2" }
            [nats]
            url = "nats://someone:nats-secret-3@{{dead}}"
            [store]
            kind = "postgres"
            url = "postgres://someone:pg%2Fsecret-4@{{dead}}/db"
            """;

        var (_, text, error) = await proxy.RunAsync("doctor");
        var (_, json, _) = await proxy.RunAsync("doctor --json");

        Assert.Contains("***", text, StringComparison.Ordinal); // the name, which is the key
        foreach (var secret in (string[])["gpu-secret-1", "extra-secret-2", "nats-secret-3", "pg%2Fsecret-4", "pg/secret-4"])
            Assert.DoesNotContain(secret, text + json + error, StringComparison.Ordinal);
        Assert.Matches("fail +nats ", text);
        Assert.Matches("fail +records ", text);
    }

    [Fact]
    public async Task A_running_proxy_Is_examined_as_it_runs()
    {
        await using var admin = new RecordedHost(proxy.AdminSocket);
        await using var listener = new RecordedHost().Json("/health", "{}").Json("/ready", "{}", 503);
        var itsFile = proxy.InFolder("its.toml");
        await File.WriteAllTextAsync(itsFile, $"""
            [server]
            listen = ["{listener.Address}"]
            [[pipelines]]
            name = "p"
            launcher = "process"
            command = ["/usr/bin/env", "node", "job.mjs"]
            """, TestContext.Current.CancellationToken);
        Process("cmdline", $"/usr/bin/proxy\0serve\0--config\0{itsFile}\0");
        Process("environ", $"STATE_DIRECTORY={proxy.InFolder("state")}\0QDRANT_URL=http://q\0");
        Process("cgroup", "0::/system.slice/proxy.service\n");
        Process("limits", "Limit           Soft Limit   Hard Limit   Units\nMax open files  1024         4096         files\n");

        var (code, output, _) = await proxy.RunAsync("doctor");

        Assert.Equal(ExitCode.Failed, code);
        Assert.Contains($"ok    config     {itsFile}: 1 backend", output, StringComparison.Ordinal);
        Assert.Contains("warn  config     QDRANT_URL is set but not used", output, StringComparison.Ordinal);
        Assert.Contains($"ok    proxy      runs as process {Environment.ProcessId}\n", output, StringComparison.Ordinal);
        Assert.Contains($"fail  proxy      {listener.Address} answers, and nothing can answer calls", output, StringComparison.Ordinal);
        Assert.Contains("fail  pipeline   p: node compiles code while it runs", output, StringComparison.Ordinal);
        Assert.Matches($"disk +{proxy.InFolder("state")}: ", output);
        Assert.Contains("warn  files      the running proxy may have 4,096 files open\n", output, StringComparison.Ordinal);

        (_, output, _) = await proxy.RunAsync($"doctor --config {proxy.InFolder("other.toml")}");
        Assert.Contains($"ok    proxy      runs as process {Environment.ProcessId} with {itsFile}, not with the file that is checked here\n", output,
            StringComparison.Ordinal);
        Assert.DoesNotContain("answers", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_taken_port_Is_told_if_no_proxy_runs()
    {
        using var other = new TcpListener(IPAddress.Loopback, 0);
        other.Start();
        proxy.Config = $"[server]\nlisten = [\"{other.LocalEndpoint}\"]\n";

        var (code, output, _) = await proxy.RunAsync("doctor");

        Assert.Equal(ExitCode.Ok, code);
        Assert.Contains($"warn  proxy      something listens at {other.LocalEndpoint}", output, StringComparison.Ordinal);
        Assert.False(other.Pending()); // a connection would start a service that waits for one
    }

    [Theory]
    [InlineData(true, null, true)]
    [InlineData(true, "1", false)]
    [InlineData(false, null, false)]
    public async Task Marks_are_coloured_on_a_terminal_only(bool terminal, string? noColour, bool coloured)
    {
        if (noColour is not null) proxy.Environment["NO_COLOR"] = noColour;
        proxy.Config = "";

        var (_, output, _) = await proxy.RunAsync("doctor", around => around with { OutputIsTerminal = terminal });

        Assert.Equal(coloured, output.Contains("\e[32mok    \e[0m", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Without_a_file_The_environment_is_checked()
    {
        proxy.Environment.Remove("PROXY_CONFIG");
        proxy.Environment["LLM_BASE_URL"] = $"http://{Unused()}";
        proxy.Environment["PROXY_CONFIG"] = "";
        proxy.Environment["HOME"] = proxy.InFolder("home");

        var (code, output, _) = await proxy.RunAsync("doctor");

        Assert.Equal(ExitCode.Failed, code);
        Assert.Contains("ok    config     no file, the environment and the defaults: 1 backend", output, StringComparison.Ordinal);
        Assert.Contains("fail  host       llm (", output, StringComparison.Ordinal);
    }

    [Fact]
    public void The_machines_figures_are_judged()
    {
        var disks = new[] { 5L << 30, 1L << 30, 100L << 20 }.Select(static free => MachineChecks.Space("/var/lib/proxy", free).Mark);
        Assert.Equal([Mark.Ok, Mark.Warn, Mark.Fail], disks);
        Assert.Equal([Mark.Ok, Mark.Warn], new[] { 524288L, 1024 }.Select(static limit => MachineChecks.Files(limit, "it").Mark));
        Assert.Equal(Finding.Ok("synchronised, at most 12.5 ms wrong"), MachineChecks.Clock(0, 0x2001, 12500));
        Assert.Equal([Mark.Warn, Mark.Warn], [MachineChecks.Clock(5, 0x40, 16000000).Mark, MachineChecks.Clock(-1, 0, 0).Mark]);
        Assert.Equal(long.MaxValue, RunningProxy.OpenFiles("Max open files            1024                 unlimited            files"));
        Assert.Null(RunningProxy.OpenFiles("Max cpu time  unlimited  unlimited  seconds"));
    }

    [Fact]
    public void Areas_are_those_of_the_page()
    {
        var code = Repository.Sources().Where(static source => source.Text.Contains("DoctorCheck", StringComparison.Ordinal));
        var areas = code.SelectMany(static source => Area().Matches(source.Text)).Select(static match => match.Groups[1].Value).Distinct();
        var page = Repository.Read("docs/operations.md").Split("\n## ").Single(static part => part.StartsWith("Doctor\n", StringComparison.Ordinal));

        Assert.Equal(areas.Order(StringComparer.Ordinal), Row().Matches(page).Select(static match => match.Groups[1].Value).Order(StringComparer.Ordinal));
    }

    [GeneratedRegex("""(?:DoctorCheck(?:\.Of)?|new)\("([a-z]+)", """)]
    private static partial Regex Area();

    [GeneratedRegex(@"(?m)^\| `([a-z]+)` \|")]
    private static partial Regex Row();

    private static string Unused()
    {
        using var gone = new TcpListener(IPAddress.Loopback, 0);
        gone.Start();
        return gone.LocalEndpoint.ToString()!;
    }

    private void Process(string file, string text)
    {
        var folder = Directory.CreateDirectory(Path.Combine(proxy.Processes, $"{Environment.ProcessId}")).FullName;
        File.WriteAllText(Path.Combine(folder, file), text);
    }
}
