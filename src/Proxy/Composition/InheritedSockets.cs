using System.Globalization;
using System.Runtime.InteropServices;

namespace Proxy.Composition;

/// <summary>A listening socket that whoever started us had already bound.</summary>
/// <param name="Descriptor">The file descriptor, open and ours to close.</param>
/// <param name="Name">What the socket unit calls it (<c>FileDescriptorName</c>); empty when it does not say.</param>
internal sealed record InheritedSocket(int Descriptor, string Name);

/// <summary>Socket activation (<c>man sd_listen_fds</c>).</summary>
internal static partial class InheritedSockets
{
    const string ForProcess = "LISTEN_PID";
    const string Count = "LISTEN_FDS";
    const string Names = "LISTEN_FDNAMES";
    const int FirstDescriptor = 3;

    /// <summary>
    /// The sockets handed to this process, in the unit's order; none when the variables are absent or meant for another
    /// process. Forgets the variables, so that a second call, or a child, finds nothing.
    /// </summary>
    public static IReadOnlyList<InheritedSocket> Take()
    {
        var sockets = Read(
            Environment.GetEnvironmentVariable(ForProcess),
            Environment.GetEnvironmentVariable(Count),
            Environment.GetEnvironmentVariable(Names),
            Environment.ProcessId);
        foreach (var name in (string[])[ForProcess, Count, Names]) Environment.SetEnvironmentVariable(name, null);
        foreach (var socket in sockets) _ = Control(socket.Descriptor, SetDescriptorFlags, CloseOnExec);
        return sockets;
    }

    internal static IReadOnlyList<InheritedSocket> Read(string? process, string? count, string? names, int self)
    {
        if (!int.TryParse(process, NumberStyles.None, CultureInfo.InvariantCulture, out var meant) || meant != self) return [];
        if (!int.TryParse(count, NumberStyles.None, CultureInfo.InvariantCulture, out var sockets)) return [];

        var said = names?.Split(':') ?? [];
        return [.. Enumerable.Range(0, sockets).Select(i => new InheritedSocket(FirstDescriptor + i, said.ElementAtOrDefault(i) ?? ""))];
    }

    const int SetDescriptorFlags = 2; // F_SETFD
    const int CloseOnExec = 1; // FD_CLOEXEC

    [LibraryImport("libc", EntryPoint = "fcntl")]
    private static partial int Control(int descriptor, int command, int argument);
}
