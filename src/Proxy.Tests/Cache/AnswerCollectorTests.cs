using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Proxy.Cache;
using Proxy.Chat;
using Proxy.Streams;
using Proxy.Tests.Backends;
using Proxy.Tests.Harness;
using Proxy.Tests.Streams;

namespace Proxy.Tests.Cache;

/// <summary>Checks which generations leave an answer in the cache.</summary>
public sealed class AnswerCollectorTests
{
    private static readonly CacheKey Key = new("me", "id");

    private readonly FakeTimeProvider time = new();
    private readonly ExactCache memory;

    public AnswerCollectorTests() => memory = new ExactCache(20_000, time);

    [Fact]
    public async Task Complete_stream_Leaves_its_events_before_the_client_has_the_end()
    {
        var gate = new Watching(() => memory.Find(Key) is not null);

        await RunAsync(string.Concat(OpenAi.Stream("Hel", "lo")), gate);

        Assert.True(gate.WasThere);
        Assert.Equal(["Hel", "lo"], memory.Find(Key)!.Replay().OfType<ChatEvent.Token>().Select(static token => token.Text));
    }

    [Fact]
    public async Task Gate_after_it_refuses_The_answer_is_taken_back()
    {
        var end = await RunAsync(string.Concat(OpenAi.Stream("hello")), new Watching(() => true) { Error = new(ProxyErrorKind.Internal, "no") });

        Assert.Equal(EndKind.BrokeOff, end.Kind);
        Assert.Null(memory.Find(Key));
    }

    [Fact]
    public async Task Host_leaves_out_the_end_marker_The_answer_is_complete_all_the_same()
    {
        await RunAsync(OpenAi.Token("hello") + OpenAi.Stop());

        Assert.NotNull(memory.Find(Key));
    }

    [Theory]
    [InlineData(10_000, true)]
    [InlineData(30_000, false)]
    public async Task Answer_that_is_larger_than_the_cache_Is_not_collected_to_its_end(int length, bool isKept)
    {
        await RunAsync(string.Concat(OpenAi.Stream(new string('x', length / 2), new string('x', length / 2))));

        Assert.Equal(isKept, memory.Find(Key) is not null);
    }

    private async Task<GenerationEnd> RunAsync(string stream, params IEndGate[] more)
    {
        var stored = new StoredAnswers(static () => null, NullLogger.Instance, time);
        var collector = new AnswerCollector(Key, "m", new AnswerKeeper(memory, stored, TimeSpan.FromHours(1), time));
        var reply = Replies.Of(new ScriptedExchange(System.Text.Encoding.UTF8.GetBytes(stream), Step.End));
        return (await Replies.RelayAsync(reply, followers: new Followers([collector], [collector, .. more]))).Outcome;
    }

    private sealed class Watching(Func<bool> look) : IEndGate
    {
        public ProxyError? Error { get; init; }

        public bool WasThere { get; private set; }

        public ValueTask<ProxyError?> BeforeEndAsync(GenerationEnd end, CancellationToken cancellation)
        {
            WasThere = look();
            return new(Error);
        }

        public void Ended(GenerationEnd end) { }
    }
}
