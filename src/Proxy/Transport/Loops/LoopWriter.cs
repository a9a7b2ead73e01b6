using System.Buffers;
using System.Globalization;
using System.IO.Pipelines;
using System.Threading.Tasks.Sources;
using Proxy.Buffers;

namespace Proxy.Transport.Loops;

/// <summary>
/// Writes to a client without a pipe. A flush sends from the writer's own buffer on the caller's thread; only bytes that the kernel does not take at once
/// are kept, and the loop sends them later. One writer at a time. A flush that does not complete is the back-pressure of a slow client.
/// </summary>
internal sealed class LoopWriter(LoopConnection connection, int descriptor) : PipeWriter, IValueTaskSource<FlushResult>, ISender
{
    private const int SmallBuffer = 4096;
    private const int LargestLast = 16 << 10;
    private const int LongestChunkSize = 10; // eight hexadecimal digits and CR LF

    private readonly Lock gate = new();
    private ManualResetValueTaskSourceCore<bool> source;
    private CancellationTokenRegistration registration;
    private CancellationToken token;

    // Written but not flushed bytes; only the writer uses them.
    private byte[]? buffer;
    private int length;

    // Flushed bytes that the kernel has not taken. Protected by the gate, unless the writer runs on the loop's thread.
    private byte[]? rest;
    private int restStart;
    private int restEnd;
    private long taken; // how many bytes of all rests the kernel has taken
    private bool waiting;
    private bool canceled;
    private bool failed;
    private volatile bool isWrittenElsewhere; // another thread than the loop's has written at least once

    /// <summary>How many delayed bytes have been sent. Only its growth matters: it shows that the client reads. Callable from any thread.</summary>
    public long Taken => Volatile.Read(ref taken);

    /// <summary>Flushed bytes are still waiting to be sent.</summary>
    public bool HasRest
    {
        get
        {
            lock (gate) return rest is not null;
        }
    }

    public override bool CanGetUnflushedBytes => true;

    public override long UnflushedBytes => length;

    // The writer runs on the loop's thread and no bytes are waiting, so no lock is needed.
    private bool IsAlone => connection.Loop.IsCurrent && rest is null && !failed && !canceled;

    public override Memory<byte> GetMemory(int sizeHint = 0)
    {
        Reserve(sizeHint);
        return buffer.AsMemory(length);
    }

    public override Span<byte> GetSpan(int sizeHint = 0)
    {
        Reserve(sizeHint);
        return buffer.AsSpan(length);
    }

    public override void Advance(int bytes) => length += bytes;

    public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default) =>
        SendAsync(default, default, default, cancellationToken);

    public override ValueTask<FlushResult> WriteAsync(ReadOnlyMemory<byte> source, CancellationToken cancellationToken = default) =>
        SendAsync(default, source.Span, default, cancellationToken);

    /// <summary>Writes one chunk of a chunked body without flushing it.</summary>
    public void PutChunk(ReadOnlySpan<byte> payload)
    {
        Advance(WriteChunkSize(payload.Length, GetSpan(LongestChunkSize)));
        Put(payload);
        Put("\r\n"u8);
    }

    /// <summary>
    /// Sends the payload as one chunk of a chunked body, directly from the caller's memory. Only bytes that the kernel does not take are copied.
    /// </summary>
    public ValueTask<FlushResult> WriteChunkAsync(ReadOnlySpan<byte> payload, CancellationToken cancellationToken = default)
    {
        Span<byte> size = stackalloc byte[LongestChunkSize];
        return SendAsync(size[..WriteChunkSize(payload.Length, size)], payload, "\r\n"u8, cancellationToken);
    }

    /// <summary>Writes the last bytes of a response. On the loop's thread, small ones are sent with <see cref="EventLoop.SendLater"/>.</summary>
    public ValueTask<FlushResult> WriteLastAsync(ReadOnlySpan<byte> bytes)
    {
        if (bytes.IsEmpty && length == 0) return default;
        if (!IsAlone || length + bytes.Length > LargestLast) return SendAsync(default, bytes, default, default);
        Put(bytes);
        (rest, restStart, restEnd) = (buffer, 0, length);
        (buffer, length) = (null, 0);
        connection.Loop.SendLater(this);
        return default;
    }

    public override void CancelPendingFlush() => Interrupt(byToken: false);

    public override void Complete(Exception? exception = null)
    {
        lock (gate) Flush();
    }

    /// <summary>Called on the loop: the socket is writable again.</summary>
    public void OnWritable()
    {
        if (rest is not null || isWrittenElsewhere) GoOn();
    }

    void ISender.Send() => GoOn();

    /// <summary>Called on the loop: the connection is broken.</summary>
    public void Fail()
    {
        bool wake;
        lock (gate)
        {
            failed = true;
            ReleaseRest();
            wake = waiting;
            waiting = false;
        }

        connection.OnDrained();
        if (wake) Complete();
    }

    /// <summary>Called on the loop before the descriptor is closed. After this the writer does not use the descriptor.</summary>
    public void Close()
    {
        Fail();
        lock (gate) ReleaseBuffer();
    }

    FlushResult IValueTaskSource<FlushResult>.GetResult(short token)
    {
        source.GetResult(token);
        lock (gate) return Result();
    }

    ValueTaskSourceStatus IValueTaskSource<FlushResult>.GetStatus(short token) => source.GetStatus(token);

    void IValueTaskSource<FlushResult>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        source.OnCompleted(continuation, state, token, flags);

    // Called on the loop: sends the waiting bytes.
    private void GoOn()
    {
        bool wake;
        lock (gate)
        {
            if (rest is null) return;
            SendRest();
            if (rest is not null)
            {
                connection.WatchForStall();
                return;
            }

            wake = waiting;
            waiting = false;
        }

        connection.OnDrained();
        if (wake) Complete();
    }

    private static int WriteChunkSize(int size, Span<byte> to)
    {
        size.TryFormat(to, out var digits, "x", CultureInfo.InvariantCulture);
        "\r\n"u8.CopyTo(to[digits..]);
        return digits + 2;
    }

    private void Complete()
    {
        registration.Dispose();
        source.SetResult(true);
    }

    private void Put(ReadOnlySpan<byte> bytes)
    {
        Reserve(bytes.Length);
        bytes.CopyTo(buffer.AsSpan(length));
        length += bytes.Length;
    }

    private void Reserve(int hint)
    {
        hint = Math.Max(hint, 1);
        if (buffer is null)
        {
            buffer = ByteArrays.Rent(Math.Max(hint, SmallBuffer));
            return;
        }

        if (buffer.Length - length >= hint) return;
        var larger = ByteArrays.Rent(Math.Max(buffer.Length * 2, length + hint));
        buffer.AsSpan(0, length).CopyTo(larger);
        ByteArrays.Return(buffer);
        buffer = larger;
    }

    private void Flush()
    {
        if (length == 0) return;
        if (failed)
        {
            ReleaseBuffer();
            return;
        }

        if (rest is not null)
        {
            Keep(buffer.AsSpan(0, length));
            length = 0;
            return;
        }

        // The buffer itself becomes the rest; the writer will rent another one.
        (rest, restStart, restEnd) = (buffer, 0, length);
        (buffer, length) = (null, 0);
        SendRest();
    }

    private ValueTask<FlushResult> SendAsync(ReadOnlySpan<byte> before, ReadOnlySpan<byte> bytes, ReadOnlySpan<byte> after, CancellationToken cancellationToken)
    {
        var isAlone = IsAlone;
        if (isAlone)
        {
            SendWithBuffer(before, bytes, after);
            if (rest is null && !failed) return default;
        }

        lock (gate)
        {
            if (!isAlone)
            {
                // Set before the send: if the kernel does not take all bytes, OnWritable must look at the rest.
                if (!connection.Loop.IsCurrent) isWrittenElsewhere = true;
                SendWithBuffer(before, bytes, after);
            }

            return Outcome(cancellationToken);
        }
    }

    // Sends unflushed bytes (a response's head) together with the new ones in one system call. Up to 4 KiB are copied into one buffer, which is faster than
    // a gathering send.
    private void SendWithBuffer(ReadOnlySpan<byte> before, ReadOnlySpan<byte> bytes, ReadOnlySpan<byte> after)
    {
        if (bytes.IsEmpty)
        {
            Flush();
        }
        else if (length + before.Length + bytes.Length + after.Length <= SmallBuffer)
        {
            Put(before);
            Put(bytes);
            Put(after);
            Flush();
        }
        else if (length == 0 || rest is not null || failed)
        {
            Flush();
            Send(before, bytes, after);
        }
        else
        {
            Put(before);
            var (written, size) = (buffer, length);
            (buffer, length) = (null, 0);
            Send(written.AsSpan(0, size), bytes, after);
            ByteArrays.Return(written!);
        }
    }

    private void Send(ReadOnlySpan<byte> before, ReadOnlySpan<byte> bytes, ReadOnlySpan<byte> after)
    {
        if (failed || bytes.IsEmpty) return;
        var sent = 0;
        if (rest is null)
        {
            sent = before.IsEmpty ? LibC.Send(descriptor, bytes) : LibC.Send(descriptor, before, bytes, after);
            if (sent == before.Length + bytes.Length + after.Length) return;
            if (sent == LibC.Failed)
            {
                failed = true;
                return;
            }

            sent = Math.Max(sent, 0);
        }

        KeepFrom(before, ref sent);
        KeepFrom(bytes, ref sent);
        KeepFrom(after, ref sent);
    }

    private void KeepFrom(ReadOnlySpan<byte> bytes, ref int sent)
    {
        var skipped = Math.Min(sent, bytes.Length);
        sent -= skipped;
        Keep(bytes[skipped..]);
    }

    private void Keep(ReadOnlySpan<byte> bytes)
    {
        if (bytes.IsEmpty) return;
        if (rest is null)
        {
            rest = ByteArrays.Rent(bytes.Length);
            restStart = restEnd = 0;
        }
        else if (rest.Length - restEnd < bytes.Length)
        {
            var have = restEnd - restStart;
            var larger = ByteArrays.Rent(have + bytes.Length);
            rest.AsSpan(restStart, have).CopyTo(larger);
            ByteArrays.Return(rest);
            (rest, restStart, restEnd) = (larger, 0, have);
        }

        bytes.CopyTo(rest.AsSpan(restEnd));
        restEnd += bytes.Length;
    }

    private void SendRest()
    {
        while (restStart < restEnd)
        {
            var sent = LibC.Send(descriptor, rest.AsSpan(restStart, restEnd - restStart));
            if (sent == LibC.WouldBlock) return;
            if (sent == LibC.Failed)
            {
                failed = true;
                break;
            }

            restStart += sent;
            taken += sent;
        }

        ReleaseRest();
    }

    private ValueTask<FlushResult> Outcome(CancellationToken cancellationToken)
    {
        if (rest is null || failed || canceled) return new(Result());
        source.Reset();
        waiting = true;
        connection.WatchForStall();
        if (cancellationToken.CanBeCanceled)
        {
            token = cancellationToken;
            registration = cancellationToken.UnsafeRegister(static state => ((LoopWriter)state!).Interrupt(byToken: true), this);
        }

        return new(this, source.Version);
    }

    private FlushResult Result()
    {
        var wasCanceled = canceled;
        canceled = false;
        return new(wasCanceled, failed);
    }

    private void Interrupt(bool byToken)
    {
        lock (gate)
        {
            if (!byToken) canceled = true;
            if (!waiting) return;
            waiting = false;
        }

        if (byToken) source.SetException(new OperationCanceledException(token));
        else Complete();
    }

    private void ReleaseRest()
    {
        if (rest is { } rented) ByteArrays.Return(rented);
        rest = null;
        restStart = restEnd = 0;
    }

    private void ReleaseBuffer()
    {
        if (buffer is { } rented) ByteArrays.Return(rented);
        buffer = null;
        length = 0;
    }
}
