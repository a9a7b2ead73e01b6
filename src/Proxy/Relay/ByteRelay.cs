using System.Buffers;
using System.IO.Pipelines;
using Proxy.Buffers;
using Proxy.Chat;

namespace Proxy.Relay;

/// <summary>
/// Sends a host's stream on in the dialect it came in: one read from the host, one write to the client. Without edits not one byte differs.
/// A frame that the network cut goes out when it is whole: half of one is of no use to a client, and an error frame or a keep-alive must never stand inside it.
/// </summary>
internal sealed class ByteRelay : IDisposable
{
    private readonly BackendReply reply;
    private readonly PipeWriter output;
    private readonly FrameEdits? edits;
    private readonly ReadOnlyMemory<byte> keepAlive;
    private readonly TimeSpan keepAliveAfter;
    private readonly StreamWatch watch;
    private readonly CutFrame cut;

    public ByteRelay(BackendReply reply, PipeWriter output, FrameEdits? edits, ReadOnlyMemory<byte> keepAlive, TimeSpan keepAliveAfter)
    {
        this.reply = reply;
        this.output = output;
        this.edits = edits;
        this.keepAlive = keepAlive;
        this.keepAliveAfter = keepAliveAfter;
        watch = new StreamWatch(reply.Dialect!);
        cut = new CutFrame(watch.Cutter);
    }

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
            // However the host leaves after its end marker, or after it said that it failed: the client knows.
            if ((watch.Ended || watch.Error is not null) && read.Kind is not (ReplyReadKind.Data or ReplyReadKind.Cancelled)) return Ended();
            switch (read.Kind)
            {
                case ReplyReadKind.Data:
                    if (!await SendAsync(read.Bytes)) return new(RelayEnd.ClientLeft, watch.Usage);
                    if (cut.IsTooLong) return new(RelayEnd.BrokeOff, watch.Usage, reply.EndlessFrame());
                    now = body.Now;
                    body.Deadline = reply.NextDeadline(now);
                    break;
                case ReplyReadKind.Quiet:
                    now = body.Now;
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
        cut.Dispose();
    }

    private RelayOutcome Ended()
    {
        if (!cut.Span.IsEmpty)
        {
            // Its last words count without their line end too; half a frame does not, and an error frame must not become its second half.
            var payload = watch.SeeRest(cut.Span);
            if (watch.Ended || watch.Error is not null)
            {
                if (edits is not { Renames: true }) output.Write(cut.Span);
                else edits.Write(cut.Span, payload, output);
            }
        }

        if (watch.Error is { } said) return new(watch.ErrorIsHidden ? RelayEnd.BrokeOff : RelayEnd.HostSaidError, watch.Usage, new(ProxyErrorKind.HostFailed, said.Message) { Backend = reply.Backend });
        if (watch.Ended) return new(RelayEnd.Whole, watch.Usage);
        return new(RelayEnd.BrokeOff, watch.Usage, reply.Unfinished());
    }

    /// <summary>Sends what is whole, keeps the rest. False when the client takes no more.</summary>
    private ValueTask<bool> SendAsync(ReadOnlyMemory<byte> bytes)
    {
        bytes = cut.Join(bytes);
        var rest = bytes.Span;
        var from = 0;
        while (watch.TrySee(ref rest, out var frame, out var payload))
        {
            if (edits is null) continue;
            if (watch.Counted && edits.LeavesOut(payload))
            {
                var end = bytes.Length - rest.Length;
                if (!edits.Renames) output.Write(bytes.Span[from..(end - frame.Length)]);
                from = end;
            }
            else if (edits.Renames)
            {
                edits.Write(frame, payload, output);
            }
        }

        var whole = bytes.Length - rest.Length;
        if (watch.Ended) reply.GiveBackSlot();

        // A writer has taken the bytes when it returns, if not sent them; they are borrowed no longer than that.
        var sending = whole == 0 ? default : edits is { Renames: true } ? output.FlushAsync() : output.WriteAsync(bytes[from..whole]);
        cut.Keep(whole, rest);
        return sending.IsCompletedSuccessfully ? new(Taken(sending.GetAwaiter().GetResult())) : SentAsync(sending);
    }

    private static async ValueTask<bool> SentAsync(ValueTask<FlushResult> sending) => Taken(await sending);

    private static bool Taken(FlushResult result) => !result.IsCompleted && !result.IsCanceled;
}
