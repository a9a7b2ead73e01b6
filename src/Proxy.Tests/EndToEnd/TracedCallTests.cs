using System.Text;
using System.Text.Json;
using NATS.Client.Core;
using Proxy.Tests.Harness;
using Proxy.Tests.Nats;

namespace Proxy.Tests.EndToEnd;

/// <summary>Calls that are traced: the spans that a receiver gets, and what hosts, jobs and messages are told of them.</summary>
public sealed class TracedCallTests(TracedCallTests.House house) : IClassFixture<TracedCallTests.House>
{
    private const string ClientsSpan = "00f067aa0ba902b7";

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    /// <summary>A proxy that traces the calls whose clients do, with NATS, a store, documents, a host, and a receiver of traces.</summary>
    public sealed class House : IAsyncLifetime
    {
        private NatsServer? server;
        private ProxyProcess? proxy;

        internal OtlpEar Ear { get; } = new();

        internal FakeBackend Host { get; } = FakeBackend.Start();

        internal FakeBackend Broken { get; } = FakeBackend.Start();

        internal NatsServer Server => server!;

        internal ProxyProcess Proxy => proxy!;

        public async ValueTask InitializeAsync()
        {
            Host.Answer(static exchange => exchange.Request.Target switch
            {
                "/v1/embeddings" => exchange.JsonAsync($$"""
                    {"object":"list","model":"vec","usage":{"prompt_tokens":1,"total_tokens":1},"data":[{{string.Join(',', Enumerable
                        .Range(0, exchange.Request.Json.GetProperty("input").GetArrayLength())
                        .Select(static i => $$"""{"object":"embedding","index":{{i}},"embedding":[1,{{i + 1}}]}"""))}}]}
                    """),
                "/v1/rerank" => exchange.JsonAsync("""{"results":[{"index":0,"relevance_score":0.9}]}"""),
                _ when exchange.Request.Text.Contains("\"stream\":true", StringComparison.Ordinal) => exchange.StreamAsync(OpenAi.Sse, OpenAi.Stream("a", "b")),
                _ => exchange.JsonAsync(OpenAi.Whole("fine")),
            });
            Broken.Answer(static exchange => exchange.JsonAsync(OpenAi.Error("no"), 500));
            server = await NatsServer.StartAsync();
            proxy = await ProxyProcess.StartAsync($"""
                {FrontDoor.Server()}
                [inference]
                bundled = false
                [log]
                format = "json"
                [store]
                kind = "sqlite"
                [nats]
                url = "{server.Url}"
                [traces]
                otlp = "{Ear.Url}/"
                sample = 0
                headers = {"{ \"x-token\" = \"t0ken\" }"}
                [knowledge]
                embedder = "vec"
                reranker = "judge"
                [[pipelines]]
                name = "research"
                launcher = "jetstream"
                [[backends]]
                name = "broken"
                url = "{Broken.Url}"
                dialects = ["openai"]
                models = ["pair"]
                weight = 1000
                [[backends]]
                name = "gpu"
                url = "{Host.Url}"
                dialects = ["openai"]
                models = ["tiny", "pair", "vec", "judge"]
                """);
            await proxy.Log.EventAsync("nats_queue");
        }

        public async ValueTask DisposeAsync()
        {
            if (proxy is not null) await proxy.DisposeAsync();
            if (server is not null) await server.DisposeAsync();
            await Host.DisposeAsync();
            await Broken.DisposeAsync();
            await Ear.DisposeAsync();
        }

        internal Task<RawReply> PostAsync(string path, string body, params string[] headers) =>
            RawClient.SendAsync(Proxy.Address, "POST", path, Encoding.UTF8.GetBytes(body), headers);
    }

    [Fact]
    public async Task Client_job_and_the_jobs_own_call_Are_one_connected_trace()
    {
        await using var worker = new NatsConnection(new NatsOpts { Url = house.Server.Url });
        await using var published = await worker.SubscribeCoreAsync<byte[]>("*.chat.>", cancellationToken: Stop);
        await worker.PingAsync(Stop);
        var (trace, context) = NewTrace();
        await using var client = await RawClient.ConnectAsync(house.Proxy.Address);
        await client.RequestAsync("POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(OpenAi.Request("pipeline/research", stream: true)), context);

        var job = await PulledJob.TakeAsync(worker, "research", cancellation: Stop) ?? throw new TimeoutException("no job came");
        var given = job.Document.GetProperty("traceparent").GetString()!;
        var own = await house.PostAsync("/v1/chat/completions", OpenAi.Request("tiny", stream: true), $"traceparent: {given}");
        await job.TokenAsync(OpenAi.Read(own), Stop);
        await job.FinishedAsync(Stop);
        await job.AcknowledgeAsync(Stop);
        var answer = await client.ReadReplyAsync();

        Assert.Equal("ab", OpenAi.Read(answer));
        Assert.Equal(given, job.Headers["traceparent"]);
        var outer = await EndedAsync(trace, answer);
        var inner = await EndedAsync(trace, own);
        // A job is given back while its call's record is written already, so its span may end last.
        await Patience.Until(() => Task.FromResult(house.Ear.Spans.Any(span => span.Trace == trace && span.Name == "job")), "the job's span comes");
        var spans = house.Ear.Spans.Where(span => span.Trace == trace).ToList();
        Assert.Equal((ClientsSpan, 2), (outer.Parent, outer.Kind));
        var running = Assert.Single(spans, static span => span.Name == "job");
        Assert.Equal((outer.Id, running.Id, running.Id), (running.Parent, given.Split('-')[2], inner.Parent));
        Assert.Equal(running.Id, Assert.Single(spans, static span => span.Name == "launch").Parent);
        Assert.Equal(inner.Id, house.Host.Calls.Single(call => call.Header("x-trace-id") == own.TraceId).Header("traceparent")!.Split('-')[2]);
        Assert.Equal(["commit", "first token", "queue", "stream"],
            spans.Where(span => span.Parent == inner.Id && span.Name != "connect").Select(static span => span.Name).Order(StringComparer.Ordinal));
        Assert.True(running.From >= outer.From && running.From <= outer.To && inner.From >= running.From, "the parts begin within the whole");
        // Each span is below one that is there, or is the outer one.
        Assert.All(spans, span => Assert.True(span.Id == outer.Id || spans.Exists(other => other.Id == span.Parent), $"{span.Name} has no parent"));
        foreach (var subject in new[] { "evt.chat.", "done.chat." })
        {
            while (await Patience.For(published.Msgs.ReadAsync(Stop).AsTask(), $"{subject} of the job's call") is var message)
            {
                if (message.Subject != subject + own.TraceId) continue;
                Assert.Equal($"00-{trace}-{inner.Id}-01", message.Headers!["traceparent"]);
                break;
            }
        }
    }

    [Fact]
    public async Task Values_Are_those_of_the_conventions_and_of_the_log_line()
    {
        var (trace, context) = NewTrace();
        var reply = await house.PostAsync("/v1/chat/completions", OpenAi.Request("tiny"), context, "x-session-id: s-1", "x-correlation-id: values-1");

        var span = await EndedAsync(trace, reply);

        Assert.Equal("POST /v1/chat/completions", span.Name);
        foreach (var (key, value) in new[]
        {
            ("http.request.method", "POST"), ("http.route", "/v1/chat/completions"), ("http.response.status_code", "200"), ("gen_ai.operation.name", "chat"),
            ("gen_ai.request.model", "tiny"), ("gen_ai.response.model", "tiny"), ("gen_ai.conversation.id", "s-1"), ("gen_ai.usage.input_tokens", "9"),
            ("gen_ai.usage.output_tokens", "7"), ("proxy.trace_id", reply.TraceId), ("proxy.correlation_id", "values-1"), ("proxy.backend", "gpu"),
            ("proxy.outcome", "ok"),
        })
            Assert.Equal((key, value), (key, span.Values.GetValueOrDefault(key)));
        Assert.False(span.HasFailed || span.Values.ContainsKey("error.type"));
        Assert.Equal("proxy", span.Resource["service.name"]);
        Assert.Equal(trace, (await house.Proxy.Log.CallAsync("values-1"))["otel_trace_id"]);
        Assert.Equal($"00-{trace}-{span.Id}-01", reply.Header("traceparent"));
        var sent = house.Ear.Host.Calls[0];
        Assert.Equal(("/v1/traces", "application/x-protobuf", "t0ken"), (sent.Target, sent.Header("content-type"), sent.Header("x-token")));
    }

    [Fact]
    public async Task Host_fails_The_attempt_is_a_span_that_failed_and_the_call_is_none()
    {
        var (trace, context) = NewTrace();
        var reply = await house.PostAsync("/v1/chat/completions", OpenAi.Request("pair"), context);

        var span = await EndedAsync(trace, reply);

        Assert.Equal(200, reply.Status);
        var attempt = Assert.Single(house.Ear.Spans, one => one.Trace == trace && one.Name == "attempt");
        Assert.Equal((span.Id, true, "broken"), (attempt.Parent, attempt.HasFailed, attempt.Values["proxy.backend"]));
        Assert.False(span.HasFailed);
    }

    [Fact]
    public async Task Call_is_refused_It_has_the_kind_of_error_and_failed_only_if_a_server_did()
    {
        var (trace, context) = NewTrace();
        var unknown = await EndedAsync(trace, await house.PostAsync("/v1/chat/completions", OpenAi.Request("nobody"), context));

        Assert.Equal(("404", "model_not_found", false),
            (unknown.Values["http.response.status_code"], unknown.Values["error.type"], unknown.HasFailed));
    }

    [Fact]
    public async Task Documents_are_searched_Retrieve_has_embed_and_rerank_below_it_and_their_hosts_are_told()
    {
        var made = await house.PostAsync("/v1/vector_stores", """{"name":"garden"}""");
        await using var client = await RawClient.ConnectAsync(house.Proxy.Address);
        const string Form = "--b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nassistants\r\n--b\r\n"
            + "Content-Disposition: form-data; name=\"file\"; filename=\"tulips.md\"\r\n\r\nTulips grow from bulbs.\r\n--b--\r\n";
        await client.RequestAsync("POST", "/v1/files", Encoding.UTF8.GetBytes(Form), "Content-Type: multipart/form-data; boundary=b");
        var file = (await client.ReadReplyAsync()).Json.GetProperty("id").GetString();
        var store = made.Json.GetProperty("id").GetString();
        Assert.Equal(200, (await house.PostAsync($"/v1/vector_stores/{store}/files", $$"""{"file_id":"{{file}}"}""")).Status);
        await Patience.Until(async () => (await RawClient.SendAsync(house.Proxy.Address, "GET", $"/v1/vector_stores/{store}")).Json
            .GetProperty("file_counts").GetProperty("completed").GetInt32() == 1, "the file is read");

        var (trace, context) = NewTrace();
        var reply = await house.PostAsync("/v1/chat/completions", OpenAi.Request("tiny"), context, "x-workspace: garden");
        Assert.True(reply.Status == 200, reply.Text);
        var span = await EndedAsync(trace, reply);

        var spans = house.Ear.Spans.Where(one => one.Trace == trace).ToList();
        var retrieve = Assert.Single(spans, static one => one.Name == "retrieve");
        var (embed, rerank) = (Assert.Single(spans, static one => one.Name == "embed"), Assert.Single(spans, static one => one.Name == "rerank"));
        Assert.Equal((span.Id, retrieve.Id, retrieve.Id), (retrieve.Parent, embed.Parent, rerank.Parent));
        Assert.Equal(("1", "vec", "judge"), (retrieve.Values["proxy.passages"], embed.Values["gen_ai.request.model"], rerank.Values["gen_ai.request.model"]));
        Assert.Contains(house.Host.Calls, call => call.Target == "/v1/embeddings" && call.Header("traceparent") == $"00-{trace}-{embed.Id}-01");
        Assert.Contains(house.Host.Calls, call => call.Target == "/v1/rerank" && call.Header("traceparent") == $"00-{trace}-{rerank.Id}-01");
    }

    [Fact]
    public async Task Client_does_not_trace_Nothing_is_sent_and_the_host_is_told_so()
    {
        var (trace, _) = NewTrace();
        var without = await house.PostAsync("/v1/chat/completions", OpenAi.Request("tiny"));
        var unsampled = await house.PostAsync("/v1/chat/completions", OpenAi.Request("tiny"), $"traceparent: 00-{trace}-{ClientsSpan}-00");
        var (other, context) = NewTrace();
        await EndedAsync(other, await house.PostAsync("/v1/chat/completions", OpenAi.Request("tiny"), context)); // sent after the other two

        Assert.DoesNotContain(house.Ear.Spans, span => span.Trace == trace || span.Values.GetValueOrDefault("proxy.trace_id") == without.TraceId);
        Assert.EndsWith("-00", Asked(without).Header("traceparent"), StringComparison.Ordinal);
        Assert.Equal($"00-{trace}-{ClientsSpan}-00", Asked(unsampled).Header("traceparent"));

        FakeRequest Asked(RawReply reply) => house.Host.Calls.Single(call => call.Header("x-trace-id") == reply.TraceId);
    }

    private static (string Trace, string Header) NewTrace()
    {
        var trace = Guid.NewGuid().ToString("N");
        return (trace, $"traceparent: 00-{trace}-{ClientsSpan}-01");
    }

    /// <summary>The span of a call. Those below it have ended before it.</summary>
    private Task<HeardSpan> EndedAsync(string trace, RawReply reply) => house.Ear.SpanAsync(
        span => span.Trace == trace && span.Values.GetValueOrDefault("proxy.trace_id") == reply.TraceId, "the span of the call");
}
