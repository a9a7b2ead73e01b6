using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>A client gives up and tries again. The second call gets the answer that the first one began, and the host computes it once.</summary>
public sealed class RetryTests
{
    private const string Timeout = "x-stainless-timeout: 10", FirstTry = "x-stainless-retry-count: 0", Retry = "x-stainless-retry-count: 1";

    private static readonly string[] Tokens = OpenAi.Stream("One", " two");

    [Theory]
    [InlineData(true, Timeout, Retry)]
    [InlineData(false, Timeout, Retry)]
    [InlineData(true, "x-stainless-read-timeout: 10", Retry)]
    [InlineData(false, Timeout, "x-nothing: 1")] // another client of the same owner that says nothing about a retry: nobody has seen the answer
    public async Task Client_leaves_at_its_time_out_Its_retry_joins(bool stream, string timeout, string retry)
    {
        await using var house = await StreamHouse.StartAsync();
        var answer = house.Expect(stream ? OpenAi.Sse : "application/json");
        var first = await house.CallAsync(StreamHouse.Chat, OpenAi.Request("served", stream), timeout, FirstTry, "x-correlation-id: first");
        await Patience.For(answer.Asked, "the call");
        house.Proxy.Time.Advance(TimeSpan.FromSeconds(10));
        await LeaveAsync(house, first);

        var second = house.PostAsync(StreamHouse.Chat, OpenAi.Request("served", stream), timeout, retry, "x-correlation-id: second");
        await JoinedAsync(house);
        Assert.False(answer.IsGone);
        if (stream) answer.End(Tokens);
        else answer.End(OpenAi.Whole("all"));

        var reply = await second;
        Assert.Equal(stream ? string.Concat(Tokens) : OpenAi.Whole("all"), reply.Text);
        Assert.Equal("application/json", stream ? "application/json" : reply.ContentType);
        Assert.Single(house.Host.Calls);
        var (gone, came) = (await house.Proxy.Log.CallAsync("first"), await house.Proxy.Log.CallAsync("second"));
        Assert.Equal(("client_left", "ok"), (gone.Outcome, came.Outcome));
        Assert.Equal(gone["trace_id"], came["joined"]);
        Assert.Equal(gone["trace_id"], reply.Header("x-joined-trace-id"));
    }

    [Fact]
    public async Task Answer_comes_between_the_two_calls_The_retry_gets_all_of_it()
    {
        await using var house = await StreamHouse.StartAsync();
        var answer = house.Expect();
        var first = await house.CallAsync(StreamHouse.Chat, OpenAi.Request("served", stream: true), Timeout, FirstTry, "x-correlation-id: first");
        await Patience.For(answer.Asked, "the call");
        house.Proxy.Time.Advance(TimeSpan.FromSeconds(10));
        await LeaveAsync(house, first);
        answer.End(Tokens);
        await house.Proxy.Log.CallAsync("first");

        var second = await house.PostAsync(StreamHouse.Chat, OpenAi.Request("served", stream: true), Timeout, Retry);
        var third = house.PostAsync(StreamHouse.Chat, OpenAi.Request("served", stream: true), Timeout, Retry);
        house.Expect().End(OpenAi.Stream("another"));

        Assert.Equal(string.Concat(Tokens), second.Text);
        Assert.Contains("another", (await third).Text, StringComparison.Ordinal); // the first answer has been seen
        Assert.Equal(2, house.Host.Calls.Count);
    }

    [Fact]
    public async Task Client_tries_again_while_its_first_connection_still_stands_Both_get_the_answer()
    {
        await using var house = await StreamHouse.StartAsync();
        var answer = house.Expect();
        await using var first = await house.CallAsync(StreamHouse.Chat, OpenAi.Request("served", stream: true), Timeout, FirstTry);
        await Patience.For(answer.Asked, "the call");
        var second = house.PostAsync(StreamHouse.Chat, OpenAi.Request("served", stream: true), Timeout, Retry);
        await JoinedAsync(house);
        answer.End(Tokens);

        Assert.Equal(string.Concat(Tokens), (await second).Text);
        await first.ReadHeadAsync();
        Assert.Equal(string.Concat(Tokens), (await first.ReadRestAsync()).Text);
        Assert.Single(house.Host.Calls);
    }

    [Fact]
    public async Task First_client_leaves_after_another_has_joined_The_generation_goes_on()
    {
        await using var house = await StreamHouse.StartAsync();
        var answer = house.Expect();
        var first = await house.CallAsync(StreamHouse.Chat, OpenAi.Request("served", stream: true), FirstTry);
        await Patience.For(answer.Asked, "the call");
        var second = house.PostAsync(StreamHouse.Chat, OpenAi.Request("served", stream: true), Retry);
        await JoinedAsync(house);
        answer.Send(Tokens[0] + Tokens[1]);
        await first.ReadHeadAsync();
        await first.ReadUntilAsync("One");
        await LeaveAsync(house, first);
        answer.End(Tokens[2..]);

        Assert.Equal(string.Concat(Tokens), (await second).Text);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Retry_that_announces_no_time_out_leaves_The_next_retry_joins(bool stream)
    {
        await using var house = await StreamHouse.StartAsync();
        var refused = house.Expect(stream ? OpenAi.Sse : "application/json");
        var first = await house.CallAsync(StreamHouse.Chat, OpenAi.Request("served", stream), FirstTry, "x-correlation-id: first");
        await Patience.For(refused.Asked, "the call");
        await first.DisposeAsync();
        await refused.GoneAsync();
        Assert.Equal("client_left", (await house.Proxy.Log.CallAsync("first")).Outcome);

        var answer = house.Expect(stream ? OpenAi.Sse : "application/json");
        for (var retry = 1; retry < 4; retry++)
        {
            var leaving = await house.CallAsync(
                StreamHouse.Chat, OpenAi.Request("served", stream), $"x-stainless-retry-count: {retry}", $"x-correlation-id: retry {retry}");
            if (retry == 1)
            {
                await Patience.For(answer.Asked, "the retry");
                await LeaveAsync(house, leaving);
                continue;
            }

            await JoinedAsync(house);
            await leaving.DisposeAsync();
            Assert.Equal("client_left", (await house.Proxy.Log.CallAsync($"retry {retry}")).Outcome);
        }

        var last = house.PostAsync(StreamHouse.Chat, OpenAi.Request("served", stream), "x-stainless-retry-count: 4");
        await JoinedAsync(house);
        Assert.False(answer.IsGone);
        if (stream) answer.End(Tokens);
        else answer.End(OpenAi.Whole("all"));

        Assert.Equal(stream ? string.Concat(Tokens) : OpenAi.Whole("all"), (await last).Text);
        Assert.Equal(2, house.Host.Calls.Count);
    }

    [Theory]
    [InlineData(Timeout, FirstTry, 5)] // before its time-out
    [InlineData(Timeout, Retry, 5)] // it is a retry, but was ended by something else than its time-out
    [InlineData("x-nothing: 1", FirstTry, 60)] // it announced none
    public async Task Client_leaves_for_another_reason_The_host_is_free_at_once(string header, string count, int seconds)
    {
        await using var house = await StreamHouse.StartAsync();
        var answer = house.Expect();
        var first = await house.CallAsync(StreamHouse.Chat, OpenAi.Request("served", stream: true), header, count);
        await Patience.For(answer.Asked, "the call");
        house.Proxy.Time.Advance(TimeSpan.FromSeconds(seconds));
        await first.DisposeAsync();

        await answer.GoneAsync();
    }

    [Fact]
    public async Task Client_leaves_at_its_time_out_after_the_first_token_The_host_is_free_at_once()
    {
        await using var house = await StreamHouse.StartAsync();
        var answer = house.Expect();
        var first = await house.CallAsync(StreamHouse.Chat, OpenAi.Request("served", stream: true), Timeout, FirstTry);
        answer.Send(Tokens[0] + Tokens[1]);
        await first.ReadHeadAsync();
        await first.ReadUntilAsync("One");
        house.Proxy.Time.Advance(TimeSpan.FromSeconds(10));
        await first.DisposeAsync();

        await answer.GoneAsync();
    }

    [Fact]
    public async Task No_retry_comes_The_host_is_free_after_the_window()
    {
        await using var house = await StreamHouse.StartAsync();
        var answer = house.Expect();
        var first = await house.CallAsync(StreamHouse.Chat, OpenAi.Request("served", stream: true), Timeout, FirstTry);
        await Patience.For(answer.Asked, "the call");
        house.Proxy.Time.Advance(TimeSpan.FromSeconds(10));
        await LeaveAsync(house, first);
        Assert.False(answer.IsGone);

        house.Proxy.Time.Advance(TimeSpan.FromSeconds(11));
        await answer.GoneAsync();
    }

    [Fact]
    public async Task Window_is_zero_Nothing_lingers()
    {
        await using var house = await StreamHouse.StartAsync("""
            [streams]
            retry_window = "0s"
            """);
        var answer = house.Expect();
        var first = await house.CallAsync(StreamHouse.Chat, OpenAi.Request("served", stream: true), Timeout, FirstTry);
        await Patience.For(answer.Asked, "the call");
        house.Proxy.Time.Advance(TimeSpan.FromSeconds(10));
        await first.DisposeAsync();

        await answer.GoneAsync();
    }

    [Theory]
    [InlineData("plain repeat", "x-stainless-retry-count: 0", "")]
    [InlineData("other bytes", Retry, "x-nothing: 1", " ")]
    [InlineData("other header", Retry, "openai-organization: other")]
    [InlineData("other cache", Retry, "x-cache: bypass")]
    public async Task Call_differs_It_is_a_call_of_its_own(string what, string retry, string header, string more = "")
    {
        await using var house = await StreamHouse.StartAsync();
        var (one, two) = (house.Expect(), house.Expect());
        await using var first = await house.CallAsync(StreamHouse.Chat, OpenAi.Request("served", stream: true), Timeout, FirstTry);
        await Patience.For(one.Asked, "the first call");
        await using var second = await house.CallAsync(
            StreamHouse.Chat, OpenAi.Request("served", stream: true) + more, header.Length > 0 ? [Timeout, retry, header] : [Timeout, retry]);
        await Patience.For(two.Asked, what + ": the second call");
        one.End(Tokens);
        two.End(Tokens);
        await first.ReadHeadAsync();
        await second.ReadHeadAsync();

        Assert.Equal(2, house.Host.Calls.Count);
    }

    [Fact]
    public async Task Another_owner_sends_the_same_bytes_It_is_a_call_of_its_own()
    {
        await using var house = await StreamHouse.StartAsync($"""
            [[auth.keys]]
            name = "ann"
            sha256 = "{Proxy.Config.ApiKeyConfig.Digest("ann-secret")}"
            [[auth.keys]]
            name = "bob"
            sha256 = "{Proxy.Config.ApiKeyConfig.Digest("bob-secret")}"
            concurrency = 1
            """);
        var (one, two) = (house.Expect(), house.Expect());
        await using var first = await house.CallAsync(StreamHouse.Chat, OpenAi.Request("served", stream: true), "Authorization: Bearer ann-secret");
        await Patience.For(one.Asked, "the first call");
        await using var second = await house.CallAsync(StreamHouse.Chat, OpenAi.Request("served", stream: true), Retry, "Authorization: Bearer bob-secret");
        await Patience.For(two.Asked, "the second call");

        // A retry takes no place of its own: bob may have one call at once.
        var third = house.PostAsync(StreamHouse.Chat, OpenAi.Request("served", stream: true), Retry, "Authorization: Bearer bob-secret");
        await JoinedAsync(house);
        one.End(Tokens);
        two.End(Tokens);
        Assert.Equal((200, string.Concat(Tokens)), ((await third).Status, (await third).Text));
        Assert.Equal(2, house.Host.Calls.Count);
    }

    [Fact]
    public async Task First_call_is_refused_The_retry_gets_the_same_refusal()
    {
        await using var house = await StreamHouse.StartAsync();
        var go = new TaskCompletionSource();
        house.Host.Once(async exchange =>
        {
            await go.Task;
            await exchange.JsonAsync(OpenAi.Error("too long", "invalid_request_error", "\"context_length_exceeded\""), 400);
        });
        var first = house.PostAsync(StreamHouse.Chat, OpenAi.Request("served", stream: true), FirstTry);
        await Patience.Until(() => Task.FromResult(house.Host.Calls.Count == 1), "the first call");
        var second = house.PostAsync(StreamHouse.Chat, OpenAi.Request("served", stream: true), Retry);
        await JoinedAsync(house);
        go.SetResult();

        Assert.Equal((400, "context_length_exceeded"), ((await first).Status, (await first).ErrorCode));
        Assert.Equal((400, "context_length_exceeded"), ((await second).Status, (await second).ErrorCode));
        Assert.Single(house.Host.Calls);
    }

    private static async Task LeaveAsync(StreamHouse house, RawClient client)
    {
        var before = house.Proxy.Calls.Snapshot().Count(static call => call.Lifetime.ClientHasLeft);
        await client.DisposeAsync();
        await Patience.Until(() => Task.FromResult(house.Proxy.Calls.Snapshot().Count(static call => call.Lifetime.ClientHasLeft) > before),
            "the client's leaving is noticed");
    }

    private static Task JoinedAsync(StreamHouse house) =>
        Patience.Until(() => Task.FromResult(house.Proxy.Calls.Snapshot().Any(static call => call.Record.Joined is not null)), "the retry joins");
}
