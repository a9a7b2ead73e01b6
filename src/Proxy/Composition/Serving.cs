using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Proxy.Cli;
using Proxy.Composition.Handoff;
using Proxy.Config;
using Proxy.Transport;

namespace Proxy.Composition;

/// <summary>Runs the server: signals, the service manager, a handoff from one process and to another, and the shutdown.</summary>
internal sealed class Serving(
    LoadedConfig loaded, Parts parts, ClientDoor door, Listeners listeners, Certificates? certificates, Inheritance inheritance, StartCommand start)
{
    private static readonly TimeSpan LastWords = TimeSpan.FromSeconds(2);

    /// <summary>
    /// After a handoff, a connection that is idle may be used once more for so long. Then it is closed. In use it is closed after its next response.
    /// </summary>
    private static readonly TimeSpan LongestIdle = TimeSpan.FromSeconds(10);

    private static readonly TimeSpan LongestGiving = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan Pace = TimeSpan.FromMilliseconds(100);

    private readonly ListeningSockets sockets = new();
    private readonly ListeningSockets adminSockets = new();
    private volatile bool hasHandedOver;

    /// <summary>Returns when the process has nothing to do any more.</summary>
    /// <exception cref="IOException">It cannot listen; other exceptions of Kestrel's say the same.</exception>
    public async Task<ExitCode> RunAsync(IReadOnlyList<InheritedSocket> inherited, CancellationToken cancellation)
    {
        using var manager = SystemdNotify.FromEnvironment(parts.Time);
        if (inheritance.IsHandoff) sockets.StartPaused();
        await using var app = ProxyHost.Build(parts, listeners, inherited, sockets, door.HandleAsync);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        using var now = new CancellationTokenSource();
        using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, signal => Signalled(signal, stop, now));
        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, signal => Signalled(signal, stop, now));
        using var hangUp = PosixSignalRegistration.Create(PosixSignal.SIGHUP, signal => HungUp(signal, manager));
        using var alone = CancellationTokenSource.CreateLinkedTokenSource(stop.Token);
        using var until = new CancellationTokenSource();
        parts.Drain = stop.Cancel;
        parts.Reloaded = Reloaded;

        await app.StartAsync(CancellationToken.None);
        var running = parts.RunAsync(alone.Token, until.Token);
        if (inheritance.IsHandoff && !await TakeOverAsync(stop.Token))
        {
            await stop.CancelAsync();
            await until.CancelAsync();
            await running;
            return ExitCode.Failed;
        }

        using var claim = ClaimAdmin(out var noAdmin);
        await using var admin = claim is null ? null : ProxyHost.BuildAdmin(parts, listeners, claim.Path, adminSockets);
        if (admin is not null) await admin.StartAsync(CancellationToken.None);
        using var desk = claim is null ? null : new HandoffDesk(start, parts, sockets, listeners, claim, manager, parts.Handoffs, stop.Token);
        if (desk is not null) parts.Handoff = desk.Begin;
        Announce(noAdmin);
        await sockets.ResumeAsync();
        await inheritance.ServingAsync();
        manager.Status($"serving on {string.Join(", ", listeners.All.Where(l => !l.IsAdmin).Select(l => l.Url))}");
        manager.Ready();
        var watching = WatchdogAsync(manager, stop.Token);

        var stopped = Task.Delay(Timeout.Infinite, stop.Token);
        await Task.WhenAny(stopped, desk?.HandedOver ?? stopped);
        if (desk is { HandedOver: { IsCompletedSuccessfully: true, Result: var pid } })
        {
            await alone.CancelAsync();
            adminSockets.HandOver();
            var reporting = desk.ReportAsync(until.Token);
            await FinishAsync(app, pid, stop.Token, now.Token);
            if (!stop.IsCancellationRequested) await GiveKeptAsync(claim!.Path, stop.Token);
            await until.CancelAsync();
            await reporting;
            File.Delete(desk.MovedAdmin);
        }
        else
        {
            manager.Stopping();
            await StopAsync(app, admin, now.Token);
            await until.CancelAsync();
        }

        await stop.CancelAsync();
        await Task.WhenAll(running, watching);
        parts.Log.Stopped();
        return ExitCode.Ok;
    }

    /// <summary>Waits until the process before this one lets it accept. False: it does not.</summary>
    private async Task<bool> TakeOverAsync(CancellationToken stop)
    {
        await parts.PrepareAsync(stop);
        try
        {
            if (!await inheritance.WaitForGoAsync(parts.Predecessors, stop)) return false;
            parts.Handoffs = inheritance.Handoffs;
            return true;
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }

    private SocketClaim? ClaimAdmin(out string? reason)
    {
        var path = AdminSocket.Path();
        if (listeners.Adopted(path) is not { } adopted) return Listeners.ClaimAdmin(path, out reason);
        reason = null;
        return adopted;
    }

    private void Announce(string? noAdmin)
    {
        var config = loaded.Config;
        if (noAdmin is not null) parts.Log.NoAdmin(noAdmin);
        parts.Log.Started(ProxyHost.Version, loaded.Path ?? "no file", config.Backends.Count, config.Auth.Keys.Count);
        if (inheritance.IsHandoff) parts.Log.TookOver(inheritance.Pid, parts.Predecessors.Count - 1);
        foreach (var (variable, reason) in UnusedVariables.Find(config, loaded.Sources.Environment)) parts.Log.UnusedVariable(variable, reason);
        foreach (var listener in listeners.All)
        {
            if (!listener.IsAdmin) parts.Log.Listening(listener.Url, listener.Scheme == "https" ? "sockets" : config.Server.Transport);
        }

        parts.ListensAt(listeners.All);
    }

    /// <summary>After a handoff: serves the connections until they are idle, lets the running calls finish, and breaks off those that do not in time.</summary>
    private async Task FinishAsync(WebServer app, int pid, CancellationToken stop, CancellationToken now)
    {
        hasHandedOver = true;
        door.Close();
        var (server, began) = (parts.Directory.Table.Config.Server, parts.Time.GetTimestamp());
        parts.Log.HandedOver(pid, parts.Calls.Count, server.HandoffDrain);
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(stop);
        limit.CancelAfter(server.HandoffDrain);
        while (!limit.IsCancellationRequested && listeners.Connections > 0 && parts.Time.GetElapsedTime(began) < LongestIdle) await PauseAsync(limit.Token);
        using var hard = new CancellationTokenSource();
        var stopping = app.StopAsync(hard.Token);
        while (!limit.IsCancellationRequested && (parts.Calls.Count > 0 || !stopping.IsCompleted)) await PauseAsync(limit.Token);
        if (stop.IsCancellationRequested)
        {
            parts.Calls.StartDraining();
            parts.Log.Stopping(parts.Calls.Count, server.Drain);
            await DrainAsync(server.Drain, now);
        }
        else
        {
            BreakOff(server.HandoffDrain);
        }

        hard.CancelAfter(LastWords);
        await stopping.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    /// <summary>Gives the answers that were promised to be kept to the process that serves now.</summary>
    private async Task GiveKeptAsync(string newest, CancellationToken stop)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(stop);
        limit.CancelAfter(LongestGiving);
        try
        {
            await parts.Kept.SendAsync(newest, limit.Token);
        }
        catch (OperationCanceledException)
        {
            // They end with this process, as at a restart.
        }
    }

    /// <summary>Takes no new calls, lets the running ones finish, then breaks off the others, ending each stream with its dialect's error.</summary>
    private async Task StopAsync(WebServer app, WebServer? admin, CancellationToken now)
    {
        var drain = parts.Directory.Table.Config.Server.Drain;
        parts.Calls.StartDraining();
        parts.Log.Stopping(parts.Calls.Count, drain);
        using var hard = new CancellationTokenSource();
        var stopping = Task.WhenAll(app.StopAsync(hard.Token), admin?.StopAsync(hard.Token) ?? Task.CompletedTask);
        await DrainAsync(drain, now);
        hard.CancelAfter(LastWords);
        await stopping.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    private async Task DrainAsync(TimeSpan drain, CancellationToken now)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(now);
        limit.CancelAfter(drain);
        await parts.Calls.WhenEmptyAsync().WaitAsync(limit.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        BreakOff(drain);
    }

    private void BreakOff(TimeSpan after)
    {
        if (parts.Calls.Count == 0) return;
        parts.Log.DrainOver(parts.Calls.Count, after);
        parts.Calls.InterruptAll();
    }

    private Task PauseAsync(CancellationToken cancellation) =>
        Task.Delay(Pace, parts.Time, cancellation).ContinueWith(static _ => { }, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);

    private void HungUp(PosixSignalContext signal, SystemdNotify manager)
    {
        signal.Cancel = true;
        if (hasHandedOver) return; // the process that took over has the configuration
        manager.Reloading();
        parts.Reload();
        manager.Ready();
    }

    private static void Signalled(PosixSignalContext signal, CancellationTokenSource stop, CancellationTokenSource now)
    {
        signal.Cancel = true;
        if (stop.IsCancellationRequested) now.Cancel();
        stop.Cancel();
    }

    private void Reloaded()
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
