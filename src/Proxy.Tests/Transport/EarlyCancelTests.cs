using System.Reflection;
using Microsoft.Extensions.Logging.Abstractions;
using Proxy.Buffers;
using Proxy.Tests.Harness;
using Proxy.Transport;
using Proxy.Transport.Loops;

namespace Proxy.Tests.Transport;

/// <summary>A cancellation that comes while a call is on its way to its loop.</summary>
public sealed class EarlyCancelTests : IDisposable
{
    private readonly CoarseTicker ticker = new(TimeProvider.System);
    private readonly EventLoops loops;
    private readonly FakeHost host = new();
    private readonly UpstreamClient client;

    public EarlyCancelTests()
    {
        loops = new(1, ticker, NullLogger.Instance);
        client = UpstreamClients.Create(new(host.Address), ticker, loops);
    }

    public void Dispose()
    {
        client.Dispose();
        loops.Dispose();
        ticker.Dispose();
        host.Dispose();
    }

    /// <summary>SendAsync has set the loop and not yet posted its continuation; meanwhile the loop runs the cancellation.</summary>
    [Fact]
    public async Task Cancelled_between_the_choice_of_the_loop_and_the_way_to_it_The_cancellation_is_not_lost()
    {
        var exchange = client.Open();
        exchange.Deadline = ReplyBody.Never;
        typeof(LoopExchange).GetField("loop", BindingFlags.NonPublic | BindingFlags.Instance)!.SetValue(exchange, loops.All[0]);
        exchange.Cancel();
        await loops.All[0].EnterAsync();
        await LeaveLoopAsync();

        var sending = exchange.SendAsync(UpstreamHarness.Post()).AsTask();
        Assert.Equal(UpstreamOutcome.Cancelled, (await Patience.For(sending, "the request ends")).Outcome);
        exchange.Dispose();
    }

    private static async Task LeaveLoopAsync() => await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
}
