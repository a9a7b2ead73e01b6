using System.IO.Pipelines;
using System.Text;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Streams;
using Proxy.Tests.Backends;

namespace Proxy.Tests.Streams;

public sealed class VerbatimSinkTests
{
    private const string Stream =
        ": hello\n\n" +
        """data: {"id":"1","model":"served","choices":[{"index":0,"delta":{"content":"say \"model\":\"served\" é漢🙂","n":1.50},"model":"served"}]}""" + "\n\n" +
        """data: {"id":"1","choices":[],"usage":{"prompt_tokens":11,"completion_tokens":22},"model":"served"}""" + "\r\n\r\n" +
        "data: [DONE]\n\n";

    private static readonly string Renamed = Stream.Replace("\"id\":\"1\",\"model\":\"served\"", "\"id\":\"1\",\"model\":\"asked\"", StringComparison.Ordinal)
        .Replace("22},\"model\":\"served\"", "22},\"model\":\"asked\"", StringComparison.Ordinal);

    [Theory]
    [InlineData(null)]
    [InlineData("asked")]
    public async Task Every_cut_The_client_gets_the_same_bytes(string? rename)
    {
        var bytes = Encoding.UTF8.GetBytes(Stream);
        for (var cut = 0; cut <= bytes.Length; cut++)
        {
            var exchange = new ScriptedExchange(bytes[..cut], bytes[cut..], Step.End);

            var (sent, outcome) = await Replies.RelayAsync(Replies.Of(exchange), rename);

            Assert.Equal(rename is null ? Stream : Renamed, sent);
            Assert.Equal(new GenerationEnd(EndKind.Whole, new Usage(11, 22)), outcome);
        }
    }

    [Theory]
    [InlineData(null)]
    [InlineData("asked")]
    public async Task Counts_that_the_client_did_not_ask_for_Are_ours_alone(string? rename)
    {
        var counts = Stream.Split("\n\n", StringSplitOptions.None)[2].Split("\r\n\r\n")[0] + "\r\n\r\n";
        var expected = (rename is null ? Stream : Renamed).Replace(rename is null ? counts : counts.Replace("served", "asked", StringComparison.Ordinal), "",
            StringComparison.Ordinal);
        Assert.DoesNotContain("completion_tokens", expected, StringComparison.Ordinal);
        var bytes = Encoding.UTF8.GetBytes(Stream);
        for (var cut = 0; cut <= bytes.Length; cut++)
        {
            var (sent, outcome) = await Replies.RelayAsync(Replies.Of(new(bytes[..cut], bytes[cut..], Step.End), unaskedUsage: true), rename);

            Assert.Equal(expected, sent);
            Assert.Equal(new GenerationEnd(EndKind.Whole, new Usage(11, 22)), outcome);
        }
    }

    [Theory]
    [InlineData(null)]
    [InlineData("asked")]
    public async Task Every_byte_alone_and_a_part_read_before_The_client_gets_the_same_bytes(string? rename)
    {
        var bytes = Encoding.UTF8.GetBytes(Stream[20..]);
        var exchange = new ScriptedExchange([.. bytes.Select(b => (Step)(byte[])[b]), Step.End]);

        var (sent, outcome) = await Replies.RelayAsync(Replies.Of(exchange, held: Stream[..20]), rename);

        Assert.Equal(rename is null ? Stream : Renamed, sent);
        Assert.Equal(EndKind.Whole, outcome.Kind);
    }

    [Fact]
    public async Task Json_lines_Are_relayed_and_renamed_too()
    {
        const string Lines = """{"model":"served","message":{"content":"a"},"done":false}""" + "\n"
            + """{"model":"served","done":true,"done_reason":"stop","prompt_eval_count":3,"eval_count":4}""" + "\n";
        for (var cut = 0; cut <= Lines.Length; cut++)
        {
            var (sent, outcome) = await Replies.RelayAsync(Replies.Of(new(Lines[..cut], Lines[cut..], Step.End), dialect: Replies.Ollama), "asked",
                keepAlive: "");

            Assert.Equal(Lines.Replace("served", "asked", StringComparison.Ordinal), sent);
            Assert.Equal((EndKind.Whole, 3, 4), (outcome.Kind, outcome.Usage!.InputTokens, outcome.Usage.OutputTokens));
        }
    }

    [Theory]
    [InlineData(null)]
    [InlineData("asked")]
    public async Task Last_frame_has_no_terminator_It_is_sent_and_counts(string? rename)
    {
        var (sent, outcome) = await Replies.RelayAsync(Replies.Of(new("data: {}\n\ndata: [DONE]", Step.End)), rename);

        Assert.Equal("data: {}\n\ndata: [DONE]", sent);
        Assert.Equal(EndKind.Whole, outcome.Kind);
        const string Last = """{"model":"served","done":true}""";
        (sent, outcome) = await Replies.RelayAsync(Replies.Of(new(Last, Step.End), dialect: Replies.Ollama), rename, keepAlive: "");
        Assert.Equal((rename is null ? Last : Last.Replace("served", rename, StringComparison.Ordinal), EndKind.Whole), (sent, outcome.Kind));
    }

    [Fact]
    public async Task Host_is_quiet_Keep_alives_go_out_and_never_into_a_frame()
    {
        var exchange = new ScriptedExchange(Step.Quiet, "data: {\"a\"", Step.Quiet, ":1}\n", Step.Quiet, "\n", Step.Quiet, Step.Quiet, "data: [DONE]\n\n",
            Step.End);

        var (sent, _) = await Replies.RelayAsync(Replies.Of(exchange), keepAlive: ": k\n\n");

        Assert.Equal(": k\n\n: k\n\n: k\n\ndata: {\"a\":1}\n\n: k\n\n: k\n\ndata: [DONE]\n\n", sent);
        Assert.All(exchange.QuietTimes, at => Assert.Equal(15_000, at));
    }

    [Fact]
    public async Task Dialect_has_no_keep_alive_Nobody_asks_to_be_woken()
    {
        var exchange = new ScriptedExchange("""{"done":true}""" + "\n", Step.End);

        await Replies.RelayAsync(Replies.Of(exchange, dialect: Replies.Ollama), keepAlive: "");

        Assert.All(exchange.QuietTimes, at => Assert.Equal(ReplyBody.Never, at));
    }

    [Fact]
    public async Task Silence_is_bounded_by_idle_and_by_the_whole_answers_time()
    {
        var exchange = new ScriptedExchange("data: {}\n\n", Step.Quiet, Step.TimedOut) { Clock = 1000 };
        var (_, outcome) = await Replies.RelayAsync(Replies.Of(exchange));
        Assert.Equal([61_000, 61_000, 61_000], exchange.Deadlines);
        Assert.Equal((EndKind.BrokeOff, ProxyErrorKind.HostTimedOut), (outcome.Kind, outcome.Error!.Kind));
        Assert.Contains("silent for 60 s", outcome.Error.Message, StringComparison.Ordinal);

        exchange = new ScriptedExchange("data: {}\n\n", Step.TimedOut) { Clock = 5000 };
        (_, outcome) = await Replies.RelayAsync(Replies.Of(exchange, total: 5000));
        Assert.Equal([5000, 5000], exchange.Deadlines);
        Assert.Contains("within its total time limit", outcome.Error!.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Host_ends_without_its_end_marker_The_client_has_to_be_told()
    {
        var (sent, outcome) = await Replies.RelayAsync(Replies.Of(new("data: {}\n\n", Step.End)));

        Assert.Equal("data: {}\n\n", sent);
        Assert.Equal((EndKind.BrokeOff, ProxyErrorKind.HostFailed), (outcome.Kind, outcome.Error!.Kind));
        Assert.Contains("without saying that it was complete", outcome.Error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("asked")]
    public async Task Host_breaks_off_inside_a_frame_The_client_has_whole_frames_only(string? rename)
    {
        foreach (var (step, said) in ((Step, string)[])[(Step.Failed, "broke off in the middle of its answer: connection reset"),
            (Step.TimedOut, "silent for 60 s"), (Step.End, "without saying")])
        {
            var (sent, outcome) = await Replies.RelayAsync(Replies.Of(new("data: {}\n\ndata: {\"a", step)), rename);

            Assert.Equal(("data: {}\n\n", EndKind.BrokeOff), (sent, outcome.Kind));
            Assert.Contains(said, outcome.Error!.Message, StringComparison.Ordinal);
        }
    }

    public static TheoryData<string> Leavings() => ["failed", "timed out", "end", "quiet"];

    private static Step Leaving(string how) => how switch { "failed" => Step.Failed, "timed out" => Step.TimedOut, "quiet" => Step.Quiet, _ => Step.End };

    [Theory]
    [MemberData(nameof(Leavings))]
    public async Task End_marker_came_However_the_host_leaves_the_answer_is_whole(string how)
    {
        var (sent, outcome) = await Replies.RelayAsync(Replies.Of(new(Stream, Leaving(how))));

        Assert.Equal((Stream, EndKind.Whole), (sent, outcome.Kind));
    }

    [Theory]
    [MemberData(nameof(Leavings))]
    public async Task Host_said_that_it_failed_The_client_is_not_told_twice(string how)
    {
        const string Said = "data: {}\n\ndata: {\"error\":{\"message\":\"out of memory\"}}\n\n";

        var (sent, outcome) = await Replies.RelayAsync(Replies.Of(new(Said, Leaving(how))));

        Assert.Equal((Said, EndKind.HostSaidError, "out of memory"), (sent, outcome.Kind, outcome.Error!.Message));
    }

    [Fact]
    public async Task Everything_was_read_before_Nothing_more_is_read()
    {
        var exchange = new ScriptedExchange(Step.Failed);

        var (sent, outcome) = await Replies.RelayAsync(Replies.Of(exchange, held: Stream, complete: true));

        Assert.Equal((Stream, EndKind.Whole), (sent, outcome.Kind));
        Assert.Empty(exchange.Deadlines);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Client_takes_no_more_The_relay_ends(bool atOnce)
    {
        var pipe = new Pipe();
        var exchange = new ScriptedExchange("data: {}\n\n", "data: {}\n\n");
        using var reply = Replies.Of(exchange, held: atOnce ? "data: {}\n\n" : "");
        using var sink = new VerbatimSink(reply, new Replies.Client(pipe.Writer, ""), null);
        using var relay = new Generation(reply, sink, TimeSpan.FromSeconds(15), Followers.None);
        await pipe.Reader.CompleteAsync();

        Assert.Equal(EndKind.ClientLeft, (await relay.RunAsync()).Kind);
        Assert.Equal(atOnce ? 0 : 1, exchange.Deadlines.Count);
    }

    [Fact]
    public async Task Call_is_cancelled_The_relay_ends()
    {
        var exchange = new ScriptedExchange("data: {}\n\n", Step.Silence);
        var relaying = Replies.RelayAsync(Replies.Of(exchange));
        await exchange.Waiting;

        exchange.Cancel();

        Assert.Equal(EndKind.ClientLeft, (await relaying).Outcome.Kind);
    }
}
