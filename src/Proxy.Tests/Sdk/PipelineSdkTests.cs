using System.Text;
using NATS.Client.Core;
using Proxy.Tests.Harness;
using Proxy.Tests.Nats;

namespace Proxy.Tests.Sdk;

/// <summary>The workers of <c>packaging/workers</c> as a user starts them, and the vendors' clients that get their answers.</summary>
[Trait("Category", "Sdk")]
public sealed class PipelineSdkTests : IAsyncLifetime
{
    private static readonly string[] Long = ["The ", "longer ", "answer ", "wins. ", "😀"];

    private readonly FakeBackend host = FakeBackend.Start();
    private NatsServer? server;
    private ProxyProcess? proxy;

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    private NatsServer Server => server!;

    private ProxyProcess Proxy => proxy!;

    public async ValueTask InitializeAsync()
    {
        server = await NatsServer.StartAsync();
        host.Answer(static exchange => exchange.StreamAsync(
            OpenAi.Sse, OpenAi.Stream(exchange.Request.Json.GetProperty("model").GetString() == "left" ? ["short"] : Long)));
        proxy = await ProxyProcess.StartAsync($"""
            {FrontDoor.Server()}
            [inference]
            bundled = false
            [log]
            format = "json"
            [[backends]]
            name = "host"
            url = "{host.Url}"
            dialects = ["openai"]
            models = ["left", "right"]
            slots = 8
            [nats]
            url = "{server.Url}"
            [[pipelines]]
            name = "research"
            launcher = "jetstream"
            present = "winner"
            [[pipelines]]
            name = "shell"
            launcher = "jetstream"
            [[pipelines]]
            name = "unit"
            launcher = "jetstream"
            """);
        foreach (var name in new[] { "research", "shell", "unit" })
            await proxy.Log.LineAsync(line => ProxyLog.Text(line, "event") == "nats_queue" && ProxyLog.Text(line, "pipeline") == name, $"the queue of {name}");
    }

    public async ValueTask DisposeAsync()
    {
        if (proxy is not null) await proxy.DisposeAsync();
        await host.DisposeAsync();
        if (server is not null) await server.DisposeAsync();
    }

    [Fact]
    public async Task Node_worker_runs_two_branches_Clients_for_JavaScript_get_the_winner()
    {
        await using var worker = await StartAsync(
            "research", "node", ["worker.mjs", "research", "./two-branches.mjs"], ("MODELS", "left,right"));

        Assert.Equal(7, (await Script.NodeAsync("pipeline.mjs", Proxy.Address)).Count);

        // Both branches were calls through the proxy, found by the call's id. A call's line comes when its answer has gone out already.
        await Patience.Until(() => Task.FromResult(HasCalls()), "the lines of a job's call and of both of its branches");
        await Patience.Until(async () => await NatsOutageTests.CountAsync(Server, "PROXY_JOBS") == 0, "the worker has acknowledged every job");

        bool HasCalls()
        {
            var lines = Proxy.Log.Lines.Where(static line => ProxyLog.Text(line, "event") == "call").ToArray();
            var left = lines.Where(static line => ProxyLog.Text(line, "model") == "left").ToArray();
            var job = left.Length > 0 ? ProxyLog.Text(left[^1], "correlation_id") : null;
            return job is not null && lines.Any(line => ProxyLog.Text(line, "model") == "right" && ProxyLog.Text(line, "correlation_id") == job)
                && lines.Any(line => ProxyLog.Text(line, "model") == "pipeline/research" && ProxyLog.Text(line, "trace_id") == job);
        }
    }

    [Fact]
    public async Task Job_is_larger_than_a_message_The_node_worker_reads_it_from_the_object_store()
    {
        await using var worker = await StartAsync(
            "research", "node", ["worker.mjs", "research", "./two-branches.mjs"], ("MODELS", "left,right"));
        var text = string.Concat(Enumerable.Repeat("née 語 ", 200_000));

        var reply = await CallAsync("research", text);

        Assert.Equal(string.Concat(Long), Text(reply));
        Assert.All(host.Calls, request => Assert.Equal(text, request.Json.GetProperty("messages")[0].GetProperty("content").GetString()));
        Assert.Equal(2, host.Calls.Count);
    }

    [Fact]
    public async Task Node_worker_is_killed_Another_one_takes_its_job()
    {
        await RemakeAsync("research", ackWait: 1000); // not 30 s
        var stuck = await StartAsync("research", "node", ["worker.mjs", "research", "./stuck.mjs"]);
        var calling = CallAsync("research");
        await Patience.Until(async () => await PendingAsync("research") == 1, "the first worker has the job");
        await stuck.DisposeAsync();
        await using var worker = await StartAsync(
            "research", "node", ["worker.mjs", "research", "./two-branches.mjs"], ("MODELS", "left,right"));

        Assert.Equal(string.Concat(Long), Text(await calling));
    }

    [Fact]
    public async Task Shell_worker_Its_commands_lines_are_the_answer_and_its_failure_is_an_error()
    {
        const string Command = """
            job=$(cat); text=$(jq -r '.messages[-1].content' <<<"$job")
            echo "you said: $text"; sleep 0.2; printf 'née 語'
            [[ $text != fail ]]
            """;
        await using var worker = await StartAsync("shell", "bash", ["shell-worker.sh", "shell", "bash", "-c", Command]);

        var reply = await CallAsync("shell");
        var failed = await CallAsync("shell", "fail");
        var left = await RawClient.ConnectAsync(Proxy.Address);
        await left.RequestAsync("POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(OpenAi.Request("pipeline/shell", stream: true)));
        await left.ReadHeadAsync();
        left.Reset();
        var again = await CallAsync("shell");

        Assert.Equal("you said: hello\nnée 語", Text(reply));
        Assert.Contains("the command ended with 1", failed.Text, StringComparison.Ordinal);
        Assert.Equal("you said: hello\nnée 語", Text(again));
        await Patience.Until(async () => await NatsOutageTests.CountAsync(Server, "PROXY_JOBS") == 0, "the worker has acknowledged every job");
    }

    /// <summary>With a <c>systemctl</c> of the test, which runs the unit's program as systemd would.</summary>
    [Fact]
    public async Task Unit_worker_Starts_a_unit_for_each_job_and_says_when_one_fails()
    {
        var folder = Directory.CreateTempSubdirectory("proxy-units-").FullName;
        await File.WriteAllTextAsync(Path.Combine(folder, "systemctl"), $$"""
            #!/bin/bash
            echo "$*" >>{{folder}}/asked
            [[ $1 == start ]] || exit 0
            trace=${3#*@} trace=${trace%.service} file={{folder}}/jobs/$trace.json
            stat -c %a "$file" >>{{folder}}/asked
            [[ $(jq -r '.messages[-1].content' "$file") != fail ]] || exit 1
            subject=$(jq -r .reply "$file") attempt=$(jq -r .attempt "$file")
            exec 3<>/dev/tcp/127.0.0.1/{{Server.Port}}
            send() { printf 'PUB %s %d\r\n%s\r\n' "$subject" "${#1}" "$1" >&3; }
            printf 'CONNECT {"verbose":false}\r\n' >&3
            send '{"type":"token","text":"from a unit","seq":1,"attempt":'$attempt'}'
            send '{"type":"finished","seq":2,"attempt":'$attempt'}'
            printf 'PING\r\n' >&3; read -r -t 5 -u 3; read -r -t 5 -u 3
            """, Stop);
        File.SetUnixFileMode(Path.Combine(folder, "systemctl"), UnixFileMode.UserRead | UnixFileMode.UserExecute);
        await using (await StartAsync("unit", "node", ["unit-worker.mjs", "unit", "dagster-unit"],
            ("PATH", $"{folder}:{Environment.GetEnvironmentVariable("PATH")}"), ("JOBS_FOLDER", $"{folder}/jobs")))
        {
            var reply = await CallAsync("unit");
            var failed = await CallAsync("unit", "fail");

            Assert.Equal("from a unit", Text(reply));
            Assert.Contains($"dagster-unit@{failed.TraceId}.service failed", failed.Text, StringComparison.Ordinal);
            Assert.Equal([$"start --wait dagster-unit@{reply.TraceId}.service", "600", $"start --wait dagster-unit@{failed.TraceId}.service", "600"],
                await File.ReadAllLinesAsync(Path.Combine(folder, "asked"), Stop));
            await Patience.Until(() => Task.FromResult(Directory.GetFiles($"{folder}/jobs").Length == 0), "the jobs' files are deleted");
        }

        Directory.Delete(folder, recursive: true);
    }

    private static string? Text(RawReply reply) =>
        reply.Status == 200 ? reply.Json.GetProperty("choices")[0].GetProperty("message").GetProperty("content").GetString() : reply.Text;

    private Task<RawReply> CallAsync(string pipeline, string text = "hello") => RawClient.SendAsync(
        Proxy.Address, "POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(OpenAi.Request($"pipeline/{pipeline}", text: text)));

    /// <summary>Starts a worker and waits until it pulls.</summary>
    private async Task<RunningScript> StartAsync(string pipeline, string program, string[] arguments, params (string, string)[] environment)
    {
        var worker = await Script.WorkerAsync(program, arguments,
            [("NATS_URL", Server.Url), ("NATS_PORT", $"{Server.Port}"), .. environment]);
        await Patience.Until(async () => worker.Output.Contains("Error", StringComparison.Ordinal) ? throw new InvalidOperationException(worker.Output)
            : (await NatsOutageTests.AskAsync(Server, $"CONSUMER.INFO.PROXY_JOBS.{pipeline}")).GetProperty("num_waiting").GetInt32() > 0, "the worker pulls");
        return worker;
    }

    private async Task<int> PendingAsync(string pipeline) =>
        (await NatsOutageTests.AskAsync(Server, $"CONSUMER.INFO.PROXY_JOBS.{pipeline}")).GetProperty("num_ack_pending").GetInt32();

    private async Task RemakeAsync(string pipeline, int ackWait)
    {
        await NatsOutageTests.AskAsync(Server, $"CONSUMER.DELETE.PROXY_JOBS.{pipeline}");
        await NatsOutageTests.AskAsync(Server, $"CONSUMER.DURABLE.CREATE.PROXY_JOBS.{pipeline}", $$"""
            {"stream_name":"PROXY_JOBS","config":{"durable_name":"{{pipeline}}","filter_subject":"job.chat.{{pipeline}}","deliver_policy":"all",
            "ack_policy":"explicit","ack_wait":{{ackWait}}000000,"max_deliver":5} }
            """);
    }
}
