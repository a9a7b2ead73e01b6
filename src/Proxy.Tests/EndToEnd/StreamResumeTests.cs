using System.Text.Json;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>A client asks for a stream that it can resume, loses its connection, and reads on where it was.</summary>
public sealed class StreamResumeTests
{
    private static readonly Dictionary<string, (string Path, string Body)> Clients = new()
    {
        ["openai"] = (StreamHouse.Chat, OpenAi.Request("served", stream: true)),
        ["renamed"] = (StreamHouse.Chat, OpenAi.Request("other", stream: true)),
        ["anthropic"] = ("/v1/messages", """{"model":"served","max_tokens":100,"stream":true,"messages":[{"role":"user","content":"hello"}]}"""),
        ["responses"] = ("/v1/responses", """{"model":"served","stream":true,"input":"hello"}"""),
        ["ollama"] = ("/api/chat", """{"model":"served","messages":[{"role":"user","content":"hello"}]}"""),
    };

    private static readonly string[] Answer =
    [
        OpenAi.Role(), OpenAi.Token("One"), ": a comment\n\n", OpenAi.Token(" two"), OpenAi.Token(" three"), OpenAi.Token(" four"), OpenAi.Stop(), OpenAi.Done,
    ];

    [Theory]
    [InlineData("openai", "epoll")]
    [InlineData("openai", "sockets")]
    [InlineData("renamed", "epoll")]
    [InlineData("anthropic", "epoll")]
    [InlineData("responses", "epoll")]
    public async Task Connection_breaks_The_rest_is_read_and_every_byte_is_the_same(string dialect, string transport)
    {
        await using var house = await StreamHouse.StartAsync("""[aliases]""" + "\nother = \"served\"", transport: transport);
        var (path, body) = Clients[dialect];
        var answer = house.Expect();
        var client = await house.CallAsync(path, body, "x-resume: 1", "anthropic-version: 2023-06-01");
        for (var i = 0; i < 4; i++) answer.Send(Answer[i]);
        await client.ReadHeadAsync();
        await client.ReadUntilAsync("two");
        await client.ReadUntilAsync("\n\n");
        var location = client.Headers.First(header => header.Name == "Location").Value;
        var begun = Whole(client.BodySoFar);
        await client.DisposeAsync();
        answer.End(Answer[4..]);

        var id = begun.Split("\nid: ").Last().Split('\n')[0];
        var rest = await house.GetAsync(location, $"Last-Event-ID: {id}");
        var all = await house.GetAsync(location);

        Assert.True(rest.Status == 200, rest.Text);
        Assert.StartsWith("text/event-stream", rest.ContentType, StringComparison.Ordinal);
        Assert.StartsWith($"/v1/streams/{id.Split('/')[0]}", location, StringComparison.Ordinal);
        Assert.Equal(all.Text, begun + rest.Text);
        Assert.Contains("four", rest.Text, StringComparison.Ordinal);
        Assert.DoesNotContain("\" two\"", rest.Text, StringComparison.Ordinal); // the last events of Responses repeat the whole text
        Assert.Single(house.Host.Calls);
        if (dialect == "openai") Assert.Equal(string.Concat(Answer), WithoutIds(all.Text));
    }

    [Fact]
    public async Task Ollamas_lines_have_no_ids_The_client_counts_them()
    {
        await using var house = await StreamHouse.StartAsync(dialect: "ollama");
        string[] lines = [.. Enumerable.Range(0, 4).Select(static i => Ollama.Token($"w{i}")), Ollama.Last()];
        var answer = house.Expect("application/x-ndjson");
        var (path, body) = Clients["ollama"];
        var client = await house.CallAsync(path, body, "x-resume: 1");
        answer.Send(lines[0]);
        answer.Send(lines[1]);
        await client.ReadHeadAsync();
        await client.ReadUntilAsync("w1");
        var location = client.Headers.First(header => header.Name == "Location").Value;
        await client.DisposeAsync();
        answer.End(lines[2..]);

        var rest = await house.GetAsync($"{location}?after=2");

        Assert.Equal(string.Concat(lines[2..]), rest.Text);
    }

    [Fact]
    public async Task Two_clients_read_one_answer_while_it_is_generated()
    {
        await using var house = await StreamHouse.StartAsync();
        var answer = house.Expect();
        var (path, body) = Clients["openai"];
        await using var first = await house.CallAsync(path, body, "x-resume: 1");
        answer.Send(Answer[0] + Answer[1]);
        await first.ReadHeadAsync();
        await first.ReadUntilAsync("One");
        await using var second = await RawClient.ConnectAsync(house.Address);
        await second.RequestAsync("GET", first.Headers.First(header => header.Name == "Location").Value);
        await second.ReadHeadAsync();
        await second.ReadUntilAsync("One");
        answer.Send(Answer[3]);
        await first.ReadUntilAsync("two");
        await second.ReadUntilAsync("two");
        answer.End(Answer[4..]);

        Assert.Equal((await first.ReadRestAsync()).Text, (await second.ReadRestAsync()).Text);
    }

    [Theory]
    [InlineData("openai", "chat.completion.chunk")]
    [InlineData("responses", "response.output_text.delta")]
    [InlineData("anthropic", "content_block_delta")]
    [InlineData("ollama", "\"done\":true")]
    [InlineData("events", "{\"type\":\"token\",\"text\":\"One\"}")]
    public async Task Answer_is_read_in_another_dialect(string dialect, string sign)
    {
        await using var house = await StreamHouse.StartAsync();
        var (path, body) = Clients["openai"];
        house.Expect().End(Answer);
        var first = await house.PostAsync(path, body, "x-resume: 1");

        var other = await house.GetAsync($"{first.Header("location")}?as={dialect}");

        Assert.Equal(200, other.Status);
        Assert.Contains(sign, other.Text, StringComparison.Ordinal);
        Assert.Contains("four", other.Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(StreamHouse.Chat, "openai")]
    [InlineData("/v1/messages", "anthropic")]
    public async Task Whole_answer_GET_waits_and_returns_the_same_document(string path, string dialect)
    {
        await using var house = await StreamHouse.StartAsync();
        var answer = house.Expect("application/json");
        var client = await house.CallAsync(path, Clients[dialect].Body.Replace("\"stream\":true", "\"stream\":false", StringComparison.Ordinal),
            "x-resume: 1", "x-correlation-id: c1", "anthropic-version: 2023-06-01");
        await answer.Asked;
        var id = Assert.Single(house.Calls()).TraceId;
        var reading = house.GetAsync($"/v1/streams/{id}");
        answer.End(OpenAi.Whole("all of it"));
        await client.ReadHeadAsync();

        var read = await reading;
        Assert.Equal(200, client.Status);
        Assert.Equal((await client.ReadRestAsync()).Text, read.Text);
        Assert.Contains("all of it", read.Text, StringComparison.Ordinal);
        Assert.Equal("application/json", read.ContentType);
    }

    [Fact]
    public async Task Nobody_comes_back_The_host_is_cancelled_when_the_time_is_over()
    {
        await using var house = await StreamHouse.StartAsync();
        var answer = house.Expect();
        var (path, body) = Clients["openai"];
        var client = await house.CallAsync(path, body, "x-resume: 1", "x-correlation-id: left");
        answer.Send(Answer[0] + Answer[1]);
        await client.ReadHeadAsync();
        await client.ReadUntilAsync("One");
        var location = client.Headers.First(header => header.Name == "Location").Value;
        await client.DisposeAsync();
        await Patience.Until(() => Task.FromResult(house.Journal(location) is { Until: < long.MaxValue }), "the client's leaving is noticed");
        Assert.False(answer.IsGone);

        await Patience.Until(() =>
        {
            house.Proxy.Time.Advance(TimeSpan.FromSeconds(20));
            return Task.FromResult(answer.IsGone);
        }, "the host is cancelled");

        Assert.Equal("client_left", (await house.Proxy.Log.CallAsync("left")).Outcome);
        var read = await house.GetAsync(location);
        Assert.EndsWith("\n\n", read.Text, StringComparison.Ordinal);
        Assert.Equal("cancelled", OpenAi.ReadError(read).GetProperty("code").GetString());
    }

    [Fact]
    public async Task Every_refusal()
    {
        await using var house = await StreamHouse.StartAsync($"""
            [[auth.keys]]
            name = "ann"
            sha256 = "{Proxy.Config.ApiKeyConfig.Digest("ann-secret")}"
            [[auth.keys]]
            name = "bob"
            sha256 = "{Proxy.Config.ApiKeyConfig.Digest("bob-secret")}"
            """);
        const string Ann = "Authorization: Bearer ann-secret", Bob = "Authorization: Bearer bob-secret";
        house.Expect().End(Answer);
        var (path, body) = Clients["openai"];
        var first = await house.PostAsync(path, body, "x-resume: 1", Ann);
        var location = first.Header("location")!;

        Assert.Equal((404, "stream_not_found"), await RefusedAsync("/v1/streams/01UNKNOWN", Ann));
        Assert.Equal((404, "stream_not_found"), await RefusedAsync(location, Bob));
        Assert.Equal((400, "invalid_request"), await RefusedAsync(location + "?after=99", Ann));
        Assert.Equal((400, "invalid_request"), await RefusedAsync(location + "?after=x", Ann));
        Assert.Equal((400, "invalid_request"), await RefusedAsync(location + "?after=-1", Ann));
        Assert.Equal((400, "invalid_request"), await RefusedAsync(location + "?as=morse", Ann));
        Assert.Equal((400, "invalid_request"), await RefusedAsync(location, Ann, "Last-Event-ID: 01OTHER/1"));
        var done = await house.GetAsync($"{location}?after={Answer.Length}", Ann);
        Assert.Equal((204, ""), (done.Status, done.Text));
        var bad = await house.PostAsync(path, body, "x-resume: yes please", Ann);
        Assert.Equal((400, "x-resume"), (bad.Status, bad.Json.GetProperty("error").GetProperty("param").GetString()));

        var mine = (await house.GetAsync("/v1/streams", Ann)).Json.GetProperty("data");
        Assert.Equal((first.TraceId, "finished"), (mine[0].GetProperty("id").GetString(), mine[0].GetProperty("status").GetString()));
        Assert.Equal(0, (await house.GetAsync("/v1/streams", Bob)).Json.GetProperty("data").GetArrayLength());

        house.Proxy.Time.Advance(TimeSpan.FromMinutes(11));
        await Patience.Until(async () => (await RefusedAsync(location, Ann)).Status == 410, "the answer is gone");
        Assert.Equal((410, "stream_expired"), await RefusedAsync(location, Ann));
        Assert.Equal((404, "stream_not_found"), await RefusedAsync(location, Bob));
        Assert.Equal("false", (await house.GetAsync(location, Ann)).Header("x-should-retry"));

        async Task<(int Status, string? Code)> RefusedAsync(string where, params string[] headers)
        {
            var reply = await house.GetAsync(where, headers);
            return (reply.Status, reply.Status >= 400 ? reply.ErrorCode : null);
        }
    }

    [Fact]
    public async Task Caller_without_a_key_gets_no_list_but_reads_by_the_id()
    {
        await using var house = await StreamHouse.StartAsync();
        house.Expect().End(Answer);
        var first = await house.PostAsync(Clients["openai"].Path, Clients["openai"].Body, "x-resume: 1");

        Assert.Equal(403, (await house.GetAsync("/v1/streams")).Status);
        Assert.Equal(first.Text, (await house.GetAsync(first.Header("location")!)).Text);
    }

    [Fact]
    public async Task DELETE_cancels_a_running_call_and_its_client_gets_an_error()
    {
        await using var house = await StreamHouse.StartAsync();
        var answer = house.Expect();
        await using var client = await house.CallAsync(Clients["openai"].Path, Clients["openai"].Body, "x-correlation-id: cut");
        answer.Send(Answer[0] + Answer[1]);
        await client.ReadHeadAsync();
        await client.ReadUntilAsync("One");
        var id = client.Headers.First(header => header.Name == "x-trace-id").Value;

        var deleted = await house.DeleteAsync($"/v1/streams/{id}");

        Assert.Equal((200, true), (deleted.Status, deleted.Json.GetProperty("cancelled").GetBoolean()));
        await answer.GoneAsync();
        Assert.Equal("cancelled", OpenAi.ReadError(await client.ReadRestAsync()).GetProperty("code").GetString());
        Assert.Equal(404, (await house.DeleteAsync($"/v1/streams/{id}")).Status);
    }

    [Fact]
    public async Task Memory_is_full_The_oldest_finished_answer_goes_first_and_the_running_client_loses_nothing()
    {
        await using var house = await StreamHouse.StartAsync("""
            [streams]
            memory = "100KiB"
            """);
        var (path, body) = Clients["openai"];
        var large = OpenAi.Token(new string('x', 40_000));
        house.Expect().End(OpenAi.Role(), large, OpenAi.Stop(), OpenAi.Done);
        var old = await house.PostAsync(path, body, "x-resume: 1");
        house.Expect().End(OpenAi.Role(), large, OpenAi.Stop(), OpenAi.Done);
        var newer = await house.PostAsync(path, body, "x-resume: 1");
        house.Expect().End(OpenAi.Role(), large, OpenAi.Stop(), OpenAi.Done);
        var third = await house.PostAsync(path, body, "x-resume: 1");

        Assert.Equal(410, (await house.GetAsync(old.Header("location")!)).Status);
        Assert.Equal(newer.Text, (await house.GetAsync(newer.Header("location")!)).Text);
        Assert.Equal(third.Text, (await house.GetAsync(third.Header("location")!)).Text);

        var answer = house.Expect();
        await using var client = await house.CallAsync(path, body, "x-resume: 1");
        for (var i = 0; i < 5; i++) answer.Send(large);
        answer.End(OpenAi.Stop(), OpenAi.Done);
        await client.ReadHeadAsync();
        var all = await client.ReadRestAsync();
        Assert.Equal(string.Concat(Enumerable.Repeat(large, 5)) + OpenAi.Stop() + OpenAi.Done, WithoutIds(all.Text));
        Assert.Equal(410, (await house.GetAsync(all.Header("location")!)).Status);
    }

    [Fact]
    public async Task Resume_is_all_Every_answer_can_be_resumed_unless_the_call_says_no()
    {
        await using var house = await StreamHouse.StartAsync("""
            [streams]
            resume = "all"
            """);
        var (path, body) = Clients["openai"];
        house.Expect().End(Answer);
        var kept = await house.PostAsync(path, body);
        house.Expect().End(Answer);
        var not = await house.PostAsync(path, body, "x-resume: 0");

        Assert.Equal(kept.Text, (await house.GetAsync(kept.Header("location")!)).Text);
        Assert.Null(not.Header("location"));
        Assert.Equal(string.Concat(Answer), not.Text);
        Assert.Equal(404, (await house.GetAsync($"/v1/streams/{not.TraceId}")).Status);
    }

    /// <summary>The messages that are complete.</summary>
    private static string Whole(string text) => text[..(text.LastIndexOf("\n\n", StringComparison.Ordinal) + 2)];

    private static string WithoutIds(string text) => string.Concat(text.Split('\n').Where(static line => !line.StartsWith("id: ", StringComparison.Ordinal))
        .Select(static line => line + "\n"))[..^1];
}
