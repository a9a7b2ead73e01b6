using System.Buffers;
using System.IO.Pipelines;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http;
using Proxy.Buffers;
using Proxy.Transport.Loops;

namespace Proxy.Transport.Http1;

/// <summary>The bytes of one request's body, out of its connection's. Its end is where the request said, not where the connection's is.</summary>
internal sealed class RequestBodyReader(LoopReader connection) : PipeReader, IWholeBody
{
    private ReadOnlySequence<byte> given;
    private bool isStalled;

    /// <summary>Bytes that have not been consumed.</summary>
    public long Left { get; private set; }

    /// <summary>Bytes were given out since this was set to false.</summary>
    public bool IsMoving { get; set; }

    public void Start(long length)
    {
        Left = length;
        given = default;
    }

    /// <summary>The client has sent nothing for too long. Any thread.</summary>
    public void Stall()
    {
        isStalled = true;
        connection.CancelPendingRead();
    }

    public override ValueTask<ReadResult> ReadAsync(CancellationToken cancellationToken = default)
    {
        if (Left == 0) return new(new ReadResult(default, false, true));
        var pending = connection.ReadAsync(cancellationToken);
        return pending.IsCompletedSuccessfully ? new(Cut(pending.Result)) : AwaitAsync(pending);
    }

    public override bool TryRead(out ReadResult result)
    {
        result = default;
        if (Left == 0) result = new(default, false, true);
        else if (connection.TryRead(out var read)) result = Cut(read);
        else return false;
        return true;
    }

    public bool TryTakeWhole(PooledBody into)
    {
        if (isStalled || Left == 0 || !connection.TryRead(out var read)) return false;
        var bytes = read.Buffer.FirstSpan;
        if (read.IsCanceled || bytes.Length < Left)
        {
            connection.AdvanceTo(read.Buffer.Start);
            return false;
        }

        into.Write(bytes[..(int)Left]);
        connection.AdvanceTo(read.Buffer.GetPosition(Left));
        Left = 0;
        return true;
    }

    public override void AdvanceTo(SequencePosition consumed) => AdvanceTo(consumed, consumed);

    public override void AdvanceTo(SequencePosition consumed, SequencePosition examined)
    {
        if (given.IsEmpty) return;
        Left -= given.Slice(0, consumed).Length;
        given = default;
        connection.AdvanceTo(consumed, examined);
    }

    public override void CancelPendingRead() => connection.CancelPendingRead();

    public override void Complete(Exception? exception = null)
    {
        // What is left is the server's to skip.
    }

    private async ValueTask<ReadResult> AwaitAsync(ValueTask<ReadResult> pending) => Cut(await pending);

    private ReadResult Cut(ReadResult read)
    {
        if (isStalled) throw new BadHttpRequestException("the body did not come in time", StatusCodes.Status408RequestTimeout);
        var bytes = read.Buffer;
        if (read.IsCompleted && bytes.Length < Left) throw new ConnectionResetException("the client left before its body was whole");
        given = bytes.Length > Left ? bytes.Slice(0, Left) : bytes;
        IsMoving |= !given.IsEmpty;
        return new(given, read.IsCanceled, given.Length == Left);
    }
}
