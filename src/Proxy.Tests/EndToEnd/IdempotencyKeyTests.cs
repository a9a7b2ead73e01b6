using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>Calls with the same <c>Idempotency-Key</c> get the same answer, which is generated once.</summary>
public sealed class IdempotencyKeyTests
{
    private const string Key = "Idempotency-Key: \"order-17\"";

    private static readonly string[] Tokens = OpenAi.Stream("One", " two");

    [Theory]
    [InlineData(true, "epoll")]
    [InlineData(false, "epoll")]
    [InlineData(true, "sockets")]
    public async Task Same_key_and_body_The_answer_is_replayed(bool stream, string transport)
    {
        await using var house = await StreamHouse.StartAsync(transport: transport);
        house.Expect(stream ? OpenAi.Sse : "application/json").End(stream ? Tokens : [OpenAi.Whole("all")]);
        var first = await house.PostAsync(StreamHouse.Chat, OpenAi.Request("served", stream), Key);
        var second = await house.PostAsync(StreamHouse.Chat, OpenAi.Request("served", stream), "Idempotency-Key: order-17");

        Assert.Equal(stream ? string.Concat(Tokens) : OpenAi.Whole("all"), first.Text);
        Assert.Equal((first.Text, first.ContentType), (second.Text, second.ContentType));
        Assert.Equal((null, "true"), (first.Header("idempotent-replayed"), second.Header("idempotent-replayed")));
        Assert.Single(house.Host.Calls);
    }

    [Theory]
    [InlineData("/v1/messages", """{"model":"served","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"hello"}]}""")]
    [InlineData("/v1/messages", """{"model":"served","max_tokens":9,"messages":[{"role":"user","content":"hello"}]}""")]
    [InlineData("/api/chat", """{"model":"served","messages":[{"role":"user","content":"hello"}]}""")]
    [InlineData("/v1/responses", """{"model":"served","stream":true,"input":"hello"}""")]
    public async Task Translated_answer_is_replayed_byte_for_byte(string path, string body)
    {
        await using var house = await StreamHouse.StartAsync();
        house.Expect().End(Tokens);
        if (!body.Contains("stream", StringComparison.Ordinal) && path is "/v1/messages")
            house.Host.Answer(static exchange => exchange.JsonAsync(OpenAi.Whole("all")));
        var first = await house.PostAsync(path, body, Key, "anthropic-version: 2023-06-01");
        house.Proxy.Time.Advance(TimeSpan.FromMinutes(1));
        var second = await house.PostAsync(path, body, Key, "anthropic-version: 2023-06-01");

        Assert.Equal((200, first.Text), (second.Status, second.Text));
        Assert.Equal("true", second.Header("idempotent-replayed"));
        Assert.Single(house.Host.Calls);
    }

    [Fact]
    public async Task Same_key_while_the_first_call_runs_The_second_reads_from_the_first_frame()
    {
        await using var house = await StreamHouse.StartAsync();
        var answer = house.Expect();
        await using var first = await house.CallAsync(StreamHouse.Chat, OpenAi.Request("served", stream: true), Key);
        answer.Send(Tokens[0] + Tokens[1]);
        await first.ReadHeadAsync();
        await first.ReadUntilAsync("One");
        await using var second = await house.CallAsync(StreamHouse.Chat, OpenAi.Request("served", stream: true), Key);
        await second.ReadHeadAsync();
        await second.ReadUntilAsync("One");
        answer.End(Tokens[2..]);

        Assert.Equal(string.Concat(Tokens), (await second.ReadRestAsync()).Text);
        Assert.Equal(string.Concat(Tokens), (await first.ReadRestAsync()).Text);
        Assert.Single(house.Host.Calls);
    }

    [Theory]
    [InlineData(5, 1)]
    [InlineData(11, 2)]
    public async Task Client_leaves_in_the_middle_Its_retry_within_the_window_reads_from_the_first_frame(int seconds, int generations)
    {
        await using var house = await StreamHouse.StartAsync();
        var answer = house.Expect();
        var first = await house.CallAsync(StreamHouse.Chat, OpenAi.Request("served", stream: true), Key, "x-correlation-id: first");
        answer.Send(Tokens[0] + Tokens[1]);
        await first.ReadHeadAsync();
        await first.ReadUntilAsync("One");
        await first.DisposeAsync();
        await Patience.Until(() => Task.FromResult(house.Proxy.Calls.Snapshot().Any(static call => call.Lifetime.ClientHasLeft)), "the client's leaving");
        house.Proxy.Time.Advance(TimeSpan.FromSeconds(seconds));
        if (generations == 2) await answer.GoneAsync();
        if (generations == 2) await house.Proxy.Log.CallAsync("first");
        if (generations == 2) house.Expect().End(Tokens);
        else answer.End(Tokens[2..]);

        var second = await house.PostAsync(StreamHouse.Chat, OpenAi.Request("served", stream: true), Key);

        Assert.Equal(string.Concat(Tokens), second.Text);
        Assert.Equal(generations, house.Host.Calls.Count);
    }

    [Fact]
    public async Task Same_key_with_another_body_is_refused()
    {
        await using var house = await StreamHouse.StartAsync();
        house.Expect().End(Tokens);
        await house.PostAsync(StreamHouse.Chat, OpenAi.Request("served", stream: true), Key);

        var other = await house.PostAsync(StreamHouse.Chat, OpenAi.Request("served", stream: true, text: "another"), Key);
        var routed = await house.PostAsync(StreamHouse.Chat, OpenAi.Request("served", stream: true), Key, "openai-beta: other");

        Assert.Equal((422, "idempotency_key_reused", "false"), (other.Status, other.ErrorCode, other.Header("x-should-retry")));
        Assert.Equal(422, routed.Status);
        Assert.Single(house.Host.Calls);
    }

    [Fact]
    public async Task Host_refuses_what_the_client_sent_That_is_the_answer()
    {
        await using var house = await StreamHouse.StartAsync();
        house.Host.Answer(static exchange => exchange.JsonAsync(OpenAi.Error("bad", "invalid_request_error"), 400));
        var first = await house.PostAsync(StreamHouse.Chat, OpenAi.Request("served", stream: true), Key);
        var second = await house.PostAsync(StreamHouse.Chat, OpenAi.Request("served", stream: true), Key);
        var translated = await house.PostAsync("/api/chat", Ollama.Request("served"), "Idempotency-Key: k2");
        var again = await house.PostAsync("/api/chat", Ollama.Request("served"), "Idempotency-Key: k2");

        Assert.Equal((400, first.Text, "true"), (second.Status, second.Text, second.Header("idempotent-replayed")));
        Assert.Equal((400, translated.Text, "true"), (again.Status, again.Text, again.Header("idempotent-replayed")));
        Assert.Equal(2, house.Host.Calls.Count);
    }

    [Theory]
    [InlineData(500)]
    [InlineData(429)]
    [InlineData(503)]
    public async Task Host_fails_That_is_no_answer_The_next_call_is_generated(int status)
    {
        await using var house = await StreamHouse.StartAsync();
        house.Host.Once(exchange => exchange.JsonAsync(OpenAi.Error("down"), status));
        var first = await house.PostAsync(StreamHouse.Chat, OpenAi.Request("served", stream: true), Key);
        house.Expect().End(Tokens);
        var second = await house.PostAsync(StreamHouse.Chat, OpenAi.Request("served", stream: true), Key);

        Assert.True(first.Status >= 400);
        Assert.Equal((200, string.Concat(Tokens)), (second.Status, second.Text));
    }

    [Fact]
    public async Task Host_breaks_off_The_next_call_is_generated()
    {
        await using var house = await StreamHouse.StartAsync();
        house.Expect().End(Tokens[0], Tokens[1]);
        var first = await house.PostAsync(StreamHouse.Chat, OpenAi.Request("served", stream: true), Key);
        house.Expect().End(Tokens);
        var second = await house.PostAsync(StreamHouse.Chat, OpenAi.Request("served", stream: true), Key);

        Assert.Contains("error", first.Text, StringComparison.Ordinal);
        Assert.Equal(string.Concat(Tokens), second.Text);
        Assert.Null(second.Header("idempotent-replayed"));
    }

    [Fact]
    public async Task Call_is_refused_before_a_host_accepts_it_The_key_stays_free()
    {
        await using var house = await StreamHouse.StartAsync();
        var unknown = await house.PostAsync(StreamHouse.Chat, OpenAi.Request("unknown", stream: true), Key);
        house.Expect().End(Tokens);
        var second = await house.PostAsync(StreamHouse.Chat, OpenAi.Request("served", stream: true), Key);

        Assert.Equal(404, unknown.Status);
        Assert.Equal(string.Concat(Tokens), second.Text);
    }

    [Fact]
    public async Task Keys_time_is_over_The_call_is_generated_again()
    {
        await using var house = await StreamHouse.StartAsync("""
            [streams]
            keys_ttl = "1h"
            """);
        house.Host.Answer(static async exchange =>
        {
            await exchange.HeadAsync(OpenAi.Sse);
            await exchange.ChunkAsync(string.Concat(Tokens));
            await exchange.EndAsync();
        });
        await house.PostAsync(StreamHouse.Chat, OpenAi.Request("served", stream: true), Key);
        house.Proxy.Time.Advance(TimeSpan.FromMinutes(59));
        await house.PostAsync(StreamHouse.Chat, OpenAi.Request("served", stream: true), Key);
        Assert.Single(house.Host.Calls);
        house.Proxy.Time.Advance(TimeSpan.FromMinutes(2));
        await Patience.Until(() => Task.FromResult(house.Proxy.Journals.Count == 0), "the key is forgotten");

        await house.PostAsync(StreamHouse.Chat, OpenAi.Request("served", stream: true), Key);
        Assert.Equal(2, house.Host.Calls.Count);
    }

    [Theory]
    [InlineData("")]
    [InlineData("\"\"")]
    [InlineData("256")]
    public async Task Key_of_a_wrong_length_is_refused(string key)
    {
        await using var house = await StreamHouse.StartAsync();
        if (key == "256") key = new string('k', 256);
        var reply = await house.PostAsync(StreamHouse.Chat, OpenAi.Request("served", stream: true), $"Idempotency-Key: {key}");

        Assert.Equal((400, "Idempotency-Key"), (reply.Status, reply.Json.GetProperty("error").GetProperty("param").GetString()));
        Assert.Empty(house.Host.Calls);
    }

    [Fact]
    public async Task Other_owners_have_keys_of_their_own()
    {
        await using var house = await StreamHouse.StartAsync($"""
            [[auth.keys]]
            name = "ann"
            sha256 = "{Proxy.Config.ApiKeyConfig.Digest("ann-secret")}"
            [[auth.keys]]
            name = "bob"
            sha256 = "{Proxy.Config.ApiKeyConfig.Digest("bob-secret")}"
            """);
        house.Expect().End(Tokens);
        house.Expect().End(OpenAi.Stream("other"));
        var ann = await house.PostAsync(StreamHouse.Chat, OpenAi.Request("served", stream: true), Key, "Authorization: Bearer ann-secret");
        var bob = await house.PostAsync(StreamHouse.Chat, OpenAi.Request("served", stream: true, text: "b"), Key, "Authorization: Bearer bob-secret");

        Assert.Equal((string.Concat(Tokens), string.Concat(OpenAi.Stream("other"))), (ann.Text, bob.Text));
    }

    [Fact]
    public async Task Fifty_calls_at_once_with_one_key_are_one_generation()
    {
        await using var house = await StreamHouse.StartAsync();
        var answer = house.Expect();
        var calls = Enumerable.Range(0, 50).Select(_ => house.PostAsync(StreamHouse.Chat, OpenAi.Request("served", stream: true), Key)).ToList();
        await Patience.For(answer.Asked, "the one call");
        foreach (var token in Tokens) answer.Send(token);
        answer.End();

        Assert.All(await Task.WhenAll(calls), static reply => Assert.Equal((200, string.Concat(Tokens)), (reply.Status, reply.Text)));
        Assert.Single(house.Host.Calls);
    }
}
