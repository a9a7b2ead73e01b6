using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using NATS.Client.Core;
using NJsonSchema;
using Proxy.Composition;
using Proxy.Config;
using Proxy.Tests.Harness;
using Proxy.Tests.Nats;
using Proxy.Workflows;

namespace Proxy.Tests.EndToEnd;

/// <summary>Pipelines whose jobs wait in JetStream for workers: what clients see of them, also when NATS goes away.</summary>
public sealed class JetStreamPipelineTests : IAsyncLifetime
{
    private NatsServer? server;
    private ProxyProcess? proxy;
    private NatsConnection? worker;

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    private NatsServer Server => server!;

    private ProxyProcess Proxy => proxy!;

    private NatsConnection Worker => worker!;

    public async ValueTask InitializeAsync()
    {
        server = await NatsServer.StartAsync();
        proxy = await ProxyProcess.StartAsync(Config(server, "timeout = \"2m\"\n"));
        await proxy.Log.EventAsync("nats_queue");
        worker = new NatsConnection(new NatsOpts { Url = server.Url });
        await worker.ConnectAsync();
    }

    public async ValueTask DisposeAsync()
    {
        if (worker is not null) await worker.DisposeAsync();
        if (proxy is not null) await proxy.DisposeAsync();
        if (server is not null) await server.DisposeAsync();
    }

    [Fact]
    public async Task Nats_dies_in_mid_stream_and_returns_The_answer_goes_on_where_it_stopped()
    {
        await using var client = await CallAsync(stream: true);
        var job = await TakeAsync();
        for (var i = 1; i <= 10; i++) await job.TokenAsync($"t{i} ", Stop);
        await client.ReadHeadAsync();
        await client.ReadUntilAsync("t10 ");

        await Server.KillAsync();
        await Proxy.Log.EventAsync("nats_down");
        await Server.StartAgainAsync();
        for (var i = 11; i <= 20; i++) await job.TokenAsync($"t{i} ", Stop);
        await job.FinishedAsync(Stop);
        var reply = await client.ReadRestAsync();

        Assert.Equal(string.Concat(Enumerable.Range(1, 20).Select(static i => $"t{i} ")), OpenAi.Read(reply));
    }

    [Fact]
    public async Task Client_leaves_The_worker_is_told_and_no_other_one_gets_the_job()
    {
        var client = await CallAsync(stream: true);
        var job = await TakeAsync();
        await using var control = await Worker.SubscribeCoreAsync<byte[]>(job.Document.GetProperty("control").GetString()!, cancellationToken: Stop);
        await job.TokenAsync("half ", Stop);
        await client.ReadHeadAsync();
        await client.ReadUntilAsync("half ");

        client.Reset();
        var told = JsonElement.Parse((await Patience.For(control.Msgs.ReadAsync(Stop).AsTask(), "the command to stop")).Data);

        Assert.Equal(("cancel", job.TraceId), (told.GetProperty("type").GetString(), told.GetProperty("trace_id").GetString()));
        await Patience.Until(async () => await NatsOutageTests.CountAsync(Server, "PROXY_JOBS") == 0, "the job is out of the queue");
    }

    [Fact]
    public async Task Job_is_given_to_another_worker_after_content_The_stream_ends_and_says_so()
    {
        await using var client = await CallAsync(stream: true);
        var job = await TakeAsync();
        await job.TokenAsync("half ", Stop);
        await client.ReadHeadAsync();
        await client.ReadUntilAsync("half ");

        await job.RefuseAsync(Stop); // as a worker that is being stopped does
        var again = await TakeAsync();
        await again.TokenAsync("other words", Stop);
        var reply = await client.ReadRestAsync();

        Assert.Equal((2, job.TraceId), (again.Attempt, again.TraceId));
        Assert.Contains("its job began again, as attempt 2", reply.Text, StringComparison.Ordinal);
        Assert.DoesNotContain("other words", reply.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task No_worker_takes_the_job_The_answer_is_504()
    {
        await using var client = await CallAsync(stream: false, "hasty");

        var reply = await client.ReadReplyAsync();

        Assert.Equal(504, reply.Status);
        Assert.Contains("no worker took the job within 1 s", reply.Text, StringComparison.Ordinal);
        Assert.Equal(0, await NatsOutageTests.CountAsync(Server, "PROXY_JOBS"));
    }

    [Fact]
    public async Task Job_Keeps_to_the_schema_of_the_documentation()
    {
        var schemas = Regex.Matches(Rules.Repository.Read("docs/events.md"), "```json\n(.*?)```", RegexOptions.Singleline);
        var schema = await JsonSchema.FromJsonAsync(Assert.Single(schemas).Groups[1].Value, Stop);
        const string Body = """
            {"model":"pipeline/research","stream":true,"temperature":0.5,"messages":[{"role":"system","content":"be brief"},{"role":"user","content":"née 語"}],
            "tools":[{"type":"function","function":{"name":"find","parameters":{"type":"object"}}}]}
            """;
        await using var client = await RawClient.ConnectAsync(Proxy.Address);
        await client.RequestAsync("POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(Body), "x-correlation-id: mine",
            "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");

        var document = (await TakeAsync()).Document;
        await using var bare = await CallAsync(stream: false);
        var small = (await TakeAsync()).Document;

        Assert.Empty(schema.Validate(document.GetRawText()));
        Assert.Empty(schema.Validate(small.GetRawText()));
        Assert.Equal(("mine", "research", "née 語", 0.5, "find"), (
            document.GetProperty("correlation_id").GetString(), document.GetProperty("pipeline").GetString(),
            document.GetProperty("messages")[1].GetProperty("content").GetString(), document.GetProperty("params").GetProperty("temperature").GetDouble(),
            document.GetProperty("params").GetProperty("tools")[0].GetProperty("function").GetProperty("name").GetString()));
        Assert.Equal($"{Proxy.Address}v1", document.GetProperty("proxy").GetProperty("base_url").GetString());
        // The schema says something: it refuses what is not a job. And every member that is sent is described.
        Assert.NotEmpty(schema.Validate(document.GetRawText().Replace("\"trace_id\"", "\"trace\"", StringComparison.Ordinal)));
        Assert.NotEmpty(schema.Validate(document.GetRawText().Replace("\"messages\"", "\"content\"", StringComparison.Ordinal)));
        Assert.All(document.EnumerateObject(), member => Assert.True(schema.Properties.ContainsKey(member.Name), member.Name));
    }

    [Fact]
    public async Task Server_has_no_jetstream_The_start_says_why_and_calls_are_refused()
    {
        await using var core = await NatsServer.StartAsync(jetStream: false);
        await using var other = await ProxyProcess.StartAsync(Config(core));

        var line = await other.Log.EventAsync("nats_no_queue");
        var reply = await RawClient.SendAsync(other.Address, "POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(OpenAi.Request("pipeline/research")));

        Assert.Equal(("error", "research"), (ProxyLog.Text(line, "level"), ProxyLog.Text(line, "pipeline")));
        Assert.Contains("the server has no JetStream", line.GetRawText(), StringComparison.Ordinal);
        Assert.Equal(503, reply.Status);
        Assert.Contains("the server has no JetStream", reply.Text, StringComparison.Ordinal);
        var (exit, said) = await ProxyProcess.RunAsync(Config(core), "check");
        Assert.Equal(0, exit);
        Assert.Contains("and calls of pipelines with launcher \"jetstream\" are refused", said, StringComparison.Ordinal);
    }

    /// <summary>A server without JetStream serves the launchers whose jobs need no queue.</summary>
    [Fact]
    public async Task Server_has_no_jetstream_Other_launchers_stream_and_a_lost_connection_is_an_error_that_says_so()
    {
        await using var core = await NatsServer.StartAsync(jetStream: false);
        using var wire = new CutWire(core.Port);
        var jobs = new CoreJobs();
        PartsBuilder? built = null;
        await using var routed = await RoutedProxy.StartAsync($"""
            {FrontDoor.Server()}
            [log]
            format = "json"
            [nats]
            url = "nats://127.0.0.1:{wire.Port}"
            [[pipelines]]
            name = "unit"
            launcher = "dagster"
            url = "http://127.0.0.1:1"
            job = "j"
            """, static _ => [], more: parts =>
        {
            parts.Launchers.Add(jobs); // before the feature's own, so that this one is used
            built = parts;
        });
        await using var publisher = new NatsConnection(new NatsOpts { Url = core.Url });
        using var stop = new CancellationTokenSource();
        var background = Task.WhenAll(built!.Background.Select(run => run(stop.Token))); // connects
        await Patience.Until(() => Task.FromResult(built.Bus!.Absent is null), "the proxy is connected");

        var whole = routed.CallAsync("/v1/chat/completions", OpenAi.Request("pipeline/unit"));
        var first = await Patience.For(jobs.NextAsync(), "the launch");
        await SayAsync(first, "{\"type\":\"token\",\"text\":\"hello\",\"seq\":1}\n{\"type\":\"finished\",\"seq\":2}");
        var answer = (await Patience.For(whole, "the answer")).Reply.Json;
        Assert.Equal("hello", answer.GetProperty("choices")[0].GetProperty("message").GetProperty("content").GetString());

        await using var client = await RawClient.ConnectAsync(routed.Address);
        await client.RequestAsync("POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(OpenAi.Request("pipeline/unit", stream: true)));
        var second = await Patience.For(jobs.NextAsync(), "the launch");
        await SayAsync(second, """{"type":"token","text":"half","seq":1}""");
        await client.ReadHeadAsync();
        await client.ReadUntilAsync("half");
        wire.Cut();
        var reply = await client.ReadRestAsync();

        Assert.Contains("the connection to NATS was lost, and events of the job may have been missed", reply.Text, StringComparison.Ordinal);
        await stop.CancelAsync();
        await Task.WhenAny(background);

        async Task SayAsync(string trace, string lines)
        {
            await publisher.PublishAsync($"evt.chat.{trace}", Encoding.UTF8.GetBytes(lines), cancellationToken: Stop);
            await publisher.PingAsync(Stop);
        }
    }

    private static string Config(NatsServer server, string more = "") => $"""
        {FrontDoor.Server()}
        [inference]
        bundled = false
        [log]
        format = "json"
        [nats]
        url = "{server.Url}"
        [[pipelines]]
        name = "research"
        launcher = "jetstream"
        {more}
        [[pipelines]]
        name = "hasty"
        launcher = "jetstream"
        launch_timeout = "1s"
        """;

    private async Task<RawClient> CallAsync(bool stream, string pipeline = "research")
    {
        var client = await RawClient.ConnectAsync(Proxy.Address);
        await client.RequestAsync("POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(OpenAi.Request($"pipeline/{pipeline}", stream)));
        return client;
    }

    private async Task<PulledJob> TakeAsync() => await PulledJob.TakeAsync(Worker, "research", cancellation: Stop) ?? throw new TimeoutException("no job came");

    /// <summary>Launches jobs that only the test speaks for.</summary>
    private sealed class CoreJobs : ILauncher
    {
        private readonly System.Threading.Channels.Channel<string> launched = System.Threading.Channels.Channel.CreateUnbounded<string>();

        public string Name => "dagster";

        public string? Absent(PipelineConfig pipeline) => null;

        public ValueTask<IJobRun> LaunchAsync(Job job, CancellationToken cancellation)
        {
            launched.Writer.TryWrite(job.TraceId);
            return new(new CoreRun());
        }

        public Task<string> NextAsync() => launched.Reader.ReadAsync().AsTask();

        private sealed class CoreRun : IJobRun
        {
            public string? RunId => "run-1";

            public IAsyncEnumerable<ReadOnlyMemory<byte>>? Output => null;

            public Task<JobEnd> Ended { get; } = new TaskCompletionSource<JobEnd>().Task;

            public ValueTask CancelAsync() => default;

            public ValueTask DisposeAsync() => default;
        }
    }
}
