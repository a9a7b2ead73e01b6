namespace Proxy.Transport.Loops;

/// <summary>An object with a descriptor that a loop watches. Called only on the loop's thread.</summary>
internal interface ILoopTarget
{
    /// <param name="events">The epoll event bits; see <see cref="LibC"/>.</param>
    void OnReady(uint events);
}

/// <summary>A work item for a loop's thread.</summary>
internal interface ILoopWork
{
    void Run();
}

/// <summary>An object with a deferred send, see <see cref="EventLoop.SendLater"/>.</summary>
internal interface ISender
{
    /// <summary>Called on the loop's thread.</summary>
    void Send();
}

/// <summary>An object that has unread bytes in a loop's scratch buffer.</summary>
internal interface IScratchHolder
{
    /// <summary>Called on the loop's thread before the scratch buffer is overwritten: the holder must copy its bytes to its own memory.</summary>
    void LeaveScratch();
}
