using System.Net;
using System.Net.Sockets;

namespace Proxy.Transport;

/// <summary>A listener that can stop accepting for a while. Its socket stays open, so that connections wait in the kernel's backlog.</summary>
internal interface IPausable
{
    /// <summary>The end point by which Kestrel knows the listener.</summary>
    EndPoint EndPoint { get; }

    Socket Socket { get; }

    /// <summary>Returns when no further connection is accepted. Those that were accepted are served.</summary>
    Task PauseAsync();

    Task ResumeAsync();
}

/// <summary>
/// The listening sockets of this process, which another process may share: the one that handed them over, or the one that takes over. A shared socket must not
/// be shut down, and the path of a unix socket not removed, by the process that leaves.
/// </summary>
internal sealed class ListeningSockets
{
    private static readonly List<Socket> Kept = []; // those of a process that has handed over: not even a finalizer may close them

    private readonly Lock gate = new();
    private readonly List<IPausable> all = [];

    /// <summary>Whether nothing is accepted at present. A listener that is made meanwhile does not accept either.</summary>
    public bool IsPaused { get; private set; }

    /// <summary>Whether another process accepts on these sockets. A listener that ends leaves its socket open then.</summary>
    public bool AreHandedOver { get; private set; }

    public IReadOnlyList<IPausable> All { get { lock (gate) return [.. all]; } }

    public void Add(IPausable listener)
    {
        lock (gate) all.Add(listener);
    }

    /// <summary>Before the first listener: it is made without accepting.</summary>
    public void StartPaused() => IsPaused = true;

    public Task PauseAsync()
    {
        IsPaused = true;
        return Task.WhenAll(All.Select(static listener => listener.PauseAsync()));
    }

    public Task ResumeAsync()
    {
        IsPaused = false;
        return Task.WhenAll(All.Select(static listener => listener.ResumeAsync()));
    }

    /// <summary>Another process accepts from now on.</summary>
    public void HandOver()
    {
        lock (Kept) Kept.AddRange(All.Select(static listener => listener.Socket));
        AreHandedOver = true;
    }

    /// <summary>A listener has ended.</summary>
    public void Close(Socket socket)
    {
        if (!AreHandedOver) socket.Dispose();
    }
}
