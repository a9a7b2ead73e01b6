using System.Threading.Channels;
using Microsoft.Extensions.Logging;
using NATS.Client.Core;

namespace Proxy.Nats;

/// <summary>A message that waits to be sent.</summary>
internal abstract class Outgoing : IDisposable
{
    /// <summary>The memory that it holds while it waits.</summary>
    public abstract long Size { get; }

    /// <summary>Sends it. Runs on the pool, one message after the other.</summary>
    public abstract ValueTask SendAsync(INatsConnection connection);

    public abstract void Dispose();
}

/// <summary>
/// What is to be published, in order. Adding never waits: a message that does not fit is dropped and counted, so that a slow or absent server costs no call
/// anything. While there is no connection, the messages wait here. Thread-safe.
/// </summary>
internal sealed class Outbox
{
    /// <summary>Bytes that may wait.</summary>
    public const long Most = 32 << 20;

    /// <summary>Events are dropped above this, so that the messages of finished calls still fit.</summary>
    private const long MostWithEvents = 24 << 20;

    private static readonly TimeSpan BetweenLines = TimeSpan.FromSeconds(10);

    private readonly Channel<Outgoing> queue = Channel.CreateUnbounded<Outgoing>(new() { SingleReader = true }); // bounded by its bytes
    private readonly INatsConnection connection;
    private readonly ILogger log;
    private readonly TimeProvider time;
    private readonly Task sending;
    private long waiting;
    private long dropped;
    private long told;
    private long toldAt;
    private long published;

    /// <param name="connection">Where messages are sent.</param>
    /// <param name="ready">Nothing is sent before it completes.</param>
    /// <param name="log">Gets what was dropped.</param>
    /// <param name="time">The clock.</param>
    public Outbox(INatsConnection connection, Task ready, ILogger log, TimeProvider time)
    {
        (this.connection, this.log, this.time) = (connection, log, time);
        toldAt = time.GetTimestamp() - (BetweenLines.Ticks * time.TimestampFrequency / TimeSpan.TicksPerSecond);
        sending = SendAsync(ready);
    }

    public long Waiting => Volatile.Read(ref waiting);

    public long Published => Volatile.Read(ref published);

    public long Dropped => Volatile.Read(ref dropped);

    /// <summary>Takes the message over, or drops it.</summary>
    /// <param name="message">Disposed here.</param>
    /// <param name="isEvent">It is one of many of its call, not the message of a finished call.</param>
    public void Add(Outgoing message, bool isEvent)
    {
        var size = message.Size;
        if (Interlocked.Add(ref waiting, size) <= (isEvent ? MostWithEvents : Most) && queue.Writer.TryWrite(message)) return;
        Interlocked.Add(ref waiting, -size);
        message.Dispose();
        Drop("too many are waiting");
    }

    /// <summary>Takes no more messages and waits until those that it has are sent, or the time is over.</summary>
    public async Task CloseAsync(TimeSpan patience)
    {
        queue.Writer.TryComplete();
        await sending.WaitAsync(patience, time).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    private async Task SendAsync(Task ready)
    {
        await ready.ConfigureAwait(false);
        await foreach (var message in queue.Reader.ReadAllAsync().ConfigureAwait(false))
        {
            try
            {
                await message.SendAsync(connection).ConfigureAwait(false);
                Interlocked.Increment(ref published);
            }
            catch (Exception problem) when (problem is NatsException or OperationCanceledException or IOException)
            {
                Drop(problem.Message);
            }
            catch (Exception problem) // a bug with one message must not end the sending of all others
            {
                log.MessageFailed(problem);
                Drop("it could not be written");
            }
            finally
            {
                Interlocked.Add(ref waiting, -message.Size);
                message.Dispose();
            }
        }
    }

    /// <summary>Counts a loss, and says it in the log at most every ten seconds.</summary>
    private void Drop(string reason)
    {
        var all = Interlocked.Increment(ref dropped);
        var last = Volatile.Read(ref toldAt);
        var now = time.GetTimestamp();
        if (time.GetElapsedTime(last, now) < BetweenLines || Interlocked.CompareExchange(ref toldAt, now, last) != last) return;
        log.NatsDropped(all - Interlocked.Exchange(ref told, all), all, reason);
    }
}
