using System.Net.Sockets;
using Proxy.Buffers;

namespace Proxy.Transport.Loops;

// The request's way to the host: over a connection that lies idle or has to be opened, and what of it has not been taken yet.
internal sealed partial class LoopExchange
{
    private const int SmallBody = 8 << 10;

    private CancellationTokenSource? connecting;
    private UpstreamRequest request;
    private bool mustSend; // all of it
    private PooledBody? unsentHead;
    private long unsent; // of the body, at its end
    private TaskCompletionSource? sent;
    private bool sendFailed;
    private bool abandoned; // the host answered before it had read the body
    private bool opening;

    public override ValueTask<UpstreamHead> SendAsync(UpstreamRequest request)
    {
        var here = client.Loop();
        loop = here;
        this.request = request;
        bodyless = request.Method == "HEAD";
        return here.IsCurrent ? StartAsync(here) : EnterAsync(here);
    }

    private async ValueTask<UpstreamHead> EnterAsync(EventLoop here)
    {
        await here.EnterAsync();
        return await StartAsync(here).ConfigureAwait(false);
    }

    private ValueTask<UpstreamHead> StartAsync(EventLoop here)
    {
        clocked = true;
        here.AddTicked(this);
        if (cancelled)
        {
            ended = ReplyReadKind.Cancelled;
            return new(Failed(default));
        }

        if (client.Idle(here).Take() is not { } idle) return OpenAsync(here);
        SendOver(idle);
        awaitsHead = true;
        return new(this, headSource.Version);
    }

    // Over a connection that has to be opened first.
    private async ValueTask<UpstreamHead> OpenAsync(EventLoop here)
    {
        opening = true;
        if (await ConnectAsync(here).ConfigureAwait(false) is { } failure) return failure;
        SendOver(connection!);
        opening = false;
        return await HeadAsync(await NextAsync().ConfigureAwait(false)).ConfigureAwait(false);
    }

    private ValueTask<UpstreamHead> HeadAsync(ReplyRead read)
    {
        if (read.Kind == ReplyReadKind.Data) return IsUnsent ? UploadedAsync() : new(Answered());
        if (HasEnded || heard || HostWasAway || !connection!.IsReused) return new(Failed(headFailure));

        // The host had closed the idle connection; it has not seen this request.
        Drop();
        return OpenAsync(loop!);
    }

    private void SendOver(HostConnection to)
    {
        connection = to;
        to.Exchange = this;
        mustSend = true;
        loop!.SendLater(this);
    }

    void ISender.Send()
    {
        if (!mustSend) return; // it was given up meanwhile
        Send();
        if (!IsUnsent) sent?.TrySetResult();
    }

    private bool IsUnsent => mustSend || HasRest;

    private bool HasRest => unsent > 0 || unsentHead is not null;

    // Null: there is a connection.
    private async ValueTask<UpstreamHead?> ConnectAsync(EventLoop here)
    {
        using var patience = new CancellationTokenSource(client.Target.Connect, ticker.Time);
        connecting = patience;
        try
        {
            var opened = await client.Addresses.ConnectAsync(OpenAsync, client.Target.Connect, patience.Token).ConfigureAwait(false);
            await here.EnterAsync();
            connection = opened;
            return HasEnded ? Failed(default) : null;
        }
        catch (OperationCanceledException)
        {
            await here.EnterAsync();
            Failure = $"{client.Name} took no connection within {client.Target.Connect.TotalSeconds:0.###} s";
            return Failed(UpstreamOutcome.ConnectTimedOut);
        }
        catch (SocketException failure)
        {
            await here.EnterAsync();
            Failure = $"{client.Name}: {failure.Message}";
            return Failed(DescriptorShortage.IsCauseOf(failure) ? UpstreamOutcome.OutOfDescriptors : UpstreamOutcome.ConnectFailed);
        }
        finally
        {
            connecting = null;
        }
    }

    // Names resolve elsewhere, which is where this may be called.
    private async Task<HostConnection> OpenAsync(System.Net.IPEndPoint address, CancellationToken cancellation)
    {
        var here = loop!;
        await here.EnterAsync();
        return await HostConnection.OpenAsync(here, client.All(here), address, cancellation).ConfigureAwait(false);
    }

    // Head and body in one call: a small body behind its head, which is quicker than to have the kernel gather them, a large one from where it is.
    private void Send()
    {
        var heads = loop!.Heads;
        heads.Clear();
        client.Head.Write(heads, request);
        mustSend = false;
        unsent = request.Body.Length;
        sendFailed = false;
        int count;
        if (unsent <= SmallBody)
        {
            request.Body.CopyTo(heads.GetSpan((int)unsent));
            heads.Advance((int)unsent);
            unsent = 0;
            count = LibC.Send(connection!.Descriptor, heads.Span);
        }
        else
        {
            count = LibC.Send(connection!.Descriptor, heads.Span, request.Body.Before.Span, request.Body.Inserted.Span, request.Body.After.Span);
        }

        if (count == LibC.Failed)
        {
            FailSend();
            return;
        }

        count = Math.Max(count, 0);
        if (count < heads.Length)
        {
            unsentHead = new(heads.Length - count);
            unsentHead.Write(heads.Span[count..]);
            return;
        }

        unsent -= count - heads.Length;
        if (unsent > 0) SendRest();
    }

    private void SendRest()
    {
        while (HasRest)
        {
            var done = request.Body.Length - unsent;
            var before = Skip(request.Body.Before.Span, ref done);
            var inserted = Skip(request.Body.Inserted.Span, ref done);
            var after = Skip(request.Body.After.Span, ref done);
            var first = unsentHead is null ? default : unsentHead.Span;
            var count = LibC.Send(connection!.Descriptor, first, before, inserted, after);
            if (count == LibC.WouldBlock) return;
            if (count == LibC.Failed)
            {
                FailSend();
                break;
            }

            if (unsentHead is not null)
            {
                var ofHead = Math.Min(count, unsentHead.Length);
                count -= ofHead;
                unsentHead.Consume(ofHead);
                if (unsentHead.Length == 0) DropHead();
            }

            unsent -= count;
        }

        sent?.TrySetResult();

        static ReadOnlySpan<byte> Skip(ReadOnlySpan<byte> bytes, ref long count)
        {
            var skipped = (int)Math.Min(count, bytes.Length);
            count -= skipped;
            return bytes[skipped..];
        }
    }

    // What is wrong shows when the answer is read; a host may have answered before it closed.
    private void FailSend()
    {
        sendFailed = true;
        StopSending();
    }

    private void StopSending()
    {
        mustSend = false;
        unsent = 0;
        DropHead();
    }

    private void DropHead()
    {
        unsentHead?.Dispose();
        unsentHead = null;
    }

    // The host answered before it had read everything. Refusing, it wants no more; else it goes on reading, and the body's memory is in use until it has.
    private async ValueTask<UpstreamHead> UploadedAsync()
    {
        if (head.Status >= 300)
        {
            abandoned = true;
            StopSending();
            return Answered();
        }

        sent = new();
        await sent.Task.ConfigureAwait(false);
        sent = null;
        return HasEnded ? Failed(default) : Answered();
    }
}
