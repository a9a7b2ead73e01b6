using Proxy.Chat;
using Proxy.Transport;

namespace Proxy.Http;

/// <summary>
/// Keeps a stream's client from giving up while its answer is still being sought: after a while of silence the 200 is committed and keep-alives go out.
/// Nothing of the answer exists yet, so every place is between two frames.
/// </summary>
internal sealed class PendingKeepAlive : ITicked
{
    private readonly Lock gate = new();
    private readonly HttpResponse response;
    private readonly ClientDialect dialect;
    private readonly CoarseTicker ticker;
    private readonly long period;
    private long due;
    private Task written = Task.CompletedTask;
    private bool stopped;

    public PendingKeepAlive(HttpResponse response, ClientDialect dialect, CoarseTicker ticker, TimeSpan after)
    {
        this.response = response;
        this.dialect = dialect;
        this.ticker = ticker;
        period = (long)after.TotalMilliseconds;
        due = ticker.Now + period;
        ticker.Register(this);
    }

    public int TickMark { get; set; }

    public void Tick(long now)
    {
        lock (gate)
        {
            if (stopped || now < due || !written.IsCompleted) return;
            due = now + period;
            if (!response.HasStarted) StreamHeaders.Set(response, dialect.StreamContentType);
            written = WriteAsync();
        }
    }

    /// <summary>After this the response is the caller's alone.</summary>
    public Task StopAsync()
    {
        ticker.Unregister(this);
        lock (gate)
        {
            stopped = true;
            return written;
        }
    }

    private async Task WriteAsync()
    {
        await Task.Yield(); // the ticker's thread is everybody's
        try
        {
            await response.BodyWriter.WriteAsync(dialect.KeepAlive.ToArray());
        }
        catch (Exception problem) when (problem is IOException or OperationCanceledException or InvalidOperationException)
        {
            // The client left: its own cancellation ends the call.
        }
    }
}
