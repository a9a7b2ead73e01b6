using Microsoft.Extensions.Time.Testing;
using Proxy.Backends;
using Proxy.Chat;
using Proxy.Config;

namespace Proxy.Tests.Backends;

public sealed class EchoBackendTests : IDisposable
{
    private readonly House house = new(BackendConfig.Echo);

    public void Dispose() => house.Dispose();

    private async Task<Lease> TakeAsync() => (await house.Slots.TakeAsync("echo", [house["echo"]], 1, TimeSpan.FromSeconds(9), default)).Lease!;

    [Fact]
    public void Echo_Lists_every_dialect_that_it_answers_in()
    {
        using var configured = new House(new ProxyConfig { Backends = [new BackendConfig { Name = "echo", Url = BackendConfig.BuiltinEcho, Models = ["echo"],
            Dialects = [DialectFamily.OpenAi] }] });

        DialectFamily[] all = [DialectFamily.OpenAi, DialectFamily.Responses, DialectFamily.Ollama, DialectFamily.Anthropic];
        Assert.Equal(all, house["echo"].Families);
        Assert.Equal(all, configured["echo"].Families); // the echo answers in all dialects, whatever the configuration says
        Assert.False(house["echo"].IsOllama);
    }

    private static ChatRequest Saying(bool stream, params ChatMessage[] messages) => new() { Model = "echo", Messages = messages, Stream = stream };

    private static ChatMessage User(string text) => new(ChatRole.User, [new ContentPart.Text(text)]);

    [Theory]
    [InlineData("one two  three ", "one |two | |three ")]
    [InlineData("über 日本", "über |日本")]
    [InlineData("", "(the |last |user |message |has |no |text)")]
    public async Task Last_user_message_Comes_back_word_by_word(string said, string expected)
    {
        var events = new List<ChatEvent>();
        await foreach (var happened in EchoBackend.AnswerAsync(Saying(false, User("first"), User(said), new(ChatRole.Assistant, [])), await TakeAsync(),
            house.Time)) events.Add(happened);

        var words = events.OfType<ChatEvent.Token>().Select(t => t.Text).ToArray();
        Assert.Equal(expected, string.Join("|", words));
        Assert.IsType<ChatEvent.Started>(events[0]);
        Assert.Equal(words.Length, Assert.Single(events.OfType<ChatEvent.UsageReported>()).Usage.OutputTokens);
        Assert.Equal(FinishReason.Stop, Assert.IsType<ChatEvent.Finished>(events[^1]).Reason);
        Assert.Equal(0, house["echo"].State.InFlight);
    }

    [Fact]
    public async Task Streaming_Words_come_at_their_pace_and_stop_when_the_client_leaves()
    {
        using var leaving = new CancellationTokenSource();
        var events = EchoBackend.AnswerAsync(Saying(true, User("a b c")), await TakeAsync(), house.Time, leaving.Token).GetAsyncEnumerator();
        for (var i = 0; i < 3; i++) Assert.True(await events.MoveNextAsync());
        var next = events.MoveNextAsync().AsTask();
        Assert.False(next.IsCompleted);
        house.Time.Advance(TimeSpan.FromMilliseconds(20));
        Assert.True(await next);
        next = events.MoveNextAsync().AsTask();

        await leaving.CancelAsync();

        Assert.False(await next);
        Assert.Equal(0, house["echo"].State.InFlight);
        await events.DisposeAsync();
    }
}
