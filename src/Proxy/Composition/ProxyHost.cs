using System.Net.Sockets;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Net.Http.Headers;
using Proxy.Cli;
using Proxy.Config;
using Proxy.Telemetry;
using Proxy.Transport;
using Proxy.Transport.Http1;
using Proxy.Transport.Loops;

namespace Proxy.Composition;

/// <summary>Runs the server: listeners, signals, the service manager, and the shutdown.</summary>
internal static class ProxyHost
{
    private static readonly TimeSpan LastWords = TimeSpan.FromSeconds(2);

    /// <summary>Serves until the token is cancelled or a signal stops it.</summary>
    public static async Task<ExitCode> RunAsync(LoadedConfig loaded, CancellationToken cancellation)
    {
        using var writer = new LogWriter(Console.OpenStandardError())
        {
            IsJournal = LogWriter.IsStandardErrorJournal(Environment.GetEnvironmentVariable("JOURNAL_STREAM")),
        };
        using var parts = new Parts(loaded, writer, TimeProvider.System);
        using var manager = SystemdNotify.FromEnvironment(TimeProvider.System);
        var config = loaded.Config;
        var log = parts.Log;
        var inherited = InheritedSockets.Take();
        if (Listeners.Refusal(inherited, config, loaded.Sources) is { } refusal)
        {
            log.CannotListen(refusal);
            return ExitCode.ConfigProblem;
        }

        Certificates? certificates;
        try
        {
            certificates = config.Server.Tls is { } tls ? new Certificates(tls) : null;
        }
        catch (Exception problem) when (problem is CryptographicException or IOException or UnauthorizedAccessException)
        {
            log.CannotListen($"[server.tls]: {problem.Message}");
            return ExitCode.ConfigProblem;
        }

        using var admin = Listeners.ClaimAdmin(AdminSocket.Path(), out var noAdmin);
        var date = new HttpDate(parts.Time);
        using var listeners = new Listeners(
            config, certificates, parts.Loops is null ? null : server => Http1Connection.Use(server, parts.Endpoints.HandleAsync, date, log));
        await using var app = Build(parts, listeners, inherited, admin?.Path);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        using var now = new CancellationTokenSource();
        using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, signal => Signalled(signal, stop, now));
        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, signal => Signalled(signal, stop, now));
        using var hangUp = PosixSignalRegistration.Create(PosixSignal.SIGHUP, signal =>
        {
            signal.Cancel = true;
            manager.Reloading();
            parts.Reload();
            manager.Ready();
        });
        parts.HasInheritedSockets = inherited.Count > 0;
        parts.Drain = stop.Cancel;
        parts.Reloaded = () => Reload(certificates, parts);

        try
        {
            await app.StartAsync(CancellationToken.None);
        }
        catch (Exception problem) when (
            problem is IOException or InvalidOperationException or System.Net.Sockets.SocketException or UnauthorizedAccessException)
        {
            log.CannotListen(problem.Message);
            return ExitCode.Failed;
        }

        if (noAdmin is not null) log.NoAdmin(noAdmin);
        log.Started(Version, loaded.Path ?? "no file", config.Backends.Count, config.Auth.Keys.Count);
        foreach (var (variable, reason) in UnusedVariables.Find(config, loaded.Sources.Environment)) log.UnusedVariable(variable, reason);
        foreach (var listener in listeners.All)
        {
            if (!listener.IsAdmin) log.Listening(listener.Url, listener.Scheme == "https" ? "sockets" : config.Server.Transport);
        }

        parts.ListensAt(listeners.All);
        var running = parts.RunAsync(stop.Token);
        manager.Status($"serving on {string.Join(", ", listeners.All.Where(l => !l.IsAdmin).Select(l => l.Url))}");
        manager.Ready();
        var watching = WatchdogAsync(manager, stop.Token);

        await Task.Delay(Timeout.Infinite, stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await StopAsync(app, parts, manager, now.Token);
        await Task.WhenAll(running, watching);
        log.Stopped();
        return ExitCode.Ok;
    }

    public static string Version =>
        typeof(ProxyHost).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0] ?? "0";

    public static WebServer Build(Parts parts, Listeners listeners, IReadOnlyList<InheritedSocket> inherited, string? adminPath)
    {
        var loggers = new LoggerFactory([parts.LoggerProvider], new LoggerFilterOptions { MinLevel = LogLevel.Warning });
        var transports = new List<IConnectionListenerFactory> { new SocketTransport(parts.Time, parts.Log) };
        if (parts.Loops is { } loops)
        {
            // TLS computes, which would delay a loop's other connections. The admin socket needs .NET's transport to know its peer.
            transports.Add(new LoopTransport(loops, parts.Log, endpoint =>
                parts.Directory.Table.Config.Server.Tls is null && (endpoint as UnixDomainSocketEndPoint)?.ToString() != adminPath));
        }

        return new(parts.Endpoints.HandleAsync, loggers, transports, kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.AllowResponseHeaderCompression = false;
            kestrel.RequestHeaderEncodingSelector = static name => name == HeaderNames.ContentLength ? DigitsOnly.Instance : null;
            kestrel.Limits.MaxRequestBodySize = null; // RequestBody limits the size, and answers in the client's dialect
            kestrel.Limits.MinRequestBodyDataRate = new MinDataRate(1, TimeSpan.FromMinutes(1));
            // A client that has read nothing for so long is gone, and its slot is freed.
            kestrel.Limits.MinResponseDataRate = new MinDataRate(1, TimeSpan.FromMinutes(5));
            listeners.Configure(kestrel, inherited, adminPath);
        });
    }

    /// <summary>Takes no new calls, lets the running ones finish, then breaks off the others, ending each stream with its dialect's error.</summary>
    private static async Task StopAsync(WebServer app, Parts parts, SystemdNotify manager, CancellationToken now)
    {
        var drain = parts.Directory.Table.Config.Server.Drain;
        manager.Stopping();
        parts.Calls.StartDraining();
        parts.Log.Stopping(parts.Calls.Count, drain);
        using var hard = new CancellationTokenSource();
        var stopping = app.StopAsync(hard.Token);
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(now);
        limit.CancelAfter(drain);
        await parts.Calls.WhenEmptyAsync().WaitAsync(limit.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (parts.Calls.Count > 0)
        {
            parts.Log.DrainOver(parts.Calls.Count, drain);
            parts.Calls.InterruptAll();
        }

        hard.CancelAfter(LastWords);
        await stopping.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    private static void Signalled(PosixSignalContext signal, CancellationTokenSource stop, CancellationTokenSource now)
    {
        signal.Cancel = true;
        if (stop.IsCancellationRequested) now.Cancel();
        stop.Cancel();
    }

    private static void Reload(Certificates? certificates, Parts parts)
    {
        try
        {
            if (parts.Directory.Table.Config.Server.Tls is { } tls) certificates?.Reload(tls);
        }
        catch (Exception problem) when (problem is CryptographicException or IOException or UnauthorizedAccessException)
        {
            parts.Log.CertificateKept(problem.Message);
        }
    }

    private static async Task WatchdogAsync(SystemdNotify manager, CancellationToken cancellation)
    {
        if (manager.WatchdogPeriod is not { } period) return;
        while (!cancellation.IsCancellationRequested)
        {
            manager.Watchdog();
            await Task.Delay(period, TimeProvider.System, cancellation).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }
}
