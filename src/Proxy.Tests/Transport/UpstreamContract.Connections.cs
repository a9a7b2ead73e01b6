using System.Net;
using System.Net.Sockets;
using Proxy.Buffers;
using Proxy.Transport;

namespace Proxy.Tests.Transport;

// How such a client makes its connections, keeps them and uses them again.
public abstract partial class UpstreamContract
{
    [Fact]
    public async Task Port_where_nobody_listens_Is_a_failed_connection()
    {
        using var harness = Harness();
        harness.Host.Dispose();
        using var exchange = harness.Client.Open();

        var head = await exchange.SendAsync(UpstreamHarness.Post());

        Assert.Equal(UpstreamOutcome.ConnectFailed, head.Outcome);
        Assert.Contains("refused", head.Failure, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Name_that_does_not_exist_Is_a_failed_connection()
    {
        using var harness = Harness(new($"{Scheme}://no-such-host.invalid:1"));
        using var exchange = harness.Client.Open();

        var head = await exchange.SendAsync(UpstreamHarness.Post());

        Assert.Equal(UpstreamOutcome.ConnectFailed, head.Outcome);
    }

    [Fact]
    public async Task Host_with_a_name_Is_resolved()
    {
        using var harness = Harness(set: target => target with { Address = new($"{Scheme}://localhost:{target.Address.Port}") }); // ::1 refuses where it is known
        using var exchange = harness.Client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Post());
        using var peer = await harness.Host.AcceptAsync();
        var request = await peer.ReadRequestAsync();
        await peer.SendAsync(Hello);

        var head = await sending;

        Assert.Equal(200, head.Status);
        Assert.Contains($"Host: localhost:{harness.Host.Port}\r\n", request, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Host_that_takes_no_connection_Times_out_after_connect()
    {
        using var full = new FullListener();
        using var harness = Harness(new($"{Scheme}://127.0.0.1:{full.Port}"));
        using var exchange = harness.Client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Post()).AsTask();
        await harness.SettleAsync();

        harness.Time.Advance(TimeSpan.FromSeconds(4.9));
        Assert.False(sending.IsCompleted);
        harness.Time.Advance(TimeSpan.FromSeconds(0.2));
        var head = await sending;

        Assert.Equal(UpstreamOutcome.ConnectTimedOut, head.Outcome);
    }

    [Fact]
    public async Task Deadline_before_connect_is_over_Is_a_time_out()
    {
        using var full = new FullListener();
        using var harness = Harness(new($"{Scheme}://127.0.0.1:{full.Port}"));
        using var exchange = harness.Client.Open();
        exchange.Deadline = harness.Ticker.Now + 1000;
        var sending = exchange.SendAsync(UpstreamHarness.Post());

        harness.Time.Advance(TimeSpan.FromSeconds(1.2));
        var head = await sending;

        Assert.Equal(UpstreamOutcome.TimedOut, head.Outcome);
    }

    [Fact]
    public async Task Cancelled_while_connecting_Returns_at_once()
    {
        using var full = new FullListener();
        using var harness = Harness(new($"{Scheme}://127.0.0.1:{full.Port}"));
        using var exchange = harness.Client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Post());

        exchange.Cancel();
        var head = await sending;

        Assert.Equal(UpstreamOutcome.Cancelled, head.Outcome);
    }

    [Fact]
    public async Task Idle_connection_that_the_host_closed_Is_not_used()
    {
        using var harness = Harness();
        using (var first = await harness.AnswerOnceAsync(Hello)) first.SayGoodbye();

        using var second = await harness.AnswerOnceAsync(Hello);

        Assert.False(harness.Host.HasPending);
    }

    [Fact]
    public async Task Idle_connection_that_the_host_closed_Is_closed_by_us_too()
    {
        using var harness = Harness();
        using var peer = await harness.AnswerOnceAsync(Hello);

        peer.Socket.Shutdown(SocketShutdown.Send);
        await harness.SettleAsync();
        harness.Time.Advance(TimeSpan.FromSeconds(1.1));

        await peer.WaitForGoneAsync();
    }

    [Fact]
    public async Task Host_says_more_than_its_answer_Connection_is_not_used_again()
    {
        using var harness = Harness();
        using var peer = await harness.AnswerOnceAsync(Hello + "HTTP/1.1 200 OK\r\n\r\n");

        await peer.WaitForGoneAsync();
    }

    [Fact]
    public async Task One_of_two_idle_connections_was_closed_The_other_serves()
    {
        using var harness = Harness();
        using var old = harness.Client.Open();
        var sending = old.SendAsync(UpstreamHarness.Post());
        using var last = await harness.Host.AcceptAsync();
        using var other = await harness.AnswerOnceAsync(Hello); // is idle first ...
        await last.ReadRequestAsync();
        await last.SendAsync(Hello);
        await sending;
        await old.ReadAllAsync();
        old.Dispose();
        await harness.SettleAsync();
        await harness.AnswerAsync(last, Hello);
        last.SayGoodbye(); // ... and the one that was used last goes
        await harness.SettleAsync();

        await harness.AnswerAsync(other, Hello);

        Assert.False(harness.Host.HasPending);
    }

    [Fact]
    public async Task Reused_connection_dies_before_a_byte_Request_is_repeated_once_on_a_fresh_one()
    {
        using var harness = Harness();
        using var first = await harness.AnswerOnceAsync(Hello);
        using var exchange = harness.Client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Post("{\"n\":2}"));
        await first.ReadRequestAsync();

        first.Reset();
        using var second = await harness.Host.AcceptAsync();
        var request = await second.ReadRequestAsync();
        await second.SendAsync(Hello);
        var head = await sending;

        Assert.EndsWith("{\"n\":2}", request, StringComparison.Ordinal);
        Assert.Equal(200, head.Status);
        Assert.Equal(("hello", ReplyReadKind.End), await exchange.ReadAllAsync());
    }

    [Fact]
    public async Task Fresh_connection_dies_before_a_byte_Is_broken_and_not_repeated()
    {
        using var harness = Harness();
        using var exchange = harness.Client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Post());
        using var peer = await harness.Host.AcceptAsync();
        await peer.ReadRequestAsync();

        peer.Reset();
        var head = await sending;

        Assert.Equal(UpstreamOutcome.Broken, head.Outcome);
        Assert.False(harness.Host.HasPending);
    }

    [Fact]
    public async Task Second_connection_dies_too_Is_broken()
    {
        using var harness = Harness();
        using var first = await harness.AnswerOnceAsync(Hello);
        using var exchange = harness.Client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Post());
        await first.ReadRequestAsync();

        first.Reset();
        using var second = await harness.Host.AcceptAsync();
        await second.ReadRequestAsync();
        second.Reset();
        var head = await sending;

        Assert.Equal(UpstreamOutcome.Broken, head.Outcome);
        Assert.False(harness.Host.HasPending);
    }

    [Fact]
    public async Task Reused_connection_dies_after_a_byte_Is_broken_and_not_repeated()
    {
        using var harness = Harness();
        using var first = await harness.AnswerOnceAsync(Hello);
        using var exchange = harness.Client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Post());
        await first.ReadRequestAsync();

        await first.SendAsync("H");
        first.Dispose();
        var head = await sending;

        Assert.Equal(UpstreamOutcome.Broken, head.Outcome);
        Assert.False(harness.Host.HasPending);
    }

    [Theory]
    [InlineData("", 59, true)]
    [InlineData("", 60, false)]
    [InlineData("Keep-Alive: timeout=5\r\n", 3, true)]
    [InlineData("Keep-Alive: max=100, timeout=5\r\n", 4, false)]
    [InlineData("Keep-Alive: timeout=1\r\n", 0, false)]
    [InlineData("Connection: Keep-Alive, Close\r\n", 0, false)]
    public async Task Idle_connection_Is_dropped_a_second_before_the_host_would(string header, int seconds, bool isReused)
    {
        using var harness = Harness();
        using var first = await harness.AnswerOnceAsync($"HTTP/1.1 200 OK\r\n{header}Content-Length: 5\r\n\r\nhello");

        for (var second = 0; second < seconds; second++) harness.Time.Advance(TimeSpan.FromSeconds(1));
        if (isReused)
        {
            await harness.AnswerAsync(first, Hello);
        }
        else
        {
            await first.WaitForGoneAsync();
            using var next = await harness.AnswerOnceAsync(Hello);
        }

        Assert.False(harness.Host.HasPending);
    }

    [Fact]
    public async Task Old_host_Is_asked_on_a_connection_each_unless_it_offers_to_keep_it()
    {
        using var harness = Harness();
        using var first = await harness.AnswerOnceAsync("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        await first.WaitForGoneAsync();
        using var odd = await harness.AnswerOnceAsync("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"); // which it does not know
        await odd.WaitForGoneAsync();
        using var second = await harness.AnswerOnceAsync("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello");

        await harness.AnswerAsync(second, Hello);

        Assert.False(harness.Host.HasPending);
    }

    [Fact]
    public async Task Client_is_disposed_Idle_connections_are_closed()
    {
        using var harness = Harness();
        using var peer = await harness.AnswerOnceAsync(Hello);

        harness.Client.Dispose();

        await peer.WaitForGoneAsync();
    }

    private string Scheme => kind == UpstreamKind.Tls ? "https" : "http";

    /// <summary>A listener whose queue is full: further connections are neither taken nor refused.</summary>
    private sealed class FullListener : IDisposable
    {
        private readonly Socket listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        private readonly List<Socket> queued = [];

        public FullListener()
        {
            listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
            listener.Listen(0);
            for (var i = 0; i < 3; i++)
            {
                var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { Blocking = false };
                queued.Add(socket);
                try
                {
                    socket.Connect(listener.LocalEndPoint!);
                }
                catch (SocketException)
                {
                    // Under way; it is only there to fill the queue.
                }
            }
        }

        public int Port => ((IPEndPoint)listener.LocalEndPoint!).Port;

        public void Dispose()
        {
            foreach (var socket in queued) socket.Dispose();
            listener.Dispose();
        }
    }
}
