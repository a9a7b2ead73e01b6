using System.Buffers;
using System.Net.Sockets;
using Proxy.Buffers;

namespace Proxy.Transport;

/// <summary>One request and its reply over a plain socket.</summary>
internal sealed class SocketExchange(SocketUpstream client, CoarseTicker ticker) : InterruptibleExchange(ticker)
{
    private const int SmallBuffer = 4096;
    private const int LargeBuffer = 64 * 1024;

    // Head and body leave in one send up to this size; above, the rest of the body is sent from where it is.
    private const int OneSend = 64 * 1024;

    private SocketConnection? connection; // the reader's
    private SocketConnection? held; // whoever takes it out closes it or gives it back
    private CancellationTokenSource? connecting;
    private CancellationTokenSource? upload; // of a body too large for one send
    private byte[]? buffer;
    private int start;
    private int end;
    private int scanned;
    private int interim; // 1xx heads so far
    private bool full; // the last receive filled the buffer: the next one gets a larger
    private SocketError error;
    private bool closedByHost;
    private bool aborted;
    private bool bodyless;
    private bool heard; // a byte of the response has come
    private bool headRead;
    private ResponseHead head;
    private UpstreamOutcome headFailure;
    private bool sent;
    private int disposed;

    internal void OnReceived() => Received();

    public override async ValueTask<UpstreamHead> SendAsync(UpstreamRequest request)
    {
        Opening = true;
        StartClock();
        bodyless = request.Method == "HEAD";
        for (var fresh = false; ; fresh = true)
        {
            if (await TakeConnectionAsync(fresh) is { } failure) return failure;

            var read = await ExchangeHeadsAsync(request);
            if (read.Kind == ReplyReadKind.Data) return Answered();
            if (IsEnded || heard || HostWasAway || !connection!.IsReused) return Failed(headFailure);

            // The host had closed the idle connection; it has not seen this request.
            Drop();
            Opening = true;
        }
    }

    public override ValueTask<ReplyRead> ReadAsync() => headRead ? NextAsync() : new(new ReplyRead(ReplyReadKind.Failed));

    public override void Dispose()
    {
        if (Interlocked.Exchange(ref disposed, 1) != 0) return;
        StopClock();
        if (Interlocked.Exchange(ref held, null) is { } mine)
        {
            if (headRead && head.Body.Done && head.KeepAlive && sent && start == end && !closedByHost && !IsEnded)
            {
                mine.KeepAliveSeconds = head.KeepAliveSeconds ?? mine.KeepAliveSeconds;
                client.GiveBack(mine);
                ReturnBuffer();
                return;
            }

            mine.Close();
        }

        if (TryLeave()) ReleaseReceive();
    }

    protected override void Break()
    {
        try
        {
            _ = Volatile.Read(ref connecting)?.CancelAsync(); // not here: the connect's continuation would run on this stack
        }
        catch (ObjectDisposedException)
        {
            // It has just connected; then the connection is held.
        }

        Interlocked.Exchange(ref held, null)?.Close();
    }

    protected override bool BeginReceive()
    {
        Reserve();
        var receive = connection!.Receive;
        try
        {
            receive.SetBuffer(buffer, end, buffer!.Length - end);
            return connection.Socket.ReceiveAsync(receive);
        }
        catch (ObjectDisposedException)
        {
            aborted = true;
            return false;
        }
    }

    protected override void EndReceive()
    {
        var receive = connection!.Receive;
        error = aborted ? SocketError.OperationAborted : receive.SocketError;
        var count = aborted || error != SocketError.Success ? 0 : receive.BytesTransferred;
        if (count == 0)
        {
            closedByHost = true;
            HostWasAway = connection.IsLost;
        }
        else
        {
            heard = true;
            connection.Hear();
            client.Hear();
        }

        end += count;
        full = end == buffer!.Length;
    }

    protected override void ReleaseReceive()
    {
        connection?.Receive.Dispose();
        ReturnBuffer();
    }

    protected override bool TryProduce(out ReplyRead read)
    {
        if (!headRead)
        {
            read = new(ReplyReadKind.Failed);
            return TryReadHead(ref read);
        }

        while (!head.Body.Done)
        {
            if (head.Body.Fault is { } fault) return Fail(fault, out read);
            if (start < end)
            {
                var length = head.Body.Unframe(buffer.AsSpan(start, end - start), out var from, out var used);
                var bytes = new ReadOnlyMemory<byte>(buffer, start + from, length);
                start += used;
                if (length == 0) continue;
                read = new(ReplyReadKind.Data, bytes);
                return true;
            }

            if (!closedByHost)
            {
                start = end = 0;
                read = default;
                return false;
            }

            if (error != SocketError.Success) return Fail($"the host broke off its answer: {Reason}", out read);
            head.Body.Close();
        }

        read = new(ReplyReadKind.End);
        return true;
    }

    private bool TryReadHead(ref ReplyRead read)
    {
        while (true)
        {
            var bytes = buffer.AsSpan(start, end - start);
            if (!ResponseHead.CanBegin(bytes)) return NotHttp("its first bytes are not an HTTP/1.x response");
            var length = ResponseHead.FindEnd(bytes, ref scanned);
            if (length == 0)
            {
                if (bytes.Length >= ResponseHead.MaxBytes) return NotHttp($"its head is larger than {ResponseHead.MaxBytes} bytes");
                if (!closedByHost) return false;
                headFailure = UpstreamOutcome.Broken;
                Failure = error != SocketError.Success ? $"the connection broke before the answer: {Reason}" : "the host closed the connection before it answered";
                return true;
            }

            if (ResponseHead.Read(bytes[..length], bodyless, out head) is { } fault) return NotHttp(fault);
            start += length;
            scanned = 0;
            if (head.Status == 101) return NotHttp("it switched to another protocol");
            if (head.Status < 200)
            {
                if (++interim > ResponseHead.MostInterim) return NotHttp($"more than {ResponseHead.MostInterim} interim answers (1xx) came before it");
                continue;
            }

            headRead = true;
            read = new(ReplyReadKind.Data);
            return true;
        }
    }

    private bool NotHttp(string why)
    {
        headFailure = UpstreamOutcome.NotHttp;
        Failure = $"the host's answer cannot be read: {why}";
        return true;
    }

    private bool Fail(string why, out ReplyRead read)
    {
        Failure = why;
        read = new(ReplyReadKind.Failed);
        return true;
    }

    // Null: there is a connection.
    private async ValueTask<UpstreamHead?> TakeConnectionAsync(bool fresh)
    {
        if (!fresh && client.TakeIdle() is { } idle) return Hold(idle);

        using var patience = new CancellationTokenSource(client.Target.Connect, Ticker.Time);
        Volatile.Write(ref connecting, patience);
        try
        {
            if (IsEnded) return Failed(default);
            return Hold(client.Opened(await client.Addresses.ConnectAsync(client.Target.Connect, patience.Token)));
        }
        catch (OperationCanceledException)
        {
            Failure = $"{client.Name} took no connection within {client.Target.Connect.TotalSeconds:0.###} s";
            return Failed(UpstreamOutcome.ConnectTimedOut);
        }
        catch (SocketException failure)
        {
            Failure = $"{client.Name}: {Words(failure.SocketErrorCode)}";
            return Failed(DescriptorShortage.IsCauseOf(failure) ? UpstreamOutcome.OutOfDescriptors : UpstreamOutcome.ConnectFailed);
        }
        finally
        {
            Volatile.Write(ref connecting, null);
        }
    }

    private UpstreamHead? Hold(SocketConnection taken)
    {
        connection = taken;
        taken.Receive.Exchange = this;
        Interlocked.Exchange(ref held, taken);
        if (!IsEnded) return null;
        Interlocked.Exchange(ref held, null)?.Close();
        return Failed(default);
    }

    // The body's memory is free when this has completed.
    private async ValueTask<ReplyRead> ExchangeHeadsAsync(UpstreamRequest request)
    {
        sent = false;
        using var large = request.Body.Length > OneSend ? new CancellationTokenSource() : null;
        upload = large;
        var sending = SendRequestAsync(request);
        if (sending.IsCompleted)
        {
            await sending;
            Opening = false;
            return await NextAsync();
        }

        return await UploadAsync(sending.AsTask());
    }

    // A host may answer before it has read everything, and may then close or read no more: what it says must not be lost for that.
    private async ValueTask<ReplyRead> UploadAsync(Task sending)
    {
        Opening = false;
        var read = await NextAsync();
        if (read.Kind != ReplyReadKind.Data) Interlocked.Exchange(ref held, null)?.Close();
        else if (head.Status < 300) Opening = true; // it goes on reading, and the deadline on counting
        else if (upload is not null) await upload.CancelAsync();
        await sending;
        Opening = false;
        return IsEnded ? new(ReplyReadKind.Cancelled) : read;
    }

    // An error here shows again when the answer is read; a host may have answered before it closed.
    private async ValueTask SendRequestAsync(UpstreamRequest request)
    {
        using var first = new PooledBody(request.Body.Length < OneSend ? (int)request.Body.Length + 1024 : 4096);
        client.Head.Write(first, request);
        try
        {
            if (first.Length + request.Body.Length <= OneSend)
            {
                request.Body.CopyTo(first.GetSpan((int)request.Body.Length));
                first.Advance((int)request.Body.Length);
                await SendAllAsync(first.Memory);
            }
            else
            {
                await SendAllAsync(first.Memory);
                await SendAllAsync(request.Body.Before);
                await SendAllAsync(request.Body.Inserted);
                await SendAllAsync(request.Body.After);
            }

            sent = true;
        }
        catch (Exception failure) when (failure is SocketException or ObjectDisposedException or OperationCanceledException)
        {
            // Not sent.
        }
    }

    private async ValueTask SendAllAsync(ReadOnlyMemory<byte> bytes)
    {
        while (!bytes.IsEmpty) bytes = bytes[await connection!.Socket.SendAsync(bytes, SocketFlags.None, upload?.Token ?? default)..];
    }

    private UpstreamHead Answered()
    {
        Reading = true;
        return new(UpstreamOutcome.Answered, head.Status)
        {
            ContentType = head.ContentType,
            ContentLength = head.ContentLength,
            ContentEncoding = head.ContentEncoding,
            Headers = head.Headers is { } headers ? headers : [],
        };
    }

    private UpstreamHead Failed(UpstreamOutcome outcome)
    {
        Opening = false;
        Interlocked.Exchange(ref held, null)?.Close();
        if (!IsEnded) return new(outcome) { Failure = Failure };
        return IsTimedOut ? new(UpstreamOutcome.TimedOut) { Failure = "the host did not answer in time" } : new(UpstreamOutcome.Cancelled) { Failure = "the call was cancelled" };
    }

    private void Drop()
    {
        Interlocked.Exchange(ref held, null)?.Close();
        connection!.Receive.Dispose();
        Restart();
        start = end = scanned = interim = 0;
        closedByHost = aborted = sent = false;
        error = SocketError.Success;
        Failure = null;
    }

    // Room for a receive: little while the host sends little, more after it has filled what there was.
    private void Reserve()
    {
        if (buffer is null)
        {
            buffer = ArrayPool<byte>.Shared.Rent(SmallBuffer);
            return;
        }

        var grows = end == buffer.Length || (full && end == 0 && buffer.Length < LargeBuffer);
        if (!grows) return;
        var larger = ArrayPool<byte>.Shared.Rent(buffer.Length * 2);
        buffer.AsSpan(start, end - start).CopyTo(larger);
        end -= start;
        start = 0;
        full = false;
        ArrayPool<byte>.Shared.Return(buffer);
        buffer = larger;
    }

    private void ReturnBuffer()
    {
        if (Interlocked.Exchange(ref buffer, null) is { } rented) ArrayPool<byte>.Shared.Return(rented);
    }

    private string Reason => Words(HostWasAway ? SocketError.TimedOut : error);

    private static string Words(SocketError error) => new SocketException((int)error).Message;
}
