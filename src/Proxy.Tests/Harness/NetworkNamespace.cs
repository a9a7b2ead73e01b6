using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Proxy.Tests.Harness;

/// <summary>
/// The network of another process, such as a container that has only its own loopback. A socket stays in the network in which it was made, no matter which
/// process uses it, so the test's own clients and hosts can use that network.
/// </summary>
internal sealed partial class NetworkNamespace : IDisposable
{
    const int Network = 0x40000000; // CLONE_NEWNET
    const int SetInterfaceFlags = 0x8914; // SIOCSIFFLAGS
    const byte UpAndRunning = 0x41; // IFF_UP | IFF_RUNNING

    readonly SafeFileHandle? made;

    /// <summary>The network of a running process.</summary>
    public NetworkNamespace(int process) => Path = $"/proc/{process}/ns/net";

    NetworkNamespace(SafeFileHandle made)
    {
        this.made = made;
        Path = $"/proc/{Environment.ProcessId}/fd/{made.DangerousGetHandle()}";
    }

    /// <summary>The file through which the network is entered.</summary>
    public string Path { get; }

    /// <summary>A new network with only its own loopback. It exists while a process is in it, or until this is disposed. Needs root.</summary>
    public static async Task<NetworkNamespace> MakeAsync() => new(await OnThreadAsync(() =>
    {
        if (Unshare(Network) != 0) throw new IOException($"unshare failed: {Marshal.GetLastPInvokeErrorMessage()}");
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        var loopback = new byte[40]; // struct ifreq: the name in 16 bytes, then the flags
        "lo"u8.CopyTo(loopback);
        loopback[16] = UpAndRunning;
        if (Control(socket.SafeHandle, SetInterfaceFlags, loopback) != 0)
        {
            throw new IOException($"the loopback stays down: {Marshal.GetLastPInvokeErrorMessage()}");
        }

        return File.OpenHandle("/proc/thread-self/ns/net");
    }));

    /// <summary>The command that starts a program in that network; the program keeps the process id.</summary>
    public ProcessStartInfo Within(string program, params IEnumerable<string> arguments) => new("nsenter", [$"--net={Path}", program, .. arguments]);

    public void Dispose() => made?.Dispose();

    /// <summary>A listener on a free port of that network's loopback.</summary>
    public Task<Socket> ListenAsync() => WithinAsync(() =>
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        socket.Listen();
        return socket;
    });

    /// <summary>A client whose every connection is made in that network.</summary>
    public HttpClient Client(Uri address) => new(new SocketsHttpHandler
    {
        ConnectCallback = async (context, _) =>
        {
            var socket = await WithinAsync(() =>
            {
                var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
                try
                {
                    socket.Connect(IPAddress.Parse(context.DnsEndPoint.Host), context.DnsEndPoint.Port);
                }
                catch
                {
                    socket.Dispose();
                    throw;
                }

                return socket;
            });
            return new NetworkStream(socket, ownsSocket: true);
        },
    })
    {
        BaseAddress = address,
    };

    Task<Socket> WithinAsync(Func<Socket> make) => OnThreadAsync(() =>
    {
        using var other = File.OpenHandle(Path);
        if (Enter(other, Network) != 0) throw new IOException($"setns failed: {Marshal.GetLastPInvokeErrorMessage()}");
        return make();
    });

    /// <summary>Runs on a thread of its own, because a thread that entered a network namespace stays in it, and a pool thread would be reused.</summary>
    static Task<T> OnThreadAsync<T>(Func<T> make)
    {
        var made = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        var thread = new Thread(() =>
        {
            try
            {
                made.SetResult(make());
            }
            catch (Exception exception) // rethrown to the caller
            {
                made.SetException(exception);
            }
        }) { IsBackground = true };
        thread.Start();
        return made.Task;
    }

    [LibraryImport("libc", EntryPoint = "setns", SetLastError = true)]
    private static partial int Enter(SafeFileHandle descriptor, int kind);

    [LibraryImport("libc", EntryPoint = "unshare", SetLastError = true)]
    private static partial int Unshare(int kinds);

    [LibraryImport("libc", EntryPoint = "ioctl", SetLastError = true)]
    private static partial int Control(SafeSocketHandle socket, nuint request, byte[] argument);
}
