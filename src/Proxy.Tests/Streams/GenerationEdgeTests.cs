using System.IO.Pipelines;
using System.Text;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Streams;
using Proxy.Tests.Backends;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Streams;

/// <summary>Ends of generations that come at a bad moment, and first bytes that were looked at before.</summary>
public sealed class GenerationEdgeTests
{
    private const string Token = """data: {"id":"1","model":"served","choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]}""" + "\n\n";
    private const string Stop = """data: {"id":"1","model":"served","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}""" + "\n\n";
    private const string Done = "data: [DONE]\n\n";

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Error_is_the_unterminated_last_frame_Client_gets_it_with_a_gate_as_without(bool gated)
    {
        const string Error = """data: {"error":{"message":"boom","type":"server_error"}}""";
        var (sent, end) = await Replies.RelayAsync(Replies.Of(new(Token, Error, Step.End)), followers: gated ? new([], [new Open()]) : null);

        Assert.Equal((EndKind.HostSaidError, Token + Error), (end.Kind, sent));
    }

    [Fact]
    public async Task Translated_cancelled_after_the_finish_in_the_middle_of_a_frame_It_is_whole()
    {
        var exchange = new ScriptedExchange(Token, Stop, """data: {"id":"1","model":"served","choi""", Step.Silence);
        var reading = Replies.ReadAsync(Replies.Of(exchange));
        await exchange.Waiting;
        exchange.Cancel();
        var events = await reading;

        Assert.DoesNotContain(events, static e => e is ChatEvent.Finished { Error: not null });
    }

    [Theory]
    [InlineData("\r\n")]
    [InlineData("\n")]
    public async Task Held_bytes_with_looks_every_cut_equal_the_stream(string line)
    {
        const string Text = ": c\n\nevent: x\ndata: {\"a\":\ndata: 1}\n\n" + Token + "event: error\ndata: {\"message\":\"hidden\"}\n\n";
        var text = Text.Replace("\n", line, StringComparison.Ordinal);
        var bytes = Encoding.UTF8.GetBytes(text);
        var (expected, outcome) = await Replies.RelayAsync(Replies.Of(new(bytes, Step.End)));
        for (var one = 0; one <= bytes.Length; one++)
        {
            for (var two = one; two <= bytes.Length; two += 5)
            {
                var looked = new FrameBatch(StreamFraming.ServerSentEvents);
                while (looked.TryLook(bytes.AsSpan(0, one), out _)) continue;
                while (looked.TryLook(bytes.AsSpan(0, two), out _)) continue;
                var held = Encoding.UTF8.GetString(bytes.AsSpan(0, two));
                var (sent, end) = await Replies.RelayAsync(Replies.Of(new(bytes[two..], Step.End), held, frames: looked));
                Assert.Equal((one, two, expected, outcome.Kind), (one, two, sent, end.Kind));
            }
        }
    }

    [Fact]
    public async Task Held_with_partial_looks_then_rest_equal()
    {
        var text = Token + Token + "data: {\"a\":\ndata: 1}\n\n" + Stop + Done;
        var bytes = Encoding.UTF8.GetBytes(text);
        for (var looks = 0; looks < 6; looks++)
        {
            for (var held = 0; held <= bytes.Length; held++)
            {
                var looked = new FrameBatch(StreamFraming.ServerSentEvents);
                for (var i = 0; i < looks && looked.TryLook(bytes.AsSpan(0, held), out _); i++) continue;
                var first = Encoding.UTF8.GetString(bytes.AsSpan(0, held));
                var (sent, end) = await Replies.RelayAsync(Replies.Of(new(bytes[held..], Step.End), first, frames: looked));
                Assert.Equal((looks, held, text, EndKind.Whole), (looks, held, sent, end.Kind));
            }
        }
    }

    [Fact]
    public async Task Drain_while_a_gate_waits_The_generation_ends()
    {
        using var lifetime = new CallLifetime();
        var gate = new Closed();
        var pipe = new Pipe();
        var reply = Replies.Of(new(Token, Stop, Done, Step.End));
        var sink = new VerbatimSink(reply, new Replies.Client(pipe.Writer, ""), null, holdsEnd: true);
        using var generation = new Generation(reply, sink, TimeSpan.FromSeconds(15), new([], [gate]), lifetime);
        var running = generation.RunAsync().AsTask();
        await gate.Asked.Task;
        lifetime.End();
        Assert.Equal(EndKind.ClientLeft, (await Patience.For(running, "the generation ends")).Kind);
    }

    private sealed class Open : IEndGate
    {
        public ValueTask<ProxyError?> BeforeEndAsync(GenerationEnd end, CancellationToken cancellation) => default;

        public void Ended(GenerationEnd end) { }
    }

    private sealed class Closed : IEndGate
    {
        public TaskCompletionSource Asked { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public async ValueTask<ProxyError?> BeforeEndAsync(GenerationEnd end, CancellationToken cancellation)
        {
            Asked.SetResult();
            await new TaskCompletionSource().Task.WaitAsync(cancellation);
            return null;
        }

        public void Ended(GenerationEnd end) { }
    }
}
