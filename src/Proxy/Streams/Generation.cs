using Proxy.Buffers;
using Proxy.Chat;

namespace Proxy.Streams;

/// <summary>
/// One answer under way: reads the host's reply and gives its frames to the client's sink. The only code outside <c>Backends/</c> that reads a reply, so here stand the deadlines, the keep-alives,
/// the moment at which the host's slot and the client's key are free, and what happens when the client leaves. One read from the host is one write to the client.
/// The frame that a read cut off goes out when it is whole: a client has no use for half a frame, and an error frame or a keep-alive must never stand inside one.
/// </summary>
internal sealed class Generation : IDisposable
{
    private readonly BackendReply reply;
    private readonly IFrameSink sink;
    private readonly FrameBatch frames;
    private readonly Followers followers;
    private readonly CallLifetime? lifetime;
    private readonly long quiet;
    private readonly long idle; // the reply's own, here because an event of a cold stream pays for every object that it touches
    private readonly long total;
    private bool detached;

    /// <param name="reply">Disposed with this.</param>
    /// <param name="sink">The client.</param>
    /// <param name="keepAliveAfter">How long the host may be silent before the client gets a keep-alive.</param>
    /// <param name="followers">Who else follows the answer.</param>
    /// <param name="lifetime">The call's; a tap that outlives the client is a reason to go on.</param>
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
        if (!followers.OutliveClient) return;
        this.lifetime = lifetime;
        lifetime?.Add();
    }

    /// <summary>Runs until the answer ends, one way or another. Writes no error: the caller does, who knows whether the response has begun.</summary>
    public async ValueTask<GenerationEnd> RunAsync()
    {
        var body = reply.Body;
        ProxyError? broken = null;
        var silent = false;
        if (reply.IsDocument) foreach (var tap in followers.Taps) tap.See(1, reply.Held.Span, reply.Held.Span);
        else if (!reply.Held.IsEmpty && !await TakeAsync(reply.Held) && !Detach()) return Left();
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
                    if (!await TakeAsync(read.Bytes) && !Detach()) return Left();
                    if (frames.IsTooLong) broken = reply.EndlessFrame();
                    goes = broken is null && !sink.HasFailed;
                    now = body.Now;
                    body.Deadline = Math.Min(total, now + idle);
                    break;
                case ReplyReadKind.Quiet:
                    now = body.Now;
                    if (!detached && sink.KeepsAlive && !await sink.KeepAliveAsync() && !Detach()) return Left();
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

        var end = sink.Close(broken, silent, frames);
        HostIsDone();
        if (end.Kind is not EndKind.Whole) return end;
        foreach (var gate in followers.Gates)
        {
            if (await gate.BeforeEndAsync(end) is { } kept) return end with { Kind = EndKind.BrokeOff, Error = kept };
        }

        if (detached || lifetime is { ClientHasLeft: true }) return end with { Kind = EndKind.ClientLeft };
        await sink.EndAsync();
        return end;
    }

    public void Dispose()
    {
        lifetime?.Release();
        (sink as IDisposable)?.Dispose();
        reply.Dispose();
    }

    private ValueTask<bool> TakeAsync(ReadOnlyMemory<byte> bytes)
    {
        frames.Fill(bytes);
        sink.Take(frames);
        if (sink.IsOver) HostIsDone();
        var sending = sink.SendAsync(frames);
        frames.Keep();
        return sending;
    }

    /// <summary>The host has said all it has to say: its slot and the caller's key are free, whatever the client still has to take. A client that calls again at its last byte finds them so.</summary>
    private void HostIsDone() => reply.GiveBackSlot();

    /// <summary>The client takes no more. True: the generation goes on without it.</summary>
    private bool Detach()
    {
        if (lifetime is null) return false;
        if (!detached) sink.Detach();
        return detached = true;
    }

    private GenerationEnd Left() => new(EndKind.ClientLeft, sink.Usage);
}
