namespace Proxy.Transport.Loops;

/// <summary>Something with a descriptor that a loop watches. Called on the loop's thread only.</summary>
internal interface ILoopTarget
{
    /// <param name="events">Of epoll; see <see cref="LibC"/>.</param>
    void OnReady(uint events);
}

/// <summary>Something to be done on a loop's thread.</summary>
internal interface ILoopWork
{
    void Run();
}

/// <summary>Has something to send that need not leave in the middle of other work.</summary>
internal interface ISender
{
    /// <summary>On the loop.</summary>
    void Send();
}

/// <summary>Has bytes in a loop's scratch that it has not looked at.</summary>
internal interface IScratchHolder
{
    /// <summary>On the loop: the scratch is somebody else's now, so they have to be kept elsewhere.</summary>
    void LeaveScratch();
}
