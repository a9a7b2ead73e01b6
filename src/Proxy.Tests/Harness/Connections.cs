using System.Net.Sockets;

namespace Proxy.Tests.Harness;

/// <summary>How the fake hosts take connections, and how they end.</summary>
internal static class Connections
{
    /// <summary>
    /// Serves each connection at the side of the others until <paramref name="stop"/>, which is given before the listener is disposed; ends when all of them
    /// have. What a connection
    /// fails by is the fake host's own fault, unless the test is over.
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
            // An accept that is waiting when the listener goes fails in one way or another.
        }

        await Task.WhenAll(running);
    }

    /// <summary>Whether a connection failed because the other side left, or because the test is over.</summary>
    public static bool IsLeaving(Exception failure) =>
        failure is IOException or SocketException or ObjectDisposedException or OperationCanceledException or System.Security.Authentication.AuthenticationException;
}
