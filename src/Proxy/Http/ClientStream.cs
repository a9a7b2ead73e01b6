using System.IO.Pipelines;
using Proxy.Chat;
using Proxy.Streams;
using Proxy.Transport;

namespace Proxy.Http;

/// <summary>
/// The stream to one client. Keeps it alive while its answer is still sought: after a while of silence the 200 is committed and keep-alives go out. No frame exists then,
/// so every place is between two frames.
/// </summary>
internal sealed class ClientStream(HttpResponse response, PipeWriter writer, ClientDialect dialect, CoarseTicker ticker, TimeSpan after) : ClientOutput(writer), ITicked
{
    private readonly Lock gate = new();
    private readonly long period = (long)after.TotalMilliseconds;
    private long due;
    private Task written = Task.CompletedTask;
    private bool seeks;

    /// <summary>Its writer, where that holds bytes for a slow client.</summary>
    public HoldingWriter? Holding { get; init; }

    public int TickMark { get; set; }

    public override bool KeepsAlive => !dialect.KeepAlive.IsEmpty;

    public override void Begin()
    {
        if (!response.HasStarted) StreamHeaders.Set(response, dialect.StreamContentType);
    }

    public override async ValueTask<bool> KeepAliveAsync()
    {
        Begin();
        var flushed = await Writer.WriteAsync(dialect.KeepAlive.ToArray());
        return !flushed.IsCompleted && !flushed.IsCanceled;
    }

    /// <summary>Waits for the route's answer, and keeps the connection alive meanwhile. After this the response is the caller's alone.</summary>
    public async ValueTask<ChatAnswer> WhileAsync(ValueTask<ChatAnswer> pending)
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
        await Task.Yield(); // the ticker's thread serves all calls
        try
        {
            await KeepAliveAsync();
        }
        catch (Exception problem) when (problem is IOException or OperationCanceledException or InvalidOperationException)
        {
            // The client left: its own cancellation ends the call.
        }
    }
}
