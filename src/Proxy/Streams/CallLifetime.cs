namespace Proxy.Streams;

/// <summary>Cancels the work for a call when no reason is left to go on with it. The client is the first reason; a tap that keeps the whole answer is another.</summary>
internal sealed class CallLifetime : CancellationTokenSource
{
    private int reasons = 1;
    private int hasLeft;

    public bool ClientHasLeft => hasLeft != 0;

    /// <summary>The client is gone. May be said more than once: a failed write can be known before the connection's end.</summary>
    public void ClientLeft()
    {
        if (Interlocked.Exchange(ref hasLeft, 1) == 0) Release();
    }

    public void Add() => Interlocked.Increment(ref reasons);

    /// <summary>One reason is gone.</summary>
    public void Release()
    {
        if (Interlocked.Decrement(ref reasons) == 0) End();
    }

    /// <summary>Cancels the work whatever speaks for it. May be called when the call has ended already.</summary>
    public void End()
    {
        try
        {
            Cancel();
        }
        catch (ObjectDisposedException)
        {
            // The call ended in the same moment.
        }
    }
}
