using System.Text;
using System.Text.Json;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>A client resumes a stream in llama.cpp's way: by its conversation's id, from the byte where its connection broke.</summary>
public sealed class ConversationTests
{
    private const string Conversation = "X-Conversation-Id: c1::served";

    private static readonly Dictionary<string, (string Path, string Body)> Clients = new()
    {
        ["openai"] = (StreamHouse.Chat, OpenAi.Request("served", stream: true)),
        ["renamed"] = (StreamHouse.Chat, OpenAi.Request("other", stream: true)),
        ["anthropic"] = ("/v1/messages", """{"model":"served","max_tokens":100,"stream":true,"messages":[{"role":"user","content":"hello"}]}"""),
        ["responses"] = ("/v1/responses", """{"model":"served","stream":true,"input":"hello"}"""),
        ["ollama"] = ("/api/chat", """{"model":"served","messages":[{"role":"user","content":"hello"}]}"""),
    };

    private static readonly string[] Answer =
        [OpenAi.Role(), OpenAi.Token("Öne"), ": a comment\n\n", OpenAi.Token(" two"), OpenAi.Token(" three"), OpenAi.Stop(), OpenAi.Done];

    [Theory]
    [InlineData("openai", "epoll", "")]
    [InlineData("openai", "sockets", "")]
    [InlineData("renamed", "epoll", "")]
    [InlineData("anthropic", "epoll", "")]
    [InlineData("responses", "epoll", "")]
    [InlineData("ollama", "epoll", "")]
    [InlineData("openai", "epoll", "x-resume: 1")]
    [InlineData("anthropic", "epoll", "Idempotency-Key: k1")]
    public async Task Connection_breaks_The_rest_is_read_from_any_byte(string dialect, string transport, string more)
    {
        await using var house = await StreamHouse.StartAsync("""[aliases]""" + "\nother = \"served\"", transport: transport);
        var (path, body) = Clients[dialect];
        var answer = house.Expect();
        var client = await house.CallAsync(path, body, [Conversation, .. more.Length > 0 ? [more] : Array.Empty<string>()]);
        for (var i = 0; i < 4; i++) answer.Send(Answer[i]);
        await client.ReadHeadAsync();
        await client.ReadUntilAsync(" two");
        var begun = Encoding.UTF8.GetBytes(client.BodySoFar);
        var type = client.Headers.First(static header => header.Name == "Content-Type").Value;
        await client.DisposeAsync();
        answer.End(Answer[4..]);

        var rest = await house.GetAsync($"/v1/stream?conv_id=c1::served&from={begun.Length}");
        var all = await house.GetAsync("/v1/stream?conv_id=c1::served");

        Assert.Equal((200, type), (rest.Status, rest.ContentType));
        Assert.Equal(all.Text, Encoding.UTF8.GetString([.. begun, .. rest.Body]));
        Assert.Contains("three", rest.Text, StringComparison.Ordinal);
        Assert.DoesNotContain("\nid: ", all.Text, StringComparison.Ordinal);
        for (var from = 0; from <= all.Body.Length; from += 97)
            Assert.Equal(all.Body[from..], (await house.GetAsync($"/v1/stream?conv_id=c1::served&from={from}")).Body);
        Assert.Single(house.Host.Calls);
        if (dialect == "openai") Assert.Equal(string.Concat(Answer), all.Text);
    }

    [Fact]
    public async Task Client_stays_It_gets_what_is_kept()
    {
        await using var house = await StreamHouse.StartAsync();
        house.Expect().End(Answer);

        var first = await house.PostAsync(Clients["openai"].Path, Clients["openai"].Body, Conversation);

        Assert.Equal(string.Concat(Answer), first.Text);
        Assert.Equal(first.Body, (await house.GetAsync("/v1/stream?conv_id=c1::served&from=0")).Body);
        var last = await house.GetAsync($"/v1/stream?conv_id=c1::served&from={first.Body.Length}");
        Assert.Equal((200, ""), (last.Status, last.Text));
    }

    [Fact]
    public async Task Keep_alives_count_Those_without_a_client_too()
    {
        await using var house = await StreamHouse.StartAsync();
        var answer = house.Expect();
        var client = await house.CallAsync(Clients["openai"].Path, Clients["openai"].Body, Conversation);
        await answer.Asked;
        await AdvanceUntilAsync(house, () => house.Kept() is { Length: > 0 });
        await client.ReadHeadAsync();
        await client.ReadUntilAsync("\n\n");
        answer.Send(Answer[0] + Answer[1]);
        await client.ReadUntilAsync("Öne");
        await client.ReadUntilAsync("null}]}\n\n");
        var begun = Encoding.UTF8.GetBytes(client.BodySoFar);
        await client.DisposeAsync();
        await Patience.Until(() => Task.FromResult(house.Kept() is { Until: < long.MaxValue }), "the client's leaving is noticed");
        var length = house.Kept()!.Length;
        await AdvanceUntilAsync(house, () => house.Kept()!.Length > length);
        answer.End(Answer[2..]);

        var rest = await house.GetAsync($"/v1/stream?conv_id=c1::served&from={begun.Length}");

        Assert.StartsWith(":", rest.Text, StringComparison.Ordinal);
        Assert.Equal((await house.GetAsync("/v1/stream?conv_id=c1::served")).Text, Encoding.UTF8.GetString([.. begun, .. rest.Body]));
        Assert.Equal("Öne two three", OpenAi.Read(rest with { Body = [.. begun, .. rest.Body] }));
    }

    [Fact]
    public async Task Another_call_of_the_conversation_takes_its_place()
    {
        await using var house = await StreamHouse.StartAsync();
        var (path, body) = Clients["openai"];
        var first = house.Expect();
        await using var client = await house.CallAsync(path, body, Conversation);
        first.Send(Answer[0] + Answer[1]);
        await client.ReadHeadAsync();
        await client.ReadUntilAsync("Öne");
        house.Expect().End(Answer[0], OpenAi.Token("other"), Answer[5], Answer[6]);

        var second = await house.PostAsync(path, body, Conversation);

        await first.GoneAsync();
        Assert.Equal("cancelled", OpenAi.ReadError(await client.ReadRestAsync()).GetProperty("code").GetString());
        Assert.Equal(second.Text, (await house.GetAsync("/v1/stream?conv_id=c1::served")).Text);
        Assert.Equal("other", OpenAi.Read(second));
    }

    [Fact]
    public async Task DELETE_cancels_the_generation()
    {
        await using var house = await StreamHouse.StartAsync();
        var answer = house.Expect();
        await using var client = await house.CallAsync(Clients["openai"].Path, Clients["openai"].Body, Conversation);
        answer.Send(Answer[0] + Answer[1]);
        await client.ReadHeadAsync();
        await client.ReadUntilAsync("Öne");
        await using var reader = await RawClient.ConnectAsync(house.Address);
        await reader.RequestAsync("GET", "/v1/stream?conv_id=c1::served");
        await reader.ReadHeadAsync();
        await reader.ReadUntilAsync("Öne");

        Assert.Equal(204, (await house.DeleteAsync("/v1/stream?conv_id=c1::served")).Status);

        await answer.GoneAsync();
        Assert.Equal("cancelled", OpenAi.ReadError(await client.ReadRestAsync()).GetProperty("code").GetString());
        Assert.Equal("cancelled", OpenAi.ReadError(await reader.ReadRestAsync()).GetProperty("code").GetString());
        Assert.Equal(404, (await house.GetAsync("/v1/stream?conv_id=c1::served")).Status);
        Assert.Equal(204, (await house.DeleteAsync("/v1/stream?conv_id=c1::served")).Status);
        Assert.Equal(400, (await house.DeleteAsync("/v1/stream")).Status);
    }

    [Fact]
    public async Task Nobody_comes_back_The_generation_ends_with_the_time_to_linger()
    {
        await using var house = await StreamHouse.StartAsync();
        var answer = house.Expect();
        var client = await house.CallAsync(Clients["anthropic"].Path, Clients["anthropic"].Body, Conversation, "x-correlation-id: left");
        answer.Send(Answer[0] + Answer[1]);
        await client.ReadHeadAsync();
        await client.ReadUntilAsync("Öne");
        await client.DisposeAsync();
        await Patience.Until(() => Task.FromResult(house.Kept() is { Until: < long.MaxValue }), "the client's leaving is noticed");
        Assert.False(answer.IsGone);

        await AdvanceUntilAsync(house, () => answer.IsGone);

        Assert.Equal("client_left", (await house.Proxy.Log.CallAsync("left")).Outcome);
        var read = await house.GetAsync("/v1/stream?conv_id=c1::served");
        Assert.Contains("event: error", read.Text, StringComparison.Ordinal);
        Assert.Contains("cancelled", read.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Streams_are_looked_up_by_the_ids_that_the_caller_knows()
    {
        await using var house = await StreamHouse.StartAsync(Keys);
        house.Expect().End(Answer);
        var done = await house.PostAsync(Clients["openai"].Path, Clients["openai"].Body, Conversation, Ann);
        var answer = house.Expect();
        await using var client = await house.CallAsync(Clients["openai"].Path, Clients["openai"].Body, "X-Conversation-Id: c2", Ann);
        answer.Send(Answer[0] + Answer[1]);
        await client.ReadHeadAsync();
        await client.ReadUntilAsync("Öne");

        var mine = await LookUpAsync("""{"conversation_ids":["c1","c2","c3",7,""]}""", Ann);
        var bobs = await house.GetAsync("/v1/stream?conv_id=c2", Bob);
        var bobsDelete = await house.DeleteAsync("/v1/stream?conv_id=c2", Bob);
        var isGone = answer.IsGone;
        answer.End(Answer[1..]);
        Assert.True((await client.ReadRestAsync()).Whole);

        Assert.Equal(2, mine.GetArrayLength());
        Assert.Equal(("c1::served", true, done.Body.Length), Row(mine[0]));
        Assert.Equal(("c2", false, Encoding.UTF8.GetByteCount(Answer[0] + Answer[1])), Row(mine[1]));
        Assert.True(mine[0].GetProperty("completed_at").GetInt64() >= mine[0].GetProperty("started_at").GetInt64());
        Assert.Equal(0, mine[1].GetProperty("completed_at").GetInt64());
        Assert.Equal(0, (await LookUpAsync("""{"conversation_ids":["c1","c1::served"]}""", Bob)).GetArrayLength());
        Assert.Equal(0, (await LookUpAsync("{}", Ann)).GetArrayLength());
        Assert.Equal(400, (await house.PostAsync("/v1/streams/lookup", "no json", Ann)).Status);
        Assert.Equal((404, 204, false), (bobs.Status, bobsDelete.Status, isGone));

        async Task<JsonElement> LookUpAsync(string body, string key) => (await house.PostAsync("/v1/streams/lookup", body, key)).Json;

        static (string?, bool, int) Row(JsonElement row) => (row.GetProperty("conversation_id").GetString(), row.GetProperty("is_done").GetBoolean(),
            row.GetProperty("total_bytes").GetInt32());
    }

    [Fact]
    public async Task Every_refusal()
    {
        await using var house = await StreamHouse.StartAsync("""
            [streams]
            memory = "100KiB"
            """);
        var (path, body) = Clients["openai"];
        house.Expect().End(Answer);
        var first = await house.PostAsync(path, body, Conversation);

        Assert.Equal((400, "conv_id"), await RefusedAsync("/v1/stream"));
        Assert.Equal((404, null), await RefusedAsync("/v1/stream?conv_id=c1"));
        Assert.Equal((400, "from"), await RefusedAsync($"/v1/stream?conv_id=c1::served&from={first.Body.Length + 1}"));
        Assert.Equal((400, "from"), await RefusedAsync("/v1/stream?conv_id=c1::served&from=-1"));
        Assert.Equal((400, "from"), await RefusedAsync("/v1/stream?conv_id=c1::served&from=x"));
        Assert.Equal(400, (await house.PostAsync(path, body, $"X-Conversation-Id: {new string('c', 600)}")).Status);

        house.Host.Once(static exchange => exchange.JsonAsync(OpenAi.Error("no such model"), 400));
        Assert.Equal(400, (await house.PostAsync(path, body, "X-Conversation-Id: bad")).Status);
        Assert.Equal((404, null), await RefusedAsync("/v1/stream?conv_id=bad"));
        house.Expect("application/json").End(OpenAi.Whole("hello"));
        Assert.Equal(200, (await house.PostAsync(path, OpenAi.Request("served"), "X-Conversation-Id: whole")).Status);
        Assert.Equal((404, null), await RefusedAsync("/v1/stream?conv_id=whole"));

        var answer = house.Expect();
        await using var client = await house.CallAsync(path, body, "X-Conversation-Id: large");
        var large = OpenAi.Token(new string('x', 40_000));
        for (var i = 0; i < 4; i++) answer.Send(large);
        await client.ReadHeadAsync();
        while (client.BodySoFar.Length < 4 * large.Length) await client.ReadUntilAsync(string.Concat(Enumerable.Repeat(large, 4)));
        Assert.Equal((400, "from"), await RefusedAsync("/v1/stream?conv_id=large&from=0"));
        answer.End(Answer[5], Answer[6]);
        Assert.Equal(string.Concat(Enumerable.Repeat(large, 4)) + Answer[5] + Answer[6], (await client.ReadRestAsync()).Text);

        async Task<(int Status, string? Param)> RefusedAsync(string where)
        {
            var reply = await house.GetAsync(where);
            return (reply.Status, reply.Json.GetProperty("error").GetProperty("param").GetString());
        }
    }

    private const string Ann = "Authorization: Bearer ann-secret", Bob = "Authorization: Bearer bob-secret";

    private static string Keys => $"""
        [[auth.keys]]
        name = "ann"
        sha256 = "{Proxy.Config.ApiKeyConfig.Digest("ann-secret")}"
        [[auth.keys]]
        name = "bob"
        sha256 = "{Proxy.Config.ApiKeyConfig.Digest("bob-secret")}"
        """;

    private static Task AdvanceUntilAsync(StreamHouse house, Func<bool> happened) => Patience.Until(() =>
    {
        if (happened()) return Task.FromResult(true);
        house.Proxy.Time.Advance(TimeSpan.FromSeconds(5));
        return Task.FromResult(happened());
    }, "it happens as time goes on");
}
