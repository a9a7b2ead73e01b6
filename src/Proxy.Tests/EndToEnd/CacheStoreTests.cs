using System.Text;
using System.Text.Json;
using Proxy.Config;
using Proxy.Streams;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>Checks the exact cache with a database: answers outlive the process, and a database that fails or hangs fails no call.</summary>
public sealed class CacheStoreTests : IAsyncLifetime
{
    private const string Use = "x-cache: use", Alice = "authorization: Bearer alice-key";

    private readonly FakeBackend host = FakeBackend.Start();
    private readonly FakeStore store = new();

    public ValueTask InitializeAsync()
    {
        host.Answer(static exchange => exchange.JsonAsync(Answer));
        return default;
    }

    public ValueTask DisposeAsync() => host.DisposeAsync();

    [Fact]
    public async Task Next_process_Answers_from_the_database_without_the_host()
    {
        await using (var first = await StartAsync())
        {
            Assert.Equal("miss", (await AskAsync(first)).Header("x-cache"));
            await Patience.Until(() => Task.FromResult(store.Rows.Count == 1), "the answer is in the database");
        }

        await using var second = await StartAsync();
        var hit = await AskAsync(second);
        store.Rows.Clear();
        var again = await AskAsync(second);

        Assert.Equal(("hit", "hit"), (hit.Header("x-cache"), again.Header("x-cache")));
        Assert.Equal("sunny", hit.Json.GetProperty("choices")[0].GetProperty("message").GetProperty("content").GetString());
        Assert.Single(host.Calls);
    }

    [Fact]
    public async Task Row_Has_the_answer_in_columns_and_as_events()
    {
        await using var proxy = await StartAsync();
        var reply = await AskAsync(proxy);
        await Patience.Until(() => Task.FromResult(store.Rows.Count == 1), "the answer is in the database");

        var row = store.Rows.Single().Value;
        Assert.Equal(("alice", reply.Header("x-req-id"), "m", "tool_calls", "served"), (row.Owner, row.RequestId, row.Model, row.FinishReason, row.Winner));
        Assert.Equal(("sunny", "hm"), (row.Content, row.Reasoning));
        Assert.Equal("""[{"id":"call_1","type":"function","function":{"name":"weather","arguments":"{\"city\":\"Rome\"}"}}]""", row.ToolCalls);
        Assert.Equal("""{"prompt_tokens":9,"completion_tokens":7,"total_tokens":16}""", row.Usage);
        Assert.Equal(TimeSpan.FromHours(24), row.ExpiresAt - row.CreatedAt);
        var events = Encoding.UTF8.GetString(row.Events).Split('\n', StringSplitOptions.RemoveEmptyEntries)
            .Select(static line => JsonElement.Parse(line).GetProperty("type").GetString()).ToArray();
        Assert.Equal("started", events[0]);
        Assert.Contains("finished", events);
    }

    [Fact]
    public async Task Expired_row_Is_not_given_again()
    {
        await using var proxy = await StartAsync();
        await AskAsync(proxy);
        await Patience.Until(() => Task.FromResult(store.Rows.Count == 1), "the answer is in the database");

        proxy.Time.Advance(TimeSpan.FromHours(24));

        Assert.Equal("miss", (await AskAsync(proxy)).Header("x-cache"));
    }

    [Fact]
    public async Task Database_fails_Calls_go_on_and_the_log_says_it_once_in_a_while()
    {
        store.Fails = true;
        await using var proxy = await StartAsync();

        for (var number = 0; number < 3; number++)
        {
            var reply = await AskAsync(proxy, $"{number}");
            Assert.Equal((200, "miss"), (reply.Status, reply.Header("x-cache")));
            Assert.Equal("hit", (await AskAsync(proxy, $"{number}")).Header("x-cache")); // from memory
        }

        Assert.Equal(1, store.Asked);
        Assert.Equal(1, Said(proxy));
        proxy.Time.Advance(TimeSpan.FromSeconds(30));
        await AskAsync(proxy, "later");
        Assert.Equal((2, 2), (store.Asked, Said(proxy)));

        store.Fails = false;
        proxy.Time.Advance(TimeSpan.FromSeconds(30));
        await AskAsync(proxy, "last");
        await Patience.Until(() => Task.FromResult(store.Rows.Count == 1), "the answer is in the database");
    }

    [Fact]
    public async Task Several_questions_fail_at_once_The_log_says_it_once()
    {
        store.Hangs = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        store.Fails = true;
        await using var proxy = await StartAsync();

        var asking = Task.WhenAll(Enumerable.Range(0, 5).Select(number => AskAsync(proxy, $"{number}")));
        await Patience.Until(() => Task.FromResult(store.Asked == 5), "all have asked the database");
        store.Hangs.SetResult();

        Assert.All(await asking, static reply => Assert.Equal("miss", reply.Header("x-cache")));
        Assert.Equal(1, Said(proxy));
    }

    [Fact]
    public async Task Database_hangs_The_call_waits_a_second_and_goes_on()
    {
        store.Hangs = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var proxy = await StartAsync();

        var asking = AskAsync(proxy);
        await Patience.Until(() => Task.FromResult(store.Asked == 1), "the database is asked");
        Assert.Empty(host.Calls);
        proxy.Time.Advance(TimeSpan.FromSeconds(1));
        var reply = await asking;

        Assert.Equal((200, "miss", 1), (reply.Status, reply.Header("x-cache"), Said(proxy)));
        store.Hangs.SetResult();
    }

    [Fact]
    public async Task Write_fails_The_call_is_fine_and_the_answer_is_in_memory()
    {
        store.FailsToWrite = true;
        await using var proxy = await StartAsync();

        Assert.Equal("miss", (await AskAsync(proxy)).Header("x-cache"));
        await proxy.Log.EventAsync("cache_without_store");

        Assert.Equal("hit", (await AskAsync(proxy)).Header("x-cache"));
        Assert.Empty(store.Rows);
    }

    [Fact]
    public async Task Answer_that_was_cut_Is_not_written()
    {
        host.Answer(static async exchange =>
        {
            await exchange.HeadAsync(OpenAi.Sse);
            await exchange.ChunkAsync(OpenAi.Token("a"));
            exchange.Close();
        });
        await using var proxy = await StartAsync();
        await AskAsync(proxy, stream: true);
        host.Answer(static exchange => exchange.StreamAsync(OpenAi.Sse, OpenAi.Stream("whole")));
        await AskAsync(proxy, "other", stream: true);

        await Patience.Until(() => Task.FromResult(!store.Rows.IsEmpty), "the second answer is in the database");
        Assert.Equal("whole", Assert.Single(store.Rows).Value.Content);
    }

    private const string Answer = """
        {"id":"chatcmpl-1","object":"chat.completion","created":1795000000,"model":"served","choices":[{"index":0,"message":{"role":"assistant","content":"sunny","reasoning_content":"hm","tool_calls":[{"id":"call_1","type":"function","function":{"name":"weather","arguments":"{\"city\":\"Rome\"}"}}]},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":9,"completion_tokens":7,"total_tokens":16}}
        """;

    private static int Said(RoutedProxy proxy) => proxy.Log.Lines.Count(static line => ProxyLog.Text(line, "event") == "cache_without_store");

    private static async Task<RawReply> AskAsync(RoutedProxy proxy, string text = "hello", bool stream = false) =>
        (await proxy.CallAsync("/v1/chat/completions", OpenAi.Request("m", stream, text: text), Alice, Use)).Reply;

    private Task<RoutedProxy> StartAsync() => RoutedProxy.StartAsync($"""
        {FrontDoor.Server()}
        [inference]
        bundled = false
        [log]
        format = "json"
        [cache]
        [[auth.keys]]
        name = "alice"
        sha256 = "{ApiKeyConfig.Digest("alice-key")}"
        [aliases]
        "m" = "served"
        [[backends]]
        name = "a"
        url = "{host.Url}"
        dialects = ["openai"]
        models = ["served"]
        """, static _ => [], more: parts => parts.Store = store);
}
