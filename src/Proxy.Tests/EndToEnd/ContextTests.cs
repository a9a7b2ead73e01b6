using System.Text.Json;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>An Ollama host silently drops the part of a prompt that exceeds its context, so a call from another dialect requests enough context.</summary>
public sealed class ContextTests(ContextTests.Door door) : IClassFixture<ContextTests.Door>
{
    public sealed class Door : FrontDoor
    {
        internal FakeBackend Configured { get; private set; } = null!;

        internal FakeBackend Unsaid { get; private set; } = null!;

        protected override string Sections()
        {
            (Configured, Unsaid) = (Host(), Host());
            foreach (var host in new[] { Configured, Unsaid })
            {
                host.Answer(exchange => exchange.StreamAsync(Ollama.Lines, Ollama.Stream("fine")));
                host.Pages["/api/version"] = """{"version":"0.12.0"}""";
                host.Pages["/api/tags"] = """{"models":[]}""";
                host.Pages["/api/ps"] = """{"models":[]}""";
                host.Questions["/api/show"] = """{"details":{"family":"llama"},"model_info":{"general.architecture":"llama","llama.context_length":8192}"""
                    + ""","capabilities":["completion"]}""";
            }

            // As Ollama reports it: the model supports 8,192 tokens and runs with 4,096 now, because no call needed more.
            Unsaid.Pages["/api/tags"] = """{"models":[{"name":"small:latest","model":"small:latest","details":{"family":"llama","context_length":8192}},"""
                + """{"name":"tight:latest","model":"tight:latest"}]}""";
            Unsaid.Pages["/api/ps"] = """{"models":[{"name":"small:latest","model":"small:latest","context_length":4096}]}""";
            // For a model that is not loaded, its own file sets the context.
            Unsaid.Questions["/api/show"] = """{"parameters":"num_ctx                        2048","details":{"family":"llama"},"model_info":"""
                + """{"general.architecture":"llama","llama.context_length":8192},"capabilities":["completion"]}""";
            return $$"""
                [[backends]]
                name = "configured"
                url = "{{Configured.Url}}"
                dialects = ["ollama"]
                models = ["configured"]
                options = { num_ctx = 32768 }
                [[backends]]
                name = "unsaid"
                url = "{{Unsaid.Url}}"
                dialects = ["ollama"]
                models = ["unsaid"]
                prefixes = ["small", "tight"]
                """;
        }
    }

    [Fact]
    public async Task Configuration_says_the_context_Host_is_asked_for_it()
    {
        await door.ChatAsync("configured", stream: true);

        Assert.Equal(32768, door.Configured.Calls[^1].Json.GetProperty("options").GetProperty("num_ctx").GetInt32());
        Assert.Equal("/api/chat", door.Configured.Calls[^1].Target);
    }

    [Theory]
    [InlineData("""{"type":"text","text":"hello"}""")]
    [InlineData("""{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}""")]
    public async Task Call_fits_every_hosts_default_Host_keeps_its_own(string part)
    {
        var (reply, _) = await door.CallAsync(
            "/v1/chat/completions", $$"""{"model":"unsaid","stream":true,"messages":[{"role":"user","content":[{{part}}]}]}""");

        Assert.Equal(200, reply.Status);
        Assert.False(door.Unsaid.Calls[^1].Json.GetProperty("options").TryGetProperty("num_ctx", out _));
    }

    [Fact]
    public async Task Models_own_file_says_less_Call_that_needs_more_asks_for_it()
    {
        await KnownAsync();

        await door.CallAsync("/v1/chat/completions", OpenAi.Request("tight:latest", stream: true, text: string.Concat(Enumerable.Repeat("word ", 1_000))));

        Assert.Equal(4096, door.Unsaid.Calls[^1].Json.GetProperty("options").GetProperty("num_ctx").GetInt32());
    }

    [Fact]
    public async Task Long_call_Host_is_asked_for_enough()
    {
        // About ten thousand words, far more than 4,096 tokens.
        await door.CallAsync("/v1/chat/completions", OpenAi.Request("unsaid", stream: true, text: string.Concat(Enumerable.Repeat("word ", 10_000))));

        Assert.InRange(door.Unsaid.Calls[^1].Json.GetProperty("options").GetProperty("num_ctx").GetInt32(), 10_000, 1 << 20);
    }

    [Fact]
    public async Task Long_prompt_Host_is_asked_for_enough()
    {
        var (reply, _) = await door.CallAsync(
            "/v1/completions", $$"""{"model":"unsaid","stream":true,"prompt":"{{string.Concat(Enumerable.Repeat("word ", 10_000))}}"}""");

        Assert.Equal(200, reply.Status);
        Assert.Equal("/api/generate", door.Unsaid.Calls[^1].Target);
        Assert.InRange(door.Unsaid.Calls[^1].Json.GetProperty("options").GetProperty("num_ctx").GetInt32(), 10_000, 1 << 20);
    }

    [Fact]
    public async Task Model_runs_with_less_than_the_call_needs_Host_is_asked_for_more()
    {
        await KnownAsync();

        await door.CallAsync("/v1/chat/completions", OpenAi.Request("small:latest", stream: true, text: string.Concat(Enumerable.Repeat("word ", 4_000))));

        Assert.Equal(8192, door.Unsaid.Calls[^1].Json.GetProperty("options").GetProperty("num_ctx").GetInt32());
    }

    [Fact]
    public async Task Call_is_longer_than_the_model_can_take_Client_gets_400_and_no_host_is_asked()
    {
        await KnownAsync();
        var before = door.Unsaid.Calls.Count;

        var (reply, line) = await door.CallAsync(
            "/v1/chat/completions", OpenAi.Request("small:latest", stream: true, text: string.Concat(Enumerable.Repeat("word ", 50_000))));

        Assert.True(reply.Status == 400, $"{reply.Status} {reply.Text}");
        Assert.Equal("context_length_exceeded", reply.ErrorCode);
        Assert.Equal("refused client 400", line.Verdict);
        Assert.Equal(before, door.Unsaid.Calls.Count);
    }

    [Fact]
    public async Task Ollama_client_says_its_context_Host_gets_it_as_it_came()
    {
        await door.OllamaChatAsync("configured", stream: true, ",\"options\":{\"num_ctx\":2048}");

        Assert.Equal(2048, door.Configured.Calls[^1].Json.GetProperty("options").GetProperty("num_ctx").GetInt32());
    }

    [Fact]
    public async Task OpenAI_client_sets_what_Ollama_calls_otherwise_It_arrives()
    {
        await door.ChatAsync(
            "unsaid", stream: true, ",\"temperature\":1.5,\"top_p\":0.5,\"max_tokens\":77,\"seed\":3,\"stop\":[\"END\"],\"presence_penalty\":0.25");

        var options = door.Unsaid.Calls[^1].Json.GetProperty("options");
        Assert.Equal(1.5, options.GetProperty("temperature").GetDouble());
        Assert.Equal(0.5, options.GetProperty("top_p").GetDouble());
        Assert.Equal(77, options.GetProperty("num_predict").GetInt32());
        Assert.Equal(3, options.GetProperty("seed").GetInt32());
        Assert.Equal("END", options.GetProperty("stop")[0].GetString());
        Assert.Equal(JsonValueKind.Number, options.GetProperty("presence_penalty").ValueKind);
    }

    private Task KnownAsync() =>
        Patience.Until(async () => (await door.GetAsync("/v1/models")).Text.Contains("small", StringComparison.Ordinal), "the host's models are known");
}
