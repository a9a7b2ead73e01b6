using System.Buffers;
using System.Net.Sockets;
using System.Security.Authentication;
using Proxy.Buffers;

namespace Proxy.Transport;

/// <summary>One request and its reply over a connection of the runtime's sockets.</summary>
internal sealed class SocketExchange(SocketUpstream client, CoarseTicker ticker) : InterruptibleExchange(ticker)
{
    private const int SmallBuffer = 4096;
    private const int LargeBuffer = 64 * 1024;

    // Up to this size head and body are copied together and sent at once. Larger bodies are sent without being copied.
    private const int OneSend = 64 * 1024;

    private SocketConnection? connection; // used by the reader
    private SocketConnection? held; // the owner's reference: the code that exchanges it for null closes the connection or returns it to the pool
    private CancellationTokenSource? connecting;
    private CancellationTokenSource? upload; // cancels the upload of a body that is too large for one send
    private ResponseReader response;
    private byte[]? buffer;
    private int start;
    private int end;
    private bool full; // the last receive filled the buffer, so the next one gets a larger buffer
    private bool sent;
    private int disposed;

    internal void OnReceived() => Received();

    public override async ValueTask<UpstreamHead> SendAsync(UpstreamRequest request)
    {
        Opening = true;
        StartClock();
        response.IsBodyless = request.Method == "HEAD";
        for (var fresh = false; ; fresh = true)
        {
            if (await TakeConnectionAsync(fresh) is { } failure) return failure;

            var read = await ExchangeHeadsAsync(request);
            if (read.Kind == ReplyReadKind.Data)
            {
                Reading = true;
                return response.Answer();
            }

            if (IsEnded || response.HasBegun || HostWasAway || !connection!.IsReused) return Failed(response.Outcome);

            // The host had closed the idle connection and has not seen this request, so retry on a new connection.
            Drop();
            Opening = true;
        }
    }

    public override ValueTask<ReplyRead> ReadAsync() => response.HasHead ? NextAsync() : new(new ReplyRead(ReplyReadKind.Failed));

    public override void Dispose()
    {
        if (Interlocked.Exchange(ref disposed, 1) != 0) return;
        StopClock();
        if (Interlocked.Exchange(ref held, null) is { } mine)
        {
            if (response.KeepsConnection && sent && start == end && !IsEnded)
            {
                client.GiveBack(mine, response.Head.KeepAliveSeconds);
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
            _ = Volatile.Read(ref connecting)?.CancelAsync(); // asynchronously, so that the connect's continuation does not run on this stack
        }
        catch (ObjectDisposedException)
        {
            // The connect has just finished, so the connection is in `held` and is closed below.
        }

        Interlocked.Exchange(ref held, null)?.Close();
    }

    protected override bool BeginReceive()
    {
        Reserve();
        return connection!.BeginReceive(buffer!, end);
    }

    protected override void EndReceive()
    {
        var count = connection!.EndReceive(out var broken);
        if (count == 0)
        {
            HostWasAway = connection.IsLost;
            response.Close(HostWasAway ? Words(SocketError.TimedOut) : broken);
        }
        else
        {
            connection.Hear();
            client.Hear();
        }

        end += count;
        full = end == buffer!.Length;
    }

    protected override void ReleaseReceive()
    {
        connection?.Dispose();
        ReturnBuffer();
    }

    protected override bool TryProduce(out ReplyRead read)
    {
        bool isOver;
        int used;
        if (response.HasHead)
        {
            isOver = response.TryReadBody(buffer.AsMemory(start, end - start), out used, out read);
        }
        else
        {
            isOver = response.TryReadHead(buffer.AsSpan(start, end - start), out used);
            read = new(response.HasHead ? ReplyReadKind.Data : ReplyReadKind.Failed);
        }

        start += used;
        if (!isOver && start == end) start = end = 0;
        if (isOver && read.Kind == ReplyReadKind.Failed) Failure = response.Failure;
        return isOver;
    }

    // Returns null when a connection is ready, otherwise the failure.
    private async ValueTask<UpstreamHead?> TakeConnectionAsync(bool fresh)
    {
        if (!fresh && client.TakeIdle() is { } idle) return Hold(idle);

        using var patience = new CancellationTokenSource(client.Target.Connect, Ticker.Time);
        Volatile.Write(ref connecting, patience);
        try
        {
            if (IsEnded) return Failed(default);
            var opened = await client.ConnectAsync(patience.Token);
            Connected = Ticker.Time.GetTimestamp();
            return Hold(opened);
        }
        catch (OperationCanceledException)
        {
            Failure = $"{client.Name} took no connection within {client.Target.Connect.TotalSeconds:0.###} s";
            return Failed(UpstreamOutcome.ConnectTimedOut);
        }
        catch (Exception failure) when (failure is SocketException or IOException or AuthenticationException)
        {
            Failure = failure is SocketException socket
                ? $"{client.Name}: {Words(socket.SocketErrorCode)}"
                : $"{client.Name}: TLS could not be established: {failure.Message}";
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
        taken.Exchange = this;
        Interlocked.Exchange(ref held, taken);
        if (!IsEnded) return null;
        Interlocked.Exchange(ref held, null)?.Close();
        return Failed(default);
    }

    // When this has completed, the caller may reuse the body's memory.
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

    // A host may answer before it has read the whole request, and may then close the connection or stop reading. Its answer must still be read, so the
    // reply is awaited while the upload continues.
    private async ValueTask<ReplyRead> UploadAsync(Task sending)
    {
        Opening = false;
        var read = await NextAsync();
        if (read.Kind != ReplyReadKind.Data) Interlocked.Exchange(ref held, null)?.Close();
        else if (response.Head.Status < 300) Opening = true; // the host goes on reading; the deadline still applies
        else if (upload is not null) await upload.CancelAsync();
        await sending;
        Opening = false;
        return IsEnded ? new(ReplyReadKind.Cancelled) : read;
    }

    // Send errors are ignored: the host may have answered before it closed. If it did not, reading the answer reports the error.
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
        catch (Exception failure) when (failure is SocketException or IOException or ObjectDisposedException or OperationCanceledException)
        {
            // `sent` stays false.
        }
    }

    private ValueTask SendAllAsync(ReadOnlyMemory<byte> bytes) => connection!.SendAsync(bytes, upload?.Token ?? default);

    private UpstreamHead Failed(UpstreamOutcome outcome)
    {
        Opening = false;
        Interlocked.Exchange(ref held, null)?.Close();
        return IsEnded ? Ended(IsTimedOut) : new(outcome) { Failure = Failure };
    }

    private void Drop()
    {
        Interlocked.Exchange(ref held, null)?.Close();
        connection!.Dispose();
        Restart();
        response.Restart();
        start = end = 0;
        sent = false;
        Failure = null;
    }

    // Reserves room for a receive: 4 KiB at first, doubled up to 64 KiB when a receive has filled the buffer.
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

    private static string Words(SocketError error) => new SocketException((int)error).Message;
}
