using System.Text;
using Proxy.Chat;
using Proxy.Dialects.Anthropic;
using Proxy.Dialects.OpenAiResponses;
using Proxy.Streams;
using Proxy.Tests.Backends;

namespace Proxy.Tests.Streams;

/// <summary>
/// A host that sends its finish reasons and omits the end marker of its dialect has answered completely; without a finish reason it has not.
/// </summary>
public sealed class EndWithoutMarkerTests
{
    private const string Token = """data: {"id":"1","model":"served","choices":[{"index":0,"delta":{"content":"hi \"finish_reason\":\"stop\""},"finish_reason":null}]}""" + "\n\n";
    private const string Stop = """data: {"id":"1","model":"served","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}""" + "\n\n";
    private const string Counts = """data: {"id":"1","model":"served","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}""" + "\r\n\r\n: bye\n\n";
    private const string OpenAiStream = Token + Stop + Counts;
    private const string Done = "data: [DONE]\n\n";

    private const string AnthropicStream =
        "event: message_start\n" + """data: {"type":"message_start","message":{"id":"m","type":"message","role":"assistant","model":"served","content":[],"stop_reason":null,"usage":{"input_tokens":1,"output_tokens":1}}}""" + "\n\n" +
        "event: content_block_start\n" + """data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}""" + "\n\n" +
        "event: content_block_delta\n" + """data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}""" + "\n\n" +
        "event: content_block_stop\n" + """data: {"type":"content_block_stop","index":0}""" + "\n\n" +
        "event: message_delta\n" +
        """data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":2}}""" + "\n\n";

    private const string MessageStop = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

    private static readonly BackendDialect Anthropic = new AnthropicBackendDialect();

    [Theory]
    [InlineData("openai", null)]
    [InlineData("openai", "asked")]
    [InlineData("anthropic", null)]
    [InlineData("anthropic", "asked")]
    public async Task Every_cut_The_marker_is_added_for_the_client(string dialect, string? rename)
    {
        var (stream, marker) = dialect is "openai" ? (OpenAiStream, Done) : (AnthropicStream, MessageStop);
        var expected = (rename is null ? stream : stream.Replace("served", rename, StringComparison.Ordinal)) + marker;
        var bytes = Encoding.UTF8.GetBytes(stream);
        for (var cut = 0; cut <= bytes.Length; cut++)
        {
            var (sent, outcome) = await Replies.RelayAsync(Replies.Of(new(bytes[..cut], bytes[cut..], Step.End),
                dialect: dialect is "openai" ? null : Anthropic), rename);

            Assert.Equal(expected, sent);
            Assert.Equal((EndKind.Whole, 1, 2), (outcome.Kind, outcome.Usage!.InputTokens, outcome.Usage.OutputTokens));
        }

        var (held, whole) = await Replies.RelayAsync(Replies.Of(new(), held: stream, complete: true, dialect: dialect is "openai" ? null : Anthropic), rename);
        Assert.Equal((expected, EndKind.Whole), (held, whole.Kind));
        (held, whole) = await Replies.RelayAsync(
            Replies.Of(new(stream[60..], Step.End), held: stream[..60], dialect: dialect is "openai" ? null : Anthropic), rename);
        Assert.Equal((expected, EndKind.Whole), (held, whole.Kind));
    }

    [Fact]
    public async Task Long_before_it_and_event_by_event_The_reason_is_still_known()
    {
        var large = $$$"""data: {"choices":[{"index":0,"delta":{"content":"x"},"logprobs":{"content":"{{{new string('p', 5000)}}}"},"finish_reason":"length"}]}""" + "\n\n";
        foreach (var stop in (string[])[Stop, large])
        {
            var exchange = new ScriptedExchange([.. Enumerable.Repeat<Step>(Token, 100), stop, ": a\n\n: b\n\n", Counts, Step.End]);

            var (sent, outcome) = await Replies.RelayAsync(Replies.Of(exchange, held: Token));

            Assert.EndsWith(stop + ": a\n\n: b\n\n" + Counts + Done, sent, StringComparison.Ordinal);
            Assert.Equal(EndKind.Whole, outcome.Kind);
        }
    }

    [Fact]
    public async Task Last_frame_has_no_terminator_It_gets_one_before_the_marker()
    {
        var (sent, outcome) = await Replies.RelayAsync(Replies.Of(new(Token, Stop.TrimEnd(), Step.End)));

        Assert.Equal((Token + Stop + Done, EndKind.Whole), (sent, outcome.Kind));
    }

    [Fact]
    public async Task Connection_is_left_open_beyond_idle_The_answer_is_whole()
    {
        foreach (var (dialect, stream, marker) in ((BackendDialect, string, string)[])[(Replies.OpenAi, OpenAiStream, Done),
            (Anthropic, AnthropicStream, MessageStop)])
        {
            var (sent, outcome) = await Replies.RelayAsync(Replies.Of(new(stream, Step.TimedOut), dialect: dialect));
            Assert.Equal((stream + marker, EndKind.Whole), (sent, outcome.Kind));

            var events = await ReadAsync(Replies.Of(new(stream, Step.Quiet, Step.TimedOut), dialect: dialect));
            Assert.Equal(new ChatEvent.Finished(FinishReason.Stop), events[^1]);
        }
    }

    [Theory]
    [InlineData("no reason", Token)]
    [InlineData("half a frame behind it", Token + Stop + "data: {\"choi")]
    [InlineData("the other choice did not", """data: {"choices":[{"index":1,"delta":{"content":"a"},"finish_reason":null}]}""" + "\n\n" + Stop)]
    public async Task Nothing_says_that_it_is_whole_The_client_is_told(string why, string stream)
    {
        var (sent, outcome) = await Replies.RelayAsync(Replies.Of(new(stream, Step.End)));
        Assert.True(outcome.Kind is EndKind.BrokeOff, why);
        Assert.DoesNotContain("[DONE]", sent, StringComparison.Ordinal);

        Assert.NotNull(Assert.IsType<ChatEvent.Finished>((await ReadAsync(Replies.Of(new(stream, Step.End))))[^1]).Error);
    }

    [Fact]
    public async Task Connection_breaks_after_the_reason_The_client_is_told()
    {
        foreach (var (dialect, stream) in ((BackendDialect, string)[])[(Replies.OpenAi, OpenAiStream), (Anthropic, AnthropicStream)])
        {
            var (_, outcome) = await Replies.RelayAsync(Replies.Of(new(stream, Step.Failed), dialect: dialect));
            Assert.Equal(EndKind.BrokeOff, outcome.Kind);

            Assert.NotNull(Assert.IsType<ChatEvent.Finished>((await ReadAsync(Replies.Of(new(stream, Step.Failed), dialect: dialect)))[^1]).Error);
        }
    }

    [Fact]
    public async Task Dialects_whose_last_event_is_the_marker_Need_it()
    {
        foreach (var (dialect, stream) in ((BackendDialect, string)[])
        [
            (Replies.Ollama, """{"message":{"content":"a"},"done":false}""" + "\n"),
            (new OpenAiResponsesBackendDialect(), """data: {"type":"response.output_text.delta","item_id":"i","delta":"a"}""" + "\n\n"),
        ])
        {
            var (_, outcome) = await Replies.RelayAsync(Replies.Of(new(stream, Step.End), dialect: dialect));
            Assert.Equal(EndKind.BrokeOff, outcome.Kind);
        }
    }

    [Theory]
    [InlineData("openai")]
    [InlineData("anthropic")]
    public async Task Every_cut_The_events_are_those_of_the_stream_with_its_marker(string dialect)
    {
        var (stream, marker) = dialect is "openai" ? (OpenAiStream, Done) : (AnthropicStream, MessageStop);
        var spoken = dialect is "openai" ? Replies.OpenAi : Anthropic;
        var expected = await ReadAsync(Replies.Of(new(stream + marker, Step.End), dialect: spoken));
        Assert.Null(Assert.IsType<ChatEvent.Finished>(expected[^1]).Error);
        for (var cut = 0; cut <= stream.Length; cut++)
            Assert.Equal(expected, await ReadAsync(Replies.Of(new(stream[..cut], stream[cut..], Step.End), dialect: spoken)));
    }

    private static async Task<List<ChatEvent>> ReadAsync(BackendReply reply) =>
        [.. (await Replies.ReadAsync(reply)).Where(static happened => happened is not ChatEvent.Quiet)];
}
