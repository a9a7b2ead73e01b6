using System.Collections.Concurrent;
using System.Text;
using System.Text.Json;
using Proxy.Chat;
using Proxy.Tests.Harness;
using Proxy.Workflows;

namespace Proxy.Tests.Workflows;

/// <summary>Pipelines through the whole proxy, with jobs that the test plays.</summary>
public sealed class WorkflowRouteTests : IAsyncLifetime
{
    private const string Config = """
        [server]
        listen = ["127.0.0.1:0"]
        [log]
        format = "json"
        [[pipelines]]
        name = "first"
        launcher = "process"
        command = ["/bin/job"]
        [[pipelines]]
        name = "judged"
        launcher = "process"
        command = ["/bin/job"]
        present = "winner"
        [[pipelines]]
        name = "again"
        launcher = "process"
        command = ["/bin/job"]
        on_retry = "restart"
        """;

    private readonly FakeJobs jobs = new();
    private readonly KeptArtifacts artifacts = new();
    private RoutedProxy? started;

    private RoutedProxy Proxy => started!;

    public async ValueTask InitializeAsync() => started = await StartAsync(Config);

    public ValueTask DisposeAsync() => Proxy.DisposeAsync();

    private Task<RoutedProxy> StartAsync(string config) => RoutedProxy.StartAsync(config, static _ => [], more: parts =>
    {
        parts.Launchers.Add(jobs);
        parts.Artifacts = artifacts;
    });

    private async Task<RawReply> CallAsync(string path, string body, Action<FakeRun> play, params string[] headers)
    {
        var calling = Proxy.CallAsync(path, body, headers);
        play(await jobs.NextAsync());
        return (await Patience.For(calling, "the answer")).Reply;
    }

    private static string Finished(string more = "") => $$"""{"type":"finished"{{more}}}""";

    private static string Token(string text, string more = "") => $$"""{"type":"token","text":"{{text}}"{{more}}}""";

    private static void SayHello(FakeRun run) =>
        run.Say(Token("hel", ",\"task\":\"A\""), Token("no", ",\"task\":\"B\""), Token("lo", ",\"task\":\"A\""), Finished(",\"winner\":\"A\""));

    [Fact]
    public async Task Clients_of_every_dialect_stream_a_pipeline_Each_reads_its_answer_in_its_own_dialect()
    {
        var openai = await CallAsync("/v1/chat/completions", OpenAi.Request("pipeline/first", stream: true), SayHello);
        Assert.Equal((200, "hello"), (openai.Status, OpenAi.Read(openai)));
        Assert.Equal("[DONE]", openai.Events[^1]);
        var note = JsonElement.Parse(openai.Events[^2]).GetProperty("x_proxy");
        Assert.Equal((openai.TraceId, "A", "A", openai.TraceId), (
            note.GetProperty("trace_id").GetString(), note.GetProperty("winner").GetString(), note.GetProperty("task").GetString(),
            note.GetProperty("run_id").GetString()));

        var anthropic = await CallAsync("/v1/messages", Anthropic.Request("pipeline/first", stream: true), SayHello);
        Assert.Equal((200, "hello"), (anthropic.Status, Anthropic.Read(anthropic)));

        var ollama = await CallAsync("/api/chat", Ollama.Request("pipeline/first"), SayHello);
        Assert.Equal((200, "hello"), (ollama.Status, Ollama.Read(ollama)));

        var responses = await CallAsync("/v1/responses", """{"model":"pipeline/first","input":"hi","stream":true}""", SayHello);
        Assert.Contains("\"type\":\"response.completed\"", responses.Text, StringComparison.Ordinal);
        Assert.Contains("\"text\":\"hello\"", responses.Text, StringComparison.Ordinal);

        var generate = await CallAsync("/api/generate", """{"model":"pipeline/first","prompt":"hi","stream":false}""", SayHello);
        Assert.Equal("hello", generate.Json.GetProperty("response").GetString());
    }

    [Fact]
    public async Task Header_names_the_pipeline_The_whole_answer_says_who_won()
    {
        var reply = await CallAsync("/v1/chat/completions", OpenAi.Request("any"), static run => run.Say(
            Token("a", ",\"task\":\"A\",\"model\":\"small\""), Token("b", ",\"task\":\"B\",\"model\":\"large\""), Finished(",\"winner\":\"large\"")),
            "x-pipeline: judged");

        Assert.Equal("b", reply.Json.GetProperty("choices")[0].GetProperty("message").GetProperty("content").GetString());
        Assert.Equal("any", reply.Json.GetProperty("model").GetString());
        Assert.Equal("large", reply.Json.GetProperty("x_proxy").GetProperty("winner").GetString());
        Assert.Equal(reply.TraceId, reply.Header("x-proxy-run-id"));
    }

    /// <summary>The clock stands still, so nothing here is waited for.</summary>
    [Fact]
    public async Task Events_of_an_unknown_type_Are_skipped_without_a_wait_for_their_numbers()
    {
        var reply = await CallAsync("/v1/chat/completions", OpenAi.Request("pipeline/first", stream: true), static run => run.Say(
            Token("one ", ",\"seq\":1"), """{"type":"progress","percent":50,"seq":2}""", """{"type":"artifact","seq":3}""", Token("two", ",\"seq\":4"),
            Finished(",\"seq\":5")));

        Assert.Equal("one two", OpenAi.Read(reply));
    }

    [Fact]
    public async Task Job_is_launched_It_is_told_what_the_call_asks_and_no_credential()
    {
        Job? job = null;
        var reply = await CallAsync(
            "/v1/messages", """{"model":"m","max_tokens":7,"system":"be brief","messages":[{"role":"user","content":"hi"}]}""",
            run =>
            {
                job = run.Job;
                SayHello(run);
            },
            "x-pipeline: first", "x-workspace: docs", "authorization: Bearer secret-of-the-client");

        Assert.Equal(200, reply.Status);
        var said = JsonElement.Parse(job!.Document.Span);
        Assert.DoesNotContain("secret", said.GetRawText(), StringComparison.Ordinal);
        Assert.Equal(reply.TraceId, said.GetProperty("trace_id").GetString());
        Assert.Equal(1, said.GetProperty("attempt").GetInt32());
        Assert.Equal(("first", "docs", "m", "anonymous"), (said.GetProperty("pipeline").GetString(), said.GetProperty("workspace").GetString(),
            said.GetProperty("model").GetString(), said.GetProperty("owner").GetString()));
        Assert.Equal("be brief", said.GetProperty("messages")[0].GetProperty("content").GetString());
        Assert.Equal("hi", said.GetProperty("messages")[1].GetProperty("content").GetString());
        var limit = said.GetProperty("params").EnumerateObject().Single(static one => one.Name.StartsWith("max_", StringComparison.Ordinal));
        Assert.Equal(7, limit.Value.GetInt32());
        Assert.False(said.GetProperty("params").TryGetProperty("messages", out _));
        Assert.Equal(Proxy.Time.GetUtcNow() + TimeSpan.FromMinutes(10), said.GetProperty("deadline").GetDateTimeOffset());
        Assert.False(said.TryGetProperty("nats", out _));
    }

    [Theory]
    [InlineData(ProxyErrorKind.HostFailed, 502)]
    [InlineData(ProxyErrorKind.HostTimedOut, 504)]
    [InlineData(ProxyErrorKind.BodyTooLarge, 413)]
    public async Task Launch_fails_Its_error_is_the_answer(object kind, int status)
    {
        jobs.Refusal = new ProxyError((ProxyErrorKind)kind, "no such job");

        var reply = (await Proxy.CallAsync("/v1/chat/completions", OpenAi.Request("pipeline/first", stream: true))).Reply;

        Assert.Equal((status, "pipeline 'first': no such job"), (reply.Status, reply.ErrorMessage));
    }

    [Fact]
    public async Task Job_fails_before_it_speaks_The_status_says_so_with_its_last_line()
    {
        var reply = await CallAsync("/v1/chat/completions", OpenAi.Request("pipeline/first", stream: true),
            static run => run.End(JobEnd.Failure("it ended with exit code 3: no module named x")));

        Assert.Equal((502, "it ended with exit code 3: no module named x"), (reply.Status, reply.ErrorMessage));
    }

    [Theory]
    [InlineData("/v1/chat/completions", "\"error\"")]
    [InlineData("/v1/messages", "event: error")]
    [InlineData("/api/chat", "\"error\"")]
    public async Task Job_fails_after_it_spoke_The_stream_ends_with_an_error(string path, string error)
    {
        var body = path is "/v1/messages" ? Anthropic.Request("pipeline/first", stream: true) : OpenAi.Request("pipeline/first", stream: true);
        var reply = await CallAsync(path, body, static run =>
        {
            run.Say(Token("half"));
            run.End(JobEnd.Failure("it was killed"));
        });

        Assert.Equal(200, reply.Status);
        Assert.Contains("half", reply.Text, StringComparison.Ordinal);
        Assert.Contains(error, reply.Text, StringComparison.Ordinal);
        Assert.Contains("it was killed", reply.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Job_ends_well_without_saying_so_The_answer_ends_well()
    {
        var reply = await CallAsync("/v1/chat/completions", OpenAi.Request("pipeline/first", stream: true), static run =>
        {
            run.Say(Token("all"), "not JSON at all", "[1]", """{"type":"novelty"}""");
            run.End(JobEnd.Success);
        });

        Assert.Equal("all", OpenAi.Read(reply));
        Assert.Equal("[DONE]", reply.Events[^1]);
    }

    [Fact]
    public async Task Job_says_nothing_The_head_goes_out_after_two_seconds_and_the_error_after_the_idle_time()
    {
        var calling = Proxy.CallAsync("/v1/chat/completions", OpenAi.Request("pipeline/first", stream: true));
        var run = await jobs.NextAsync();
        for (var second = 0; second < 302 && !calling.IsCompleted; second++)
        {
            Proxy.Time.Advance(TimeSpan.FromSeconds(1));
            await Task.Delay(3);
        }

        var reply = (await Patience.For(calling, "the answer")).Reply;
        Assert.Equal(200, reply.Status);
        Assert.Contains("\"role\":\"assistant\"", reply.Events[0], StringComparison.Ordinal);
        Assert.Contains("has said nothing for", reply.Events[^1], StringComparison.Ordinal);
        await run.Disposed;
        Assert.True(run.WasCancelled);
    }

    [Fact]
    public async Task Client_leaves_The_job_is_cancelled_and_given_back()
    {
        FakeRun run;
        await using (var client = await RawClient.ConnectAsync(Proxy.Address))
        {
            await client.RequestAsync("POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(OpenAi.Request("pipeline/first", stream: true)));
            run = await jobs.NextAsync();
            run.Say(Token("a"));
            await client.ReadHeadAsync();
            await client.ReadUntilAsync("\"content\":\"a\"");
        }

        await run.Disposed;
        Assert.True(run.WasCancelled);
    }

    [Fact]
    public async Task Owner_cancels_the_stream_The_job_is_cancelled()
    {
        var calling = Proxy.CallAsync("/v1/chat/completions", OpenAi.Request("pipeline/first", stream: true), "x-resume: 1");
        var run = await jobs.NextAsync();
        run.Say(Token("a"));

        var cancelled = await RawClient.SendAsync(Proxy.Address, "DELETE", $"/v1/streams/{run.Job.TraceId}");

        Assert.Equal(200, cancelled.Status);
        await run.Disposed;
        Assert.True(run.WasCancelled);
        var reply = (await Patience.For(calling, "the answer")).Reply;
        Assert.Contains("cancelled", reply.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Pipeline_answers_The_log_line_names_it_its_run_and_the_winner()
    {
        var calling = Proxy.CallAsync("/v1/chat/completions", OpenAi.Request("m", stream: true), "x-pipeline: first");
        SayHello(await jobs.NextAsync());

        var (reply, line) = await Patience.For(calling, "the answer");

        Assert.Equal(("workflow", "first", "A", reply.TraceId), (line["route"], line["pipeline"], line["winner"], line["run_id"]));
    }

    [Fact]
    public async Task Answer_is_resumed_It_is_the_same_bytes_and_the_job_ran_once()
    {
        var first = await CallAsync("/v1/chat/completions", OpenAi.Request("pipeline/first", stream: true), SayHello, "x-resume: 1");

        var again = await RawClient.SendAsync(Proxy.Address, "GET", first.Header("location")!);

        Assert.Equal(200, again.Status);
        Assert.Equal(first.Text, again.Text);
    }

    [Fact]
    public async Task Key_is_sent_twice_The_job_runs_once()
    {
        var first = await CallAsync("/v1/chat/completions", OpenAi.Request("pipeline/first"), SayHello, "idempotency-key: k1");

        var again = (await Proxy.CallAsync("/v1/chat/completions", OpenAi.Request("pipeline/first"), "idempotency-key: k1")).Reply;

        Assert.Equal("true", again.Header("idempotent-replayed"));
        Assert.Equal(first.Text, again.Text);
    }

    [Fact]
    public async Task Job_begins_again_after_it_spoke_The_stream_ends_with_an_error()
    {
        var reply = await CallAsync("/v1/chat/completions", OpenAi.Request("pipeline/first", stream: true), static run => run.Say(
            Token("one", ",\"seq\":1,\"attempt\":1"), Token("zwei", ",\"seq\":1,\"attempt\":2"), Finished(",\"seq\":2,\"attempt\":2")));

        Assert.Contains("one", reply.Text, StringComparison.Ordinal);
        Assert.DoesNotContain("zwei", reply.Text, StringComparison.Ordinal);
        Assert.Contains("attempt 2", reply.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Job_begins_again_and_may_The_client_sees_where()
    {
        var reply = await CallAsync("/v1/chat/completions", OpenAi.Request("pipeline/again", stream: true), static run => run.Say(
            Token("one", ",\"seq\":1,\"attempt\":1"), Token("zwei", ",\"seq\":1,\"attempt\":2"), Token("late", ",\"seq\":2,\"attempt\":1"),
            Finished(",\"seq\":2,\"attempt\":2")));

        Assert.Equal("one\n\n[the job began again]\n\nzwei", OpenAi.Read(reply));
    }

    [Fact]
    public async Task Job_begins_again_before_it_spoke_Nobody_notices()
    {
        var reply = await CallAsync("/v1/chat/completions", OpenAi.Request("pipeline/first", stream: true), static run => run.Say(
            """{"type":"role","role":"assistant","seq":1,"attempt":1}""", Token("zwei", ",\"seq\":1,\"attempt\":2"), Finished(",\"seq\":2,\"attempt\":2")));

        Assert.Equal("zwei", OpenAi.Read(reply));
    }

    [Fact]
    public async Task Job_gives_artifacts_They_are_kept_before_the_answer_ends()
    {
        var held = artifacts.Hold();
        var calling = Proxy.CallAsync("/v1/chat/completions", OpenAi.Request("pipeline/first"));
        var run = await jobs.NextAsync();
        run.Say(Token("done"), """{"type":"artifact","key":"report","media_type":"text/plain","uri":"s3://b/r"}""",
            """{"type":"artifact","key":"table","value":{"rows":[1]}}""", Finished());
        await Patience.For(artifacts.Asked, "the first artifact");
        Assert.False(calling.IsCompleted);
        held.SetResult();

        var reply = (await Patience.For(calling, "the answer")).Reply;

        Assert.Equal(200, reply.Status);
        Assert.Equal([(run.Job.TraceId, "report", "text/plain", "s3://b/r", null), (run.Job.TraceId, "table", null, null, """{"rows":[1]}""")],
            artifacts.Kept.Select(static one => (one.TraceId, one.Key, one.MediaType, one.Uri, one.Value)));
    }

    [Fact]
    public async Task Artifact_cannot_be_kept_The_answer_does_not_end_well()
    {
        artifacts.Fails = true;

        var reply = await CallAsync("/v1/chat/completions", OpenAi.Request("pipeline/first"), static run =>
            run.Say(Token("done"), """{"type":"artifact","key":"report","uri":"s3://b/r"}""", Finished()));

        Assert.Equal(503, reply.Status);
        Assert.Contains("artifact 'report' could not be kept", reply.ErrorMessage, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Request_cannot_be_answered_It_is_refused_by_name()
    {
        var unknown = (await Proxy.CallAsync("/v1/chat/completions", OpenAi.Request("pipeline/none"))).Reply;
        Assert.Equal((404, "pipeline_not_found"), (unknown.Status, unknown.ErrorCode));
        var several = (await Proxy.CallAsync("/v1/chat/completions", OpenAi.Request("pipeline/first", more: ",\"n\":2"))).Reply;
        Assert.Equal((400, "n"), (several.Status, several.Json.GetProperty("error").GetProperty("param").GetString()));
        jobs.Missing = "the program is not there";
        var missing = (await Proxy.CallAsync("/v1/chat/completions", OpenAi.Request("pipeline/first"))).Reply;
        Assert.Equal(503, missing.Status);
        Assert.Contains("the program is not there", missing.ErrorMessage, StringComparison.Ordinal);
        var embedding = (await Proxy.CallAsync("/v1/embeddings", """{"model":"pipeline/first","input":"x"}""")).Reply;
        Assert.Equal(400, embedding.Status);
        Assert.Contains("only chats", embedding.ErrorMessage, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Models_are_listed_Pipelines_are_among_them_in_every_dialect()
    {
        var openai = await RawClient.SendAsync(Proxy.Address, "GET", "/v1/models");
        Assert.Contains("\"id\":\"pipeline/judged\"", openai.Text, StringComparison.Ordinal);
        var ollama = await RawClient.SendAsync(Proxy.Address, "GET", "/api/tags");
        Assert.Contains("\"pipeline/judged", ollama.Text, StringComparison.Ordinal);
        var one = await RawClient.SendAsync(Proxy.Address, "GET", "/v1/models/pipeline/judged");
        Assert.Equal(200, one.Status);
        var shown = (await Proxy.CallAsync("/api/show", """{"model":"pipeline/judged"}""")).Reply;
        Assert.Equal(200, shown.Status);
    }

    [Theory]
    [InlineData("models = [\"m\"]", "first", 403)]
    [InlineData("models = [\"m\"]\npipelines = [\"f*\"]", "first", 200)]
    [InlineData("models = [\"m\"]\npipelines = [\"f*\"]", "judged", 403)]
    [InlineData("models = [\"m\", \"pipeline/first\"]", "first", 200)] // named as a model
    [InlineData("pipelines = [\"first\"]", "first", 200)]
    [InlineData("pipelines = [\"firs\"]", "first", 403)]
    [InlineData("pipelines = []", "first", 403)]
    [InlineData("", "first", 200)]
    public async Task Key_is_limited_It_sees_and_runs_only_its_pipelines(string limits, string pipeline, int status)
    {
        var config = $$"""
            {{Config}}
            [[auth.keys]]
            name = "k"
            sha256 = "{{KeyDigest}}"
            {{limits}}
            """;
        await using var proxy = await StartAsync(config);
        var listed = await RawClient.SendAsync(proxy.Address, "GET", "/v1/models", null, "authorization: Bearer the-key");
        Assert.Equal(status is 200, listed.Text.Contains($"pipeline/{pipeline}", StringComparison.Ordinal));

        var calling = proxy.CallAsync("/v1/chat/completions", OpenAi.Request("m"), $"x-pipeline: {pipeline}", "authorization: Bearer the-key");
        if (status is 200) SayHello(await jobs.NextAsync());

        Assert.Equal(status, (await Patience.For(calling, "the answer")).Reply.Status);
    }

    internal static string KeyDigest => global::Proxy.Config.ApiKeyConfig.Digest("the-key");

    /// <summary>Keeps artifacts in memory, when the test lets it.</summary>
    private sealed class KeptArtifacts : IArtifactStore
    {
        private readonly TaskCompletionSource asked = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private TaskCompletionSource? held;

        public ConcurrentQueue<Artifact> Kept { get; } = [];

        public Task Asked => asked.Task;

        public bool Fails { get; set; }

        public TaskCompletionSource Hold() => held = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public async ValueTask PutAsync(Artifact artifact, CancellationToken cancellation)
        {
            asked.TrySetResult();
            if (Fails) throw new IOException("the disk is full");
            if (held is not null) await held.Task.WaitAsync(cancellation);
            Kept.Enqueue(artifact);
        }
    }
}
