using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Proxy.Chat;
using Proxy.Config;
using Proxy.Tests.Harness;
using Proxy.Workflows;

namespace Proxy.Tests.Nats;

/// <summary>The launcher <c>jetstream</c> with real servers: what workers get, and what becomes of jobs that no worker takes or ends.</summary>
public sealed class JobQueueTests
{
    private static readonly PipelineConfig Research = BusHouse.Queue("research");

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(ServerTree.Oldest)]
    [InlineData(ServerTree.Usual)]
    [InlineData(ServerTree.Newest)]
    public async Task Job_Is_queued_once_and_given_again_as_the_next_attempt(string release)
    {
        var server = await NatsServer.StartAsync(release);
        await QueueAsync(server, "research", ackWait: 300, deliveries: 5); // the operator's own: it is used as it is
        await using var house = await BusHouse.StartAsync(server, pipelines: [Research, BusHouse.Queue("other")]);
        var job = BusHouse.Job(Research, BusHouse.Trace());

        await using var run = await LaunchAsync(house, job);
        await using var again = await LaunchAsync(house, job);
        var first = (await house.PullAsync("research"))!;
        var second = (await house.PullAsync("research"))!; // after 300 ms: the first worker has said nothing
        await second.AcknowledgeAsync(Stop);

        Assert.Equal((1, 2), (first.Attempt, second.Attempt));
        Assert.Equal(JsonElement.Parse(job.Document.Span).GetRawText(), first.Document.GetRawText());
        Assert.Equal((job.TraceId, "application/json"), (first.Headers["Nats-Msg-Id"].ToString(), first.Headers["Content-Type"].ToString()));
        await Patience.Until(async () => await NatsOutageTests.CountAsync(server, "PROXY_JOBS") == 0, "it leaves the queue, and was there once");

        var stream = (await house.AskAsync("STREAM.INFO.PROXY_JOBS")).GetProperty("config");
        Assert.Equal(("workqueue", "new", 600_000_000_000L),
            (stream.GetProperty("retention").GetString(), stream.GetProperty("discard").GetString(), stream.GetProperty("max_age").GetInt64()));
        var made = (await house.AskAsync("CONSUMER.INFO.PROXY_JOBS.other")).GetProperty("config");
        Assert.Equal(("other", "job.chat.other", "explicit", 3, 30_000_000_000L),
            (made.GetProperty("durable_name").GetString(), made.GetProperty("filter_subject").GetString(), made.GetProperty("ack_policy").GetString(),
                made.GetProperty("max_deliver").GetInt32(), made.GetProperty("ack_wait").GetInt64()));
        // A server that can drop a job at its deadline is told when that is.
        Assert.Equal(release == ServerTree.Newest, first.Headers.ContainsKey("Nats-TTL"));
        Assert.False(run.Ended.IsCompleted);
    }

    [Fact]
    public async Task Deadline_is_over_The_newest_server_gives_the_job_to_no_worker()
    {
        await using var house = await BusHouse.StartAsync(await NatsServer.StartAsync(ServerTree.Newest), pipelines: Research);

        await using var run = await LaunchAsync(house, BusHouse.Job(Research, BusHouse.Trace(), left: TimeSpan.FromSeconds(1)));

        await Patience.Until(async () => await NatsOutageTests.CountAsync(house.Server, "PROXY_JOBS") == 0, "the server drops it");
    }

    [Theory]
    [InlineData(ServerTree.Oldest)]
    [InlineData(ServerTree.Newest)]
    public async Task Job_is_larger_than_a_message_Its_messages_are_an_object_of_the_object_store(string release)
    {
        await using var house = await BusHouse.StartAsync(await NatsServer.StartAsync(release, "max_payload: 65536"), pipelines: Research);
        var text = string.Concat(Enumerable.Repeat("née 語 🙂 ", 20_000));
        var job = BusHouse.Job(Research, BusHouse.Trace(), text);

        await using var run = await LaunchAsync(house, job);

        var document = (await house.PullAsync("research"))!.Document;
        var content = document.GetProperty("content");
        var (bucket, name) = (content.GetProperty("bucket").GetString()!, content.GetProperty("name").GetString()!);
        var stored = await KeptStreamsTests.ReadObjectAsync(house.Server, bucket, name);
        Assert.Equal(("PROXY_JOB_CONTENT", stored.Length, Convert.ToHexStringLower(SHA256.HashData(stored))),
            (bucket, content.GetProperty("size").GetInt32(), content.GetProperty("sha256").GetString()));
        // Both together are the job.
        var members = document.EnumerateObject().Where(static member => member.Name != "content").Concat(JsonElement.Parse(stored).EnumerateObject());
        Assert.Equal(
            JsonElement.Parse(job.Document.Span).EnumerateObject().ToDictionary(static one => one.Name, static one => one.Value.GetRawText()),
            members.ToDictionary(static one => one.Name, static one => one.Value.GetRawText()));
        Assert.False(document.TryGetProperty("messages", out _));
    }

    [Fact]
    public async Task Job_is_larger_than_a_message_and_there_is_no_place_for_it_It_is_413()
    {
        var server = await NatsServer.StartAsync(config: "max_payload: 65536");
        await NatsOutageTests.AskAsync(server, "STREAM.CREATE.OBJ_PROXY_JOB_CONTENT", """
            {"name":"OBJ_PROXY_JOB_CONTENT","subjects":["$O.PROXY_JOB_CONTENT.C.>","$O.PROXY_JOB_CONTENT.M.>"],"storage":"file","retention":"limits",
            "discard":"new","max_age":0,"max_bytes":1000,"num_replicas":1}
            """);
        await using var house = await BusHouse.StartAsync(server, pipelines: Research);

        var refused = await Assert.ThrowsAsync<LaunchException>(
            () => LaunchAsync(house, BusHouse.Job(Research, BusHouse.Trace(), new string('x', 100_000))).AsTask());

        Assert.Equal((ProxyErrorKind.BodyTooLarge, 413), (refused.Error.Kind, refused.Error.Status));
        Assert.Contains("more than a message of NATS may have (65536)", refused.Message, StringComparison.Ordinal);
        Assert.Equal(0, await NatsOutageTests.CountAsync(server, "PROXY_JOBS"));
    }

    [Fact]
    public async Task No_worker_takes_the_job_in_time_It_ends_and_leaves_the_queue()
    {
        var impatient = BusHouse.Queue("research", TimeSpan.FromMilliseconds(500));
        await using var house = await BusHouse.StartAsync(await NatsServer.StartAsync(), pipelines: impatient);

        await using var taken = await LaunchAsync(house, BusHouse.Job(impatient, BusHouse.Trace()));
        Assert.NotNull(await house.PullAsync("research"));
        await using var waiting = await LaunchAsync(house, BusHouse.Job(impatient, BusHouse.Trace()));
        var end = await Patience.For(waiting.Ended, "its end");

        Assert.Equal((ProxyErrorKind.HostTimedOut, "no worker took the job within 0.5 s"), (end.Error!.Kind, end.Error.Message));
        Assert.Equal(1, await NatsOutageTests.CountAsync(house.Server, "PROXY_JOBS")); // the one that a worker has
        Assert.False(taken.Ended.IsCompleted);
    }

    [Fact]
    public async Task Client_leaves_before_a_worker_took_the_job_It_leaves_the_queue()
    {
        await using var house = await BusHouse.StartAsync(await NatsServer.StartAsync(), pipelines: Research);

        await using var run = await LaunchAsync(house, BusHouse.Job(Research, BusHouse.Trace()));
        await run.CancelAsync();

        Assert.Equal(0, await NatsOutageTests.CountAsync(house.Server, "PROXY_JOBS"));
        Assert.Null(await house.PullAsync("research", seconds: 0.3));
    }

    [Theory]
    [InlineData(ServerTree.Oldest)]
    [InlineData(ServerTree.Newest)]
    public async Task Every_worker_goes_away_The_job_ends_and_leaves_the_queue(string release)
    {
        var server = await NatsServer.StartAsync(release);
        await QueueAsync(server, "research", ackWait: 300, deliveries: 2);
        await using var house = await BusHouse.StartAsync(server, pipelines: Research);

        await using var run = await LaunchAsync(house, BusHouse.Job(Research, BusHouse.Trace()));
        Assert.Equal(1, (await house.PullAsync("research"))!.Attempt);
        Assert.Equal(2, (await house.PullAsync("research"))!.Attempt);
        var pull = house.PullAsync("research", seconds: 5); // the server notices when it would give it again
        var end = await Patience.For(run.Ended, "its end");

        Assert.Equal((ProxyErrorKind.HostFailed, "each worker that took the job went away before its end"), (end.Error!.Kind, end.Error.Message));
        await Patience.Until(async () => await NatsOutageTests.CountAsync(server, "PROXY_JOBS") == 0, "it leaves the queue");
        Assert.Null(await pull);
    }

    [Fact]
    public async Task Reload_adds_a_pipeline_It_has_its_queue_with_its_first_job()
    {
        await using var house = await BusHouse.StartAsync(await NatsServer.StartAsync());
        Assert.Equal(-1, await NatsOutageTests.CountAsync(house.Server, "PROXY_JOBS")); // without such a pipeline there is no stream
        house.Add(Research);

        Assert.Null(house.Parts.Jobs.Absent(Research));
        await using var run = await LaunchAsync(house, BusHouse.Job(Research, BusHouse.Trace()));

        Assert.NotNull(await house.PullAsync("research"));
    }

    [Fact]
    public async Task Operator_has_a_consumer_for_all_jobs_The_reason_names_it()
    {
        var server = await NatsServer.StartAsync();
        await QueueAsync(server, "all", ackWait: 30_000, deliveries: 3, filter: "job.chat.*");
        await using var house = await BusHouse.StartAsync(server, pipelines: Research);

        await Patience.Until(() => Task.FromResult(house.Parts.Jobs.Absent(Research) is not null), "the server has refused the consumer");

        Assert.Contains("filtered consumer not unique on workqueue stream", house.Parts.Jobs.Absent(Research), StringComparison.Ordinal);
        var refused = await Assert.ThrowsAsync<LaunchException>(() => LaunchAsync(house, BusHouse.Job(Research, BusHouse.Trace())).AsTask());
        Assert.Equal(ProxyErrorKind.NoBackend, refused.Error.Kind);
        // When the operator has corrected it, jobs go through without a restart.
        await house.AskAsync("CONSUMER.DELETE.PROXY_JOBS.all");
        await Patience.Until(() => Task.FromResult(house.Parts.Jobs.Absent(Research) is null), "the proxy has its consumer");
    }

    [Fact]
    public async Task Server_has_no_jetstream_The_reason_says_so()
    {
        await using var house = await BusHouse.StartAsync(await NatsServer.StartAsync(jetStream: false), pipelines: Research);

        var refused = await Assert.ThrowsAsync<LaunchException>(() => LaunchAsync(house, BusHouse.Job(Research, BusHouse.Trace())).AsTask());

        Assert.Equal((ProxyErrorKind.NoBackend, 503), (refused.Error.Kind, refused.Error.Status));
        Assert.Contains("the server has no JetStream", refused.Message, StringComparison.Ordinal);
        Assert.Equal(refused.Message, house.Parts.Jobs.Absent(Research));
    }

    [Fact]
    public async Task Stream_is_deleted_The_next_job_makes_it_again()
    {
        await using var house = await BusHouse.StartAsync(await NatsServer.StartAsync(), pipelines: Research);
        await using (var first = await LaunchAsync(house, BusHouse.Job(Research, BusHouse.Trace()))) await first.CancelAsync();
        await house.AskAsync("STREAM.DELETE.PROXY_JOBS");

        await using var run = await LaunchAsync(house, BusHouse.Job(Research, BusHouse.Trace()));

        Assert.NotNull(await house.PullAsync("research"));
    }

    private static ValueTask<IJobRun> LaunchAsync(BusHouse house, Job job) => ((ILauncher)house.Parts.Jobs).LaunchAsync(job, Stop);

    /// <summary>Makes the stream, and one consumer as an operator may.</summary>
    internal static async Task QueueAsync(NatsServer server, string consumer, int ackWait, int deliveries, string? filter = null)
    {
        await NatsOutageTests.AskAsync(server, "STREAM.CREATE.PROXY_JOBS", """
            {"name":"PROXY_JOBS","subjects":["job.chat.*"],"storage":"file","retention":"workqueue","discard":"new","max_age":600000000000,
            "max_bytes":1073741824,"num_replicas":1,"allow_direct":true,"allow_msg_ttl":true}
            """);
        var made = await NatsOutageTests.AskAsync(server, $"CONSUMER.DURABLE.CREATE.PROXY_JOBS.{consumer}", $$"""
            {"stream_name":"PROXY_JOBS","config":{"durable_name":"{{consumer}}","filter_subject":"{{filter ?? $"job.chat.{consumer}"}}","deliver_policy":"all",
            "ack_policy":"explicit","ack_wait":{{ackWait}}000000,"max_deliver":{{deliveries}} } }
            """);
        Assert.True(made.TryGetProperty("config", out _), made.ToString());
    }
}
