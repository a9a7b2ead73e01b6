using System.Text;
using System.Text.Json;
using Proxy.Tests.Harness;
using Proxy.Tests.Nats;

namespace Proxy.Tests.EndToEnd;

/// <summary>
/// Jobs of a real Dagster answer chats: started, streamed, failed and cancelled; and everything that keeps a run from starting is an error at once.
/// </summary>
[Trait("Category", "Sdk")]
public sealed class DagsterTests(DagsterHouse house) : IClassFixture<DagsterHouse>
{
    private const string Path = "/v1/chat/completions";

    [Fact]
    public async Task Example_of_two_branches_Streams_the_winner_and_a_run_is_tagged_with_the_call()
    {
        await house.StartAsync();

        var reply = await CallAsync("research");

        Assert.Equal(200, reply.Status);
        Assert.Equal("B0 B1 B2 B3 B4 B5 B6 B7 ", OpenAi.Read(reply));
        var note = Note(reply);
        var (id, _) = Assert.Single(await house.Box.RunsAsync(reply.TraceId));
        Assert.Equal((reply.TraceId, "B", id), (Text(note, "trace_id"), Text(note, "winner"), Text(note, "run_id")));
        await house.Box.StatusAsync(reply.TraceId, "SUCCESS");
    }

    [Fact]
    public async Task Client_leaves_in_mid_stream_The_run_is_terminated()
    {
        await house.StartAsync();
        await using var client = await RawClient.ConnectAsync(house.Proxy.Address);
        await client.RequestAsync("POST", Path, Encoding.UTF8.GetBytes(OpenAi.Request("pipeline/endless", stream: true)));
        await client.ReadHeadAsync();
        await client.ReadUntilAsync("begun");
        var traceId = client.Headers.First(static header => header.Name == "x-trace-id").Value;
        await house.Box.StatusAsync(traceId, "STARTED");

        client.Leave();

        await house.Box.StatusAsync(traceId, "CANCELED");
    }

    [Fact]
    public async Task Run_fails_The_stream_ends_with_what_the_step_said()
    {
        await house.StartAsync();

        var reply = await CallAsync("failing");

        Assert.Equal("so far", OpenAi.Read(reply));
        var error = OpenAi.ReadError(reply);
        Assert.Contains("break_down: ValueError: the well is dry", error.GetProperty("message").GetString(), StringComparison.Ordinal);
        Assert.Equal("backend_failed", error.GetProperty("code").GetString());
    }

    [Fact]
    public async Task Step_fails_in_a_job_with_the_hook_The_job_itself_ends_the_stream()
    {
        await house.StartAsync();

        var reply = await CallAsync("telling");

        Assert.Equal(("so far", "break_down: no water"), (OpenAi.Read(reply), OpenAi.ReadError(reply).GetProperty("message").GetString()));
    }

    [Fact]
    public async Task Run_succeeds_without_an_end_The_stream_ends_with_stop()
    {
        await house.StartAsync();

        var reply = await CallAsync("silent");

        Assert.Equal("half", OpenAi.Read(reply));
        Assert.Contains("\"finish_reason\":\"stop\"", reply.Text, StringComparison.Ordinal);
        Assert.EndsWith(OpenAi.Done, reply.Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("lost", "has no job lost; it has ")]
    [InlineData("doubtful", "the job research is in several places of Dagster")]
    [InlineData("demanding", "refuses the run's configuration: Missing required config entry \"ops\"")]
    [InlineData("without_resource", "refuses the run's configuration: Received unexpected config entry \"proxy\"")]
    [InlineData("unreached", "cannot be reached: Connection refused")]
    public async Task Run_cannot_be_started_The_answer_is_an_error_that_says_why(string pipeline, string reason)
    {
        await house.StartAsync();

        var reply = await CallAsync(pipeline);

        Assert.Equal((502, "backend_failed"), (reply.Status, reply.ErrorCode));
        Assert.Contains(reason, reply.ErrorMessage, StringComparison.Ordinal);
        Assert.Empty(await house.Box.RunsAsync(reply.TraceId));
    }

    [Fact]
    public async Task Configuration_is_checked_Pipelines_that_cannot_be_launched_are_warnings()
    {
        await house.StartAsync();

        var (exit, output) = await house.Proxy.CommandAsync("check");

        Assert.Equal(0, exit);
        Assert.Contains("the pipeline lost cannot be launched: Dagster at", output, StringComparison.Ordinal);
        Assert.Contains("the pipeline unreached cannot be launched:", output, StringComparison.Ordinal);
        Assert.DoesNotContain("the pipeline research", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Daemon_is_missing_The_queued_run_is_ended_and_the_client_told()
    {
        await house.StartAsync();
        await using var box = await DagsterBox.StartAsync(house.Nats.Url, isQueued: true, DagsterBox.Jobs);
        await using var proxy = await ProxyProcess.StartAsync($"""
            {FrontDoor.Server()}

            [log]
            format = "json"

            [nats]
            url = "{house.Nats.Url}"
            {DagsterHouse.Pipeline("waiting", box.Url, "speaking", "launch_timeout = \"1s\"")}
            """);
        await proxy.Log.EventAsync("nats_up");

        var reply = await CallAsync("waiting", proxy, stream: false);

        Assert.Equal((504, "backend_timeout"), (reply.Status, reply.ErrorCode));
        Assert.Contains("is still QUEUED after 1s and was ended: is dagster-daemon running", reply.ErrorMessage, StringComparison.Ordinal);
        await box.StatusAsync(reply.TraceId, "CANCELED");
    }

    [Fact]
    public async Task Sensors_run_Jobs_of_the_queue_are_answered_and_finished_exchanges_become_partitions()
    {
        await house.StartAsync();
        await using var ear = await NatsEar.StartAsync(house.Nats);
        await using var proxy = await ProxyProcess.StartAsync($"""
            {FrontDoor.Server()}

            [log]
            format = "json"

            [nats]
            url = "{house.Nats.Url}"

            [[pipelines]]
            name = "research"
            launcher = "jetstream"
            present = "winner"
            """);
        await proxy.Log.EventAsync("nats_up");
        house.Box.StartDaemon();
        using var client = new HttpClient { BaseAddress = proxy.Address, Timeout = TimeSpan.FromMinutes(2) };

        using var content = new StringContent(OpenAi.Request("pipeline/research", text: Question), Encoding.UTF8, "application/json");
        using var response = await client.PostAsync(new Uri(Path, UriKind.Relative), content);

        var answer = JsonElement.Parse(await response.Content.ReadAsStringAsync());
        Assert.True(response.IsSuccessStatusCode, $"{answer}\n{house.Box.Output}");
        Assert.Equal(Question, answer.GetProperty("choices")[0].GetProperty("message").GetProperty("content").GetString());
        var traceId = response.Headers.GetValues("x-trace-id").Single();
        Assert.Equal($"{traceId}/1", await house.Box.TagAsync(traceId, "dagster/run_key"));
        await Patience.Until(async () => await NatsOutageTests.CountAsync(house.Nats, "PROXY_JOBS") == 0, "the job is acknowledged");

        await Patience.Until(async () => (await house.Box.PartitionsAsync()).Contains(traceId), "the exchange is an asset's partition");
        var own = Assert.Single(ear.Heard, message => message.Subject.StartsWith("done.", StringComparison.Ordinal)
            && message.Json.TryGetProperty("parent", out var parent) && parent.GetString() == traceId);
        Assert.DoesNotContain(own.TraceId, await house.Box.PartitionsAsync());
    }

    private const string Question = "Which of you says more than the one who makes up words?";

    private Task<RawReply> CallAsync(string pipeline, ProxyProcess? proxy = null, bool stream = true) => RawClient.SendAsync(
        (proxy ?? house.Proxy).Address, "POST", Path, Encoding.UTF8.GetBytes(OpenAi.Request($"pipeline/{pipeline}", stream)));

    private static JsonElement Note(RawReply reply) =>
        reply.Events.Where(static data => data.Contains("x_proxy", StringComparison.Ordinal)).Select(static data => JsonElement.Parse(data)).Last()
            .GetProperty("x_proxy");

    private static string? Text(JsonElement value, string name) => value.GetProperty(name).GetString();
}
