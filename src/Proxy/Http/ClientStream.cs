using System.IO.Pipelines;
using Proxy.Chat;
using Proxy.Streams;
using Proxy.Transport;

namespace Proxy.Http;

/// <summary>
/// The output stream to one client. While the call still waits for its answer, it commits the status 200 after a period of silence and sends keep-alives.
/// No frame has been written at that time, so a keep-alive cannot fall inside one.
/// </summary>
internal sealed class ClientStream(HttpResponse response, PipeWriter writer, ClientDialect dialect, CoarseTicker ticker, TimeSpan after)
    : ClientOutput(writer), ITicked
{
    private readonly Lock gate = new();
    private readonly long period = (long)after.TotalMilliseconds;
    private long due;
    private Task written = Task.CompletedTask;
    private bool seeks;

    /// <summary>The writer, if it is one that buffers for a slow client.</summary>
    public HoldingWriter? Holding { get; init; }

    public int TickMark { get; set; }

    public override bool KeepsAlive => !dialect.KeepAlive.IsEmpty;

    public override void Begin()
    {
        if (!response.HasStarted && response.ContentType is null) StreamHeaders.Set(response, dialect.StreamContentType);
    }

    public override async ValueTask<bool> KeepAliveAsync()
    {
        Begin();
        var flushed = await Writer.WriteAsync(dialect.KeepAlive.ToArray());
        return !flushed.IsCompleted && !flushed.IsCanceled;
    }

    /// <summary>
    /// Waits, usually for the route's answer, and sends keep-alives in the meantime. After that, only the caller writes to the response.
    /// </summary>
    public async ValueTask<T> WhileAsync<T>(ValueTask<T> pending)
    {
        due = ticker.Now + period;
        seeks = true;
        ticker.Register(this);
        try
        {
            return await pending;
        }
        finally
        {
            await StopAsync();
        }
    }

    public void Tick(long now)
    {
        lock (gate)
        {
            if (!seeks || now < due || !written.IsCompleted) return;
            due = now + period;
            written = WriteAsync();
        }
    }

    private Task StopAsync()
    {
        ticker.Unregister(this);
        lock (gate)
        {
            seeks = false;
            return written;
        }
    }

    private async Task WriteAsync()
    {
        await Task.Yield(); // leaves the ticker's thread, which serves all calls
        try
        {
            await KeepAliveAsync();
        }
        catch (Exception problem) when (problem is IOException or OperationCanceledException or InvalidOperationException)
        {
            // The client has left; its cancellation ends the call.
        }
    }
}
