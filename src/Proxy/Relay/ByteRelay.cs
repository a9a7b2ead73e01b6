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
    private LastFrames lastFrames;
    private bool isFirst; // what is sent now are the held bytes, whose room the last frames take

    public ByteRelay(BackendReply reply, PipeWriter output, FrameEdits? edits, ReadOnlyMemory<byte> keepAlive, TimeSpan keepAliveAfter)
    {
        this.reply = reply;
        this.output = output;
        this.edits = edits;
        this.keepAlive = keepAlive;
        this.keepAliveAfter = keepAliveAfter;
        watch = new StreamWatch(reply.Dialect!);
        cut = new CutFrame(watch.Cutter);
        lastFrames = new LastFrames(reply.HeldRoom);
    }

    /// <summary>Runs until the stream ends, one way or another. Writes no error frame: that is the caller's to say.</summary>
    public async ValueTask<RelayOutcome> RunAsync()
    {
        var body = reply.Body;
        isFirst = !reply.Held.IsEmpty;
        if (isFirst && !await SendAsync(reply.Held)) return new(RelayEnd.ClientLeft, watch.Usage);
        if (reply.Complete) return Ended();

        var quiet = keepAlive.IsEmpty ? ReplyBody.Never : (long)keepAliveAfter.TotalMilliseconds;
        var now = body.Now;
        body.Deadline = reply.NextDeadline(now);
        while (true)
        {
            if (quiet != ReplyBody.Never) body.QuietAt = now + quiet;
            var read = await body.ReadAsync();
            // However the host leaves after its end marker, or after it said that it failed: the client knows. So does one that leaves now.
            if ((watch.Ended || watch.Error is not null) && read.Kind is not ReplyReadKind.Data) return Ended();
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
                    // Silent, but after it said why it finished: nothing is missing.
                    if (cut.Span.IsEmpty && SaidWhy(default)) return Ended();
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
        var rest = cut.Span;
        ReadOnlySpan<byte> payload = default;
        if (!rest.IsEmpty)
        {
            // Its last words count without their line end too; half a frame does not, and an error frame must not become its second half.
            payload = watch.SeeRest(rest);
            if (watch.ErrorIsHidden) rest = default; // we say it ourselves
            else if (watch.Error is not null && Struck(rest) is { } struck) output.Write(struck);
            else if (watch.Ended || watch.Error is not null) WriteLast(rest, payload);
        }

        if (watch.Error is { } said) return new(watch.ErrorIsHidden ? RelayEnd.BrokeOff : RelayEnd.HostSaidError, watch.Usage, new(ProxyErrorKind.HostFailed, reply.Secrets?.Strike(said.Message) ?? said.Message) { Backend = reply.Backend });
        if (watch.Ended) return new(RelayEnd.Whole, watch.Usage);
        var isWhole = (rest.IsEmpty || IsFrame(payload)) && SaidWhy(payload);
        if (!isWhole) return new(RelayEnd.BrokeOff, watch.Usage, reply.Unfinished());

        if (!payload.IsEmpty && !(watch.Counted && edits?.LeavesOut(payload) == true))
        {
            WriteLast(rest, payload);
            output.Write("\n\n"u8);
        }

        output.Write(reply.Dialect!.EndMarker);
        return new(RelayEnd.Whole, watch.Usage);
    }

    private bool SaidWhy(ReadOnlySpan<byte> rest) => watch.SaidWhy && lastFrames.SayWhy(reply.Dialect!, rest);

    private bool IsFrame(ReadOnlySpan<byte> payload) => payload.IsEmpty || reply.Dialect!.Classify(payload) is not FrameKind.Error;

    private void WriteLast(ReadOnlySpan<byte> frame, ReadOnlySpan<byte> payload)
    {
        if (edits is not { Renames: true }) output.Write(frame);
        else edits.Write(frame, payload, output);
    }

    /// <summary>An error frame without our credentials; null where it has none of them.</summary>
    private byte[]? Struck(ReadOnlySpan<byte> frame) => reply.Secrets is { } secrets && secrets.TryStrike(frame, out var struck) ? struck : null;

    /// <summary>Sends what is whole, keeps the rest. False when the client takes no more.</summary>
    private ValueTask<bool> SendAsync(ReadOnlyMemory<byte> bytes)
    {
        bytes = cut.Join(bytes);
        var rest = bytes.Span;
        var from = 0;
        var lastFrame = 0;
        while (watch.TrySee(ref rest, out var frame, out var payload))
        {
            lastFrame = frame.Length;
            var replaced = watch.Error is null ? null : Struck(frame);
            if (edits is null && replaced is null) continue;
            if (replaced is not null || (watch.Counted && edits!.LeavesOut(payload)))
            {
                var end = bytes.Length - rest.Length;
                if (edits is not { Renames: true }) output.Write(bytes.Span[from..(end - frame.Length)]);
                if (replaced is not null) output.Write(replaced);
                from = end;
            }
            else if (edits!.Renames)
            {
                edits.Write(frame, payload, output);
            }
        }

        var whole = bytes.Length - rest.Length;
        if (watch.Ended) reply.GiveBackSlot();

        // A writer has taken the bytes when it returns, if not sent them; they are borrowed no longer than that.
        var sending = whole == 0 ? default : edits is { Renames: true } ? output.FlushAsync() : output.WriteAsync(bytes[from..whole]);
        if (watch.SaidWhy && !isFirst && whole > 0) lastFrames.Add(bytes.Span[..whole], lastFrame);
        cut.Keep(whole, rest);
        if (isFirst) lastFrames.Begin(whole);
        isFirst = false;
        return sending.IsCompletedSuccessfully ? new(Taken(sending.GetAwaiter().GetResult())) : SentAsync(sending);
    }

    private static async ValueTask<bool> SentAsync(ValueTask<FlushResult> sending) => Taken(await sending);

    private static bool Taken(FlushResult result) => !result.IsCompleted && !result.IsCanceled;
}
