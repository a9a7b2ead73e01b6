using Proxy.Config;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>Checks the semantic cache with the bundled model: a question gets the answer to one that means the same, and no other does.</summary>
public sealed class SemanticCacheTests : IAsyncLifetime
{
    private const string Alice = "authorization: Bearer alice-key", Bob = "authorization: Bearer bob-key", Question = "How do I reset the password?";

    private readonly FakeBackend host = FakeBackend.Start();
    private readonly FakeStore store = new();

    public ValueTask InitializeAsync()
    {
        host.Answer(static exchange => exchange.StreamAsync(OpenAi.Sse, OpenAi.Stream("press the button")));
        return default;
    }

    public ValueTask DisposeAsync() => host.DisposeAsync();

    [Fact]
    public async Task Question_in_other_words_Gets_the_answer_without_the_host()
    {
        await using var proxy = await StartAsync();
        Assert.Equal("miss", (await AskAsync(proxy, Question)).Header("x-cache"));
        await WrittenAsync(1);

        var hit = await AskAsync(proxy, "Could you tell me how I can reset the password, please?");

        Assert.StartsWith("semantic; similarity=0.", hit.Header("x-cache"), StringComparison.Ordinal);
        Assert.Contains("press the button", hit.Text, StringComparison.Ordinal);
        Assert.Single(host.Calls);
    }

    [Theory]
    [InlineData("How do I set the password?")]
    [InlineData("How do I not reset the password?")]
    [InlineData("How do I reset the password of Bob?")]
    [InlineData("How do I reset 2 passwords?")]
    [InlineData("How do I reset the passwords?")]
    [InlineData("Why do I reset the password?")]
    public async Task Question_that_differs_Is_asked_at_the_host(string other)
    {
        await using var proxy = await StartAsync();
        await AskAsync(proxy, Question);
        await WrittenAsync(1);

        Assert.Equal("miss", (await AskAsync(proxy, other)).Header("x-cache"));
        Assert.Equal(2, host.Calls.Count);
    }

    [Theory]
    [InlineData("""{"model":"other","stream":true,"messages":[{"role":"user","content":"How can I reset the password?"}]}""")]
    [InlineData("""{"model":"m","stream":true,"temperature":1,"messages":[{"role":"user","content":"How can I reset the password?"}]}""")]
    [InlineData("""{"model":"m","stream":true,"messages":[{"role":"system","content":"Be rude."},{"role":"user","content":"How can I reset the password?"}]}""")]
    [InlineData("""{"model":"m","stream":true,"max_tokens":5,"messages":[{"role":"user","content":"How can I reset the password?"}]}""")]
    [InlineData("""{"model":"m","stream":true,"response_format":{"type":"json_object"},"messages":[{"role":"user","content":"How can I reset the password?"}]}""")]
    public async Task Call_that_differs_beside_the_question_Is_asked_at_the_host(string body)
    {
        await using var proxy = await StartAsync();
        await AskAsync(proxy, Question);
        await WrittenAsync(1);

        Assert.Equal("miss", (await proxy.CallAsync("/v1/chat/completions", body, Alice)).Reply.Header("x-cache"));
        Assert.Equal(2, host.Calls.Count);
    }

    [Theory]
    [InlineData("""{"model":"m","stream":true,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":"How can I reset the password?"}]}""")]
    [InlineData("""{"model":"m","stream":true,"tools":[{"type":"function","function":{"name":"f"}}],"messages":[{"role":"user","content":"How can I reset the password?"}]}""")]
    [InlineData("""{"model":"m","stream":true,"messages":[{"role":"user","content":[{"type":"text","text":"How can I reset the password?"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}}]}]}""")]
    public async Task Turns_tools_and_images_Take_no_part(string body)
    {
        await using var proxy = await StartAsync();
        await AskAsync(proxy, Question);
        await WrittenAsync(1);

        Assert.Equal("bypass", (await proxy.CallAsync("/v1/chat/completions", body, Alice)).Reply.Header("x-cache"));
        Assert.Equal(2, host.Calls.Count);
    }

    [Fact]
    public async Task Answers_Are_not_given_to_others_nor_kept_of_keys_that_take_no_part()
    {
        await using var proxy = await StartAsync();
        await AskAsync(proxy, Question);
        await WrittenAsync(1);

        Assert.Equal("bypass", (await AskAsync(proxy, Question, Bob)).Header("x-cache"));
        Assert.Equal("bypass", (await AskAsync(proxy, Question, Alice, "x-cache: bypass")).Header("x-cache"));
        Assert.Equal(3, host.Calls.Count);
        Assert.Single(store.Questions);
    }

    [Fact]
    public async Task Answer_that_was_cut_Is_not_kept()
    {
        host.Answer(static async exchange =>
        {
            await exchange.HeadAsync(OpenAi.Sse);
            await exchange.ChunkAsync(OpenAi.Token("a"));
            exchange.Close();
        });
        await using var proxy = await StartAsync();
        await AskAsync(proxy, Question);
        host.Answer(static exchange => exchange.StreamAsync(OpenAi.Sse, OpenAi.Stream("whole")));
        await AskAsync(proxy, "What is a cat?");
        await WrittenAsync(1);

        Assert.Equal("what be cat", store.Questions.Single().Words);
    }

    [Fact]
    public async Task Row_of_another_model_or_past_its_time_Is_not_given()
    {
        await using var proxy = await StartAsync();
        await AskAsync(proxy, Question);
        await WrittenAsync(1);
        var row = store.Questions.Single();

        await store.CommitAsync([row with { Vector = new byte[12], CreatedAt = row.CreatedAt.AddSeconds(1) }], default);
        Assert.Equal("miss", (await AskAsync(proxy, Question)).Header("x-cache"));
        await Patience.Until(() => Task.FromResult(store.Questions.Single().Vector.Length > 12), "the new answer is in the database");
        Assert.StartsWith("semantic", (await AskAsync(proxy, Question)).Header("x-cache"), StringComparison.Ordinal);

        proxy.Time.Advance(TimeSpan.FromHours(24));
        Assert.Equal("miss", (await AskAsync(proxy, Question)).Header("x-cache"));
    }

    private Task WrittenAsync(int rows) => Patience.Until(() => Task.FromResult(store.Questions.Count >= rows), "the answer is in the database");

    private static async Task<RawReply> AskAsync(RoutedProxy proxy, string text, params string[] headers) =>
        (await proxy.CallAsync("/v1/chat/completions", OpenAi.Request("m", true, text: text), headers.Length == 0 ? [Alice] : headers)).Reply;

    private Task<RoutedProxy> StartAsync() => RoutedProxy.StartAsync($"""
        {FrontDoor.Server()}
        [log]
        format = "json"
        [cache]
        [[auth.keys]]
        name = "alice"
        sha256 = "{ApiKeyConfig.Digest("alice-key")}"
        [[auth.keys]]
        name = "bob"
        sha256 = "{ApiKeyConfig.Digest("bob-key")}"
        [[backends]]
        name = "a"
        url = "{host.Url}"
        dialects = ["openai"]
        models = ["m", "other"]
        """, static _ => [], more: parts => parts.Store = store,
        change: static config => config with { Cache = config.Cache! with { Semantic = ["ali*"] } });
}
