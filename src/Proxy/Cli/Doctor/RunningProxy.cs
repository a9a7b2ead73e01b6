using System.Buffers.Binary;
using System.Globalization;
using System.Net.Sockets;
using System.Text;
using Proxy.Config;

namespace Proxy.Cli.Doctor;

/// <summary>
/// The proxy that runs on this machine, found through its admin socket. <paramref name="Pid"/>: its process; null if none answers. <paramref name="Problem"/>:
/// why it is not known whether one runs.
/// </summary>
internal sealed record RunningProxy(int? Pid, string? Problem)
{
    private const int SocketLevel = 1, PeerCredentials = 17; // SOL_SOCKET, SO_PEERCRED of Linux

    /// <summary>The folder in which the kernel shows processes.</summary>
    public string Processes { get; init; } = "/proc";

    /// <summary>Asks every place where the socket can be.</summary>
    public static async Task<RunningProxy> FindAsync(Func<string, string?> environment, string processes, CancellationToken cancellation)
    {
        foreach (var place in AdminSocket.Candidates(environment))
        {
            using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            try
            {
                await socket.ConnectAsync(new UnixDomainSocketEndPoint(place), cancellation).ConfigureAwait(false);
                var peer = new byte[12]; // struct ucred: pid, uid, gid
                socket.GetRawSocketOption(SocketLevel, PeerCredentials, peer);
                return new(BinaryPrimitives.ReadInt32LittleEndian(peer), null) { Processes = processes };
            }
            catch (SocketException e) when (e.SocketErrorCode is SocketError.AccessDenied)
            {
                return new(null, $"{place} belongs to another user") { Processes = processes };
            }
            catch (Exception e) when (e is SocketException or ArgumentOutOfRangeException)
            {
                // There is no socket at this place, or nothing listens there.
            }
        }

        return new(null, null) { Processes = processes };
    }

    /// <summary>The process's environment; null if no proxy runs, or if this user may not read it.</summary>
    public Func<string, string?>? Environment()
    {
        if (Read("environ") is not { } block) return null;
        var all = new Dictionary<string, string>();
        foreach (var pair in block.Split('\0', StringSplitOptions.RemoveEmptyEntries))
        {
            var equals = pair.IndexOf('=', StringComparison.Ordinal);
            if (equals > 0) all[pair[..equals]] = pair[(equals + 1)..];
        }

        return all.GetValueOrDefault;
    }

    /// <summary>The configuration file of its command line; null if it names none.</summary>
    public string? ConfigFile()
    {
        var words = Read("cmdline")?.Split('\0') ?? [];
        for (var i = 0; i < words.Length; i++)
        {
            if (words[i] is "--config" or "-c" && i + 1 < words.Length) return Rooted(words[i + 1]);
            if (words[i].StartsWith("--config=", StringComparison.Ordinal)) return Rooted(words[i]["--config=".Length..]);
        }

        return null;

        string Rooted(string path) => Path.IsPathRooted(path) ? path : Path.Combine(InProcess("cwd"), path);
    }

    /// <summary>How many files it may have open; null if that cannot be read. The hard limit: the program raises its own to it.</summary>
    public long? OpenFiles() => OpenFiles(Read("limits"));

    /// <summary>The hard limit of open files in the text of <c>/proc/PID/limits</c>.</summary>
    internal static long? OpenFiles(string? limits)
    {
        var line = limits?.Split('\n').FirstOrDefault(static line => line.StartsWith("Max open files", StringComparison.Ordinal));
        return line?.Split(' ', StringSplitOptions.RemoveEmptyEntries) is [_, _, _, _, var hard, ..]
            ? hard == "unlimited" ? long.MaxValue : long.TryParse(hard, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : null
            : null;
    }

    /// <summary>Whether systemd runs it as a service.</summary>
    public bool IsService => Read("cgroup")?.Contains("proxy.service", StringComparison.Ordinal) is true;

    private string InProcess(string name) => Path.Combine(Processes, Pid!.Value.ToString(CultureInfo.InvariantCulture), name);

    private string? Read(string name)
    {
        if (Pid is null) return null;
        try
        {
            return Encoding.UTF8.GetString(File.ReadAllBytes(InProcess(name)));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
