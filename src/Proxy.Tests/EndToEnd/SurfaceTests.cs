using System.Text;
using System.Text.Json;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>The paths besides chat: the built-in echo, paths passed on by the model's name, health and metrics.</summary>
public sealed class SurfaceTests(SurfaceTests.Door door) : IClassFixture<SurfaceTests.Door>
{
    public sealed class Door : FrontDoor
    {
        protected override int Lanes => 24;

        protected override int OllamaLanes => 4;

        protected override string HostSettings => """
            key = "sk-of-the-host"
            headers = { "x-team" = "blue" }
            """;

        /// <summary>The host that is also called <c>by-another-name</c>.</summary>
        internal FakeBackend Aliased { get; private set; } = null!;

        protected override string Sections()
        {
            Aliased = Host();
            return $$"""
            [aliases]
            "by-another-name" = "known-by-two-names"
            [[backends]]
            name = "aliased"
            url = "{{Aliased.Url}}"
            dialects = ["openai"]
            models = ["known-by-two-names"]
            [[backends]]
            name = "echo"
            url = "builtin:echo"
            models = ["echo"]
            """;
        }
    }

    [Theory]
    [InlineData("hello")]
    [InlineData("é 😀 你好 \"quoted\" \n <b>")]
    public async Task Echo_is_asked_It_says_the_last_user_message_back_in_both_dialects(string text)
    {
        var stream = await door.PostAsync("/v1/chat/completions", OpenAi.Request("echo", stream: true, text: text));
        var whole = await door.PostAsync("/v1/chat/completions", OpenAi.Request("echo", text: text));
        var ollamaStream = await door.PostAsync("/api/chat", Ollama.Request("echo", text: text));
        var ollamaWhole = await door.PostAsync("/api/chat", Ollama.Request("echo", stream: false, text: text));

        Assert.Equal(text, OpenAi.Read(stream));
        Assert.Equal("[DONE]", stream.Events[^1]);
        Assert.StartsWith(OpenAi.Sse, stream.ContentType, StringComparison.Ordinal);
        Assert.Equal(text, whole.Json.GetProperty("choices")[0].GetProperty("message").GetProperty("content").GetString());
        Assert.Equal("stop", whole.Json.GetProperty("choices")[0].GetProperty("finish_reason").GetString());
        Assert.Equal(text, Ollama.Read(ollamaStream));
        Assert.True(ollamaStream.JsonLines[^1].GetProperty("done").GetBoolean());
        Assert.StartsWith(Ollama.Lines, ollamaStream.ContentType, StringComparison.Ordinal);
        Assert.Equal(text, ollamaWhole.Json.GetProperty("message").GetProperty("content").GetString());
        Assert.True(ollamaWhole.Json.GetProperty("done").GetBoolean());
    }

    [Fact]
    public async Task Echo_is_asked_The_stream_comes_in_more_than_one_piece()
    {
        var reply = await door.PostAsync("/v1/chat/completions", OpenAi.Request("echo", stream: true, text: "one two three four"));

        Assert.True(reply.Events.Count(data => data.Contains("\"content\":\"", StringComparison.Ordinal)) > 2, reply.Text);
    }

    [Fact]
    public async Task Echo_takes_the_last_user_message_and_its_text_parts()
    {
        var reply = await door.PostAsync("/v1/chat/completions",
            """{"model":"echo","messages":[{"role":"system","content":"s"},{"role":"user","content":"first"},{"role":"assistant","content":"a"},"""
                + """{"role":"user","content":[{"type":"text","text":"last "},{"type":"text","text":"one"}]}]}""");

        Assert.Equal("last one", reply.Json.GetProperty("choices")[0].GetProperty("message").GetProperty("content").GetString());
    }

    [Theory]
    [InlineData("/v1/embeddings", """{"input":"x","model":"MODEL","encoding_format":"base64","n":1.50}""",
        """{"object":"list","data":[{"object":"embedding","index":0,"embedding":"AACAPw=="}],"model":"served","usage":{"prompt_tokens":1,"total_tokens":1}}""")]
    [InlineData("/v1/images/generations", """{"prompt":"a cat","model":"MODEL"}""", """{"created":1,"data":[]}""")]
    [InlineData("/v1/something/nobody/knows?x=1", """{"model":"MODEL"}""", "{}")]
    public async Task Path_is_relayed_by_model_Bytes_stay(string path, string request, string answer)
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.JsonAsync(answer));
        var body = request.Replace("MODEL", lane.Solo, StringComparison.Ordinal);

        var (reply, line) = await door.CallAsync(path, body);

        Assert.True(reply.Status == 200, $"{reply.Status} {reply.Text}");
        Assert.Equal(answer, reply.Text);
        Assert.Equal(path, lane.A.Calls[0].Target);
        Assert.Equal(body, lane.A.Calls[0].Text);
        Assert.Equal("ok none 200", line.Verdict);
    }

    [Theory]
    [InlineData("/chat/completions", """{"model":"MODEL","messages":[{"role":"user","content":"x"}]}""")]
    [InlineData("/completions", """{"model":"MODEL","prompt":"x"}""")]
    [InlineData("/embeddings", """{"model":"MODEL","input":"x"}""")]
    [InlineData("/embeddings/", """{"model":"MODEL","input":"x"}""")]
    public async Task Path_without_the_version_Is_asked_of_the_host_with_it(string path, string request)
    {
        var lane = door.Take();
        var answer = OpenAi.Whole("hello", lane.Solo).Replace("\"usage\"", "\"data\":[],\"usage\"", StringComparison.Ordinal);
        lane.A.Answer(exchange => exchange.JsonAsync(answer));
        var body = request.Replace("MODEL", lane.Solo, StringComparison.Ordinal);

        var (reply, line) = await door.CallAsync(path, body);

        Assert.Equal((200, answer), (reply.Status, reply.Text));
        path = path.TrimEnd('/');
        Assert.Equal(("/v1" + path, body), (lane.A.Calls[0].Target, lane.A.Calls[0].Text));
        Assert.Equal("/v1" + path, line["surface"]);
    }

    [Fact]
    public async Task Websocket_is_asked_for_It_is_refused_in_words_that_say_so()
    {
        var reply = await RawClient.SendAsync(door.Address, "GET", "/v1/responses", null, "Upgrade: websocket", "Connection: Upgrade",
            "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==");

        Assert.Equal(501, reply.Status);
        Assert.Contains("no websockets", reply.Json.GetProperty("error").GetProperty("message").GetString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Completions_stream_Bytes_stay()
    {
        var lane = door.Take();
        const string Stream = "data: {\"id\":\"c\",\"object\":\"text_completion\",\"created\":1,\"model\":\"m\",\"choices\":["
            + "{\"text\":\"é\",\"index\":0,\"logprobs\":null,\"finish_reason\":null}]}\n\ndata: {\"id\":\"c\",\"object\":\"text_completion\",\"created\":1"
            + ",\"model\":\"m\",\"choices\":[{\"text\":\"\",\"index\":0,\"logprobs\":null,\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
        lane.A.Answer(exchange => exchange.StreamAsync(OpenAi.Sse, Stream));

        var (reply, line) = await door.CallAsync("/v1/completions", $$"""{"model":"{{lane.Solo}}","prompt":"p","stream":true}""");

        Assert.Equal(Stream, reply.Text);
        Assert.Equal("ok none 200", line.Verdict);
    }

    [Fact]
    public async Task Completions_stream_ends_in_silence_Client_gets_an_error_frame()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.StreamAsync(OpenAi.Sse, "data: {\"id\":\"c\",\"object\":\"text_completion\",\"created\":1"
            + ",\"model\":\"m\",\"choices\":[{\"text\":\"half\",\"index\":0,\"logprobs\":null,\"finish_reason\":null}]}\n\n"));

        var (reply, line) = await door.CallAsync("/v1/completions", $$"""{"model":"{{lane.Solo}}","prompt":"p","stream":true}""");

        Assert.True(reply.Whole);
        Assert.NotEmpty(OpenAi.ReadError(reply).GetProperty("message").GetString()!);
        Assert.Equal("backend_error backend 200", line.Verdict);
    }

    [Fact]
    public async Task Multipart_names_its_model_after_the_file_It_is_relayed_byte_for_byte()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.JsonAsync("""{"text":"heard"}"""));
        var body = Form(lane.Solo);

        var reply = await RawClient.SendAsync(door.Address, "POST", "/v1/audio/transcriptions", body, "Content-Type: multipart/form-data; boundary=\"b-o\"");

        Assert.True(reply.Status == 200, $"{reply.Status} {reply.Text}");
        Assert.Equal(body, lane.A.Calls[0].Body);
        Assert.Equal("multipart/form-data; boundary=\"b-o\"", lane.A.Calls[0].Header("content-type"));
    }

    [Fact]
    public async Task Multipart_names_an_alias_Only_the_name_changes()
    {
        door.Aliased.Answer(exchange => exchange.JsonAsync("""{"text":"heard"}"""));

        var reply = await RawClient.SendAsync(
            door.Address, "POST", "/v1/audio/transcriptions", Form("by-another-name"), "Content-Type: multipart/form-data; boundary=b-o");

        Assert.True(reply.Status == 200, $"{reply.Status} {reply.Text}");
        Assert.Equal(Form("known-by-two-names"), Assert.Single(door.Aliased.Calls).Body);
    }

    [Fact]
    public async Task Multipart_has_no_model_Client_gets_400()
    {
        var reply = await RawClient.SendAsync(
            door.Address, "POST", "/v1/audio/transcriptions", "--b-o\r\nContent-Disposition: form-data; name=\"language\"\r\n\r\nen\r\n--b-o--\r\n"u8.ToArray(),
            "Content-Type: multipart/form-data; boundary=b-o");

        Assert.Equal(400, reply.Status);
        Assert.Equal("validation_error", reply.ErrorType);
    }

    [Fact]
    public async Task Host_answers_with_sound_Bytes_and_type_stay()
    {
        var lane = door.Take();
        var sound = Enumerable.Range(0, 100_000).Select(i => (byte)(i * 7)).ToArray();
        lane.A.Answer(exchange => exchange.WholeAsync(200, "audio/mpeg", sound));

        var reply = await door.PostAsync("/v1/audio/speech", $$"""{"model":"{{lane.Solo}}","input":"hi","voice":"x"}""");

        Assert.Equal(200, reply.Status);
        Assert.Equal("audio/mpeg", reply.ContentType);
        Assert.Equal(sound, reply.Body);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Headers_cross_by_list(bool ollama)
    {
        var lane = ollama ? door.TakeOllama() : door.Take();
        lane.A.Answer(async exchange =>
        {
            var body = ollama ? Ollama.Last(text: "x") : OpenAi.Whole("x");
            await exchange.JsonAsync(
                body, 200, "Set-Cookie: a=b", "Server: secret", "x-ratelimit-remaining-requests: 5", "X-Internal: 1", "openai-processing-ms: 5");
        });
        string[] sent = ["Authorization: Bearer sk-of-the-client", "x-api-key: sk-of-the-client", "api-key: sk-of-the-client", "Cookie: c=d",
            "X-Forwarded-For: 1.2.3.4", "X-Own: 1", "User-Agent: test/1", "Accept: application/json", "OpenAI-Organization: org", "Accept-Encoding: gzip"];

        var reply = await door.PostAsync(
            ollama ? "/api/chat" : "/v1/chat/completions", ollama ? Ollama.Request(lane.Solo, false) : OpenAi.Request(lane.Solo), sent);

        Assert.Equal(200, reply.Status);
        var host = lane.A.Calls[0];
        Assert.DoesNotContain("sk-of-the-client", host.Head, StringComparison.Ordinal);
        Assert.DoesNotContain("cookie", host.Head, StringComparison.OrdinalIgnoreCase);
        Assert.DoesNotContain("x-own", host.Head, StringComparison.OrdinalIgnoreCase);
        Assert.Equal("Bearer sk-of-the-host", host.Header("authorization"));
        Assert.Equal("blue", host.Header("x-team"));
        Assert.Equal("test/1", host.Header("user-agent"));
        Assert.Equal("org", host.Header("openai-organization"));
        Assert.Equal("identity", host.Header("accept-encoding"));
        Assert.StartsWith("application/json", host.Header("content-type"), StringComparison.Ordinal);
        Assert.Equal($"127.0.0.1:{lane.A.Port}", host.Header("host"));
        Assert.Null(reply.Header("set-cookie"));
        Assert.Null(reply.Header("x-internal"));
        Assert.NotEqual("secret", reply.Header("server"));
        Assert.Equal("5", reply.Header("x-ratelimit-remaining-requests"));
    }

    [Fact]
    public async Task Prompts_and_keys_never_reach_the_log()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.JsonAsync(OpenAi.Error("bad prompt: the-secret-prompt"), 500));

        await door.PostAsync("/v1/chat/completions", OpenAi.Request(lane.Solo, text: "the-secret-prompt"), "Authorization: Bearer the-secret-key",
            "x-correlation-id: secrets-1");
        await door.Proxy.Log.CallAsync("secrets-1");

        Assert.DoesNotContain(door.Proxy.Log.Lines, line => line.GetRawText().Contains("the-secret-prompt", StringComparison.Ordinal) || line.GetRawText()
            .Contains("the-secret-key", StringComparison.Ordinal) || line.GetRawText().Contains("sk-of-the-host", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Stream_is_served_Caches_and_buffers_on_the_way_are_told_to_keep_off()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.StreamAsync(OpenAi.Sse, OpenAi.Stream("x")));

        var (reply, _) = await lane.ChatAsync(lane.Solo, stream: true);

        Assert.Equal("no", reply.Header("x-accel-buffering"));
        Assert.Contains("no-cache", reply.Header("cache-control"), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("/health")]
    [InlineData("/ready")]
    public async Task Health_is_asked_It_is_well(string path)
    {
        await Patience.Until(async () => (await door.GetAsync(path)).Status == 200, $"{path} is well");

        Assert.Equal(200, (await RawClient.SendAsync(door.Address, "HEAD", path)).Status);
    }

    [Fact]
    public async Task Root_is_asked_It_says_what_an_Ollama_client_looks_for()
    {
        var get = await door.GetAsync("/");
        var head = await RawClient.SendAsync(door.Address, "HEAD", "/");

        Assert.Equal("200 Ollama is running", $"{get.Status} {get.Text}");
        Assert.Equal(200, head.Status);
    }

    [Fact]
    public async Task Ollama_version_is_asked_It_is_new_enough_for_editors()
    {
        var reply = await door.GetAsync("/api/version");

        Assert.True(Version.Parse(reply.Json.GetProperty("version").GetString()!) >= new Version(0, 6, 4), reply.Text);
        Assert.Equal(200, (await RawClient.SendAsync(door.Address, "HEAD", "/api/version")).Status);
    }

    [Fact]
    public async Task Metrics_are_read_They_count_the_calls()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.JsonAsync(OpenAi.Whole("x")));
        await lane.ChatAsync(lane.Solo, stream: false);

        var reply = await door.GetAsync("/metrics");

        Assert.Equal(200, reply.Status);
        Assert.StartsWith("text/plain", reply.ContentType, StringComparison.Ordinal);
        var samples = reply.Text.Split('\n', StringSplitOptions.RemoveEmptyEntries).Where(line => !line.StartsWith('#')).ToArray();
        Assert.All(samples,
            sample => Assert.Matches("""^[a-zA-Z_:][a-zA-Z0-9_:]*(\{([a-zA-Z_][a-zA-Z0-9_]*="([^"\\]|\\.)*",?)*\})? (-?[0-9.eE+-]+|NaN|[+-]Inf)$""", sample));
        Assert.Contains(samples, sample => sample.Contains("request", StringComparison.Ordinal)
            && sample.Contains($"\"{lane.NameA}\"", StringComparison.Ordinal) && sample.EndsWith(" 1", StringComparison.Ordinal));
        Assert.Contains(samples, sample => sample.Contains("token", StringComparison.Ordinal)
            && sample.Contains($"\"{lane.NameA}\"", StringComparison.Ordinal) && sample.EndsWith(" 7", StringComparison.Ordinal));
        foreach (var wanted in new[] { "first_token", "in_flight", "slot", "queue", "breaker" })
            Assert.Contains(reply.Text.Split('\n'), line => line.Contains(wanted, StringComparison.OrdinalIgnoreCase));
    }

    [Fact]
    public async Task Requests_are_pipelined_on_one_connection_Each_is_answered_in_turn()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.JsonAsync(OpenAi.Whole(exchange.Request.Json.GetProperty("messages")[0].GetProperty("content").GetString()!)));
        await using var client = await RawClient.ConnectAsync(door.Address);

        for (var i = 0; i < 3; i++)
            await client.RequestAsync("POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(OpenAi.Request(lane.Solo, text: $"turn {i}")));

        for (var i = 0; i < 3; i++)
            Assert.Contains($"turn {i}", (await client.ReadReplyAsync()).Text, StringComparison.Ordinal);
    }

    private static byte[] Form(string model)
    {
        byte[] sound = [0, 1, 2, 255, 13, 10, 45, 45, 98, 45, 120, 13, 10];
        return
        [
            .. "--b-o\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\r\n"u8, .. sound,
            .. Encoding.UTF8.GetBytes($"\r\n--b-o\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n{model}\r\n--b-o\r\nContent-Disposition: form-data; "
                + $"name=\"language\"\r\n\r\nen\r\n--b-o--\r\n"),
        ];
    }
}
