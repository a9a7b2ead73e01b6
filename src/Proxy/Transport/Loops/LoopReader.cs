using System.Buffers;
using System.IO.Pipelines;
using System.Threading.Tasks.Sources;
using Microsoft.AspNetCore.Connections;
using Proxy.Buffers;

namespace Proxy.Transport.Loops;

/// <summary>A client's bytes, received when they are asked for: while nobody reads, the kernel holds them and the peer has to wait. An idle connection holds no buffer.</summary>
internal sealed class LoopReader(LoopConnection connection, int descriptor) : PipeReader, IValueTaskSource<ReadResult>
{
    private ManualResetValueTaskSourceCore<bool> source;
    private CancellationTokenRegistration registration;
    private CancellationToken token;
    private byte[]? buffer;
    private int start;
    private int end;
    private int examined; // from start
    private bool readable; // the loop's
    private bool ended;
    private bool closed;

    // There is no lock: while a read waits, what is here is the loop's to change, and the reader's at any other time. What others want goes over the loop.
    private volatile bool waiting;
    private volatile bool canceled;
    private volatile bool failed;
    private volatile bool completed;

    /// <summary>The end was received, or the connection is broken. For the reader, while it does not wait.</summary>
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

    /// <summary>Any thread.</summary>
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

    /// <summary>On the loop: there may be something to receive.</summary>
    public void OnReadable()
    {
        readable = true;
        GoOn();
    }

    /// <summary>On the loop: receives for a read that waits.</summary>
    public void GoOn()
    {
        if (!waiting || completed) return;
        if (!IsReady && readable) Receive();
        if (IsReady || token.IsCancellationRequested) Wake();
    }

    /// <summary>On the loop: the connection is broken.</summary>
    public void Fail()
    {
        failed = true;
        if (waiting) Wake();
    }

    /// <summary>On the loop: nothing is read any more.</summary>
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

        // Only now: so it goes on on the loop, and not on the pool because it was late. The loop may have seen bytes before it could see that a read elsewhere waits.
        if (!connection.Loop.IsCurrent || readable) connection.Resume();
    }

    // The sign bit tells what kind of sequence a position belongs to.
    private static int Index(SequencePosition position) => position.GetInteger() & int.MaxValue;

    private ReadResult Take()
    {
        if (failed && !canceled) throw new ConnectionResetException("the client's connection is broken");
        var wasCanceled = canceled;
        canceled = false;
        return new(buffer is null ? ReadOnlySequence<byte>.Empty : new(buffer, start, end - start), wasCanceled, ended);
    }

    // Through the loop's buffer, so that none is held while there is nothing.
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

        // Edge-triggered: less than there was room for was all there is, and the next byte will be told; but an end that was already told will not be again.
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
        if (IsReady) source.SetResult(true); // the protocol goes on here
        else source.SetException(new OperationCanceledException(reason));
    }

    private void Release()
    {
        if (buffer is { } rented) ByteArrays.Return(rented);
        buffer = null;
        start = end = examined = 0;
    }
}
