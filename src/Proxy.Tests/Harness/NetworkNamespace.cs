using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Proxy.Tests.Harness;

/// <summary>
/// The network of another process, such as a container that has only its own loopback. A socket stays in the network
/// where it was made, whoever uses it: so the test's own clients and hosts can live in there.
/// </summary>
internal sealed partial class NetworkNamespace(int process)
{
    const int Network = 0x40000000; // CLONE_NEWNET

    /// <summary>A listener on a free port of that loopback.</summary>
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

    /// <summary>Runs on a thread of its own: entering a network namespace holds for the thread, and a pool would keep it.</summary>
    Task<Socket> WithinAsync(Func<Socket> make)
    {
        var made = new TaskCompletionSource<Socket>(TaskCreationOptions.RunContinuationsAsynchronously);
        var thread = new Thread(() =>
        {
            try
            {
                using var other = File.OpenHandle($"/proc/{process}/ns/net");
                if (Enter(other, Network) != 0) throw new IOException($"setns failed: {Marshal.GetLastPInvokeErrorMessage()}");
                made.SetResult(make());
            }
            catch (Exception exception) // the caller's, wherever it waits
            {
                made.SetException(exception);
            }
        }) { IsBackground = true };
        thread.Start();
        return made.Task;
    }

    [LibraryImport("libc", EntryPoint = "setns", SetLastError = true)]
    private static partial int Enter(SafeFileHandle descriptor, int kind);
}
