using System.Net.Sockets;
using Proxy.Config;

namespace Proxy.Composition;

/// <summary>
/// The right to bind a unix socket's path: an exclusive lock on a file beside it, held as long as the socket is served. Of processes that start at the same
/// moment one gets it,
/// and only that one removes what a dead process left behind. The kernel gives the lock back when its holder dies; the file stays, since removing it would let
/// two hold "the" lock.
/// </summary>
internal sealed class SocketClaim : IDisposable
{
    private const int WouldBlock = 11; // EWOULDBLOCK
    private readonly FileStream held;

    private SocketClaim(string path, FileStream held) => (Path, this.held) = (path, held);

    public string Path { get; }

    /// <summary>Null, and why, where the path cannot be ours. After it the path is free to bind.</summary>
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

    public void Dispose() => held.Dispose();

    /// <summary>Null where another process has it. To share nothing is <c>flock(LOCK_EX | LOCK_NB)</c>, which binds only those who ask for it too.</summary>
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

    /// <summary>Somebody without a lock (a program of another kind) may serve the path.</summary>
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
