namespace Proxy.Streams;

/// <summary>
/// Cancels the work for a call when nothing needs its answer any more. Counts the reasons to go on: the client is the first; a tap that records the whole
/// answer adds one.
/// </summary>
internal sealed class CallLifetime : CancellationTokenSource
{
    private int reasons = 1;
    private int hasLeft;

    public bool ClientHasLeft => hasLeft != 0;

    /// <summary>Records that the client is gone. Safe to call twice: a failed write and the closed connection may both report it.</summary>
    public void ClientLeft()
    {
        if (Interlocked.Exchange(ref hasLeft, 1) == 0) Release();
    }

    public void Add() => Interlocked.Increment(ref reasons);

    /// <summary>Removes one reason. When the last one is removed, the work is cancelled.</summary>
    public void Release()
    {
        if (Interlocked.Decrement(ref reasons) == 0) End();
    }

    /// <summary>Cancels the work, whatever reasons remain. Does nothing if the call has ended.</summary>
    public void End()
    {
        try
        {
            Cancel();
        }
        catch (ObjectDisposedException)
        {
            // The call ended, and disposed this, at the same moment.
        }
    }
}
