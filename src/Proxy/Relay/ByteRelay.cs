using System.Buffers;
using System.IO.Pipelines;
using Proxy.Buffers;
using Proxy.Chat;

namespace Proxy.Relay;

/// <summary>
/// Sends a host's stream on in the dialect it came in: one read from the host, one write to the client, then the look at it.
/// Without edits not one byte differs and a cut frame goes out as it came; with edits a frame goes out when it is whole.
/// </summary>
internal sealed class ByteRelay(BackendReply reply, PipeWriter output, FrameEdits? edits, ReadOnlyMemory<byte> keepAlive, TimeSpan keepAliveAfter) : IDisposable
{
    private readonly StreamWatch watch = new(reply.Dialect!);
    private readonly FrameCutter? cutter = edits is null ? null : FrameCutter.For(reply.Dialect!.Framing);
    private PooledBody? cut;

    /// <summary>Runs until the stream ends, one way or another. Writes no error frame: that is the caller's to say.</summary>
    public async ValueTask<RelayOutcome> RunAsync()
    {
        var body = reply.Body;
        if (!reply.Held.IsEmpty && !await SendAsync(reply.Held)) return new(RelayEnd.ClientLeft, watch.Usage);
        if (reply.Complete) return Ended();

        var quiet = keepAlive.IsEmpty ? ReplyBody.Never : (long)keepAliveAfter.TotalMilliseconds;
        var now = body.Now;
        body.Deadline = reply.NextDeadline(now);
        while (true)
        {
            if (quiet != ReplyBody.Never) body.QuietAt = now + quiet;
            var read = await body.ReadAsync();
            if (watch.Ended && read.Kind is not (ReplyReadKind.Data or ReplyReadKind.Cancelled)) return Ended(); // however the host leaves after its end marker
            switch (read.Kind)
            {
                case ReplyReadKind.Data:
                    if (!await SendAsync(read.Bytes)) return new(RelayEnd.ClientLeft, watch.Usage);
                    now = body.Now;
                    body.Deadline = reply.NextDeadline(now);
                    break;
                case ReplyReadKind.Quiet:
                    now = body.Now;
                    if (!watch.AtBoundary) break;
                    if (!Taken(await output.WriteAsync(keepAlive))) return new(RelayEnd.ClientLeft, watch.Usage);
                    break;
                case ReplyReadKind.End:
                    return Ended();
                case ReplyReadKind.Cancelled:
                    return new(RelayEnd.ClientLeft, watch.Usage);
                case ReplyReadKind.TimedOut:
                    return new(RelayEnd.BrokeOff, watch.Usage, reply.TimedOut());
                default:
                    return new(RelayEnd.BrokeOff, watch.Usage, reply.BrokeOff());
            }
        }
    }

    public void Dispose()
    {
        watch.Dispose();
        cutter?.Dispose();
        cut?.Dispose();
    }

    private RelayOutcome Ended()
    {
        watch.SeeEnd();
        if (cut is { Length: > 0 }) output.Write(cut.Span);
        if (watch.Error is { } said) return new(RelayEnd.HostSaidError, watch.Usage, new(ProxyErrorKind.HostFailed, said.Message));
        if (watch.Ended) return new(RelayEnd.Whole, watch.Usage);
        return new(RelayEnd.BrokeOff, watch.Usage, reply.Unfinished());
    }

    /// <summary>False when the client takes no more.</summary>
    private ValueTask<bool> SendAsync(ReadOnlyMemory<byte> bytes)
    {
        if (edits is null) output.Write(bytes.Span);
        else WriteEdited(bytes.Span);
        watch.See(bytes.Span); // before the flush: the bytes are borrowed until the first suspension

        var flush = output.FlushAsync();
        if (!flush.IsCompletedSuccessfully) return FlushedAsync(flush);
        return new(Taken(flush.GetAwaiter().GetResult()));
    }

    private static async ValueTask<bool> FlushedAsync(ValueTask<FlushResult> flush) => Taken(await flush);

    private static bool Taken(FlushResult result) => !result.IsCompleted && !result.IsCanceled;

    private void WriteEdited(ReadOnlySpan<byte> bytes)
    {
        var joined = cut is { Length: > 0 };
        if (joined)
        {
            cut!.Write(bytes);
            bytes = cut.Span;
        }

        var rest = bytes;
        while (cutter!.TryTake(ref rest, out var frame, out var payload)) edits!.Write(frame, payload, output);
        if (joined) cut!.Consume(cut.Length - rest.Length);
        else if (!rest.IsEmpty) (cut ??= new PooledBody(rest.Length * 2)).Write(rest);
    }
}
