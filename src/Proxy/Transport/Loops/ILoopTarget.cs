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
