using Proxy.Buffers;
using Proxy.Chat;

namespace Proxy.Streams;

/// <summary>
/// The events of a route that has no host (a workflow, the echo model), as the body of a reply: one frame per event, in the JSON form in which workers publish
/// events. The same code then pumps, keeps alive, journals and ends this answer as it does a host's.
/// </summary>
internal sealed class EventBody : ReplyBody
{
    /// <summary>One read returns all events that are ready, up to this many bytes.</summary>
    private const int LargestBatch = 64 << 10;

    private readonly IAsyncEnumerator<ChatEvent> events;
    private readonly EventWriter writer;
    private readonly TimeProvider time;
    private readonly PooledBody buffer = new();
    private readonly Alarm alarm;
    private readonly CancellationTokenSource stop;
    private readonly PendingMove next;
    private bool ended;
    private volatile bool isCancelled;
    private int isDisposed;

    /// <param name="stream">Enumerated once and then disposed, which releases what it holds.</param>
    /// <param name="writer">Writes the frames.</param>
    /// <param name="time">The clock.</param>
    /// <param name="cancellation">Ends the events.</param>
    public EventBody(IAsyncEnumerable<ChatEvent> stream, EventWriter writer, TimeProvider time, CancellationToken cancellation)
    {
        stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        events = stream.GetAsyncEnumerator(stop.Token);
        this.writer = writer;
        this.time = time;
        alarm = new Alarm(time);
        next = new PendingMove(alarm);
    }

    /// <summary>Silence after which the client of a stream gets a keep-alive; null: as the configuration says.</summary>
    public TimeSpan? KeepAliveAfter { get; init; }

    public override long Now => (long)time.GetElapsedTime(0).TotalMilliseconds;

    public override async ValueTask<ReplyRead> ReadAsync()
    {
        buffer.Clear();
        while (!ended)
        {
            if (!next.IsBegun) next.Begin(events.MoveNextAsync());
            if (!next.IsDone)
            {
                if (buffer.Length > 0) break;
                if (await WaitAsync() is { } instead) return new(instead);
            }

            try
            {
                ended = !next.Take();
            }
            catch (OperationCanceledException) when (stop.IsCancellationRequested)
            {
                return new(ReplyReadKind.Cancelled);
            }

            if (ended) break;
            if (events.Current is ChatEvent.Quiet && buffer.Length == 0) return new(ReplyReadKind.Quiet);
            writer.Write(events.Current, buffer);
            if (buffer.Length > LargestBatch) break;
        }

        return buffer.Length > 0 ? new(ReplyReadKind.Data, buffer.Memory) : new(ReplyReadKind.End);
    }

    public override void Cancel()
    {
        isCancelled = true;
        alarm.RingElsewhere();
    }

    public override void Dispose()
    {
        Cancel();
        if (Interlocked.Exchange(ref isDisposed, 1) == 0) _ = EndAsync();
    }

    /// <summary>Waits for the next event. Null: it is ready. Otherwise the reason to return without it: silence, the deadline or cancellation.</summary>
    private async ValueTask<ReplyReadKind?> WaitAsync()
    {
        while (!next.IsDone)
        {
            if (isCancelled) return ReplyReadKind.Cancelled;
            var (now, until) = (Now, Math.Min(QuietAt, Deadline));
            if (now >= until) return now >= Deadline ? ReplyReadKind.TimedOut : ReplyReadKind.Quiet;
            await alarm.WaitAsync(until == Never ? Timeout.InfiniteTimeSpan : TimeSpan.FromMilliseconds(until - now));
        }

        return null;
    }

    private async Task EndAsync()
    {
        await stop.CancelAsync();
        await next.SettleAsync();
        await events.DisposeAsync();
        stop.Dispose();
        alarm.Dispose();
        buffer.Dispose();
    }
}
