using Proxy.Cli;
using Proxy.Tests.Backends;

namespace Proxy.Tests.Cli;

/// <summary><c>proxy run</c> against recorded answers, and what <c>proxy check</c> says of pipelines.</summary>
public sealed class RunCommandTests : IDisposable
{
    private const string Head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nx-trace-id: T1\r\n\r\n";

    private const string Events = """
        {"type":"token","text":"I ","task":"a","model":"qwen"}
        {"type":"token","text":"think.","task":"a","model":"qwen"}
        {"type":"token","text":"So do I.","task":"b"}
        {"type":"finished","reason":"stop","winner":"a"}

        """;

    private readonly CommandLine proxy = new();

    public void Dispose() => proxy.Dispose();

    [Fact]
    public async Task Answer_Is_printed_with_the_tasks_on_stderr_and_the_key_is_sent()
    {
        await using var host = new RecordedHost().Raw("/v1/chat/completions", Head).Raw("/v1/streams/T1?as=events", Head + Events);
        proxy.Environment["PROXY_KEY"] = "the-key\n";

        var (code, output, error) = await proxy.RunAsync($"run research what is it --url {host.Url}/v1");

        Assert.Equal((ExitCode.Ok, "I think.\nSo do I.\n", "[a: qwen]\n[b]\n"), (code, output, error));
        Assert.All(host.Asked, static asked => Assert.Contains("Authorization: Bearer the-key\r\n", asked, StringComparison.Ordinal));
        Assert.EndsWith(
            """{"model":"pipeline/research","stream":true,"messages":[{"role":"user","content":"what is it"}]}""", host.Asked[0], StringComparison.Ordinal);
    }

    [Fact]
    public async Task Text_is_left_out_Stdin_is_read_and_the_listener_of_the_configuration_is_asked()
    {
        await using var host = new RecordedHost(proxy.InFolder("http.sock")).Raw("/v1/chat/completions", Head).Raw("/v1/streams/T1?as=events", Head + Events);
        proxy.Config = $"[server]\nlisten = [\"{host.Address}\"]\n";

        var (code, output, _) = await proxy.RunAsync(
            "run research --json", static around => around with { Input = static () => new MemoryStream("piped"u8.ToArray()) });

        Assert.Equal((ExitCode.Ok, Events), (code, output));
        Assert.Contains("\"content\":\"piped\"", host.Asked[0], StringComparison.Ordinal);
    }

    [Fact]
    public async Task Call_is_refused_The_command_exits_1_with_the_reason()
    {
        await using var host = new RecordedHost().Json("/v1/chat/completions", """{"error":{"message":"no key was sent","code":"x"}}""", 401);

        var (code, output, error) = await proxy.RunAsync($"run research x --url {host.Url}");

        Assert.Equal((ExitCode.Failed, "", "no key was sent (the key is taken from PROXY_KEY)\n"), (code, output, error));
    }

    [Theory]
    [InlineData("ftp://x", 2, "--url takes the address")]
    [InlineData("http://127.0.0.1:1", 1, "cannot be reached")]
    public async Task Address_is_wrong_The_command_says_so(string url, int expected, string told)
    {
        var (code, _, error) = await proxy.RunAsync($"run research x --url {url}");

        Assert.Equal(expected, (int)code);
        Assert.Contains(told, error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Check_Says_which_programs_cannot_be_started_or_would_end_in_the_units_sandbox()
    {
        var script = proxy.InFolder("script");
        await File.WriteAllTextAsync(script, "#!/usr/bin/env node\n");
        proxy.Config = $"""
            [[pipelines]]
            name = "gone"
            launcher = "process"
            command = ["/no/such/program"]
            [[pipelines]]
            name = "script"
            launcher = "process"
            command = ["{script}"]
            [[pipelines]]
            name = "home"
            launcher = "process"
            command = ["/home/job"]
            [[pipelines]]
            name = "fine"
            launcher = "process"
            command = ["/bin/sh", "-c", "node x"]
            """;

        var (code, output, _) = await proxy.RunAsync("check");
        var warnings = output.Split('\n').Where(static line => line.Contains("  warning     [[pipelines]] ", StringComparison.Ordinal))
            .Select(static line => line[(line.IndexOf("]] ", StringComparison.Ordinal) + 3)..]).ToArray();

        Assert.Equal(ExitCode.Ok, code);
        Assert.Contains("  pipeline    gone: process", output, StringComparison.Ordinal);
        Assert.Equal(5, warnings.Length);
        Assert.Equal("gone: /no/such/program does not exist, or this user may not see it", warnings[0]);
        Assert.Equal($"script: {script} may not be executed by this user", warnings[1]);
        const string Sandboxed = "script: node compiles code while it runs, which the proxy's systemd unit forbids (MemoryDenyWriteExecute); ";
        Assert.StartsWith(Sandboxed, warnings[2], StringComparison.Ordinal);
        Assert.Contains("launcher = \"systemd\"", warnings[2], StringComparison.Ordinal);
        Assert.StartsWith("home: /home/job does not exist", warnings[3], StringComparison.Ordinal);
        Assert.StartsWith("home: /home/job is in a folder that the proxy's systemd unit hides; ", warnings[4], StringComparison.Ordinal);
    }
}
