namespace Proxy.Chat;

/// <summary>
/// When a call's stages began, one object a call. Each time is a <see cref="TimeProvider.GetTimestamp"/>; 0: the call has not come so far, or has no such
/// stage. If a call fails over, <see cref="Failed"/> has the earlier attempts and the other members are the last attempt's. The code that does the work writes;
/// other threads may read while the call runs. A call that asks several hosts at once (a large embedding) has the times of the last one.
/// </summary>
internal sealed class CallTimes
{
    /// <summary>Failed attempts that are remembered at most: an object that is shared by many calls must not grow.</summary>
    private const int MostFailed = 16;

    /// <summary>The call asked for a slot at a host, for its first attempt.</summary>
    public long Asked { get; private set; }

    /// <summary>The call waits for a slot since then; 0: it does not wait.</summary>
    public long WaitsSince { get; private set; }

    /// <summary>How long the call has waited for slots, over all attempts, in units of the timestamp.</summary>
    public long Waited { get; private set; }

    /// <summary>The slot was granted.</summary>
    public long Granted { get; private set; }

    /// <summary>The number of the attempt, from 1; 0: no host was asked.</summary>
    public int Attempt { get; private set; }

    /// <summary>The request was handed to the client for the host, which then connects or takes an idle connection.</summary>
    public long Sent { get; private set; }

    /// <summary>A new connection to the host was ready, with TLS if it has any; 0: an idle one was used. Known when the head has arrived.</summary>
    public long Connected { get; set; }

    /// <summary>The head of the host's response has arrived.</summary>
    public long Head { get; set; }

    /// <summary>The first content has arrived. Of an answer that is one document: the whole document.</summary>
    public long Content { get; set; }

    /// <summary>The host has finished, or the answer was given up. The client may still be reading.</summary>
    public long Ended { get; set; }

    /// <summary>Counts the frames of a host's stream while it runs (<see cref="FrameBatch.Number"/>); null: the answer is no such stream.</summary>
    public FrameBatch? Frames { get; set; }

    /// <summary>The last of the attempts that failed.</summary>
    public FailedAttempt? Failed { get; private set; }

    /// <summary>The call begins to ask for a slot, which may be free at once.</summary>
    public void Ask(long now)
    {
        if (Asked == 0) Asked = now;
    }

    /// <summary>No slot is free, and the call waits.</summary>
    public void Wait(long now) => WaitsSince = now;

    /// <summary>The wait is over: a slot was granted, or none will be.</summary>
    public void EndWait(long now)
    {
        Waited += now - WaitsSince;
        WaitsSince = 0;
    }

    /// <summary>The slot is the call's.</summary>
    public void Grant(long now) => Granted = now;

    /// <summary>An attempt begins.</summary>
    public void Send(long now)
    {
        Attempt++;
        Sent = now;
        Connected = Head = Content = Ended = 0;
    }

    /// <summary>The attempt failed.</summary>
    /// <param name="backend">The name of its backend.</param>
    /// <param name="why">Its error's kind.</param>
    /// <param name="now">The time.</param>
    public void Fail(string backend, ProxyErrorKind why, long now)
    {
        if (Failed is not { Number: >= MostFailed }) Failed = new(backend, why, Sent, now, (Failed?.Number ?? 0) + 1, Failed);
    }
}

/// <summary>An attempt that failed.</summary>
/// <param name="Backend">The name of its backend.</param>
/// <param name="Why">Its error's kind.</param>
/// <param name="Sent">When it began.</param>
/// <param name="Ended">When it failed.</param>
/// <param name="Number">Counts the failed attempts of the call from 1.</param>
/// <param name="Before">The failed attempt before this one.</param>
internal sealed record FailedAttempt(string Backend, ProxyErrorKind Why, long Sent, long Ended, int Number, FailedAttempt? Before);
