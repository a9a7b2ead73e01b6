using System.Text;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Streams;
using Proxy.Tests.Backends;

namespace Proxy.Tests.Streams;

public sealed class EventSinkTests
{
    private const string Stream =
        """data: {"id":"1","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}""" + "\n\n: c\n\n" +
        """data: {"id":"1","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"é漢🙂"}}]}""" + "\n\n" +
        """data: {"id":"1","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}""" + "\r\n\r\n" +
        """data: {"id":"1","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}""" + "\n\n" +
        "data: [DONE]\n\n";

    private static Task<List<ChatEvent>> ReadAsync(BackendReply reply) => Replies.ReadAsync(reply);

    private static string Text(IEnumerable<ChatEvent> events) => string.Concat(events.OfType<ChatEvent.Token>().Select(t => t.Text));

    private static ProxyError? Error(IEnumerable<ChatEvent> events) => events.OfType<ChatEvent.Finished>().SingleOrDefault(f => f.Error is not null)?.Error;

    [Fact]
    public async Task Every_cut_The_events_are_the_same()
    {
        var bytes = Encoding.UTF8.GetBytes(Stream);
        var expected = await ReadAsync(Replies.Of(new(), held: Stream, complete: true));
        Assert.Equal("é漢🙂", Text(expected));
        Assert.Equal(new Usage(1, 2), Assert.Single(expected.OfType<ChatEvent.UsageReported>()).Usage);
        for (var cut = 0; cut <= bytes.Length; cut++)
        {
            var exchange = new ScriptedExchange(bytes[..cut], bytes[cut..], Step.End);

            Assert.Equal(expected, await ReadAsync(Replies.Of(exchange)));
            Assert.Equal(1, exchange.Disposals);
        }
    }

    [Theory]
    [InlineData("failed")]
    [InlineData("timed out")]
    [InlineData("end")]
    public async Task End_marker_came_However_the_host_leaves_the_answer_is_whole(string how)
    {
        var events = await ReadAsync(Replies.Of(new(Stream, how switch { "failed" => Step.Failed, "timed out" => Step.TimedOut, _ => Step.End })));

        Assert.Null(Error(events));
        Assert.Equal("é漢🙂", Text(events));
    }

    [Fact]
    public async Task Host_breaks_off_The_last_event_says_so_once()
    {
        var half = Stream[..(Stream.IndexOf("🙂", StringComparison.Ordinal) - 5)];
        foreach (var (step, kind, said) in ((Step, ProxyErrorKind, string)[])
        [
            (Step.Failed, ProxyErrorKind.HostFailed, "connection reset"), (Step.TimedOut, ProxyErrorKind.HostTimedOut, "silent for 60 s"),
            (Step.End, ProxyErrorKind.HostFailed, ""),
        ])
        {
            var events = await ReadAsync(Replies.Of(new(half, step)));

            Assert.Equal(kind, Error(events)!.Kind);
            Assert.Contains(said, Error(events)!.Message, StringComparison.Ordinal);
            Assert.IsType<ChatEvent.Finished>(events[^1]);
        }

        var unfinished = Stream[..Stream.IndexOf(
            """data: {"id":"1","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason""", StringComparison.Ordinal)];
        Assert.Contains("without saying that it was complete", Error(await ReadAsync(Replies.Of(new(unfinished, Step.End))))!.Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public async Task Host_says_that_it_failed_Nothing_after_it_is_read()
    {
        var exchange = new ScriptedExchange("data: {\"error\":{\"message\":\"out of memory\"}}\n\n", Stream, Step.End);

        var events = await ReadAsync(Replies.Of(exchange));

        Assert.Contains("out of memory", Error(events)!.Message, StringComparison.Ordinal);
        Assert.Equal("", Text(events));
        Assert.Equal(1, exchange.Disposals);
    }

    [Fact]
    public async Task Host_is_quiet_The_writer_is_told()
    {
        var exchange = new ScriptedExchange(Step.Quiet, Stream[..30], Step.Quiet, Stream[30..], Step.End) { Clock = 1 };

        Assert.Equal(2, (await ReadAsync(Replies.Of(exchange))).OfType<ChatEvent.Quiet>().Count());
        Assert.All(exchange.QuietTimes, at => Assert.Equal(15_001, at));
        Assert.All(exchange.Deadlines, at => Assert.Equal(60_001, at));
    }

    [Fact]
    public async Task Client_leaves_The_events_end_and_the_reply_is_given_back()
    {
        var exchange = new ScriptedExchange(Stream[..200], Step.Silence);
        var reading = ReadAsync(Replies.Of(exchange));
        await exchange.Waiting;

        exchange.Cancel();

        Assert.Null(Error(await reading));
        Assert.Equal(1, exchange.Disposals);
    }

    [Fact]
    public async Task One_document_Its_events_or_an_error()
    {
        const string Answer = """{"id":"1","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}""";

        Assert.Equal("hi", Text(await ReadAsync(Replies.Of(new(), held: Answer, streams: false, complete: true))));
        Assert.Equal(ProxyErrorKind.HostFailed, Error(await ReadAsync(Replies.Of(new(), held: "{}", streams: false, complete: true)))!.Kind);
    }
}
