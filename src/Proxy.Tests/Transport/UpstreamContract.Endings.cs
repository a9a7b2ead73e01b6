using System.Text;
using Proxy.Buffers;
using Proxy.Transport;

namespace Proxy.Tests.Transport;

// How an exchange of such a client ends before its answer does: cancelled, disposed, timed out; and that silence alone ends none.
public abstract partial class UpstreamContract
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Host_begins_to_answer_and_reads_no_more_Wait_can_be_ended(bool byDeadline)
    {
        using var harness = Harness();
        using var exchange = harness.Client.Open();
        exchange.Deadline = harness.Ticker.Now + 3000; // before the connection's own limit, in which it may still be
        var sending = exchange.SendAsync(UpstreamHarness.Post() with { Body = new(new byte[64 << 20]) }).AsTask();
        using var peer = await harness.Host.AcceptAsync();
        await peer.SendAsync("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");

        if (byDeadline) harness.Time.Advance(TimeSpan.FromSeconds(3.2));
        else exchange.Cancel();
        var head = await sending;

        Assert.Equal(byDeadline ? UpstreamOutcome.TimedOut : UpstreamOutcome.Cancelled, head.Outcome);
        await peer.WaitForGoneAsync();
    }

    [Fact]
    public async Task Cancelled_before_it_is_sent_Nothing_is_sent()
    {
        using var harness = Harness();
        using var exchange = harness.Client.Open();
        exchange.Cancel();

        var head = await exchange.SendAsync(UpstreamHarness.Post());

        Assert.Equal(UpstreamOutcome.Cancelled, head.Outcome);
        Assert.False(harness.Host.HasPending);
    }

    [Fact]
    public async Task Cancelled_while_it_uploads_Host_sees_it_at_once()
    {
        using var harness = Harness();
        using var exchange = harness.Client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Post() with { Body = new(new byte[64 << 20]) });
        using var peer = await harness.Host.AcceptAsync();

        exchange.Cancel();
        await peer.WaitForGoneAsync();
        var head = await sending;

        Assert.Equal(UpstreamOutcome.Cancelled, head.Outcome);
    }

    [Fact]
    public async Task Cancelled_before_the_head_Host_sees_it_at_once()
    {
        using var harness = Harness();
        using var exchange = harness.Client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Post());
        using var peer = await harness.Host.AcceptAsync();
        await peer.ReadRequestAsync();

        exchange.Cancel();
        await peer.WaitForGoneAsync();
        var head = await sending;

        Assert.Equal(UpstreamOutcome.Cancelled, head.Outcome);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task No_head_came_Nothing_can_be_read(bool byDeadline)
    {
        using var harness = Harness();
        using var exchange = harness.Client.Open();
        exchange.Deadline = harness.Ticker.Now + 1000;
        var sending = exchange.SendAsync(UpstreamHarness.Post()).AsTask();
        using var peer = await harness.Host.AcceptAsync();
        await peer.ReadRequestAsync();

        if (byDeadline) harness.Time.Advance(TimeSpan.FromSeconds(1.2));
        else exchange.Cancel();
        await sending;
        exchange.Cancel(); // once more, when it is over

        Assert.Equal(ReplyReadKind.Failed, (await exchange.ReadAsync()).Kind);
    }

    [Fact]
    public async Task Cancelled_while_a_read_waits_Read_and_host_see_it_at_once()
    {
        using var harness = Harness();
        var (exchange, peer) = await harness.StreamAsync();
        var reading = exchange.ReadAsync();

        exchange.Cancel();
        exchange.Cancel();
        await peer.WaitForGoneAsync();

        Assert.Equal(ReplyReadKind.Cancelled, (await reading).Kind);
        Assert.Equal(ReplyReadKind.Cancelled, (await exchange.ReadAsync()).Kind);
        exchange.Dispose();
        peer.Dispose();
    }

    [Fact]
    public async Task Cancelled_between_two_reads_Host_sees_it_and_bytes_in_hand_stay_whole()
    {
        using var harness = Harness();
        var (exchange, peer) = await harness.StreamAsync();
        await peer.SendAsync("5\r\nhello\r\n");
        var read = await exchange.ReadAsync();

        exchange.Cancel();
        var text = Encoding.Latin1.GetString(read.Bytes.Span);
        await peer.WaitForGoneAsync();

        Assert.Equal("hello", text);
        Assert.Equal(ReplyReadKind.Cancelled, (await exchange.ReadAsync()).Kind);
        exchange.Dispose();
        peer.Dispose();
    }

    [Fact]
    public async Task Cancelled_after_it_was_given_back_Connection_serves_the_next()
    {
        using var harness = Harness();
        var done = harness.Client.Open();
        var sending = done.SendAsync(UpstreamHarness.Post());
        using var peer = await harness.Host.AcceptAsync();
        await peer.ReadRequestAsync();
        await peer.SendAsync(Hello);
        await sending;
        await done.ReadAllAsync();
        done.Dispose();

        done.Cancel();
        await harness.AnswerAsync(peer, Hello);

        Assert.False(harness.Host.HasPending);
    }

    [Fact]
    public async Task Disposed_in_the_middle_Host_sees_it_at_once()
    {
        using var harness = Harness();
        var (exchange, peer) = await harness.StreamAsync();
        exchange.QuietAt = harness.Ticker.Now + 100;
        var reading = exchange.ReadAsync();
        harness.Time.Advance(TimeSpan.FromSeconds(0.2));
        await reading; // quiet, and a receive is under way

        exchange.Dispose();

        await peer.WaitForGoneAsync();
        peer.Dispose();
    }

    [Fact]
    public async Task Deadline_before_the_head_Is_a_time_out_and_closes()
    {
        using var harness = Harness();
        using var exchange = harness.Client.Open();
        exchange.Deadline = harness.Ticker.Now + 5000;
        exchange.QuietAt = harness.Ticker.Now + 1000;
        var sending = exchange.SendAsync(UpstreamHarness.Post()).AsTask();
        using var peer = await harness.Host.AcceptAsync();
        await peer.ReadRequestAsync();

        harness.Time.Advance(TimeSpan.FromSeconds(4.9));
        Assert.False(sending.IsCompleted);
        harness.Time.Advance(TimeSpan.FromSeconds(0.2));
        var head = await sending;

        Assert.Equal(UpstreamOutcome.TimedOut, head.Outcome);
        await peer.WaitForGoneAsync();
    }

    [Fact]
    public async Task Deadline_in_the_body_Is_a_time_out_and_closes()
    {
        using var harness = Harness();
        var (exchange, peer) = await harness.StreamAsync();
        exchange.Deadline = harness.Ticker.Now + 5000;
        var reading = exchange.ReadAsync();

        harness.Time.Advance(TimeSpan.FromSeconds(5.2));
        var read = await reading;

        Assert.Equal(ReplyReadKind.TimedOut, read.Kind);
        Assert.NotNull(exchange.Failure);
        await peer.WaitForGoneAsync();
        exchange.Dispose();
        peer.Dispose();
    }

    [Fact]
    public async Task Reader_that_is_slow_itself_Is_not_timed_out()
    {
        using var harness = Harness();
        var (exchange, peer) = await harness.StreamAsync();
        exchange.Deadline = harness.Ticker.Now + 1000;
        harness.Time.Advance(TimeSpan.FromSeconds(5)); // nobody waits

        exchange.Deadline = harness.Ticker.Now + 1000;
        await peer.SendAsync("5\r\nhello\r\n0\r\n\r\n");

        Assert.Equal(("hello", ReplyReadKind.End), await exchange.ReadAllAsync());
        exchange.Dispose();
        peer.Dispose();
    }

    [Fact]
    public async Task Silence_Is_quiet_again_and_again_and_the_reply_goes_on()
    {
        using var harness = Harness();
        var (exchange, peer) = await harness.StreamAsync();
        for (var round = 0; round < 3; round++)
        {
            exchange.QuietAt = harness.Ticker.Now + 1000;
            var waiting = exchange.ReadAsync();
            harness.Time.Advance(TimeSpan.FromSeconds(1.1));
            Assert.Equal(ReplyReadKind.Quiet, (await waiting).Kind);
        }

        exchange.QuietAt = ReplyBody.Never;
        var reading = exchange.ReadAllAsync();
        await peer.SendAsync("5\r\nhello\r\n0\r\n\r\n");

        Assert.Equal(("hello", ReplyReadKind.End), await reading);
        exchange.Dispose();
        peer.Dispose();
    }

    [Fact]
    public async Task Many_exchanges_cancelled_at_any_moment_None_hangs()
    {
        using var harness = Harness();
        using var over = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        var host = harness.Host.ServeAsync("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nhello\r\n0\r\n\r\n", over.Token);
        var outcomes = await Task.WhenAll(Enumerable.Range(0, 200).Select(async number =>
        {
            using var exchange = harness.Client.Open();
            var cancelling = Task.Run(
                () =>
                {
                    for (var spin = 0; spin < number * 50; spin++) Thread.SpinWait(20);
                    exchange.Cancel();
                },
                TestContext.Current.CancellationToken);
            var head = await exchange.SendAsync(UpstreamHarness.Post());
            var last = ReplyReadKind.Cancelled;
            if (head.Outcome == UpstreamOutcome.Answered) (_, last) = await exchange.ReadAllAsync();
            await cancelling;
            return (head.Outcome, last);
        }));
        await over.CancelAsync();
        await host;

        Assert.All(outcomes, outcome => Assert.True(outcome is (UpstreamOutcome.Cancelled, _) or (UpstreamOutcome.Answered, ReplyReadKind.Cancelled or ReplyReadKind.End), outcome.ToString()));
    }
}
