using System.Net.Sockets;

namespace Proxy.Tests.Harness;

/// <summary>Accepts the fake hosts' connections, and ends them.</summary>
internal static class Connections
{
    /// <summary>
    /// Serves all connections concurrently until <paramref name="stop"/>, which is signalled before the listener is disposed; ends when all of them have. If a
    /// connection fails, the fake host itself is broken, unless the test is over.
    /// </summary>
    public static async Task ServeAsync(this Socket listener, Func<Socket, Task> serve, CancellationToken stop)
    {
        var running = new List<Task>();
        try
        {
            while (true)
            {
                running.Add(serve(await listener.AcceptAsync(stop)));
                running.RemoveAll(static connection => connection.IsCompletedSuccessfully);
            }
        }
        catch (Exception end) when (stop.IsCancellationRequested && end is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            // When the listener closes, a waiting accept fails with one of several exceptions.
        }

        await Task.WhenAll(running);
    }

    /// <summary>Whether a connection failed because the other side left, or because the test is over.</summary>
    public static bool IsLeaving(Exception failure) =>
        failure is IOException or SocketException or ObjectDisposedException or OperationCanceledException
            or System.Security.Authentication.AuthenticationException;
}
