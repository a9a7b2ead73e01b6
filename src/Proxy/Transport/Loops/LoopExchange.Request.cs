using System.Net.Sockets;
using Proxy.Buffers;

namespace Proxy.Transport.Loops;

// The request's way to the host: over a connection that lies idle or has to be opened.
internal sealed partial class LoopExchange
{
    private CancellationTokenSource? connecting; // while Connecting
    private TaskCompletionSource? sent; // while Uploading
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
        if ((Volatile.Read(ref asked) & Cancelling) != 0)
        {
            End(Phase.Cancelled);
            return new(Failed(default));
        }

        if (client.Idle(here).Take() is not { } idle) return OpenAsync(here);
        SendOver(idle);
        return new(this, headSource.Version);
    }

    // Over a connection that has to be opened first.
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

        // The host had closed the idle connection; it has not seen this request.
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
        if (upload.IsQueued) OnSent(upload.TrySend(loop!.Heads, client.Head, connection!.Descriptor)); // else it was given up meanwhile
    }

    // What is wrong shows when the answer is read; a host may have answered before it closed.
    private void OnSent(bool isWell)
    {
        if (!isWell)
        {
            mustClose = true;
            upload.Stop();
        }

        if (!upload.IsUnsent) sent?.TrySetResult();
    }

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

    // The host answered before it had read everything. Refusing, it wants no more; else it goes on reading, and the body's memory is in use until it has.
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
