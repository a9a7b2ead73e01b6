using System.Globalization;
using System.Runtime.InteropServices;

namespace Proxy.Composition;

/// <summary>A listening socket that the service manager, or the process before this one, had already bound.</summary>
/// <param name="Descriptor">The file descriptor, open and owned by this process.</param>
/// <param name="Name">The socket unit's name for it (<c>FileDescriptorName</c>); empty if it has none.</param>
/// <param name="Listen">The entry of <c>[server] listen</c> for which the process before this one bound it; null: the service manager bound it.</param>
internal sealed record InheritedSocket(int Descriptor, string Name, string? Listen = null);

/// <summary>Socket activation (<c>man sd_listen_fds</c>).</summary>
internal static partial class InheritedSockets
{
    const string ForProcess = "LISTEN_PID";
    const string Count = "LISTEN_FDS";
    const string Names = "LISTEN_FDNAMES";
    const int FirstDescriptor = 3;

    /// <summary>
    /// The sockets passed to this process, in the unit's order; none if the variables are missing or meant for another process. Removes the variables, so that
    /// neither a second call nor a child process uses them.
    /// </summary>
    public static IReadOnlyList<InheritedSocket> Take()
    {
        var sockets = Read(
            Environment.GetEnvironmentVariable(ForProcess),
            Environment.GetEnvironmentVariable(Count),
            Environment.GetEnvironmentVariable(Names),
            Environment.ProcessId);
        foreach (var name in (string[])[ForProcess, Count, Names]) Environment.SetEnvironmentVariable(name, null);
        foreach (var socket in sockets) Keep(socket.Descriptor);
        return sockets;
    }

    /// <summary>Keeps a descriptor from the programs that this process starts.</summary>
    public static void Keep(int descriptor) => _ = Control(descriptor, SetDescriptorFlags, CloseOnExec);

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
