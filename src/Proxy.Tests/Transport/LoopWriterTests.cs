using System.Globalization;
using System.IO.Pipelines;
using System.Net.Sockets;
using System.Text;
using CsCheck;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Proxy.Tests.Harness;
using Proxy.Transport;
using Proxy.Transport.Loops;

namespace Proxy.Tests.Transport;

/// <summary>A loop's writer over a socket that takes little at a time: every byte arrives once, in order.</summary>
public sealed class LoopWriterTests : IDisposable
{
    private enum Act
    {
        Put,
        PutChunk,
        Flush,
        Write,
        WriteChunk,
        WriteLast,
    }

    /// <param name="OnLoop">The writer stands on the loop's own thread.</param>
    /// <param name="Interrupts">The flush is cancelled, so that the next step writes while bytes of this one wait.</param>
    /// <param name="Taken">As much as the other side takes at once while the flush waits.</param>
    private sealed record Step(Act Act, int Size, bool OnLoop, bool Interrupts, int Taken);

    private static readonly Gen<int> Size = Gen.Frequency((3, Gen.Int[1, 60]), (2, Gen.Int[4000, 4200]), (1, Gen.Int[16_000, 17_000]), (2, Gen.Int[1, 40_000]));

    private static readonly Gen<Step> Steps = Gen.Select(Gen.Enum<Act>(), Size, Gen.Bool, Gen.Int[0, 3], Gen.OneOf(Gen.Int[1, 50], Gen.Int[500, 9000]), (act, size, onLoop, interrupts, taken) => new Step(act, size, onLoop, interrupts == 0, taken));

    private readonly CoarseTicker ticker = new(new FakeTimeProvider());
    private readonly EventLoops loops;
    private readonly Socket listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    private readonly string path = Path.Combine(Path.GetTempPath(), $"writer-{Guid.NewGuid():n}.sock");
    private TimeSpan patience = Patience.Long;
    private int waits;

    public LoopWriterTests()
    {
        loops = new(1, ticker, NullLogger.Instance);
        listener.Bind(new UnixDomainSocketEndPoint(path));
        listener.Listen();
    }

    public void Dispose()
    {
        listener.Dispose();
        loops.Dispose();
        ticker.Dispose();
        File.Delete(path);
    }

    [Fact]
    public async Task Every_byte_Arrives_once_and_in_order_whatever_the_socket_takes_at_a_time()
    {
        await Steps.Array[1, 8].HoldsAsync(300, steps => string.Join("; ", steps.Select(step => $"{step.Act} {step.Size}{(step.OnLoop ? " on the loop" : "")}{(step.Interrupts ? ", interrupted" : "")}, {step.Taken} taken at a time")), RunAsync);

        Assert.True(waits > 10, "no write had to wait");
    }

    private async Task RunAsync(Step[] steps)
    {
        using var far = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await far.ConnectAsync(new UnixDomainSocketEndPoint(path)).ConfigureAwait(false);
        var near = await listener.AcceptAsync().ConfigureAwait(false);
        near.SendBufferSize = 1; // the kernel's least
        var until = Environment.TickCount64 + (long)patience.TotalMilliseconds;
        var connection = new LoopConnection(loops.All[0], (int)near.SafeHandle.DangerousGetHandle(), null, null, _ => { });
        near.SafeHandle.SetHandleAsInvalid(); // the connection closes the descriptor
        connection.Start();
        try
        {
            var sent = new List<byte>();
            var come = new List<byte>();
            foreach (var step in steps.Append(new Step(Act.Flush, 0, false, false, 9000)))
            {
                await MoveAsync(step.OnLoop).ConfigureAwait(false);
                var flush = Do(step, connection.Writer, sent);
                if (step.Interrupts) connection.Writer.CancelPendingFlush();
                await MoveAsync(onLoop: false).ConfigureAwait(false);
                if (!flush.IsCompleted) waits++;
                while (!flush.IsCompleted) Assert.True(await TakeAsync(far, come, step.Taken, until).ConfigureAwait(false));
                Assert.False((await flush.ConfigureAwait(false)).IsCompleted, "the connection broke");
            }

            var closing = connection.DisposeAsync().AsTask();
            while (await TakeAsync(far, come, 9000, until).ConfigureAwait(false))
            {
                // What was still on its way.
            }

            await closing.ConfigureAwait(false);
            var same = sent.Zip(come).TakeWhile(pair => pair.First == pair.Second).Count();
            Assert.True(same == sent.Count && same == come.Count, $"{come.Count} bytes came of {sent.Count}, of which the first {same} are right");
        }
        finally
        {
            far.Dispose();
            await connection.DisposeAsync().ConfigureAwait(false);
        }
    }

    private async Task MoveAsync(bool onLoop)
    {
        if (onLoop) await loops.All[0].EnterAsync();
        else await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
    }

    /// <summary>False when the other side has closed.</summary>
    private async Task<bool> TakeAsync(Socket far, List<byte> come, int most, long until)
    {
        if (!far.Poll(TimeSpan.FromMilliseconds(1), SelectMode.SelectRead))
        {
            if (Environment.TickCount64 > until)
            {
                patience = TimeSpan.FromSeconds(1); // smaller cases of the same fault are looked for
                Assert.Fail($"no more bytes came after {come.Count}");
            }

            await Task.Yield();
            return true;
        }

        var buffer = new byte[most];
        var count = far.Receive(buffer);
        come.AddRange(buffer.AsSpan(0, count));
        return count > 0;
    }

    private static ValueTask<FlushResult> Do(Step step, LoopWriter writer, List<byte> sent)
    {
        var bytes = new byte[step.Size];
        for (var i = 0; i < bytes.Length; i++) bytes[i] = (byte)((sent.Count + i) * 2654435761L >> 13); // tells where it stands
        if (step.Act is Act.PutChunk or Act.WriteChunk) sent.AddRange(Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{step.Size:x}\r\n")));
        if (step.Act is not Act.Flush) sent.AddRange(bytes);
        if (step.Act is Act.PutChunk or Act.WriteChunk) sent.AddRange("\r\n"u8);
        switch (step.Act)
        {
            case Act.Put:
                bytes.CopyTo(writer.GetSpan(bytes.Length));
                writer.Advance(bytes.Length);
                return default;
            case Act.PutChunk:
                writer.PutChunk(bytes);
                return default;
            case Act.Write:
                return writer.WriteAsync(bytes);
            case Act.WriteChunk:
                return writer.WriteChunkAsync(bytes);
            case Act.WriteLast:
                return writer.WriteLastAsync(bytes);
            default:
                return writer.FlushAsync();
        }
    }
}
