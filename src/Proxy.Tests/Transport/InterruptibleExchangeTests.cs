using System.Runtime.CompilerServices;
using Microsoft.Extensions.Time.Testing;
using Proxy.Buffers;
using Proxy.Transport;

namespace Proxy.Tests.Transport;

public sealed class InterruptibleExchangeTests : IDisposable
{
    private readonly CoarseTicker ticker = new(new FakeTimeProvider());

    [Fact]
    public void Read_that_waits_Allocates_nothing()
    {
        using var exchange = new Scripted(ticker);
        var reads = 0;
        Action resumed = () => reads++;
        Rounds(10); // warm up
        var before = GC.GetAllocatedBytesForCurrentThread();

        Rounds(1000);

        Assert.Equal((0, 1010), (GC.GetAllocatedBytesForCurrentThread() - before, reads));

        void Rounds(int count)
        {
            for (var round = 0; round < count; round++)
            {
#pragma warning disable CA2012 // Consumed once, and by hand: an await would allocate.
                var waiting = exchange.ReadAsync().ConfigureAwait(false).GetAwaiter();
#pragma warning restore CA2012
                if (waiting.IsCompleted) throw new InvalidOperationException("the read did not wait");
                waiting.UnsafeOnCompleted(resumed);
                exchange.Arrive();
                if (waiting.GetResult().Kind != ReplyReadKind.Data) throw new InvalidOperationException("the read brought no data");
            }
        }
    }

    [Fact]
    public async Task Reader_that_never_has_to_wait_Gives_others_a_turn()
    {
        using var exchange = new Scripted(ticker) { AtOnce = true };
        var turns = 0;
        for (var read = 0; read < 320; read++)
        {
            var reading = exchange.ReadAsync();
            if (!reading.IsCompleted) turns++;
            Assert.Equal(ReplyReadKind.Data, (await reading).Kind);
        }

        // An exchange that resumes fast enough is finished before it is checked.
        Assert.InRange(turns, 1, 10);
    }

    [Fact]
    public async Task Bytes_clock_and_cancel_at_once_Complete_a_read_once()
    {
        for (var round = 0; round < 500; round++)
        {
            using var exchange = new Scripted(ticker) { QuietAt = round % 2 == 0 ? 0 : ReplyBody.Never };
            exchange.BeginReading();
            var reading = exchange.ReadAsync();
            using var start = new Barrier(3);
            var others = new[] { exchange.Arrive, () => ((ITicked)exchange).Tick(1), exchange.Cancel }
                .Select(action => Task.Factory.StartNew(
                    () =>
                    {
                        start.SignalAndWait();
                        action();
                    },
                    TestContext.Current.CancellationToken,
                    TaskCreationOptions.LongRunning,
                    TaskScheduler.Default))
                .ToArray();

            var first = await reading; // a second completion would throw where it happens
            await Task.WhenAll(others);
            var last = await exchange.ReadAsync();

            Assert.Contains(first.Kind, new[] { ReplyReadKind.Data, ReplyReadKind.Quiet, ReplyReadKind.Cancelled });
            Assert.Equal(ReplyReadKind.Cancelled, last.Kind);
            Assert.Equal(1, exchange.Breaks);
        }
    }

    [Fact]
    public async Task Left_with_a_receive_under_way_Its_memory_is_given_up_when_it_ends()
    {
        var exchange = new Scripted(ticker) { QuietAt = 0 };
        exchange.BeginReading();
        var reading = exchange.ReadAsync();
        ((ITicked)exchange).Tick(1);
        Assert.Equal(ReplyReadKind.Quiet, (await reading).Kind);

        exchange.Dispose();
        var before = exchange.Releases;
        exchange.Arrive();

        Assert.Equal((0, 1), (before, exchange.Releases));
    }

    [Fact]
    public async Task Bytes_that_came_while_nobody_read_Are_there_for_the_next_read()
    {
        using var exchange = new Scripted(ticker) { QuietAt = 0 };
        exchange.BeginReading();
        var reading = exchange.ReadAsync();
        ((ITicked)exchange).Tick(1);
        await reading;

        exchange.Arrive();
        var next = exchange.ReadAsync();

        Assert.True(next.IsCompleted);
        Assert.Equal(ReplyReadKind.Data, (await next).Kind);
    }

    [Fact]
    public void Tick_that_comes_too_early_Leaves_the_read_waiting()
    {
        using var exchange = new Scripted(ticker) { Deadline = 10, QuietAt = 10 };
        exchange.BeginReading();
        var reading = exchange.ReadAsync().AsTask();

        ((ITicked)exchange).Tick(9);

        Assert.False(reading.IsCompleted);
        Assert.Equal(0, exchange.Breaks);
    }

    public void Dispose() => ticker.Dispose();

    private sealed class Scripted(CoarseTicker ticker) : InterruptibleExchange(ticker)
    {
        private bool unread;
        private int breaks;

        public bool AtOnce { get; init; }
        public int Breaks => breaks;
        public int Releases { get; private set; }

        public void BeginReading() => Reading = true;

        [MethodImpl(MethodImplOptions.NoInlining)]
        public void Arrive() => Received();

        public override ValueTask<UpstreamHead> SendAsync(UpstreamRequest request) => throw new NotSupportedException();

        public override ValueTask<ReplyRead> ReadAsync() => NextAsync();

        public override void Dispose()
        {
            if (TryLeave()) ReleaseReceive();
        }

        protected override bool BeginReceive() => !AtOnce;

        protected override void EndReceive() => unread = true;

        protected override bool TryProduce(out ReplyRead read)
        {
            read = new(ReplyReadKind.Data);
            return Interlocked.Exchange(ref unread, false);
        }

        protected override void ReleaseReceive() => Releases++;

        protected override void Break() => Interlocked.Increment(ref breaks);
    }
}
