using System.Net;
using System.Text;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>Pipelines as units, started by the packaged service as its own user, whom polkit lets do so by the rule that the package writes.</summary>
[Trait("Category", "System")]
[Collection(WorkflowBox.Shared)]
public sealed class SystemdPipelineTests(WorkflowBox box) : IAsyncLifetime
{
    private const string Rule = "/etc/polkit-1/rules.d/50-proxy.rules";

    /// <summary>A worker that publishes a token, waits for the test, and does what its prompt says.</summary>
    private const string Worker = """
        #!/bin/bash
        job=$(cat)
        [[ $job =~ \"trace_id\":\"([^\"]+)\" ]] && trace=${BASH_REMATCH[1]}
        [[ $job =~ \"reply\":\"([^\"]+)\" ]] && reply=${BASH_REMATCH[1]}
        exec 3<>/dev/tcp/127.0.0.1/4222
        printf 'CONNECT {"verbose":false}\r\n' >&3
        say() { printf 'PUB %s %d\r\n%s\r\n' "$reply" "${#1}" "$1" >&3; }
        say '{"type":"token","text":"working","seq":1}'
        until [ -e "/run/go-$trace" ]; do sleep 0.05; done
        case $job in
          *please-fail*) echo "the last word"; sleep 0.2; exit 3 ;;
          *say-nothing*) exit 0 ;;
        esac
        say '{"type":"token","text":" done","seq":2}'
        say '{"type":"finished","reason":"stop","seq":3}'
        printf 'PING\r\n' >&3
        until read -r line <&3 && [[ $line == PONG* ]]; do :; done

        """;

    private const string Config = """
        [server]
        listen = ["127.0.0.1:11435"]
        [nats]
        url = "nats://127.0.0.1:4222"
        [[pipelines]]
        name = "oneshot"
        launcher = "systemd"
        unit = "job-oneshot@{trace_id}.service"
        [[pipelines]]
        name = "exec"
        launcher = "systemd"
        unit = "job-exec@{trace_id}.service"
        [[pipelines]]
        name = "process"
        launcher = "process"
        command = ["/opt/jobs/say"]

        """;

    /// <summary>A job that is a child of the proxy, and tries to leave the service's sandbox.</summary>
    private const string Child = """
        #!/bin/bash
        cat >/dev/null
        if touch /opt/jobs/was-here 2>/dev/null; then word=free; else word=fenced; fi
        printf '{"type":"token","text":"%s %s"}\n{"type":"finished","reason":"stop"}\n' "$(id -un)" "$word"

        """;

    private HttpClient client = null!;

    public async ValueTask InitializeAsync()
    {
        await box.StartAsync();
        client = box.Network.Client(SystemdBox.Address);
        if (await box.ShowAsync("proxy", "ActiveState") == "active") return;

        Directory.CreateDirectory(box.Inside("/opt/jobs"));
        await File.WriteAllTextAsync(box.Inside("/opt/jobs/talk"), Worker);
        await File.WriteAllTextAsync(box.Inside("/opt/jobs/say"), Child);
        await box.RunAsync("chmod", "755", "/opt/jobs/talk", "/opt/jobs/say");
        foreach (var type in (string[])["oneshot", "exec"]) await box.TemplateAsync($"job-{type}@", $"Type={type}\nDynamicUser=yes\nExecStart=/opt/jobs/talk");
        await File.WriteAllTextAsync(box.Inside("/etc/proxy/config.toml"), Config);
        Directory.CreateDirectory(box.Inside("/etc/systemd/system/proxy.service.d"));
        await File.WriteAllTextAsync(box.Inside("/etc/systemd/system/proxy.service.d/test.conf"), "[Service]\nSupplementaryGroups=systemd-journal\n");
        await box.RunAsync("dpkg", "--install", SystemdBox.Package); // an upgrade, which writes polkit's rule
        await box.RestartPolkitAsync();
        await box.RunAsync("systemctl", "restart", "nats-server");
        await box.RunAsync("rm", "-rf", "/run/proxy"); // another class may have made it as root
        await box.RunAsync("systemctl", "restart", "proxy");
        await ConnectedAsync();
    }

    public ValueTask DisposeAsync()
    {
        client?.Dispose();
        return ValueTask.CompletedTask;
    }

    [Theory]
    [InlineData("oneshot", "activating")]
    [InlineData("exec", "active")]
    public async Task Job_works_Its_words_arrive_while_the_unit_runs_and_its_end_ends_the_answer(string type, string state)
    {
        var (answer, trace, body) = await BeginAsync(type, "hello");
        using var _ = answer;
        Assert.Equal(state, await box.ShowAsync(Unit(type, trace), "ActiveState")); // its first word is here

        await box.RunAsync("touch", $"/run/go-{trace}");
        var rest = await Patience.For(body.ReadToEndAsync(TestContext.Current.CancellationToken), "the end of the answer");

        Assert.Contains(" done", rest, StringComparison.Ordinal);
        Assert.Contains("\"finish_reason\":\"stop\"", rest, StringComparison.Ordinal);
        Assert.EndsWith("data: [DONE]\n\n", rest, StringComparison.Ordinal);
        await Patience.Until(async () => await box.ShowAsync(Unit(type, trace), "ActiveState") == "inactive", "the unit is over");
        await Patience.Until(() => Task.FromResult(!File.Exists(box.Inside($"/run/proxy/jobs/{trace}.json"))), "the job's file is deleted");
    }

    [Theory]
    [InlineData("oneshot", "please-fail", "failed: exit-code, status 3; its last line: the last word")]
    [InlineData("exec", "please-fail", "failed: exit-code, status 3; its last line: the last word")]
    [InlineData("oneshot", "say-nothing", "ended without the event \\\"finished\\\"")]
    public async Task Job_fails_The_answer_ends_with_the_units_result(string type, string prompt, string how)
    {
        var (answer, trace, body) = await BeginAsync(type, prompt);
        using var _ = answer;

        await box.RunAsync("touch", $"/run/go-{trace}");
        var rest = await Patience.For(body.ReadToEndAsync(TestContext.Current.CancellationToken), "the end of the answer");

        Assert.Contains($"the unit {Unit(type, trace)} {how}", rest.Replace("\\u0022", "\\\"", StringComparison.Ordinal), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("oneshot")]
    [InlineData("exec")]
    public async Task Client_leaves_The_unit_is_stopped(string type)
    {
        var (answer, trace, _) = await BeginAsync(type, "hello");

        answer.Dispose();

        await Patience.Until(async () => await box.ShowAsync(Unit(type, trace), "ActiveState") is "inactive" or "failed", "the unit is over");
    }

    [Fact]
    public async Task Job_is_a_child_of_the_service_It_works_in_the_services_sandbox()
    {
        using var answer = await SendAsync("process", "hello");
        var text = await Patience.For(answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken), "the end of the answer");

        Assert.Contains("llm-proxy fenced", text, StringComparison.Ordinal);
        Assert.EndsWith("data: [DONE]\n\n", text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Rule_is_missing_The_answer_and_the_check_say_how_to_write_it()
    {
        await box.RunAsync("mv", Rule, "/root/rule");
        await box.RestartPolkitAsync();
        try
        {
            using var answer = await SendAsync("oneshot", "hello");

            Assert.Equal(HttpStatusCode.BadGateway, answer.StatusCode);
            const string Remedy = $"run sudo proxy polkit | sudo tee {Rule}";
            Assert.Contains(Remedy, await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken), StringComparison.Ordinal);
            Assert.Contains(Remedy, await CheckAsync(), StringComparison.Ordinal);
        }
        finally
        {
            await box.RunAsync("mv", "/root/rule", Rule);
            await box.RestartPolkitAsync();
        }

        Assert.DoesNotContain("polkit", await CheckAsync(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task User_is_made_by_systemd_for_one_run_The_answer_and_the_check_say_what_to_do()
    {
        await box.RunAsync("systemctl", "stop", "proxy");
        await box.RunAsync("userdel", "llm-proxy");
        await box.RunAsync("systemctl", "start", "proxy");
        await ConnectedAsync();
        try
        {
            using var answer = await SendAsync("oneshot", "hello");

            Assert.Equal(HttpStatusCode.BadGateway, answer.StatusCode);
            const string Remedy = "sudo useradd --system --no-create-home llm-proxy";
            Assert.Contains(Remedy, await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken), StringComparison.Ordinal);
            Assert.Contains(Remedy, await CheckAsync(), StringComparison.Ordinal);
        }
        finally
        {
            await box.RunAsync("systemctl", "stop", "proxy");
            await box.MakeUserAsync();
            await box.RunAsync("systemctl", "start", "proxy");
            await ConnectedAsync();
        }
    }

    [Fact]
    public async Task Templates_do_not_fit_The_check_names_each()
    {
        await box.TemplateAsync("job-restarts@", "Restart=always\nExecStart=/bin/true");
        var other = Config.Replace("job-oneshot", "job-restarts", StringComparison.Ordinal).Replace("job-exec", "job-nowhere", StringComparison.Ordinal);
        await File.WriteAllTextAsync(box.Inside("/root/other.toml"), other);

        var check = await CheckAsync("/root/other.toml");

        Assert.Contains("pipeline oneshot: the unit job-restarts@.service sets Restart=always", check, StringComparison.Ordinal);
        Assert.Contains("pipeline exec: there is no unit job-nowhere@.service", check, StringComparison.Ordinal);
    }

    /// <summary>A pipeline is refused while there is no connection to NATS.</summary>
    private Task ConnectedAsync() => Patience.Until(
        async () => (await client.GetStringAsync("/metrics", TestContext.Current.CancellationToken)).Contains("proxy_nats_up 1", StringComparison.Ordinal),
        "the proxy is connected to NATS");

    /// <summary>What <c>proxy check</c> prints. It needs a working folder, which a command that enters the box does not have.</summary>
    private Task<string> CheckAsync(string file = "/etc/proxy/config.toml") => box.RunAsync("sh", "-c", $"cd /root && proxy check {file}");

    private static string Unit(string type, string trace) => $"job-{type}@{trace}.service";

    private Task<HttpResponseMessage> SendAsync(string pipeline, string prompt) => Patience.For(client.SendAsync(
        new(HttpMethod.Post, "/v1/chat/completions")
        {
            Content = new StringContent(
                $$"""{"model":"pipeline/{{pipeline}}","stream":true,"messages":[{"role":"user","content":"{{prompt}}"}]}""", Encoding.UTF8, "application/json"),
        },
        HttpCompletionOption.ResponseHeadersRead), "the head of the answer");

    /// <summary>Returns when the job's first word has arrived.</summary>
    private async Task<(HttpResponseMessage Answer, string Trace, StreamReader Body)> BeginAsync(string pipeline, string prompt)
    {
        var answer = await SendAsync(pipeline, prompt);
        Assert.True(answer.StatusCode is HttpStatusCode.OK, await ErrorAsync(answer));
        var body = new StreamReader(await answer.Content.ReadAsStreamAsync(TestContext.Current.CancellationToken));
        while (await Patience.For(body.ReadLineAsync(TestContext.Current.CancellationToken).AsTask(), "the first word") is { } line
            && !line.Contains("working", StringComparison.Ordinal)) ;
        return (answer, answer.Headers.GetValues("x-trace-id").Single(), body);
    }

    private static async Task<string> ErrorAsync(HttpResponseMessage answer) => answer.IsSuccessStatusCode ? "" : await answer.Content.ReadAsStringAsync();
}
