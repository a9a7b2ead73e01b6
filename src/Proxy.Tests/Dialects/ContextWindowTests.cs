using System.Text.Json;
using Proxy.Chat;
using Proxy.Dialects.OllamaChat;

namespace Proxy.Tests.Dialects;

public sealed class ContextWindowTests
{
    private static ChatRequest Saying(string text, SamplingOptions? sampling = null) =>
        new() { Model = "m", Messages = [new(ChatRole.User, [new ContentPart.Text(text)])], Sampling = sampling ?? new() };

    private static int? Chosen(ChatRequest request, int? configured = null, int? running = null, int? limit = null)
    {
        Assert.Null(ContextWindow.Choose(request, configured, running, limit, out var tokens));
        return tokens;
    }

    [Theory]
    [InlineData(100, null)] // fits the context that the host uses by default
    [InlineData(9_216, null)] // 3,072 plus 1,024 for the answer fit the 4,096 that Ollama uses at least; a host may be set to more
    [InlineData(9_219, 8192)]
    [InlineData(30_000, 16384)]
    [InlineData(1_000_000, 524_288)]
    [InlineData(9_000_000, 1 << 20)] // the limit of the model is unknown
    public void Text_is_long_The_next_power_of_two_holds_it(int characters, int? expected)
    {
        Assert.Equal(expected, Chosen(Saying(new string('x', characters))));
    }

    [Theory]
    [InlineData(100, 4096, 4096)]
    [InlineData(100, 2048, 2048)]
    [InlineData(6_000, 2048, 4096)]
    [InlineData(60_000, 32768, 32768)]
    [InlineData(60_000, 4096, 32768)]
    [InlineData(60_000, 4096, 20_000, 20_000)]
    public void Model_runs_already_It_is_loaded_anew_only_where_it_must(int characters, int running, int expected, int? limit = null)
    {
        Assert.Equal(expected, Chosen(Saying(new string('x', characters)), running: running, limit: limit));
    }

    [Fact]
    public void Text_is_Chinese_A_character_is_about_a_token()
    {
        Assert.Equal(8192, Chosen(Saying(new string('漢', 4000))));
    }

    [Fact]
    public void Somebody_said_how_large_That_is_it()
    {
        Assert.Equal(2048, Chosen(Saying(new string('x', 99_999), new SamplingOptions { ContextLength = 2048 }), configured: 32768));
        Assert.Equal(32768, Chosen(Saying("x"), configured: 32768));
    }

    [Fact]
    public void Model_takes_less_Its_limit_is_asked_for_and_what_is_surely_too_long_refused()
    {
        Assert.Equal(10_000, Chosen(Saying(new string('x', 60_000)), limit: 10_000));
        var refusal = ContextWindow.Choose(Saying(new string('x', 80_009)), null, null, 10_000, out _)!;

        Assert.Equal((400, ProxyErrorKind.ContextLengthExceeded, "messages"), (refusal.Status, refusal.Kind, refusal.Param));
        Assert.Null(ContextWindow.Choose(Saying(new string('x', 80_007)), null, null, 10_000, out _));
    }

    [Theory]
    [InlineData(4000, 8192)]
    [InlineData(3000, null)]
    [InlineData(-1, null)] // no limit: the host decides
    [InlineData(-2, null)]
    public void Answer_may_be_long_It_needs_room_too(int tokens, int? expected)
    {
        Assert.Equal(expected, Chosen(Saying(new string('x', 3000), new SamplingOptions { MaxTokens = tokens })));
    }

    [Fact]
    public void Images_tools_reasoning_and_calls_Count_too()
    {
        var text = new string('x', 12_000);
        ChatMessage user = new(ChatRole.User, []);

        Assert.Null(Chosen(Saying("") with { Messages = [new(ChatRole.User, [.. Enumerable.Repeat(new ContentPart.Image(null, "QQ==", null), 3)])] }));
        Assert.Equal(8192, Chosen(Saying("") with { Messages = [new(ChatRole.User, [.. Enumerable.Repeat(new ContentPart.Image(null, "QQ==", null), 4)])] }));
        Assert.Equal(8192, Chosen(Saying("") with { Messages = [user with { Reasoning = text }] }));
        Assert.Equal(8192, Chosen(Saying("") with { Messages = [user with { ToolCalls = [new(null, "f", text)] }] }));
        Assert.Equal(8192, Chosen(Saying("") with { Tools = [new("f", text, null)] }));
        Assert.Equal(8192, Chosen(Saying("") with { Tools = [new("f", null, JsonElement.Parse($"[\"{text}\"]"))] }));
    }
}
