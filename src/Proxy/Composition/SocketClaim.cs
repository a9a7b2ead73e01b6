using System.Net.Sockets;
using Microsoft.Win32.SafeHandles;
using Proxy.Config;

namespace Proxy.Composition;

/// <summary>
/// The right to bind a unix socket's path: an exclusive lock on a file beside it, held while the socket is served. If several processes start at the same
/// moment,
/// one gets the lock, and only that one removes a dead process's socket. The kernel releases the lock when its holder dies. The file stays, because after
/// removing
/// it two processes could each hold a lock.
/// </summary>
internal sealed class SocketClaim : IDisposable
{
    private const int WouldBlock = 11; // EWOULDBLOCK
    private readonly FileStream held;

    private static readonly List<SocketClaim> Kept = []; // handed over: a finalizer would release the lock for both processes

    private readonly bool isAdopted;
    private volatile bool isHandedOver;

    private SocketClaim(string path, FileStream held, bool isAdopted = false) => (Path, this.held, this.isAdopted) = (path, held, isAdopted);

    public string Path { get; }

    /// <summary>The locked file's descriptor. A process that inherits it shares the lock, which ends with the last of them.</summary>
    public int Descriptor => (int)held.SafeFileHandle.DangerousGetHandle();

    /// <summary>The claim of the process that started this one to take over.</summary>
    public static SocketClaim Adopt(string path, int descriptor) =>
        new(path, new FileStream(new SafeFileHandle(descriptor, ownsHandle: true), FileAccess.Read, bufferSize: 0), isAdopted: true);

    /// <summary>Returns null and the reason if the path cannot be claimed; else the path is free to bind.</summary>
    public static SocketClaim? Take(string path, out string? reason)
    {
        reason = null;
        if (path.Length > ListenAddress.LongestUnixPath)
        {
            reason = $"{path} is longer than the {ListenAddress.LongestUnixPath} characters that a unix socket's path may have";
        }
        else if (Directory.Exists(path)) reason = $"{path} is a folder";
        if (reason is not null) return null;

        FileStream? held = null;
        try
        {
            held = Lock(path + ".lock");
            if (held is null || IsServed(path))
            {
                held?.Dispose();
                reason = $"another process serves {path}";
                return null;
            }

            File.Delete(path);
            return new SocketClaim(path, held);
        }
        catch (Exception problem) when (problem is IOException or UnauthorizedAccessException)
        {
            held?.Dispose();
            reason = problem.Message;
            return null;
        }
    }

    /// <summary>Another process, which shares the lock, has the claim from now on. It does not end with this process.</summary>
    public void HandOver()
    {
        isHandedOver = true;
        lock (Kept) Kept.Add(this);
    }

    /// <summary>Also removes the socket of an adopted claim: only the process that binds a socket removes it by itself.</summary>
    public void Dispose()
    {
        if (isHandedOver) return;
        if (isAdopted) File.Delete(Path);
        held.Dispose();
    }

    /// <summary>
    /// Null if another process holds the lock. FileShare.None is <c>flock(LOCK_EX | LOCK_NB)</c>, which excludes only processes that take the lock too.
    /// </summary>
    private static FileStream? Lock(string path)
    {
        try
        {
            return File.Open(path, FileMode.OpenOrCreate, FileAccess.Read, FileShare.None);
        }
        catch (IOException problem) when (problem.HResult == WouldBlock)
        {
            return null;
        }
    }

    /// <summary>Whether a program that takes no lock serves the path.</summary>
    private static bool IsServed(string path)
    {
        if (!File.Exists(path)) return false;
        using var probe = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            probe.Connect(new UnixDomainSocketEndPoint(path));
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }
}
