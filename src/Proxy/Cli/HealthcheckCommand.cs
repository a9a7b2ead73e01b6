using System.CommandLine;
using System.Net;
using System.Net.Sockets;
using Proxy.Config;

namespace Proxy.Cli;

/// <summary><c>proxy healthcheck</c>: for containers and systemd. Sends its request to the public listener, as a client would.</summary>
internal static class HealthcheckCommand
{
    public static Command Make(Surroundings around, Option<string?> config)
    {
        var timeout =
            new Option<string>("--timeout") { Description = "How long to wait, such as 3s or 500ms.", HelpName = "DURATION", DefaultValueFactory = _ => "3s" };
        timeout.Validators.Add(result =>
        {
            if (!Duration.TryParse(result.GetValueOrDefault<string>() ?? "", out var time) || time <= TimeSpan.Zero)
            {
                result.AddError($"--timeout takes a duration, such as {Duration.Example}, without the quotes.");
            }
        });
        var ready = new Option<bool>("--ready")
        {
            Description = "Ask /ready (something other than echo can answer) and not only /health (the process is alive).",
        };
        var listen =
            new Option<string?>("--listen") { Description = "The address to ask, if not the first one of the configuration.", HelpName = "ADDRESS" };
        var command = new Command("healthcheck", "Ask the proxy whether it is healthy: exit 0 if so, else 1, within --timeout.") { timeout, ready, listen };
        command.SetAction(async (parsed, cancellation) =>
        {
            _ = Duration.TryParse(parsed.GetValue(timeout) ?? "", out var time);
            return (int)await RunAsync(around, parsed.GetValue(config), parsed.GetValue(listen), parsed.GetValue(ready) ? "/ready" : "/health", time,
                cancellation).ConfigureAwait(false);
        });
        return command;
    }

    private static async Task<ExitCode> RunAsync(
        Surroundings around, string? named, string? listen, string path, TimeSpan timeout, CancellationToken cancellation)
    {
        // A draft, because a file that was damaged after the proxy started must not make the proxy look unhealthy.
        var server = ConfigFile.LoadDraft(ConfigFile.Find(named, around.Environment), around.Sources, out _).Server;
        var wanted = listen ?? (server.Listen is [var first, ..] ? first : "");
        if (!ListenAddress.TryParse(wanted, out var address, out var problem))
        {
            around.Error.WriteLine($"\"{wanted}\": {problem}");
            return listen is null ? ExitCode.Failed : ExitCode.Usage;
        }

        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        patience.CancelAfter(timeout);
        try
        {
            var status = await AskAsync(server, address, path, patience.Token).ConfigureAwait(false);
            if (status is HttpStatusCode.OK) return ExitCode.Ok;
            around.Error.WriteLine($"{address} answers {(int)status} at {path}");
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            around.Error.WriteLine($"{address}: no answer within {Duration.Text(timeout)}");
        }
        catch (HttpRequestException e)
        {
            around.Error.WriteLine($"{address}: {(e.InnerException ?? e).Message}");
        }

        return ExitCode.Failed;
    }

    /// <summary>The status of a GET to a listener of this machine. Throws <see cref="HttpRequestException"/>.</summary>
    internal static async Task<HttpStatusCode> AskAsync(ServerConfig server, ListenAddress address, string path, CancellationToken cancellation)
    {
        using var handler =
            new SocketsHttpHandler { UseProxy = false, AllowAutoRedirect = false, ConnectCallback = (_, token) => ConnectAsync(address, token) };
#pragma warning disable CA5359 // the listener is on this machine, and its certificate is for the name that clients use
        handler.SslOptions.RemoteCertificateValidationCallback = static (_, _, _, _) => true;
#pragma warning restore CA5359
        using var http = new HttpMessageInvoker(handler);
        using var request = new HttpRequestMessage(HttpMethod.Get, $"{(server.Tls is null ? "http" : "https")}://localhost{path}");
        using var response = await http.SendAsync(request, cancellation).ConfigureAwait(false);
        return response.StatusCode;
    }

    /// <summary>Connects to a listener of this machine.</summary>
    internal static async ValueTask<Stream> ConnectAsync(ListenAddress address, CancellationToken cancellation)
    {
        EndPoint end = address switch
        {
            { UnixPath: { } path } => new UnixDomainSocketEndPoint(path),
            // A listener on every address is reached at loopback.
            { Ip.Address: var ip } when ip.Equals(IPAddress.Any) => new IPEndPoint(IPAddress.Loopback, address.Ip.Port),
            { Ip.Address: var ip } when ip.Equals(IPAddress.IPv6Any) => new IPEndPoint(IPAddress.IPv6Loopback, address.Ip.Port),
            _ => address.Ip!,
        };
        var socket = new Socket(end.AddressFamily, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            await socket.ConnectAsync(end, cancellation).ConfigureAwait(false);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }
}
