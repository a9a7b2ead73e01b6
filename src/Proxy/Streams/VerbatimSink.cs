using System.Buffers;
using System.IO.Pipelines;
using Proxy.Buffers;
using Proxy.Chat;

namespace Proxy.Streams;

/// <summary>Forwards a host's frames to a client of the same dialect. Without edits, every byte is the host's.</summary>
internal sealed class VerbatimSink : IFrameSink, IDisposable
{
    private const int LargestSpare = 64 << 10;

    // For the frames of one batch. All streams of a thread use it, so its memory is in the processor's cache; that of a client's writer is not.
    [ThreadStatic]
    private static PooledBody? spare;

    private readonly BackendReply reply;
    private readonly ClientOutput client;
    private readonly FrameEdits? edits;
    private readonly FrameIds? ids;
    private readonly PooledBody? last; // the end marker and everything after it, if a gate holds back the end
    private readonly PipeWriter output;
    private StreamWatch watch;
    private LastFrames lastFrames;
    private bool hasSent; // the first bytes have been sent, so their buffer is free for the last frames
    private bool hasEnd; // the end marker has arrived and is held back
    private PooledBody? each; // the batch's frames that are written one by one, between Take and SendAsync
    private int from; // where the next bytes to send begin in the batch
    private int lastFrame;
    private long number; // of the last frame
    private int passed; // plain frames since the last batch

    /// <param name="reply">The host's reply.</param>
    /// <param name="client">The client's stream.</param>
    /// <param name="edits">The edits to its frames; null: none.</param>
    /// <param name="holdsEnd">A gate decides when the end is sent.</param>
    /// <param name="ids">Gives the frames their ids; null: they have none.</param>
    public VerbatimSink(BackendReply reply, ClientOutput client, FrameEdits? edits, bool holdsEnd = false, FrameIds? ids = null)
    {
        this.ids = ids;
        this.reply = reply;
        this.client = client;
        this.edits = edits;
        output = client.Writer;
        hasSent = reply.Held.IsEmpty;
        watch = new StreamWatch(reply.Dialect!);
        lastFrames = new LastFrames(reply.HeldRoom);
        if (holdsEnd) last = new PooledBody(256);
    }

    public bool IsOver => watch.Ended || watch.Error is not null;
    public bool HasFinished => watch.Ended;
    public bool HasFailed => false; // the host's own error frame is forwarded to the client
    public bool KeepsAlive => client.KeepsAlive;
    public Usage? Usage => watch.Usage;

    /// <summary>The end marker and what follows it, while a gate holds it back.</summary>
    public ReadOnlyMemory<byte> HeldEnd => last is { Length: > 0 } ? last.Memory : default;

    /// <summary>Frames may be given to <see cref="SendPlainAsync"/>: nothing in them changes, and the first bytes have been sent.</summary>
    public bool TakesPlain => hasSent && edits is not { Renames: true };

    /// <summary>Every frame is written by itself, because something in it changes.</summary>
    private bool WritesEach => ids is not null || edits is { Renames: true };

    private IBufferWriter<byte> Target => hasEnd ? last! : each ?? (IBufferWriter<byte>)output;

    public void Take(FrameBatch batch)
    {
        from = 0;
        lastFrame = 0;
        CatchUp(batch);
        if (WritesEach) (each, spare) = (spare ?? new PooledBody(), null);
        var begin = batch.Taken;
        while (batch.TryNext(out var frame, out var payload))
        {
            lastFrame = frame.Length;
            watch.Look(payload, batch);
            if (last is not null && watch.Ended && !hasEnd) HoldEnd(batch.Whole.Span[from..begin]);
            begin = batch.Taken;
            var replaced = watch.Error is null ? null : Struck(frame);
            if (edits is null && ids is null && replaced is null) continue;
            if (replaced is not null || (watch.Counted && edits?.LeavesOut(payload) == true))
            {
                if (!WritesEach) Target.Write(batch.Whole.Span[from..(batch.Taken - frame.Length)]);
                if (replaced is not null && ids?.Begin(batch.Number, Target) != false) Target.Write(replaced);
                from = batch.Taken;
            }
            else if (WritesEach)
            {
                Write(batch.Number, frame, payload);
            }
        }

        number = batch.Number;
    }

    /// <summary>
    /// Sends one whole frame that is no batch's, and that another sink has found to be plain: it has content and says nothing about the answer's end. The next
    /// batch counts it. False: the client accepts no more bytes.
    /// </summary>
    public ValueTask<bool> SendPlainAsync(ReadOnlyMemory<byte> frame)
    {
        passed++;
        number++;
        ValueTask<FlushResult> sending;
        if (ids is null)
        {
            sending = output.WriteAsync(frame);
        }
        else
        {
            (each, spare) = (spare ?? new PooledBody(), null);
            ids.Write(number, frame.Span, each);
            sending = SendEachAsync();
        }

        return sending.IsCompletedSuccessfully ? new(Taken(sending.GetAwaiter().GetResult())) : SentAsync(sending);
    }

    public ValueTask<bool> SendAsync(FrameBatch batch)
    {
        var whole = batch.Whole;
        // The writer has consumed the bytes when its method returns, even if its task is still pending. The batch's memory need not live longer.
        ValueTask<FlushResult> sending = default;
        if (WritesEach)
        {
            sending = SendEachAsync();
        }
        else if (hasEnd)
        {
            last!.Write(whole.Span[from..]);
            if (output.UnflushedBytes > 0) sending = output.FlushAsync();
        }
        else if (!whole.IsEmpty)
        {
            sending = client.SendAsync(whole[from..], IsPlain(whole.Length));
        }

        if (!hasSent) lastFrames.Begin(whole.Length);
        else if (watch.SaidWhy && !whole.IsEmpty) lastFrames.Add(whole.Span, lastFrame);
        hasSent = true;
        return sending.IsCompletedSuccessfully ? new(Taken(sending.GetAwaiter().GetResult())) : SentAsync(sending);
    }

    public ValueTask<bool> KeepAliveAsync() => client.KeepAliveAsync();

    public GenerationEnd Close(ProxyError? broken, bool silent, FrameBatch batch)
    {
        CatchUp(batch);
        var rest = batch.Rest;
        var isSilentEnd = silent && rest.IsEmpty && SaidWhy(default); // the host sent the finish reason and then kept the connection open
        if (batch.IsTooLong || (broken is not null && !IsOver && !isSilentEnd)) return new(EndKind.BrokeOff, Usage, broken);

        ReadOnlySpan<byte> payload = default;
        if (!rest.IsEmpty)
        {
            // A complete last frame counts even without its line end. Half a frame is not sent: an error frame of ours would become its second half.
            payload = batch.PayloadOfRest(rest);
            watch.Look(payload, batch);
            hasEnd |= last is not null && watch.Ended;
            if (watch.ErrorIsHidden) rest = default; // we send the error in a form that the client can read
            else if (watch.Error is not null && Struck(rest) is { } struck) Target.Write(struck);
            else if (IsOver) Write(batch.Number + 1, rest, payload);
        }

        if (watch.Error is { } said)
        {
            if (hasEnd) output.Write(last!.Span); // no gate decides about an answer that has failed
            var error = new ProxyError(ProxyErrorKind.HostFailed, reply.Secrets?.Strike(said.Message) ?? said.Message) { Backend = reply.Backend };
            return new(watch.ErrorIsHidden ? EndKind.BrokeOff : EndKind.HostSaidError, Usage, error);
        }

        if (watch.Ended) return new(EndKind.Whole, Usage);
        if ((!rest.IsEmpty && !IsFrame(payload)) || !SaidWhy(payload)) return new(EndKind.BrokeOff, Usage, reply.Unfinished());

        hasEnd = last is not null;
        if (!payload.IsEmpty && !(watch.Counted && edits?.LeavesOut(payload) == true))
        {
            Write(batch.Number + 1, rest, payload);
            Target.Write("\n\n"u8);
        }

        Target.Write(reply.Dialect!.EndMarker);
        return new(EndKind.Whole, Usage);
    }

    public async ValueTask EndAsync()
    {
        if (last is { Length: > 0 }) await output.WriteAsync(last.Memory);
    }

    public void Dispose()
    {
        last?.Dispose();
        each?.Dispose(); // the batch failed
    }

    /// <summary>The batch is one frame without token counts, a finish reason, an end marker or an error.</summary>
    private bool IsPlain(int length) => from == 0 && lastFrame == length && watch is { SaidWhy: false, Counted: false, Ended: false, Error: null };

    private void CatchUp(FrameBatch batch)
    {
        batch.Pass(passed);
        passed = 0;
    }

    private void HoldEnd(ReadOnlySpan<byte> before)
    {
        if (!WritesEach) output.Write(before);
        from += WritesEach ? 0 : before.Length;
        hasEnd = true;
    }

    private ValueTask<FlushResult> SendEachAsync()
    {
        var written = each!;
        each = null;
        var sending = written.Length > 0 ? output.WriteAsync(written.Memory) : output.UnflushedBytes > 0 ? output.FlushAsync() : default;
        if (written.Capacity > LargestSpare)
        {
            written.Dispose();
            return sending;
        }

        written.Clear();
        spare = written;
        return sending;
    }

    private bool SaidWhy(ReadOnlySpan<byte> rest) => watch.SaidWhy && lastFrames.SayWhy(reply.Dialect!, rest);

    private bool IsFrame(ReadOnlySpan<byte> payload) => payload.IsEmpty || reply.Dialect!.Classify(payload) is not FrameKind.Error;

    private void Write(long number, ReadOnlySpan<byte> frame, ReadOnlySpan<byte> payload)
    {
        if (edits is { Renames: true })
        {
            if (ids?.Begin(number, Target) != false) edits.Write(frame, payload, Target);
        }
        else if (ids is not null)
        {
            ids.Write(number, frame, Target);
        }
        else
        {
            Target.Write(frame);
        }
    }

    /// <summary>An error frame with our credentials removed; null if it contains none.</summary>
    private byte[]? Struck(ReadOnlySpan<byte> frame) => reply.Secrets is { } secrets && secrets.TryStrike(frame, out var struck) ? struck : null;

    private static async ValueTask<bool> SentAsync(ValueTask<FlushResult> sending) => Taken(await sending);

    private static bool Taken(FlushResult result) => !result.IsCompleted && !result.IsCanceled;
}
