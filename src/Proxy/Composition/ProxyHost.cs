using System.Reflection;
using System.Security.Cryptography;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Net.Http.Headers;
using Proxy.Cli;
using Proxy.Composition.Handoff;
using Proxy.Config;
using Proxy.Telemetry;
using Proxy.Transport;
using Proxy.Transport.Http1;
using Proxy.Transport.Loops;

namespace Proxy.Composition;

/// <summary>Makes the server, and everything that it serves.</summary>
internal static class ProxyHost
{
    /// <summary>Serves until the token is cancelled or a signal stops it, or until another process has taken over and the calls here have ended.</summary>
    public static async Task<ExitCode> RunAsync(LoadedConfig loaded, CancellationToken cancellation)
    {
        var start = StartCommand.OfProcess();
        using var inheritance = Inheritance.Take();
        using var writer = new LogWriter(Console.OpenStandardError())
        {
            IsJournal = LogWriter.IsStandardErrorJournal(Environment.GetEnvironmentVariable("JOURNAL_STREAM")),
        };
        using var parts = new Parts(loaded, writer, TimeProvider.System);
        var config = loaded.Config;
        var given = InheritedSockets.Take();
        IReadOnlyList<InheritedSocket> inherited = inheritance.IsHandoff ? inheritance.Sockets : given;
        given = [.. inherited.Where(static socket => socket.Listen is null)];
        if (given.Count > 0 && Listeners.Refusal(given, config, loaded.Sources) is { } refusal) return Fail(refusal, ExitCode.ConfigProblem);

        Certificates? certificates;
        try
        {
            certificates = config.Server.Tls is { } tls ? new Certificates(tls) : null;
        }
        catch (Exception problem) when (problem is CryptographicException or IOException or UnauthorizedAccessException)
        {
            return Fail($"[server.tls]: {problem.Message}", ExitCode.ConfigProblem);
        }

        var date = new HttpDate(parts.Time);
        var door = new ClientDoor(parts.Endpoints.HandleAsync);
        using var listeners = new Listeners(
            config, certificates, parts.Loops is null ? null : server => Http1Connection.Use(server, door.HandleAsync, date, parts.Log));
        foreach (var claim in inheritance.Claims) listeners.Adopt(claim);
        var serving = new Serving(loaded, parts, door, listeners, certificates, inheritance, start);
        parts.HasInheritedSockets = given.Count > 0;
        try
        {
            return await serving.RunAsync(inherited, cancellation);
        }
        catch (Exception problem) when (
            problem is IOException or InvalidOperationException or System.Net.Sockets.SocketException or UnauthorizedAccessException)
        {
            return Fail(problem.Message, ExitCode.Failed);
        }

        ExitCode Fail(string problem, ExitCode code)
        {
            parts.Log.CannotListen(problem);
            inheritance.Fail(problem);
            return code;
        }
    }

    public static string Version =>
        typeof(ProxyHost).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0] ?? "0";

    /// <summary>The server of the clients.</summary>
    /// <param name="sockets">Get the listening sockets.</param>
    /// <param name="handle">Serves a request; null: the endpoints do.</param>
    public static WebServer Build(
        Parts parts, Listeners listeners, IReadOnlyList<InheritedSocket> inherited, ListeningSockets? sockets = null, RequestDelegate? handle = null)
    {
        sockets ??= new();
        var transports = new List<IConnectionListenerFactory> { new SocketTransport(parts.Time, parts.Log, sockets) };
        if (parts.Loops is { } loops)
        {
            // TLS computes, which would delay a loop's other connections.
            transports.Add(new LoopTransport(loops, parts.Log, _ => parts.Directory.Table.Config.Server.Tls is null, sockets));
        }

        return Build(parts, transports, handle ?? parts.Endpoints.HandleAsync, kestrel => listeners.Configure(kestrel, inherited));
    }

    /// <summary>The server of the operator's socket. It needs .NET's transport to know its peer.</summary>
    public static WebServer BuildAdmin(Parts parts, Listeners listeners, string path, ListeningSockets sockets) =>
        Build(parts, [new SocketTransport(parts.Time, parts.Log, sockets)], parts.Endpoints.HandleAsync, kestrel => listeners.ConfigureAdmin(kestrel, path));

    private static WebServer Build(
        Parts parts, IReadOnlyList<IConnectionListenerFactory> transports, RequestDelegate handle, Action<KestrelServerOptions> listen)
    {
        var loggers = new LoggerFactory([parts.LoggerProvider], new LoggerFilterOptions { MinLevel = LogLevel.Warning });
        return new(handle, loggers, transports, kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.AllowResponseHeaderCompression = false;
            kestrel.RequestHeaderEncodingSelector = static name => name == HeaderNames.ContentLength ? DigitsOnly.Instance : null;
            kestrel.Limits.MaxRequestBodySize = null; // RequestBody limits the size, and answers in the client's dialect
            kestrel.Limits.MinRequestBodyDataRate = new MinDataRate(1, TimeSpan.FromMinutes(1));
            // A client that has read nothing for so long is gone, and its slot is freed.
            kestrel.Limits.MinResponseDataRate = new MinDataRate(1, TimeSpan.FromMinutes(5));
            listen(kestrel);
        });
    }
}
