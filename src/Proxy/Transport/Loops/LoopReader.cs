using System.Buffers;
using System.IO.Pipelines;
using System.Threading.Tasks.Sources;
using Microsoft.AspNetCore.Connections;
using Proxy.Buffers;

namespace Proxy.Transport.Loops;

/// <summary>
/// Reads from a client. It receives only when a read asks for bytes; otherwise they stay in the kernel's buffer, whose limit gives back-pressure. An
/// idle connection holds no buffer.
/// </summary>
internal sealed class LoopReader(LoopConnection connection, int descriptor) : PipeReader, IValueTaskSource<ReadResult>
{
    private ManualResetValueTaskSourceCore<bool> source;
    private CancellationTokenRegistration registration;
    private CancellationToken token;
    private byte[]? buffer;
    private int start;
    private int end;
    private int examined; // relative to start
    private bool readable; // changed on the loop's thread
    private bool ended;
    private bool closed;

    // There is no lock. While a read waits, only the loop changes these fields; at all other times only the reader does. Other threads set a flag and
    // post work to the loop.
    private volatile bool waiting;
    private volatile bool canceled;
    private volatile bool failed;
    private volatile bool completed;

    /// <summary>The end of the stream was received, or the connection is broken. Only for the reader, while no read waits.</summary>
    public bool IsOver => ended || failed;

    private bool IsReady => end - start > examined || ended || failed || canceled;

    public override ValueTask<ReadResult> ReadAsync(CancellationToken cancellationToken = default)
    {
        if (!IsReady && connection.Loop.IsCurrent && readable && connection.Loop.Budget-- > 0) Receive();
        if (IsReady) return new(Take());
        source.Reset();
        if (cancellationToken.CanBeCanceled)
        {
            token = cancellationToken;
            registration = cancellationToken.UnsafeRegister(static state => ((LoopConnection)state!).Resume(), connection);
        }

        waiting = true;
        return new(this, source.Version);
    }

    public override bool TryRead(out ReadResult result)
    {
        if (!IsReady && connection.Loop.IsCurrent && readable) Receive();
        result = IsReady ? Take() : default;
        return !result.Buffer.IsEmpty || result.IsCompleted || result.IsCanceled;
    }

    public override void AdvanceTo(SequencePosition consumed) => AdvanceTo(consumed, consumed);

    public override void AdvanceTo(SequencePosition consumed, SequencePosition examined)
    {
        if (buffer is null) return;
        start = Index(consumed);
        this.examined = Index(examined) - start;
        if (start == end) Release();
    }

    /// <summary>Callable from any thread.</summary>
    public override void CancelPendingRead()
    {
        canceled = true;
        connection.Resume();
    }

    public override void Complete(Exception? exception = null)
    {
        completed = true;
        Release();
    }

    /// <summary>Called on the loop: the socket may be readable.</summary>
    public void OnReadable()
    {
        readable = true;
        GoOn();
    }

    /// <summary>Called on the loop: receives for a waiting read.</summary>
    public void GoOn()
    {
        if (!waiting || completed) return;
        if (!IsReady && readable) Receive();
        if (IsReady || token.IsCancellationRequested) Wake();
    }

    /// <summary>Called on the loop: the connection is broken.</summary>
    public void Fail()
    {
        failed = true;
        if (waiting) Wake();
    }

    /// <summary>Called on the loop before the descriptor is closed: nothing may be received any more.</summary>
    public void Close()
    {
        closed = true;
        Fail();
    }

    ReadResult IValueTaskSource<ReadResult>.GetResult(short token)
    {
        source.GetResult(token);
        return Take();
    }

    ValueTaskSourceStatus IValueTaskSource<ReadResult>.GetStatus(short token) => source.GetStatus(token);

    void IValueTaskSource<ReadResult>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags)
    {
        source.OnCompleted(continuation, state, token, flags);

        // Resume only after the continuation is attached; otherwise the loop could complete the read first, and the continuation would run on the thread
        // pool. Resume is needed because the loop may have seen the socket become readable before it saw that a read on another thread waits.
        if (!connection.Loop.IsCurrent || readable) connection.Resume();
    }

    // The sign bit of a position encodes the kind of its sequence.
    private static int Index(SequencePosition position) => position.GetInteger() & int.MaxValue;

    private ReadResult Take()
    {
        if (failed && !canceled) throw new ConnectionResetException("the client's connection is broken");
        var wasCanceled = canceled;
        canceled = false;
        return new(buffer is null ? ReadOnlySequence<byte>.Empty : new(buffer, start, end - start), wasCanceled, ended);
    }

    // Receives into the loop's scratch buffer first, so that a buffer is rented only when bytes have arrived.
    private void Receive()
    {
        if (closed || completed) return;
        var scratch = connection.Loop.TakeScratch();
        var count = LibC.Receive(descriptor, scratch);
        if (count == LibC.WouldBlock)
        {
            readable = false;
            return;
        }

        if (count <= 0)
        {
            ended = count == 0;
            failed = count < 0;
            return;
        }

        // Edge-triggered: a short read means that the socket is drained, and epoll will report the next byte. EPOLLRDHUP is reported only once, so after it
        // keep reading until recv returns 0.
        if (count < scratch.Length && !connection.PeerDone) readable = false;
        Reserve(count);
        scratch.AsSpan(0, count).CopyTo(buffer.AsSpan(end));
        end += count;
    }

    private void Reserve(int more)
    {
        if (buffer is null)
        {
            buffer = ByteArrays.Rent(more);
            start = end = examined = 0;
            return;
        }

        if (buffer.Length - end >= more) return;
        var have = end - start;
        var larger = buffer.Length >= have + more ? buffer : ByteArrays.Rent(Math.Max(have + more, have * 2));
        buffer.AsSpan(start, have).CopyTo(larger);
        if (!ReferenceEquals(larger, buffer)) ByteArrays.Return(buffer);
        buffer = larger;
        start = 0;
        end = have;
    }

    // On the loop.
    private void Wake()
    {
        waiting = false;
        registration.Dispose();
        registration = default;
        var reason = token;
        token = default;
        if (IsReady) source.SetResult(true); // runs the reader's continuation on this stack
        else source.SetException(new OperationCanceledException(reason));
    }

    private void Release()
    {
        if (buffer is { } rented) ByteArrays.Return(rented);
        buffer = null;
        start = end = examined = 0;
    }
}
