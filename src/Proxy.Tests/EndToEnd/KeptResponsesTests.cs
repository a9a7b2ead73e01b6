using System.Globalization;
using System.Text.Json;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>Responses that are kept: polled while they are generated, read again, continued, cancelled and deleted.</summary>
public sealed class KeptResponsesTests
{
    private const string Path = "/v1/responses";

    [Theory]
    [InlineData("openai", "epoll")]
    [InlineData("openai", "sockets")]
    [InlineData("ollama", "epoll")]
    [InlineData("responses", "epoll")]
    public async Task Background_Client_gets_the_id_at_once_and_polls_to_the_end(string dialect, string transport)
    {
        await using var house = await StreamHouse.StartAsync(dialect: dialect, transport: transport);
        var answer = house.Expect(ResponsesHost.ContentType(dialect));
        // One connection for everything: the generation must not occupy it.
        await using var client = await RawClient.ConnectAsync(house.Address);

        var begun = await AskAsync("POST", Path, """{"model":"served","input":"hello","background":true,"metadata":{"a":"b"}}""", "x-correlation-id: bg");
        var id = begun.Json.GetProperty("id").GetString()!;
        answer.Send(ResponsesHost.Begin(dialect) + ResponsesHost.Token(dialect, "One"));
        JsonElement state = default;
        await Patience.Until(async () => TextOf(state = (await AskAsync("GET", $"{Path}/{id}")).Json) == "One", "the first token is in the response");
        answer.End([ResponsesHost.Token(dialect, " two", 1), .. ResponsesHost.End(dialect, "One two")]);
        JsonElement done = default;
        await Patience.Until(async () => Status(done = (await AskAsync("GET", $"{Path}/{id}")).Json) == "completed", "the response is complete");

        Assert.Equal(($"resp_{begun.TraceId}", "queued", true, "b"), (id, Status(begun.Json), begun.Json.GetProperty("background").GetBoolean(),
            begun.Json.GetProperty("metadata").GetProperty("a").GetString()));
        OpenApiSchema.OpenAi.Valid("Response", begun.Text);
        Assert.Equal("in_progress", Status(state));
        Assert.Equal("One two", TextOf(done));
        Assert.Equal("served", done.GetProperty("model").GetString());
        if (dialect != "responses")
        {
            OpenApiSchema.OpenAi.Valid("Response", done.GetRawText());
            Assert.Equal((id, true, true),
                (done.GetProperty("id").GetString(), done.GetProperty("background").GetBoolean(), done.GetProperty("store").GetBoolean()));
        }

        var asked = Assert.Single(house.Host.Calls).Json;
        Assert.True(!asked.TryGetProperty("stream", out var streams) || streams.GetBoolean());
        Assert.False(asked.TryGetProperty("background", out var background) && background.GetBoolean());
        Assert.Equal("ok none 200", (await house.Proxy.Log.CallAsync("bg")).Verdict);

        async Task<RawReply> AskAsync(string method, string path, string? body = null, params string[] headers)
        {
            await client.RequestAsync(method, path, body is null ? null : System.Text.Encoding.UTF8.GetBytes(body), headers);
            return await client.ReadReplyAsync(method);
        }
    }

    [Theory]
    [InlineData("openai")]
    [InlineData("ollama")]
    [InlineData("responses")]
    public async Task Background_stream_Client_leaves_The_events_after_a_number_are_read_byte_for_byte(string dialect)
    {
        await using var house = await StreamHouse.StartAsync(dialect: dialect);
        var answer = house.Expect(ResponsesHost.ContentType(dialect));
        var client = await house.CallAsync(Path, """{"model":"served","input":"hello","background":true,"stream":true}""");
        answer.Send(ResponsesHost.Begin(dialect) + ResponsesHost.Token(dialect, "One"));
        answer.Send(ResponsesHost.Token(dialect, " two", 1));
        await client.ReadHeadAsync();
        await client.ReadUntilAsync(" two");
        await client.ReadUntilAsync("\n\n");
        var trace = client.Headers.First(header => header.Name == "x-trace-id").Value;
        var seen = client.BodySoFar[..(client.BodySoFar.LastIndexOf("\n\n", StringComparison.Ordinal) + 2)];
        await client.DisposeAsync();
        var last = LastSequence(seen);
        var path = $"{Path}/resp_{trace}";
        await Patience.Until(() => Task.FromResult(house.Proxy.Calls.Snapshot()[0].Lifetime.ClientHasLeft), "the client's leaving is noticed");

        await using var follower = await RawClient.ConnectAsync(house.Address);
        await follower.RequestAsync("GET", $"{path}?stream=true&starting_after={last - 1}");
        await follower.ReadHeadAsync();
        await follower.ReadUntilAsync(" two");
        answer.End([ResponsesHost.Token(dialect, " three", 2), .. ResponsesHost.End(dialect, "One two three")]);
        var rest = (await follower.ReadRestAsync()).Text;
        var all = await house.GetAsync($"{path}?stream=true");

        Assert.Equal(Cut(seen, last) + rest, all.Text);
        Assert.EndsWith(rest, all.Text, StringComparison.Ordinal);
        Assert.StartsWith(seen, all.Text, StringComparison.Ordinal);
        Assert.DoesNotContain("\"One\"", rest.Split("response.output_text.done")[0].Split("response.completed")[0], StringComparison.Ordinal);
        var final = LastSequence(all.Text);
        var none = await house.GetAsync($"{path}?stream=true&starting_after={final}");
        Assert.Equal((200, OpenAi.Sse), (none.Status, none.ContentType));
        Assert.Empty(none.Events);
        Assert.Equal("One two three", TextOf((await house.GetAsync(path)).Json));
        Assert.Single(house.Host.Calls);
    }

    [Theory]
    [InlineData("openai", true)]
    [InlineData("openai", false)]
    [InlineData("ollama", true)]
    [InlineData("ollama", false)]
    [InlineData("responses", true)]
    [InlineData("responses", false)]
    public async Task Store_is_true_The_response_is_read_again_by_the_id_that_the_client_got(string dialect, bool stream)
    {
        await using var house = await StreamHouse.StartAsync(dialect: dialect);
        Answer(house, dialect, "all of it", stream);

        var first = await house.PostAsync(Path, Request("hello", stream, ",\"store\":true"));

        var response = stream ? JsonElement.Parse(first.Events[^1]).GetProperty("response") : first.Json;
        var id = response.GetProperty("id").GetString()!;
        Assert.Equal(dialect is "responses" ? "resp_host1" : $"resp_{first.TraceId}", id);
        foreach (var name in (string[])[id, $"resp_{first.TraceId}"])
        {
            var read = await house.GetAsync($"{Path}/{name}");
            Assert.Equal(200, read.Status);
            Assert.True(JsonElement.DeepEquals(response, read.Json), read.Text);
        }

        Assert.Null(first.Header("location"));
        var replayed = await house.GetAsync($"{Path}/{id}?stream=true");
        Assert.Equal(stream ? 200 : 400, replayed.Status);
        if (stream) Assert.Equal(first.Text, replayed.Text);
        Assert.Equal(404, (await house.GetAsync($"/v1/streams/{first.TraceId}")).Status);
    }

    [Fact]
    public async Task Nothing_is_asked_for_Nothing_is_kept()
    {
        await using var house = await StreamHouse.StartAsync(dialect: "responses");
        Answer(house, "responses", "x", stream: false);
        Answer(house, "responses", "x", stream: false);
        var body = Request("hello", stream: false, "");

        var plain = await house.PostAsync(Path, body);
        var not = await house.PostAsync(Path, Request("hello", stream: false, ",\"store\":false"));

        Assert.Equal(0, house.Proxy.Journals.Count);
        Assert.Equal((404, "response_not_found"), Refusal(await house.GetAsync($"{Path}/resp_{plain.TraceId}")));
        Assert.Equal((404, "response_not_found"), Refusal(await house.GetAsync($"{Path}/resp_host1")));
        Assert.Equal((404, "previous_response_not_found"),
            Refusal(await house.PostAsync(Path, Request("x", stream: false, $",\"previous_response_id\":\"resp_{not.TraceId}\""))));
        Assert.Equal(body, house.Host.Calls[0].Text);
    }

    [Theory]
    [InlineData("openai")]
    [InlineData("responses")]
    public async Task Resume_is_asked_for_The_response_is_kept_too(string dialect)
    {
        await using var house = await StreamHouse.StartAsync(dialect: dialect);
        Answer(house, dialect, "kept", stream: true);

        var first = await house.PostAsync(Path, Request("hello", stream: true, ""), "x-resume: 1");

        Assert.Equal("kept", TextOf((await house.GetAsync($"{Path}/resp_{first.TraceId}")).Json));
        Assert.Equal(first.Text, (await house.GetAsync($"{Path}/resp_{first.TraceId}?stream=true")).Text);
        Assert.Equal(first.Text, (await house.GetAsync(first.Header("location")!)).Text);
        Assert.Contains($"id: {first.TraceId}/", first.Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("openai")]
    [InlineData("ollama")]
    [InlineData("responses")]
    public async Task Response_is_continued_The_host_gets_the_whole_conversation(string dialect)
    {
        await using var house = await StreamHouse.StartAsync(dialect: dialect);
        Answer(house, dialect, "a1", stream: true, id: "resp_h1", more: "");
        var first = await house.PostAsync(Path, Request("q1", stream: true, ",\"store\":true,\"instructions\":\"be brief\""));
        Answer(house, dialect, "a2", stream: false, id: "resp_h2", more: "");
        var second = await house.PostAsync(Path, Request("q2", stream: false, $",\"store\":true,\"previous_response_id\":\"resp_{first.TraceId}\""));
        Answer(house, dialect, "a3", stream: false, id: "resp_h3", more: "");
        var id = second.Json.GetProperty("id").GetString();

        var third = await house.PostAsync(Path,
            $$"""{"model":"served","instructions":"be nice","input":[{"role":"user","content":"q3"}],"previous_response_id":"{{id}}"}""");

        Assert.Equal(["be brief", "q1"], Conversation(house.Host.Calls[0].Json));
        Assert.Equal(["q1", "a1", "q2"], Conversation(house.Host.Calls[1].Json));
        Assert.Equal(["be nice", "q1", "a1", "q2", "a2", "q3"], Conversation(house.Host.Calls[2].Json));
        Assert.Equal("a3", TextOf(third.Json));
        if (dialect is not "responses") Assert.Equal(id, third.Json.GetProperty("previous_response_id").GetString());
        Assert.Equal((404, "response_not_found"), Refusal(await house.GetAsync($"{Path}/resp_{third.TraceId}"))); // it was not to be stored
    }

    [Fact]
    public async Task Tool_call_is_continued_with_its_result()
    {
        await using var house = await StreamHouse.StartAsync();
        house.Expect("application/json").End("""
            {"id":"c","object":"chat.completion","created":1,"model":"served","choices":[{"index":0,"finish_reason":"tool_calls","message":{"role":"assistant",
            "content":null,"tool_calls":[{"id":"call_a","type":"function","function":{"name":"add","arguments":"{\"a\":1}"}}]}}]}
            """);
        const string Tools = ",\"store\":true,\"tools\":[{\"type\":\"function\",\"name\":\"add\",\"parameters\":{\"type\":\"object\"}}]";
        var first = await house.PostAsync(Path, Request("add", stream: false, Tools));
        Answer(house, "openai", "2", stream: false);

        var second = await house.PostAsync(Path, $$"""
            {"model":"served","previous_response_id":"resp_{{first.TraceId}}","input":[{"type":"function_call_output","call_id":"call_a","output":"2"}]}
            """);

        Assert.Equal("2", TextOf(second.Json));
        var messages = house.Host.Calls[1].Json.GetProperty("messages");
        Assert.Equal(["user", "assistant", "tool"], messages.EnumerateArray().Select(static message => message.GetProperty("role").GetString()));
        Assert.Equal("call_a", messages[1].GetProperty("tool_calls")[0].GetProperty("id").GetString());
    }

    [Fact]
    public async Task Host_has_stored_its_response_It_gets_the_id_as_it_is_and_another_host_the_conversation()
    {
        await using var other = FakeBackend.Start();
        await using var house = await StreamHouse.StartAsync($"""
            [[backends]]
            name = "b"
            url = "{other.Url}"
            dialects = ["responses"]
            models = ["elsewhere"]
            """, dialect: "responses");
        Answer(house, "responses", "a1", stream: false);
        await house.PostAsync(Path, Request("q1", stream: false, ",\"store\":true"));
        var next = Request("q2", stream: false, ",\"store\":true,\"previous_response_id\":\"resp_host1\"");
        Answer(house, "responses", "a2", stream: false, id: "resp_host2");
        other.Answer(exchange => exchange.JsonAsync(ResponsesHost.Document("responses", "b2", "resp_other")));

        await house.PostAsync(Path, next);
        await house.PostAsync(Path, next.Replace("served", "elsewhere", StringComparison.Ordinal));
        var items = await house.GetAsync($"{Path}/resp_host2/input_items");

        Assert.Equal(next, house.Host.Calls[1].Text);
        Assert.Equal(["q1", "a1", "q2"], Conversation(other.Calls[0].Json));
        Assert.Equal(JsonValueKind.Null, other.Calls[0].Json.GetProperty("previous_response_id").ValueKind);
        Assert.Equal("q2", Assert.Single(items.Json.GetProperty("data").EnumerateArray()).GetProperty("content")[0].GetProperty("text").GetString());
    }

    [Theory]
    [InlineData("openai")]
    [InlineData("ollama")]
    [InlineData("responses")]
    public async Task Background_is_cancelled_The_host_is_free_at_once(string dialect)
    {
        await using var house = await StreamHouse.StartAsync(dialect: dialect);
        var answer = house.Expect(ResponsesHost.ContentType(dialect));
        var begun = await house.PostAsync(Path, Request("hello", stream: false, ",\"background\":true"), "x-correlation-id: cut");
        answer.Send(ResponsesHost.Begin(dialect) + ResponsesHost.Token(dialect, "One"));
        var path = $"{Path}/{begun.Json.GetProperty("id").GetString()}";
        await Patience.Until(async () => TextOf((await house.GetAsync(path)).Json) == "One", "the first token");

        var cancelled = await house.PostAsync(path + "/cancel", "");

        Assert.Equal((200, "cancelled", "One"), (cancelled.Status, Status(cancelled.Json), TextOf(cancelled.Json)));
        await answer.GoneAsync();
        Assert.Equal("cancelled", Status((await house.GetAsync(path)).Json));
        Assert.Equal("cancelled", Status((await house.PostAsync(path + "/cancel", "{}")).Json));
        Assert.Equal("client_left", (await house.Proxy.Log.CallAsync("cut")).Outcome);
        Assert.Equal((404, "previous_response_not_found"),
            Refusal(await house.PostAsync(Path, Request("x", stream: false, $",\"previous_response_id\":\"resp_{begun.TraceId}\""))));
    }

    [Fact]
    public async Task Background_waits_for_its_host_It_is_queued_and_can_be_cancelled()
    {
        await using var house = await StreamHouse.StartAsync();
        var answer = house.Expect("application/json");
        var begun = await house.PostAsync(Path, Request("hello", stream: false, ",\"background\":true"));
        var path = $"{Path}/resp_{begun.TraceId}";
        await answer.Asked;

        Assert.Equal("queued", Status((await house.GetAsync(path)).Json));
        Assert.Equal((400, "invalid_request"),
            Refusal(await house.PostAsync(Path, Request("x", stream: false, $",\"previous_response_id\":\"resp_{begun.TraceId}\""))));
        Assert.Equal("cancelled", Status((await house.PostAsync(path + "/cancel", "")).Json));
        await answer.GoneAsync();
    }

    [Fact]
    public async Task Response_without_background_Is_not_cancelled()
    {
        await using var house = await StreamHouse.StartAsync();
        Answer(house, "openai", "x", stream: false);
        var first = await house.PostAsync(Path, Request("hello", stream: false, ",\"store\":true"));

        var refused = await house.PostAsync($"{Path}/resp_{first.TraceId}/cancel", "");

        Assert.Equal((400, "invalid_request"), Refusal(refused));
        Assert.Contains("background", refused.ErrorMessage, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Stored_stream_loses_its_client_The_host_is_cancelled_and_the_response_says_so()
    {
        await using var house = await StreamHouse.StartAsync();
        var answer = house.Expect();
        var client = await house.CallAsync(Path, Request("hello", stream: true, ",\"store\":true"));
        answer.Send(OpenAi.Role() + OpenAi.Token("One"));
        await client.ReadHeadAsync();
        await client.ReadUntilAsync("One");
        var trace = client.Headers.First(header => header.Name == "x-trace-id").Value;

        await client.DisposeAsync();
        await answer.GoneAsync();

        await Patience.Until(async () => Status((await house.GetAsync($"{Path}/resp_{trace}")).Json) == "cancelled", "the response is cancelled");
    }

    [Fact]
    public async Task Background_fails_The_response_says_why()
    {
        await using var house = await StreamHouse.StartAsync();
        house.Host.Once(exchange => exchange.JsonAsync(OpenAi.Error("too long", code: "\"context_length_exceeded\""), 400));
        house.Expect().End(OpenAi.Role(), OpenAi.Token("half"));

        var refused = await house.PostAsync(Path, Request("hello", stream: false, ",\"background\":true"), "x-correlation-id: no");
        Assert.Equal("refused client 400", (await house.Proxy.Log.CallAsync("no")).Verdict);
        var broken = await house.PostAsync(Path, Request("hello", stream: false, ",\"background\":true"), "x-correlation-id: half");
        Assert.Equal("backend_error", (await house.Proxy.Log.CallAsync("half")).Outcome);

        var first = (await house.GetAsync($"{Path}/resp_{refused.TraceId}")).Json;
        Assert.Equal(("failed", "context_length_exceeded"), (Status(first), first.GetProperty("error").GetProperty("code").GetString()));
        var second = (await house.GetAsync($"{Path}/resp_{broken.TraceId}")).Json;
        Assert.Equal(("failed", "server_error", "half"), (Status(second), second.GetProperty("error").GetProperty("code").GetString(), TextOf(second)));
        Assert.Equal((404, "model_not_found"), Refusal(await house.PostAsync(Path, """{"model":"unknown","input":"x","background":true}""")));
    }

    [Fact]
    public async Task Host_of_the_dialect_refuses_or_fails_in_the_background_The_response_says_why()
    {
        await using var house = await StreamHouse.StartAsync(dialect: "responses");
        house.Host.Once(exchange => exchange.JsonAsync(OpenAi.Error("too long", code: "\"context_length_exceeded\""), 400));
        house.Expect().End(ResponsesHost.Begin("responses"), ResponsesHost.Token("responses", "half"),
            "event: response.failed\ndata: {\"type\":\"response.failed\",\"response\":{\"id\":\"resp_host1\",\"status\":\"failed\",\"output\":[],"
            + "\"error\":{\"code\":\"server_error\",\"message\":\"out of memory\"}}}\n\n");

        var refused = await house.PostAsync(Path, Request("hello", stream: false, ",\"background\":true"), "x-correlation-id: no");
        Assert.Equal("refused client 400", (await house.Proxy.Log.CallAsync("no")).Verdict);
        var failed = await house.PostAsync(Path, Request("hello", stream: false, ",\"background\":true"), "x-correlation-id: fails");
        Assert.Equal("backend_error", (await house.Proxy.Log.CallAsync("fails")).Outcome);

        var first = (await house.GetAsync($"{Path}/resp_{refused.TraceId}")).Json;
        Assert.Equal(("failed", "context_length_exceeded"), (Status(first), first.GetProperty("error").GetProperty("code").GetString()));
        var second = (await house.GetAsync($"{Path}/resp_{failed.TraceId}")).Json;
        Assert.Equal(("failed", "out of memory"), (Status(second), second.GetProperty("error").GetProperty("message").GetString()));
    }

    [Fact]
    public async Task Stored_call_is_refused_Nothing_is_kept()
    {
        await using var house = await StreamHouse.StartAsync();
        house.Host.Once(exchange => exchange.JsonAsync(OpenAi.Error("no"), 400));

        var refused = await house.PostAsync(Path, Request("hello", stream: false, ",\"store\":true"));
        house.Proxy.Time.Advance(TimeSpan.FromSeconds(1));

        Assert.Equal(400, refused.Status);
        await Patience.Until(() => Task.FromResult(house.Proxy.Journals.Count == 0), "the call is forgotten");
        Assert.Equal((404, "response_not_found"), Refusal(await house.GetAsync($"{Path}/resp_{refused.TraceId}")));
    }

    [Fact]
    public async Task Memory_is_full_The_request_counts_too_and_the_oldest_response_goes_first()
    {
        await using var house = await StreamHouse.StartAsync("""
            [streams]
            memory = "100KiB"
            """);
        var text = new string('x', 40_000);
        var kept = new List<string>();
        for (var i = 0; i < 3; i++)
        {
            Answer(house, "openai", "short", stream: false);
            kept.Add((await house.PostAsync(Path, Request(text, stream: false, ",\"store\":true"))).TraceId);
        }

        Assert.Equal((410, "stream_expired"), Refusal(await house.GetAsync($"{Path}/resp_{kept[0]}")));
        Assert.Equal(200, (await house.GetAsync($"{Path}/resp_{kept[1]}")).Status);
        Assert.Equal(200, (await house.GetAsync($"{Path}/resp_{kept[2]}")).Status);
        Assert.InRange(house.Proxy.Journals.Used, 80_000, 100 << 10);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Request_is_larger_than_the_memory_Its_client_gets_the_answer(bool stream)
    {
        await using var house = await StreamHouse.StartAsync("""
            [streams]
            memory = "16KiB"
            """);
        Answer(house, "openai", "short", stream);

        var reply = await house.PostAsync(Path, Request(new string('x', 40_000), stream, ",\"store\":true"));

        Assert.Equal(200, reply.Status);
        Assert.Contains("short", reply.Text, StringComparison.Ordinal);
        Assert.Equal(410, (await house.GetAsync($"{Path}/resp_{reply.TraceId}")).Status);
    }

    [Fact]
    public async Task Response_is_deleted_It_is_gone_and_its_generation_ends()
    {
        await using var house = await StreamHouse.StartAsync();
        Answer(house, "openai", "x", stream: false);
        var first = await house.PostAsync(Path, Request("hello", stream: false, ",\"store\":true"));
        var answer = house.Expect();
        var running = await house.PostAsync(Path, Request("hello", stream: false, ",\"background\":true"));
        await answer.Asked;

        foreach (var id in (string[])[$"resp_{first.TraceId}", $"resp_{running.TraceId}"])
        {
            var deleted = await house.DeleteAsync($"{Path}/{id}");
            Assert.Equal($$"""{"id":"{{id}}","object":"response","deleted":true}""", deleted.Text);
            Assert.Equal((404, "response_not_found"), Refusal(await house.GetAsync($"{Path}/{id}")));
            Assert.Equal((404, "response_not_found"), Refusal(await house.DeleteAsync($"{Path}/{id}")));
        }

        await answer.GoneAsync();
    }

    [Fact]
    public async Task Input_items_are_listed_in_pages()
    {
        await using var house = await StreamHouse.StartAsync();
        Answer(house, "openai", "x", stream: false);
        var first = await house.PostAsync(Path, """
            {"model":"served","store":true,"input":[{"role":"user","content":"one"},{"id":"msg_own","type":"message","role":"user","content":"two"},
            {"type":"function_call","call_id":"c","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"c","output":"ok"}]}
            """);
        var path = $"{Path}/resp_{first.TraceId}/input_items";

        var newest = (await house.GetAsync(path)).Json;
        var page = (await house.GetAsync(path + "?order=asc&limit=2")).Json;
        var next = (await house.GetAsync(path + $"?order=asc&limit=2&after={page.GetProperty("last_id").GetString()}")).Json;

        Assert.Equal(["function_call_output", "function_call", "message", "message"], Types(newest));
        Assert.Equal(["message", "message"], Types(page));
        Assert.Equal(("one", true, "msg_own"), (page.GetProperty("data")[0].GetProperty("content")[0].GetProperty("text").GetString(),
            page.GetProperty("has_more").GetBoolean(), page.GetProperty("last_id").GetString()));
        Assert.Equal(["function_call", "function_call_output"], Types(next));
        Assert.False(next.GetProperty("has_more").GetBoolean());
        Assert.Equal((400, "invalid_request"), Refusal(await house.GetAsync(path + "?limit=0")));
        Assert.Equal((400, "invalid_request"), Refusal(await house.GetAsync(path + "?order=up")));
        Assert.Equal((400, "invalid_request"), Refusal(await house.GetAsync(path + "?after=msg_other")));
        Assert.Equal((404, "unknown_path"), Refusal(await house.GetAsync($"{Path}/resp_{first.TraceId}/else")));

        static IEnumerable<string?> Types(JsonElement list) =>
            list.GetProperty("data").EnumerateArray().Select(static item => item.GetProperty("type").GetString());
    }

    [Fact]
    public async Task What_is_not_there_or_not_ones_own_Is_refused()
    {
        await using var house = await StreamHouse.StartAsync($"""
            [[auth.keys]]
            name = "ann"
            sha256 = "{Proxy.Config.ApiKeyConfig.Digest("ann-secret")}"
            [[auth.keys]]
            name = "bob"
            sha256 = "{Proxy.Config.ApiKeyConfig.Digest("bob-secret")}"
            """, dialect: "responses");
        const string Ann = "Authorization: Bearer ann-secret", Bob = "Authorization: Bearer bob-secret";
        Answer(house, "responses", "a1", stream: true);
        var first = await house.PostAsync(Path, Request("q1", stream: true, ",\"store\":true"), Ann);

        foreach (var id in (string[])["resp_host1", $"resp_{first.TraceId}"])
        {
            Assert.Equal(200, (await house.GetAsync($"{Path}/{id}", Ann)).Status);
            Assert.Equal((404, "response_not_found"), Refusal(await house.GetAsync($"{Path}/{id}", Bob)));
            Assert.Equal((404, "response_not_found"), Refusal(await house.GetAsync($"{Path}/{id}/input_items", Bob)));
            Assert.Equal((404, "response_not_found"), Refusal(await house.GetAsync($"{Path}/{id}?stream=true", Bob)));
            Assert.Equal((404, "response_not_found"), Refusal(await house.DeleteAsync($"{Path}/{id}", Bob)));
            Assert.Equal((404, "response_not_found"), Refusal(await house.PostAsync($"{Path}/{id}/cancel", "", Bob)));
            var foreign = await house.PostAsync(Path, Request("q2", stream: false, $",\"previous_response_id\":\"{id}\""), Bob);
            Assert.Equal((404, "previous_response_not_found"), Refusal(foreign));
            Assert.Equal(("false", "previous_response_id"),
                (foreign.Header("x-should-retry"), foreign.Json.GetProperty("error").GetProperty("param").GetString()));
        }

        Assert.Equal(401, (await house.GetAsync($"{Path}/resp_host1")).Status);
        Assert.Equal((400, "invalid_request"), Refusal(await house.GetAsync($"{Path}/resp_host1?stream=true&starting_after=x", Ann)));
        Assert.Equal((400, "invalid_request"), Refusal(await house.GetAsync($"{Path}/resp_host1?stream=true&starting_after=100", Ann)));
        var conversation = await house.PostAsync(Path, Request("x", stream: false, ",\"conversation\":\"conv_1\""), Ann);
        Assert.Equal((400, "conversation"), (conversation.Status, conversation.Json.GetProperty("error").GetProperty("param").GetString()));
        Assert.Equal(405, (await RawClient.SendAsync(house.Address, "PUT", $"{Path}/resp_host1", "{}"u8.ToArray(), Ann)).Status);

        house.Proxy.Time.Advance(TimeSpan.FromMinutes(11));
        await Patience.Until(async () => (await house.GetAsync($"{Path}/resp_host1", Ann)).Status == 410, "the response is gone");
        Assert.Equal((410, "stream_expired"), Refusal(await house.GetAsync($"{Path}/resp_{first.TraceId}", Ann)));
        Assert.Equal((404, "response_not_found"), Refusal(await house.GetAsync($"{Path}/resp_host1", Bob)));
        Assert.Equal((404, "previous_response_not_found"),
            Refusal(await house.PostAsync(Path, Request("x", stream: false, ",\"previous_response_id\":\"resp_host1\""), Ann)));
        Assert.Single(house.Host.Calls);
    }

    [Fact]
    public async Task Background_that_is_not_to_be_stored_Is_kept_but_not_continued()
    {
        await using var house = await StreamHouse.StartAsync();
        Answer(house, "openai", "x", stream: true);
        var begun = await house.PostAsync(Path, Request("hello", stream: false, ",\"background\":true,\"store\":false"));
        await Patience.Until(async () => Status((await house.GetAsync($"{Path}/resp_{begun.TraceId}")).Json) == "completed", "it is complete");

        Assert.Equal((404, "previous_response_not_found"),
            Refusal(await house.PostAsync(Path, Request("x", stream: false, $",\"previous_response_id\":\"resp_{begun.TraceId}\""))));
    }

    [Fact]
    public async Task Background_with_a_key_Is_sent_twice_and_generated_once()
    {
        await using var house = await StreamHouse.StartAsync();
        var answer = house.Expect();
        var body = Request("hello", stream: false, ",\"background\":true");
        var first = await house.PostAsync(Path, body, "Idempotency-Key: k1");
        await answer.Asked;

        var second = await house.PostAsync(Path, body, "Idempotency-Key: k1");
        answer.End(OpenAi.Stream("once"));

        Assert.Equal(first.Json.GetProperty("id").GetString(), second.Json.GetProperty("id").GetString());
        await Patience.Until(async () => TextOf((await house.GetAsync($"{Path}/resp_{first.TraceId}")).Json) == "once", "it is complete");
        Assert.Single(house.Host.Calls);
    }

    [Fact]
    public async Task Background_and_not_with_one_key_Are_different_requests()
    {
        await using var house = await StreamHouse.StartAsync();
        house.Expect().End(OpenAi.Stream("once"));
        var first = await house.PostAsync(Path, Request("hello", stream: true, ",\"store\":true,\"background\":false"), "Idempotency-Key: k1");

        var second = await house.PostAsync(Path, Request("hello", stream: false, ",\"store\":true,\"background\":true"), "Idempotency-Key: k1");

        Assert.Equal((200, 422), (first.Status, second.Status));
    }

    [Fact]
    public async Task Background_is_sent_again_as_a_retry_It_is_generated_once()
    {
        await using var house = await StreamHouse.StartAsync();
        var answer = house.Expect();
        house.Expect().End(OpenAi.Stream("twice"));
        var body = Request("hello", stream: false, ",\"background\":true");
        var first = await house.PostAsync(Path, body);
        await answer.Asked;

        var retry = await house.PostAsync(Path, body, "x-stainless-retry-count: 1");

        Assert.Equal(first.Json.GetProperty("id").GetString(), retry.Json.GetProperty("id").GetString());
        answer.End(OpenAi.Stream("once"));
    }

    internal static void Answer(StreamHouse house, string dialect, string text, bool stream, string id = "resp_host1", string more = ",\"store\":true")
    {
        if (stream) house.Expect(ResponsesHost.ContentType(dialect)).End(ResponsesHost.Stream(dialect, text, id, more));
        else house.Expect("application/json").End(ResponsesHost.Document(dialect, text, id, more));
    }

    internal static string Request(string input, bool stream, string more) =>
        $$"""{"model":"served","input":{{OpenAi.Quote(input)}},"stream":{{(stream ? "true" : "false")}}{{more}}}""";

    internal static string? Status(JsonElement response) => response.GetProperty("status").GetString();

    internal static string TextOf(JsonElement response) => string.Concat(response.GetProperty("output").EnumerateArray()
        .Where(static item => item.GetProperty("type").GetString() is "message")
        .SelectMany(static item => item.GetProperty("content").EnumerateArray()).Select(static part => part.GetProperty("text").GetString()));

    private static (int Status, string? Code) Refusal(RawReply reply) => (reply.Status, reply.Status >= 400 ? reply.ErrorCode : null);

    /// <summary>The texts of a request to a host of any dialect.</summary>
    private static string[] Conversation(JsonElement asked)
    {
        var list = asked.TryGetProperty("messages", out var messages) ? messages : asked.GetProperty("input");
        string[] texts = list.ValueKind is JsonValueKind.String
            ? [list.GetString()!]
            : [.. list.EnumerateArray().Select(static item => item.GetProperty("content"))
                .Select(static content => content.ValueKind is JsonValueKind.String ? content.GetString()! : content[0].GetProperty("text").GetString()!)];
        return asked.TryGetProperty("instructions", out var instructions) ? [instructions.GetString()!, .. texts] : texts;
    }

    private static long LastSequence(string text) => long.Parse(
        text[(text.LastIndexOf("\"sequence_number\":", StringComparison.Ordinal) + 18)..].Split('}', ',')[0], CultureInfo.InvariantCulture);

    /// <summary>The events before the one with that number.</summary>
    private static string Cut(string text, long sequence) => text[..text[..text.IndexOf($"\"sequence_number\":{sequence}", StringComparison.Ordinal)]
        .LastIndexOf("event: ", StringComparison.Ordinal)];
}
