using System.Text;
using System.Text.Json;
using Proxy.Http;
using Proxy.Config;
using Proxy.Tests.Backends;
using Proxy.Transport;

namespace Proxy.Tests.Http;

/// <summary>Calls through the HTTP edge: what the client receives, for all that a host may do.</summary>
public sealed class ExchangeTests
{
    private const string Hello = """data: {"id":"1","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"hello"}}]}""" + "\n\n";
    private const string Stop = """data: {"id":"1","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}""" + "\n\ndata: [DONE]\n\n";
    private const string Failure = """data: {"error":{"message":"out of memory"}}""" + "\n\n";
    private const string Answer = """{"id":"1","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":4}}""";

    private static string Chat(bool stream, string model = "m") =>
        $$"""{"model":"{{model}}","stream":{{(stream ? "true" : "false")}},"messages":[{"role":"user","content":"hi"}]}""";

    private static Task<Edge> StartAsync(params Script[] scripts) =>
        StartAsync(new ProxyConfig { Backends = [House.At("a", "m")], Aliases = new Dictionary<string, string> { ["alias"] = "m" } }, scripts);

    private static async Task<Edge> StartAsync(ProxyConfig config, params Script[] scripts)
    {
        var edge = await Edge.StartAsync(config);
        edge.House.Plays("a", scripts);
        return edge;
    }

    [Fact]
    public async Task Stream_in_the_clients_dialect_Not_one_byte_differs()
    {
        await using var edge = await StartAsync(Script.Stream(Hello, Stop, Step.End));

        var (status, text, reply) = await edge.SendAsync("POST", "/v1/chat/completions", Chat(true));

        Assert.Equal((200, Hello + Stop, "text/event-stream"), (status, text, reply.Content.Headers.ContentType!.MediaType));
        Assert.Contains("no-transform", reply.Headers.CacheControl!.ToString(), StringComparison.Ordinal);
        Assert.Contains("outcome=ok fault=none", Assert.Single(edge.Log()), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Alias_The_host_gets_its_own_name_and_the_client_the_one_it_asked()
    {
        await using var edge = await StartAsync(Script.Json(Answer), Script.Stream(Hello, Stop, Step.End));

        var (_, whole, _) = await edge.SendAsync("POST", "/v1/chat/completions", Chat(false, "alias"));
        var (_, stream, _) = await edge.SendAsync("POST", "/v1/chat/completions", Chat(true, "alias"));

        Assert.Equal(Answer.Replace("\"model\":\"m\"", "\"model\":\"alias\"", StringComparison.Ordinal), whole);
        Assert.Equal((Hello + Stop).Replace("\"model\":\"m\"", "\"model\":\"alias\"", StringComparison.Ordinal), stream);
        Assert.Equal([Chat(false), "{\"stream_options\":{\"include_usage\":true}," + Chat(true)[1..]], edge.House.Hosts["a"].Exchanges.Select(e => e.Sent));
        var line = edge.Log()[0];
        Assert.Contains("model=alias served=m", line, StringComparison.Ordinal);
        Assert.Contains("tokens_in=3 tokens_out=4", line, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Host_fails_in_the_same_packet_as_its_first_words_Both_reach_a_client_of_another_dialect()
    {
        await using var edge = await StartAsync(Script.Stream(Hello + Failure, Step.End));

        var (status, text, _) = await edge.SendAsync("POST", "/api/chat", Chat(true));

        var lines = text.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonElement.Parse(line)).ToArray();
        Assert.Equal((200, "hello"), (status, lines[0].GetProperty("message").GetProperty("content").GetString()));
        Assert.Contains("out of memory", lines[^1].GetProperty("error").GetString(), StringComparison.Ordinal);
        Assert.Contains("outcome=backend_error fault=backend", Assert.Single(edge.Log()), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Host_fails_in_the_middle_of_a_translated_document_The_client_gets_a_status()
    {
        await using var edge = await StartAsync(Script.Json("""{"error":{"message":"too long","code":"context_length_exceeded"}}""", 400));

        var (status, text, _) = await edge.SendAsync("POST", "/api/chat", Chat(false));

        Assert.Equal(400, status);
        Assert.Contains("too long", JsonElement.Parse(text).GetProperty("error").GetString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Host_refuses_Its_own_bytes_and_status_are_the_answer_and_no_first_token_is_counted()
    {
        const string Said = """{"error":{"message":"no","weird":1.50}}""";
        await using var edge = await StartAsync(Script.Json(Said, 422));

        var (status, text, _) = await edge.SendAsync("POST", "/v1/chat/completions", Chat(true));

        Assert.Equal((422, Said), (status, text));
        var line = Assert.Single(edge.Log());
        Assert.Contains("status=422", line, StringComparison.Ordinal);
        Assert.Contains("outcome=refused fault=client", line, StringComparison.Ordinal);
        Assert.DoesNotContain("first_token_ms", line, StringComparison.Ordinal);
        Assert.DoesNotContain("proxy_first_token_seconds_count", edge.Metrics.Expose(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Host_thinks_long_Keep_alives_go_out_and_a_late_failure_is_said_inside_the_stream()
    {
        await using var edge = await StartAsync(Script.NoHead);
        using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/chat/completions")
        {
            Content = new StringContent(Chat(true), Encoding.UTF8, "application/json")
        };
        var sending = edge.Client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        while (edge.House.Hosts["a"].Exchanges.Count == 0) await Task.Yield();
        await edge.House.Hosts["a"].Exchanges[0].Waiting;
        while (!sending.IsCompleted)
        {
            edge.House.Time.Advance(TimeSpan.FromSeconds(1));
            await Task.Yield();
        }

        var reply = await sending;
        var reading = reply.Content.ReadAsStringAsync();
        foreach (var call in edge.Calls.Snapshot()) call.Interrupt(ActiveCalls.ShuttingDown);
        var text = await reading;

        Assert.Equal(200, (int)reply.StatusCode);
        Assert.StartsWith(":", text, StringComparison.Ordinal);
        Assert.Contains("shutting down", text, StringComparison.Ordinal);
        Assert.Contains("outcome=drained fault=proxy", Assert.Single(edge.Log()), StringComparison.Ordinal);
        Assert.True(edge.House.Hosts["a"].Exchanges[0].WasCancelled);
    }

    [Theory]
    [InlineData("/v1/chat/completions")]
    [InlineData("/v1/embeddings")]
    [InlineData("/v1/responses")]
    public async Task Grounding_is_asked_for_and_not_built_Refused_however_it_is_spelled(string path)
    {
        await using var edge = await StartAsync(Script.Json(Answer));
        foreach (var header in (string[])["x-workspace: handbook", "x-pipeline: p", "x-route: rag", "x-route: sideways",
            "x-workspace: " + new string('w', 300)])
        {
            var (status, text, _) = await edge.SendAsync("POST", path, Chat(false), header);
            Assert.Equal((400, header[..header.IndexOf(':', StringComparison.Ordinal)]),
                (status, JsonElement.Parse(text).GetProperty("error").GetProperty("param").GetString()));
        }

        var raw = await edge.RawAsync(Encoding.UTF8.GetBytes($"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nx-workspace: Büro\r\n"
            + $"Content-Type: application/json\r\nContent-Length: {Chat(false).Length}\r\n\r\n{Chat(false)}"));
        Assert.StartsWith("HTTP/1.1 400", raw, StringComparison.Ordinal);
        Assert.Empty(edge.House.Hosts["a"].Exchanges);
    }

    [Theory]
    [InlineData("/v1/embeddings?x=1", "/v1/embeddings?x=1", "/v1/embeddings")]
    [InlineData("/v1/secret/%0d%0aX-Evil:%20yes", "/v1/secret/%0D%0AX-Evil:%20yes", "/v1/*")]
    [InlineData("/v1/a%3Fb=c?d=e", "/v1/a%3Fb=c?d=e", "/v1/*")]
    public async Task Other_paths_are_relayed_Escapes_stay_and_metrics_have_known_names(string path, string expected, string surface)
    {
        await using var edge = await StartAsync(Script.Answer(200, "application/json", """{"model":"m","data":[1.50]}""", Step.End));

        var (status, text, _) = await edge.SendAsync("POST", path, """{"model":"alias","input":"x"}""");

        Assert.Equal((200, """{"model":"alias","data":[1.50]}"""), (status, text));
        Assert.Equal(expected, edge.House.Hosts["a"].Exchanges[0].Request.Path);
        Assert.Equal("""{"model":"m","input":"x"}""", edge.House.Hosts["a"].Exchanges[0].Sent);
        Assert.Contains($"proxy_requests_total{{surface=\"{surface}\",backend=\"a\",model=\"m\",outcome=\"ok\",status=\"200\"}} 1\n", edge.Metrics.Expose(),
            StringComparison.Ordinal);
    }

    [Fact]
    public async Task Relayed_bytes_break_off_The_connection_does_too()
    {
        await using var edge = await StartAsync(Script.Answer(200, "audio/mpeg", "half", Step.Failed));

        await Assert.ThrowsAnyAsync<HttpRequestException>(() => edge.SendAsync("POST", "/v1/audio/speech", """{"model":"m"}"""));

        Assert.Contains("outcome=backend_error fault=backend", Assert.Single(edge.Log()), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Relayed_document_breaks_off_The_client_gets_an_error()
    {
        await using var edge = await StartAsync(Script.Answer(200, "application/json", "{\"data\":[", Step.Failed));

        var (status, text, _) = await edge.SendAsync("POST", "/v1/embeddings", """{"model":"m"}""");

        Assert.Equal((502, "backend_failed"), (status, JsonElement.Parse(text).GetProperty("error").GetProperty("code").GetString()));
    }

    [Fact]
    public async Task Multipart_Its_model_is_found_and_replaced()
    {
        await using var edge = await StartAsync(Script.Answer(200, "text/plain", "text", Step.End));
        using var form = new MultipartFormDataContent { { new ByteArrayContent([0, 255, 13, 10, 45, 45]), "file", "a.wav" },
            { new StringContent("alias"), "model" } };

        using var reply = await edge.Client.PostAsync(new Uri("/v1/audio/transcriptions", UriKind.Relative), form);

        Assert.Equal("text", await reply.Content.ReadAsStringAsync());
        var sent = edge.House.Hosts["a"].Exchanges[0];
        Assert.Contains("\r\n\r\nm\r\n--", sent.Sent, StringComparison.Ordinal);
        Assert.StartsWith("multipart/form-data; boundary=", sent.Request.ContentType, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Headers_of_the_host_Cross_but_for_its_request_id()
    {
        await using var edge = await StartAsync(Script.Json(Answer) with
        {
            Head = new(UpstreamOutcome.Answered, 200) { ContentType = "application/json",
                Headers = [new("x-request-id", "the host's"), new("x-ratelimit-remaining-tokens", "7")] },
        });

        var (_, _, reply) = await edge.SendAsync("POST", "/v1/chat/completions", Chat(false), "x-request-id: mine");

        Assert.Equal(("mine", "7"), (reply.Headers.GetValues("x-request-id").Single(), reply.Headers.GetValues("x-ratelimit-remaining-tokens").Single()));
    }

    [Fact]
    public async Task Key_may_use_some_models_The_others_do_not_exist_for_it()
    {
        var config = new ProxyConfig
        {
            Backends = [House.At("a", "m", "n", "qwen3-8b")],
            Auth = new AuthConfig { Keys = [new ApiKeyConfig { Name = "me", Sha256 = ApiKeyConfig.Digest("secret"), Models = ["n", "qwen*"],
                Concurrency = 1 }] },
        };
        await using var edge = await StartAsync(config, Script.Stream(Hello, Step.Silence));
        const string Key = "Authorization: Bearer secret";

        var (status, text, _) = await edge.SendAsync("POST", "/v1/chat/completions", Chat(true), Key);
        Assert.Equal((404, "model_not_found"), (status, JsonElement.Parse(text).GetProperty("error").GetProperty("code").GetString()));
        var unknown = await edge.SendAsync("POST", "/v1/chat/completions", Chat(true, "x"), Key);
        Assert.Equal(text.Replace("'m'", "'x'", StringComparison.Ordinal)[..60], unknown.Text[..60]); // the same message as for a model that does not exist
        Assert.Equal(["n", "qwen3-8b"], JsonElement.Parse((await edge.SendAsync("GET", "/v1/models", null, Key)).Text).GetProperty("data").EnumerateArray()
            .Select(m => m.GetProperty("id").GetString()!));
        Assert.Equal(404, (await edge.SendAsync("GET", "/v1/models/m", null, Key)).Status);
        Assert.Equal(200, (await edge.SendAsync("GET", "/v1/models/n", null, Key)).Status);

        using var running = new HttpRequestMessage(HttpMethod.Post, "/v1/chat/completions")
        {
            Content = new StringContent(Chat(true, "n"), Encoding.UTF8, "application/json"),
            Headers = { { "Authorization", "Bearer secret" } }
        };
        using var first = await edge.Client.SendAsync(running, HttpCompletionOption.ResponseHeadersRead);
        var (limited, _, reply) = await edge.SendAsync("POST", "/v1/chat/completions", Chat(true, "n"), Key);
        Assert.Equal((429, "1"), (limited, reply.Headers.GetValues("retry-after").Single()));
    }

    [Fact]
    public async Task Client_leaves_It_is_said_so_and_the_slot_comes_back()
    {
        await using var edge = await StartAsync(Script.Stream(Hello, Step.Silence));
        using (var request = new HttpRequestMessage(HttpMethod.Post,
            "/v1/chat/completions") { Content = new StringContent(Chat(true), Encoding.UTF8, "application/json") })
        using (var reply = await edge.Client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead))
        {
            await edge.House.Hosts["a"].Exchanges[0].Waiting;
        }

        var line = Assert.Single(edge.Log());
        Assert.Contains("status=499", line, StringComparison.Ordinal);
        Assert.EndsWith("outcome=client_left fault=client", line, StringComparison.Ordinal); // the line has no error
        Assert.Equal((0, 0L), (edge.House["a"].State.InFlight, edge.Metrics.InFlight));
    }

    [Fact]
    public async Task Drain_is_on_New_calls_are_refused_and_ready_says_no()
    {
        await using var edge = await StartAsync();
        edge.Calls.StartDraining();

        var (status, text, reply) = await edge.SendAsync("POST", "/v1/chat/completions", Chat(true));

        Assert.Equal((503, "draining", "1"),
            (status, JsonElement.Parse(text).GetProperty("error").GetProperty("code").GetString(), reply.Headers.GetValues("retry-after").Single()));
        Assert.Equal(503, (await edge.SendAsync("GET", "/ready")).Status);
        Assert.Equal(200, (await edge.SendAsync("GET", "/health")).Status);
    }

    [Fact]
    public async Task Ids_Are_minted_returned_and_passed_on()
    {
        await using var edge = await StartAsync(Script.Json(Answer), Script.Json(Answer));

        var (_, _, own) = await edge.SendAsync("POST", "/v1/chat/completions", Chat(false), "x-request-id: mine", "x-correlation-id: theirs",
            "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "x-trace-id: forged");
        var (_, _, minted) = await edge.SendAsync("POST", "/v1/chat/completions", Chat(false), "x-request-id: " + new string('x', 300));

        string Header(HttpResponseMessage reply, string name) => reply.Headers.GetValues(name).Single();
        Assert.Equal(("mine", "theirs", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            (Header(own, "x-request-id"), Header(own, "x-correlation-id"), Header(own, "traceparent")));
        Assert.Equal(26, Header(own, "x-trace-id").Length);
        Assert.Equal(Header(minted, "x-trace-id"), Header(minted, "x-request-id"));
        Assert.Matches("^00-[0-9a-f]{32}-[0-9a-f]{16}-01$", Header(minted, "traceparent"));
        var sent = edge.House.Hosts["a"].Exchanges[0].Request.Headers.ToDictionary(h => h.Name, h => h.Value);
        Assert.Equal((Header(own, "x-trace-id"), "mine", "theirs", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            (sent["x-trace-id"], sent["x-request-id"], sent["x-correlation-id"], sent["traceparent"]));
    }
}
