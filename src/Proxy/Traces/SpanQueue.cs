using System.Threading.Channels;
using Microsoft.Extensions.Logging;

namespace Proxy.Traces;

/// <summary>
/// Spans that have ended and wait to be sent. Adding never waits: a span that does not fit is dropped and counted, so that a slow or absent receiver costs no
/// call anything. Thread-safe; for one reader.
/// </summary>
internal sealed class SpanQueue(ILogger log, TimeProvider time)
{
    /// <summary>Spans that may wait. Each holds about 1 KiB.</summary>
    public const int Most = 8192;

    /// <summary>The most spans that are sent together.</summary>
    public const int MostTogether = 512;

    private static readonly TimeSpan BetweenLines = TimeSpan.FromMinutes(1);

    private static readonly TimeSpan Step = TimeSpan.FromMilliseconds(100);

    private readonly Channel<TracedSpan> spans = Channel.CreateBounded<TracedSpan>(new BoundedChannelOptions(Most) { SingleReader = true });
    private readonly Lock telling = new();
    private long dropped;
    private long told;
    private long? toldAt;

    public int Waiting => spans.Reader.Count;

    /// <summary>Spans that were not sent.</summary>
    public long Dropped => Volatile.Read(ref dropped);

    public void Add(TracedSpan span)
    {
        if (!spans.Writer.TryWrite(span)) Drop(1, "too many are waiting");
    }

    /// <summary>Takes no more spans.</summary>
    public void Close() => spans.Writer.TryComplete();

    /// <summary>Waits until a span is there, then for more until they are many or the time is over.</summary>
    /// <param name="collect">How long to wait for more.</param>
    /// <param name="cancellation">Ends that wait.</param>
    /// <returns>False: there will be none any more.</returns>
    public async ValueTask<bool> WaitAsync(TimeSpan collect, CancellationToken cancellation)
    {
        if (!await spans.Reader.WaitToReadAsync(CancellationToken.None).ConfigureAwait(false)) return false;
        for (; collect > TimeSpan.Zero && Waiting < MostTogether && !cancellation.IsCancellationRequested; collect -= Step)
            await Task.Delay(Step, time, cancellation).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        return true;
    }

    /// <summary>Takes what there is, at most <see cref="MostTogether"/> spans.</summary>
    public void Take(List<TracedSpan> batch)
    {
        while (batch.Count < MostTogether && spans.Reader.TryRead(out var span)) batch.Add(span);
    }

    /// <summary>Counts a loss, and says it in the log at most once a minute.</summary>
    public void Drop(long count, string reason)
    {
        var all = Interlocked.Add(ref dropped, count);
        lock (telling)
        {
            var now = time.GetTimestamp();
            if (toldAt is { } last && time.GetElapsedTime(last, now) < BetweenLines) return;
            toldAt = now;
            log.SpansDropped(all - told, all, reason);
            told = all;
        }
    }
}
