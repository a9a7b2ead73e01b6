using System.Collections.Concurrent;
using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Proxy.Buffers;
using Proxy.Transport;
using Proxy.Transport.Loops;

namespace Proxy.Tests.Transport;

/// <summary>Replies are received into a buffer that all exchanges of a loop share; this tests the consequences.</summary>
public sealed class LoopExchangeTests : IDisposable
{
    private const string Frame = "5\r\nhello\r\n";
    private const string Other = "5\r\nOTHER\r\n";

    private readonly CoarseTicker ticker = new(TimeProvider.System);
    private readonly EventLoops loops;
    private readonly FakeHost host = new();
    private readonly UpstreamClient client;

    public LoopExchangeTests()
    {
        loops = new(1, ticker, NullLogger.Instance);
        client = UpstreamClients.Create(new(host.Address), ticker, loops);
    }

    [Fact]
    public async Task Reader_on_the_loop_Goes_on_there_without_waiting_for_bytes_that_have_come()
    {
        var (exchange, peer) = await StreamAsync();
        await peer.SendAsync(Frame);

        var (first, onLoop) = await OnLoopAsync(exchange);

        Assert.Equal(("hello", true), (first, onLoop));
        exchange.Dispose();
        peer.Dispose();

        static async Task<(string, bool)> OnLoopAsync(UpstreamExchange exchange)
        {
            var read = await exchange.ReadAsync().ConfigureAwait(false);
            return (Encoding.Latin1.GetString(read.Bytes.Span), EventLoop.Current is not null);
        }
    }

    [Fact]
    public async Task Reader_with_a_context_of_its_own_Gets_bytes_that_stay()
    {
        var (exchange, peer) = await StreamAsync();
        var (another, anotherPeer) = await StreamAsync();
        var context = new QueuedContext();
        var reading = context.RunAsync(async () => (await exchange.ReadAsync()).Bytes);
        await peer.SendAsync(Frame);
        await context.WaitForWorkAsync(); // the read has completed, and its continuation waits

        // Meanwhile the loop receives other data.
        await anotherPeer.SendAsync(Other);
        var other = await another.ReadAsync();
        Assert.Equal("OTHER", Encoding.Latin1.GetString(other.Bytes.Span));

        context.RunAll();
        Assert.Equal("hello", Encoding.Latin1.GetString((await reading).Span));
        exchange.Dispose();
        another.Dispose();
        peer.Dispose();
        anotherPeer.Dispose();
    }

    [Fact]
    public async Task Read_that_is_awaited_late_Is_received_only_then()
    {
        var (exchange, peer) = await StreamAsync();
        var (another, anotherPeer) = await StreamAsync();
        var late = exchange.ReadAsync();
        await peer.SendAsync(Frame);
        await anotherPeer.SendAsync(Other);
        await another.ReadAsync();

        Assert.False(late.IsCompleted);
        Assert.Equal("hello", await TextAsync(late));
        exchange.Dispose();
        another.Dispose();
        peer.Dispose();
        anotherPeer.Dispose();

        static async Task<string> TextAsync(ValueTask<ReplyRead> late) => Encoding.Latin1.GetString((await late.ConfigureAwait(false)).Bytes.Span);
    }

    [Fact]
    public async Task Body_that_came_with_the_head_Stays_until_it_is_read()
    {
        var exchange = client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Post());
        var peer = await host.AcceptAsync();
        await peer.ReadRequestAsync();
        await peer.SendAsync("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + Frame);
        await sending;
        var (another, anotherPeer) = await StreamAsync();
        await anotherPeer.SendAsync(Other);
        await another.ReadAsync();

        var read = await exchange.ReadAsync();

        Assert.Equal("hello", Encoding.Latin1.GetString(read.Bytes.Span));
        exchange.Dispose();
        another.Dispose();
        peer.Dispose();
        anotherPeer.Dispose();
    }

    [Fact]
    public async Task Many_streams_on_several_loops_None_sees_bytes_of_another()
    {
        using var several = new EventLoops(3, ticker, NullLogger.Instance);
        using var busy = UpstreamClients.Create(new(host.Address), ticker, several);
        using var over = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        var serving = host.EchoForEverAsync(over.Token);

        var answers = await Task.WhenAll(Enumerable.Range(0, 60).Select(async number =>
        {
            var wrong = 0;
            for (var round = 0; round < 20; round++)
            {
                var body = string.Concat(Enumerable.Repeat($"{number:00}-{round:00} ", 1 + number * round));
                using var exchange = busy.Open();
                var head = await exchange.SendAsync(UpstreamHarness.Post(body)).ConfigureAwait(false);
                if (head.Status != 200 || await exchange.ReadAllAsync().ConfigureAwait(false) != (body, ReplyReadKind.End)) wrong++;
                if (round % 3 == 0) await Task.Yield(); // sometimes continue on the pool
            }

            return wrong;
        }));
        await over.CancelAsync();
        await serving;

        Assert.All(answers, wrong => Assert.Equal(0, wrong));
    }

    public void Dispose()
    {
        client.Dispose();
        loops.Dispose();
        ticker.Dispose();
        host.Dispose();
    }

    private async Task<(UpstreamExchange Exchange, Peer Peer)> StreamAsync()
    {
        var exchange = client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Post());
        var peer = await host.AcceptAsync();
        await peer.ReadRequestAsync();
        await peer.SendAsync("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        Assert.Equal(200, (await sending).Status);
        return (exchange, peer);
    }

    /// <summary>Runs posted work only when the test says so.</summary>
    private sealed class QueuedContext : SynchronizationContext
    {
        private readonly ConcurrentQueue<(SendOrPostCallback Callback, object? State)> work = new();
        private readonly TaskCompletionSource posted = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public override void Post(SendOrPostCallback d, object? state)
        {
            work.Enqueue((d, state));
            posted.TrySetResult();
        }

        public Task WaitForWorkAsync() => posted.Task;

        public Task<T> RunAsync<T>(Func<Task<T>> action)
        {
            var before = Current;
            SetSynchronizationContext(this);
            try
            {
                return action();
            }
            finally
            {
                SetSynchronizationContext(before);
            }
        }

        public void RunAll()
        {
            while (work.TryDequeue(out var item)) item.Callback(item.State);
        }
    }
}
