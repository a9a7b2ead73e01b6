using Proxy.Transport;

namespace Proxy.Tests.Transport;

/// <summary>Counts the allocations of the whole process, so no other test may run at the same time.</summary>
[Collection(nameof(UpstreamAllocationTests))]
[CollectionDefinition(nameof(UpstreamAllocationTests), DisableParallelization = true)]
public sealed class UpstreamAllocationTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Stream_of_2000_frames_Allocates_next_to_nothing_per_read(bool onLoops)
    {
        using var harness = new UpstreamHarness(onLoops ? UpstreamKind.Loops : UpstreamKind.Sockets);
        var (exchange, peer) = await harness.StreamAsync();
        var frame = "c\r\ndata: {\"a\"}\n\r\n"u8.ToArray();
        using var wanted = new SemaphoreSlim(0);
        var sender = new Thread(() =>
        {
            while (true)
            {
                wanted.Wait();
                if (peer.Socket.Send(frame) < frame.Length) throw new IOException("the socket took half a frame");
            }
        }) { IsBackground = true };
        sender.Start();
        await ReadAsync(exchange, wanted, 200); // warm up
        var before = GC.GetTotalAllocatedBytes(precise: true);

        await ReadAsync(exchange, wanted, 2000);

        Assert.InRange((GC.GetTotalAllocatedBytes(precise: true) - before) / 2000.0, 0, 16);
        exchange.Dispose();
        peer.Dispose();
    }

    // Runs outside of the test's synchronization context, whose posts allocate.
    private static async Task ReadAsync(UpstreamExchange exchange, SemaphoreSlim wanted, int frames)
    {
        for (var i = 0; i < frames; i++)
        {
            var reading = exchange.ReadAsync().ConfigureAwait(false);
            wanted.Release();
            if ((await reading).Bytes.Length != 12) throw new InvalidOperationException("a read is not one frame");
        }
    }
}
