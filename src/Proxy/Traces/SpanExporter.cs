using Microsoft.Extensions.Logging;

namespace Proxy.Traces;

/// <summary>
/// Sends the spans of a queue to the receiver, in batches, one after the other. A batch that the receiver cannot take now is sent again, after pauses that
/// grow, up to half a minute; what cannot be sent is dropped and counted. Dispose it when the last call has ended: what still waits is sent then, if that takes
/// no longer than two seconds.
/// </summary>
internal sealed class SpanExporter : IDisposable
{
    /// <summary>How long spans are collected before they are sent together.</summary>
    private static readonly TimeSpan Collect = TimeSpan.FromSeconds(1);

    private static readonly TimeSpan FirstPause = TimeSpan.FromSeconds(1), LongestPause = TimeSpan.FromSeconds(16), LastWords = TimeSpan.FromSeconds(2);

    /// <summary>Pauses of 1, 2, 4, 8 and 16 s.</summary>
    private const int MostRetries = 5;

    private readonly CancellationTokenSource closing = new(), abort = new();
    private readonly SpanQueue queue;
    private readonly OtlpReceiver receiver;
    private readonly OtlpRequest request;
    private readonly ILogger log;
    private readonly TimeProvider time;
    private readonly Task sending;
    private bool isDown;
    private long sent;

    /// <param name="queue">Where the spans wait.</param>
    /// <param name="receiver">Gets them. Disposed with this object.</param>
    /// <param name="version">The program's version.</param>
    /// <param name="log">Gets what cannot be sent.</param>
    /// <param name="time">The clock.</param>
    public SpanExporter(SpanQueue queue, OtlpReceiver receiver, string version, ILogger log, TimeProvider time)
    {
        (this.queue, this.receiver, request, this.log, this.time) = (queue, receiver, new OtlpRequest(version), log, time);
        sending = Task.Run(RunAsync);
    }

    /// <summary>Spans that the receiver took.</summary>
    public long Sent => Volatile.Read(ref sent);

    public void Dispose()
    {
        queue.Close();
        closing.Cancel();
        abort.CancelAfter(LastWords);
        sending.Wait();
        receiver.Dispose();
        closing.Dispose();
        abort.Dispose();
    }

    private async Task RunAsync()
    {
        var batch = new List<TracedSpan>();
        while (await queue.WaitAsync(Collect, closing.Token).ConfigureAwait(false))
        {
            queue.Take(batch);
            try
            {
                await SendAsync(batch).ConfigureAwait(false);
            }
            catch (OperationCanceledException) // the time to stop is over
            {
                queue.Drop(batch.Count, "the proxy stops");
            }
            catch (Exception problem) // a bug with one batch must not end the sending of all others
            {
                log.SpansFailed(problem);
                queue.Drop(batch.Count, "they could not be written");
            }

            batch.Clear();
        }
    }

    private async Task SendAsync(List<TracedSpan> batch)
    {
        var body = request.Write(batch);
        for (var retries = 0; ; retries++)
        {
            var result = await receiver.SendAsync(body, abort.Token).ConfigureAwait(false);
            if (result.Failure is not { } failure)
            {
                Interlocked.Add(ref sent, batch.Count - result.Rejected);
                if (result.Rejected > 0) queue.Drop(result.Rejected, "the receiver rejected them");
                if (isDown) log.TracesUp(receiver.Url, queue.Dropped);
                isDown = false;
                return;
            }

            if (!isDown) log.TracesDown(receiver.Url, failure);
            isDown = true;
            if (!result.CanRetry || retries == MostRetries || closing.IsCancellationRequested)
            {
                queue.Drop(batch.Count, failure);
                return;
            }

            var pause = result.RetryAfter ?? FirstPause * (1 << retries);
            await Task.Delay(pause < LongestPause ? pause : LongestPause, time, closing.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }
}
