using System.Net.Sockets;
using Proxy.Buffers;

namespace Proxy.Transport.Loops;

// Sends the request to the host, over an idle or a new connection.
internal sealed partial class LoopExchange
{
    private CancellationTokenSource? connecting; // set in the phase Connecting
    private TaskCompletionSource? sent; // set in the phase Uploading
    private RequestUpload upload;

    public override ValueTask<UpstreamHead> SendAsync(UpstreamRequest request)
    {
        var here = client.Loop();
        loop = here;
        upload.Begin(request);
        response.IsBodyless = request.Method == "HEAD";
        return here.IsCurrent ? StartAsync(here) : EnterAsync(here);
    }

    private async ValueTask<UpstreamHead> EnterAsync(EventLoop here)
    {
        await here.EnterAsync();
        return await StartAsync(here).ConfigureAwait(false);
    }

    private ValueTask<UpstreamHead> StartAsync(EventLoop here)
    {
        here.AddTicked(this);
        if ((Volatile.Read(ref asked) & Cancelling) != 0) End(Phase.Cancelled);
        if (HasEnded) return new(Failed(default)); // the loop may have taken the wish to cancel before this

        if (client.Idle(here).Take() is not { } idle) return OpenAsync(here);
        SendOver(idle);
        return new(this, headSource.Version);
    }

    // Opens a connection, sends the request over it and waits for the head.
    private async ValueTask<UpstreamHead> OpenAsync(EventLoop here)
    {
        phase = Phase.Connecting;
        if (await ConnectAsync(here).ConfigureAwait(false) is { } failure) return failure;
        SendOver(connection!);
        return await HeadAsync(await NextAsync().ConfigureAwait(false)).ConfigureAwait(false);
    }

    private ValueTask<UpstreamHead> HeadAsync(ReplyRead read)
    {
        if (read.Kind == ReplyReadKind.Data) return upload.IsUnsent ? UploadedAsync() : new(Answered());
        if (HasEnded || response.HasBegun || HostWasAway || !connection!.IsReused) return new(Failed(response.Outcome));

        // The host had closed the idle connection and has not seen this request, so retry on a new connection.
        connection.Close();
        connection = null;
        upload.Stop();
        response.Restart();
        ForgetScratch();
        DropStash();
        Failure = null;
        return OpenAsync(loop!);
    }

    private void SendOver(HostConnection to)
    {
        phase = Phase.AwaitingHead;
        connection = to;
        to.Exchange = this;
        mustClose = false;
        upload.Queue();
        loop!.SendLater(this);
    }

    void ISender.Send()
    {
        if (upload.IsQueued) OnSent(upload.TrySend(loop!.Heads, client.Head, connection!.Descriptor)); // not queued: the exchange has ended meanwhile
    }

    // A send error is not reported here: the host may have answered before it closed. If it did not, reading the answer reports the error.
    private void OnSent(bool isWell)
    {
        if (!isWell)
        {
            mustClose = true;
            upload.Stop();
        }

        if (!upload.IsUnsent) sent?.TrySetResult();
    }

    // Returns null when a connection is ready, otherwise the failure.
    private async ValueTask<UpstreamHead?> ConnectAsync(EventLoop here)
    {
        using var patience = new CancellationTokenSource(client.Target.Connect, ticker.Time);
        connecting = patience;
        try
        {
            var opened = await client.Addresses.ConnectAsync(OpenAsync, client.Target.Connect, patience.Token).ConfigureAwait(false);
            await here.EnterAsync();
            connection = opened;
            Connected = ticker.Time.GetTimestamp();
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

    // May be called on any thread: names are resolved off the loop.
    private async Task<HostConnection> OpenAsync(System.Net.IPEndPoint address, CancellationToken cancellation)
    {
        var here = loop!;
        await here.EnterAsync();
        return await HostConnection.OpenAsync(here, client.All(here), address, cancellation).ConfigureAwait(false);
    }

    // The host answered before it had read the whole request. With a status of 300 or above it needs no more of it, so the upload stops. Otherwise it
    // goes on reading, and the body's memory stays in use until the upload ends.
    private async ValueTask<UpstreamHead> UploadedAsync()
    {
        if (response.Head.Status >= 300)
        {
            OnSent(false);
            return Answered();
        }

        phase = Phase.Uploading;
        sent = new();
        await sent.Task.ConfigureAwait(false);
        sent = null;
        return HasEnded ? Failed(default) : Answered();
    }
}
