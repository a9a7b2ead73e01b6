using System.IO.Pipelines;
using System.Text;
using Microsoft.Extensions.Time.Testing;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects.Anthropic;
using Proxy.Dialects.Events;
using Proxy.Dialects.OllamaChat;
using Proxy.Dialects.OpenAiResponses;
using Proxy.Streams;
using Proxy.Tests.Backends;

namespace Proxy.Tests.Streams;

/// <summary>The taps and gates of a generation, and what happens when its client is slow or leaves.</summary>
public sealed class GenerationTests
{
    private const string Token = """data: {"id":"1","model":"served","choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]}""" + "\n\n";
    private const string Stop = """data: {"id":"1","model":"served","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}""" + "\n\n";
    private const string Done = "data: [DONE]\n\n";

    public static TheoryData<string, string?> Dialects() => new()
    {
        { "openai", null }, { "openai", "asked" }, { "ollama", null }, { "ollama", "asked" }, { "anthropic", null }, { "responses", "asked" }
    };

    private static (BackendDialect Dialect, string Before, string End) Stream(string dialect) => dialect switch
    {
        "openai" => (Replies.OpenAi, Token + Stop, Done),
        "ollama" => (Replies.Ollama,
            """{"model":"served","message":{"content":"a"},"done":false}""" + "\n",
            """{"model":"served","done":true,"done_reason":"stop","prompt_eval_count":3,"eval_count":4}""" + "\n"),
        "anthropic" => (new AnthropicBackendDialect(),
            "event: content_block_delta\n" + """data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}""" + "\n\n",
            "event: message_stop\n" + """data: {"type":"message_stop"}""" + "\n\n"),
        _ => (new OpenAiResponsesBackendDialect(),
            "event: response.output_text.delta\n" + """data: {"type":"response.output_text.delta","item_id":"i","delta":"a"}""" + "\n\n",
            "event: response.completed\n"
            + """data: {"type":"response.completed","response":{"id":"r","model":"served","status":"completed","output":[]}}""" + "\n\n"),
    };

    private static string Renamed(string text, string? name) => name is null ? text : text.Replace("served", name, StringComparison.Ordinal);

    [Theory]
    [MemberData(nameof(Dialects))]
    public async Task Gate_is_closed_The_client_has_everything_but_the_end(string dialect, string? rename)
    {
        var (spoken, before, end) = Stream(dialect);
        var bytes = Encoding.UTF8.GetBytes(before + end);
        for (var cut = 0; cut <= bytes.Length; cut += 7)
        {
            var gate = new Gate();
            var pipe = new Pipe();
            var reply = Replies.Of(new(bytes[..cut], bytes[cut..], Step.End), dialect: spoken);
            var sink = new VerbatimSink(reply, new Replies.Client(pipe.Writer, ""), rename is null ? null : new FrameEdits(rename), holdsEnd: true);
            using var generation = new Generation(reply, sink, TimeSpan.FromSeconds(15), new([], [gate]));

            var running = generation.RunAsync().AsTask();
            await gate.Asked;
            await pipe.Writer.FlushAsync();
            Assert.Equal(Renamed(before, rename), Taken(pipe));
            Assert.False(running.IsCompleted);
            gate.Open(null);

            Assert.Equal(EndKind.Whole, (await running).Kind);
            await pipe.Writer.FlushAsync();
            Assert.Equal(Renamed(end, rename), Taken(pipe));
        }
    }

    [Fact]
    public async Task Host_leaves_its_end_marker_out_Gate_holds_back_the_one_that_is_added()
    {
        var gate = new Gate();
        var running = Replies.RelayAsync(Replies.Of(new(Token + Stop, Step.End)), followers: new([], [gate]));
        await gate.Asked;
        gate.Open(null);

        Assert.Equal(Token + Stop + Done, (await running).Sent);
    }

    [Fact]
    public async Task Gate_refuses_The_end_is_not_sent_and_the_error_is_the_generations()
    {
        var gate = new Gate();
        gate.Open(new ProxyError(ProxyErrorKind.Internal, "the record is full"));

        var (sent, outcome) = await Replies.RelayAsync(Replies.Of(new(Token + Stop + Done, Step.End)), followers: new([], [gate]));

        Assert.Equal((Token + Stop, EndKind.BrokeOff, "the record is full"), (sent, outcome.Kind, outcome.Error!.Message));
    }

    [Fact]
    public async Task Host_broke_off_No_gate_is_asked()
    {
        var gate = new Gate();

        var (_, outcome) = await Replies.RelayAsync(Replies.Of(new(Token, Step.Failed)), followers: new([], [gate]));

        Assert.Equal(EndKind.BrokeOff, outcome.Kind);
        Assert.False(gate.Asked.IsCompleted);
    }

    [Fact]
    public async Task Every_cut_A_tap_sees_each_frame_once_and_in_order()
    {
        const string Stream = ": hello\n\n" + Token + "data: {\"a\":\ndata: 1}\n\n" + Stop + Done;
        string[] frames = [": hello\n\n", Token, "data: {\"a\":\ndata: 1}\n\n", Stop, Done];
        var bytes = Encoding.UTF8.GetBytes(Stream);
        for (var cut = 0; cut <= bytes.Length; cut++)
        {
            foreach (var held in (int[])[0, cut])
            {
                var tap = new Tap();
                var looked = new FrameBatch(StreamFraming.ServerSentEvents);
                while (looked.TryLook(bytes.AsSpan(0, held), out _)) continue;
                var exchange = held == 0 ? new ScriptedExchange(bytes[..cut], bytes[cut..], Step.End) : new ScriptedExchange(bytes[cut..], Step.End);

                await Replies.RelayAsync(Replies.Of(exchange, held: Encoding.UTF8.GetString(bytes.AsSpan(0, held)), frames: looked), followers: new([tap], []));

                Assert.Equal(frames, tap.Frames);
                Assert.Equal("{\"a\":\n1}", tap.Payloads[2]);
            }
        }
    }

    [Fact]
    public async Task Client_leaves_The_pump_ends_and_its_gates_are_told()
    {
        var (tap, gate) = (new Tap(), new Gate());
        var pipe = new Pipe();
        await pipe.Reader.CompleteAsync();
        var reply = Replies.Of(new ScriptedExchange(Token, Step.Quiet, Token, Stop, Done, Step.End));
        using var generation = new Generation(reply, new VerbatimSink(reply, new Replies.Client(pipe.Writer, ": k\n\n"), null), TimeSpan.FromSeconds(15),
            new([tap], [gate]));

        Assert.Equal(EndKind.ClientLeft, (await generation.RunAsync()).Kind);

        Assert.Same(reply, tap.Begun);
        Assert.Equal([Token], tap.Frames);
        Assert.False(gate.Asked.IsCompleted);
        Assert.Equal([EndKind.ClientLeft], gate.Ends);
    }

    [Fact]
    public async Task Stream_ends_within_its_last_line_The_tap_sees_that_frame_too()
    {
        var (tap, gate) = (new Tap(), new Gate());
        gate.Open(null);
        var last = Stop.TrimEnd('\n');

        var (_, end) = await Replies.RelayAsync(Replies.Of(new(Token, last, Step.End)), followers: new([tap], [gate]));

        Assert.Equal(EndKind.Whole, end.Kind);
        Assert.Equal([Token, last], tap.Frames);
        Assert.Equal([EndKind.Whole], gate.Ends);
    }

    [Fact]
    public async Task Client_takes_nothing_A_follower_is_not_held_up_until_a_mebibyte_waits()
    {
        var pipe = new Pipe(new PipeOptions(pauseWriterThreshold: 1, resumeWriterThreshold: 1, useSynchronizationContext: false));
        var holding = new HoldingWriter(pipe.Writer);
        var large = "data: {\"x\":\"" + new string('x', 100_000) + "\"}\n\n";
        var tap = new Tap();
        var exchange = new ScriptedExchange([.. Enumerable.Repeat<Step>(large, 30), Done, Step.End]);
        var reply = Replies.Of(exchange);
        using var generation = new Generation(reply, new VerbatimSink(reply, new Replies.Client(holding, ""), null), TimeSpan.FromSeconds(15), new([tap], []));

        var running = generation.RunAsync().AsTask();
        Assert.InRange(tap.Frames.Count, 11, 13); // one frame at the client, ten in the buffer, and the one that exceeds it
        Assert.False(running.IsCompleted);

        var taken = new MemoryStream();
        var reading = pipe.Reader.CopyToAsync(taken);
        Assert.Equal(EndKind.Whole, (await running.WaitAsync(TimeSpan.FromSeconds(30))).Kind);
        await holding.DrainAsync();
        await pipe.Writer.CompleteAsync();
        await reading;
        Assert.Equal(string.Concat(Enumerable.Repeat(large, 30)) + Done, Encoding.UTF8.GetString(taken.ToArray()));
    }

    [Fact]
    public async Task Slow_client_leaves_The_writer_says_so()
    {
        var pipe = new Pipe(new PipeOptions(pauseWriterThreshold: 1, resumeWriterThreshold: 1, useSynchronizationContext: false));
        var holding = new HoldingWriter(pipe.Writer);
        Assert.False((await holding.WriteAsync("a"u8.ToArray())).IsCompleted);
        Assert.False((await holding.WriteAsync("b"u8.ToArray())).IsCompleted);

        await pipe.Reader.CompleteAsync();
        await holding.DrainAsync();

        Assert.True((await holding.WriteAsync("c"u8.ToArray())).IsCompleted);
    }

    [Fact]
    public async Task Route_without_a_host_Its_events_are_read_like_a_reply()
    {
        var time = new FakeTimeProvider();
        var go = new TaskCompletionSource();
        using var body = new EventBody(Events(), new EventSchemaWriter(), time, CancellationToken.None);

        var read = await body.ReadAsync();
        Assert.Equal(ReplyReadKind.Data, read.Kind);
        Assert.Equal("{\"type\":\"role\",\"role\":\"assistant\"}\n{\"type\":\"token\",\"text\":\"a\"}\n", Encoding.UTF8.GetString(read.Bytes.Span));

        body.QuietAt = body.Now + 1000;
        var waiting = body.ReadAsync().AsTask();
        time.Advance(TimeSpan.FromSeconds(2));
        Assert.Equal(ReplyReadKind.Quiet, (await waiting).Kind);
        body.QuietAt = ReplyBody.Never;
        body.Deadline = body.Now + 1000;
        waiting = body.ReadAsync().AsTask();
        time.Advance(TimeSpan.FromSeconds(2));
        Assert.Equal(ReplyReadKind.TimedOut, (await waiting).Kind);
        body.Deadline = ReplyBody.Never;
        go.SetResult();
        Assert.Equal(ReplyReadKind.Data, (await body.ReadAsync()).Kind);
        Assert.Equal(ReplyReadKind.End, (await body.ReadAsync()).Kind);

        async IAsyncEnumerable<ChatEvent> Events()
        {
            yield return new ChatEvent.RoleGiven(ChatRole.Assistant);
            yield return new ChatEvent.Token("a");
            await go.Task;
            yield return new ChatEvent.Finished(FinishReason.Stop);
        }
    }

    [Fact]
    public async Task Route_without_a_host_is_cancelled_The_read_ends_and_the_events_are_given_back()
    {
        var go = new TaskCompletionSource();
        var over = new TaskCompletionSource();
        var body = new EventBody(Events(), new EventSchemaWriter(), TimeProvider.System, CancellationToken.None);
        var waiting = body.ReadAsync().AsTask();

        body.Cancel();

        Assert.Equal(ReplyReadKind.Cancelled, (await waiting).Kind);
        body.Dispose();
        go.SetResult();
        await over.Task.WaitAsync(TimeSpan.FromSeconds(30));

        async IAsyncEnumerable<ChatEvent> Events()
        {
            try
            {
                await go.Task;
                yield return new ChatEvent.Token("a");
            }
            finally
            {
                over.SetResult();
            }
        }
    }

    private static string Taken(Pipe pipe)
    {
        if (!pipe.Reader.TryRead(out var read)) return "";
        var text = Encoding.UTF8.GetString(read.Buffer);
        pipe.Reader.AdvanceTo(read.Buffer.End);
        return text;
    }

    private sealed class Tap : IFrameTap
    {
        public BackendReply? Begun { get; private set; }
        public List<string> Frames { get; } = [];
        public List<string> Payloads { get; } = [];

        public void Begin(BackendReply reply) => Begun = reply;

        public void See(long number, ReadOnlySpan<byte> frame, ReadOnlySpan<byte> payload)
        {
            Assert.Equal(Frames.Count + 1, number);
            Frames.Add(Encoding.UTF8.GetString(frame));
            Payloads.Add(Encoding.UTF8.GetString(payload));
        }
    }

    private sealed class Gate : IEndGate
    {
        private readonly TaskCompletionSource asked = new();
        private readonly TaskCompletionSource<ProxyError?> open = new();

        public Task Asked => asked.Task;

        public List<EndKind> Ends { get; } = [];

        public void Ended(GenerationEnd end) => Ends.Add(end.Kind);

        public void Open(ProxyError? error) => open.SetResult(error);

        public async ValueTask<ProxyError?> BeforeEndAsync(GenerationEnd end, CancellationToken cancellation)
        {
            asked.SetResult();
            return await open.Task.WaitAsync(cancellation);
        }
    }
}
