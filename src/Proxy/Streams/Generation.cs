using Proxy.Buffers;
using Proxy.Chat;

namespace Proxy.Streams;

/// <summary>
/// One answer under way: reads the host's reply and passes its frames to the client's sink. No other code outside <c>Backends/</c> reads a reply. So this class
/// applies the deadlines, triggers the keep-alives, decides when the host's slot and the caller's key are free, and handles a client that leaves.
/// One read from the host is one write to the client. If a read ends in the middle of a frame, that frame is sent once it is complete: a client cannot use half
/// a frame, and an error frame or a keep-alive must never be written inside one.
/// </summary>
internal sealed class Generation : IDisposable
{
    private readonly BackendReply reply;
    private readonly IFrameSink sink;
    private readonly FrameBatch frames;
    private readonly Followers followers;
    private readonly CallLifetime? lifetime;
    private readonly long quiet;
    private readonly long idle; // copied from the reply, which saves a cache miss per event when many streams are slow
    private readonly long total;
    private bool disposed;

    /// <param name="reply">Disposed together with the generation.</param>
    /// <param name="sink">Takes the frames for the client.</param>
    /// <param name="keepAliveAfter">How long the host may be silent before the client gets a keep-alive.</param>
    /// <param name="followers">The taps that see the frames and the gates that hold back the end.</param>
    /// <param name="lifetime">The call's lifetime: it ends the wait for a gate.</param>
    public Generation(BackendReply reply, IFrameSink sink, TimeSpan keepAliveAfter, Followers followers, CallLifetime? lifetime = null)
    {
        this.reply = reply;
        this.sink = sink;
        this.followers = followers;
        quiet = sink.KeepsAlive ? (long)keepAliveAfter.TotalMilliseconds : ReplyBody.Never;
        idle = (long)reply.Idle.TotalMilliseconds;
        total = reply.Total;
        frames = reply.Frames ?? new FrameBatch(reply.Framing);
        frames.Taps = followers.Taps;
        this.lifetime = lifetime;
    }

    /// <summary>Runs until the answer ends, in whatever way. Writes no error: the caller does, because it knows whether the response has begun.</summary>
    public ValueTask<GenerationEnd> RunAsync() => followers.IsNone ? PumpAsync() : FollowedAsync();

    private async ValueTask<GenerationEnd> FollowedAsync()
    {
        foreach (var tap in followers.Taps) tap.Begin(reply);
        var end = new GenerationEnd(EndKind.BrokeOff, null, new(ProxyErrorKind.Internal, "the proxy failed")); // until the pump says otherwise
        try
        {
            return end = await PumpAsync();
        }
        finally
        {
            foreach (var gate in followers.Gates) gate.Ended(end);
        }
    }

    private async ValueTask<GenerationEnd> PumpAsync()
    {
        var body = reply.Body;
        ProxyError? broken = null;
        var silent = false;
        if (reply.IsDocument) foreach (var tap in followers.Taps) tap.See(1, reply.Held.Span, reply.Held.Span);
        else if (!reply.Held.IsEmpty && !await TakeAsync(reply.Held)) return Left();
        if (body is JournalBody journal && sink is VerbatimSink { TakesPlain: true } verbatim && followers.Taps.Length == 0)
            journal.SendPlainTo(verbatim, sink.KeepsAlive ? quiet : ReplyBody.Never);
        var goes = !reply.Complete && !sink.HasFailed;
        var now = body.Now;
        body.Deadline = Math.Min(total, now + idle);
        while (goes)
        {
            if (quiet != ReplyBody.Never) body.QuietAt = now + quiet;
            var read = await body.ReadAsync();
            if (read.Kind is not ReplyReadKind.Data && sink.IsOver) break;
            switch (read.Kind)
            {
                case ReplyReadKind.Data:
                    if (!await TakeAsync(read.Bytes)) return Left();
                    if (frames.IsTooLong) broken = reply.EndlessFrame();
                    goes = broken is null && !sink.HasFailed;
                    now = body.Now;
                    body.Deadline = Math.Min(total, now + idle);
                    break;
                case ReplyReadKind.Quiet:
                    now = body.Now;
                    if (sink.KeepsAlive && !await sink.KeepAliveAsync()) return Left();
                    break;
                case ReplyReadKind.Cancelled when !sink.HasFinished:
                    return Left();
                default:
                    silent = read.Kind is ReplyReadKind.TimedOut;
                    broken = silent ? reply.TimedOut() : read.Kind is ReplyReadKind.Failed ? reply.BrokeOff() : null;
                    goes = false;
                    break;
            }
        }

        if (broken is null) frames.TakeRest();
        var end = sink.Close(broken, silent, frames);
        HostIsDone();
        if (end.Kind is not EndKind.Whole) return end;
        try
        {
            foreach (var gate in followers.Gates)
            {
                if (await gate.BeforeEndAsync(end, lifetime?.Token ?? default) is { } kept) return end with { Kind = EndKind.BrokeOff, Error = kept };
            }
        }
        catch (OperationCanceledException) when (lifetime is { IsCancellationRequested: true })
        {
            return Left();
        }

        // Without followers a complete answer is still written: a client that has only closed its sending side reads it.
        if (!followers.IsNone && lifetime is { IsCancellationRequested: true }) return end with { Kind = EndKind.ClientLeft };
        await sink.EndAsync();
        return end;
    }

    public void Dispose()
    {
        if (disposed) return;
        disposed = true;
        (sink as IDisposable)?.Dispose();
        frames.Dispose();
        reply.Dispose();
    }

    private ValueTask<bool> TakeAsync(ReadOnlyMemory<byte> bytes)
    {
        frames.Fill(bytes);
        sink.Take(frames);
        if (sink.IsOver && sink.HasFinished) HostIsDone();
        var sending = sink.SendAsync(frames);
        frames.Keep();
        return sending;
    }

    /// <summary>
    /// The host has finished: frees its slot and the caller's key, even if the client is still reading. A client that calls again on receiving the last byte
    /// finds both free.
    /// </summary>
    private void HostIsDone() => reply.GiveBackSlot();

    private GenerationEnd Left() =>
        new(EndKind.ClientLeft, sink.Usage) { Interrupted = lifetime is { IsCancellationRequested: true, ClientHasLeft: false } };
}
