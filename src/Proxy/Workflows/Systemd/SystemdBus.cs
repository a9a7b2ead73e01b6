using Tmds.DBus.Protocol;

namespace Proxy.Workflows.Systemd;

/// <summary>The way to this machine's systemd: one connection, made when it is first needed, kept, and made again after a loss. Thread-safe.</summary>
internal sealed class SystemdBus(string socket = SystemdBus.Usual) : IDisposable
{
    private readonly Lock gate = new();
    private Task<SystemdLink>? link;
    private bool isDisposed;

    /// <summary>Where the system's D-Bus listens.</summary>
    public const string Usual = "/run/dbus/system_bus_socket";

    /// <summary>Why there can be no connection; null: there may be one.</summary>
    public string? Absent =>
        File.Exists(socket) ? null : $"there is no D-Bus ({socket}): install the package dbus, and use the launcher \"jetstream\" in a container";

    /// <exception cref="DBusExceptionBase">There is no D-Bus, no systemd, or it lets this process not in.</exception>
    public Task<SystemdLink> LinkAsync()
    {
        lock (gate)
        {
            ObjectDisposedException.ThrowIf(isDisposed, this);
            if (link is null or { IsFaulted: true } or { IsCompletedSuccessfully: true, Result.Closed.IsCompleted: true }) link = SystemdLink.OpenAsync(socket);
            return link;
        }
    }

    /// <summary>Says what an error of D-Bus or systemd means, and what to do.</summary>
    /// <param name="unit">The unit that was to be started.</param>
    /// <param name="problem">A problem of <see cref="SystemdLink"/>.</param>
    public static string Explain(string unit, Exception problem) => problem switch
    {
        DBusErrorReplyException { ErrorName: "org.freedesktop.DBus.Error.AccessDenied" or "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired" } =>
            $"this service may not start the unit {unit}: {PolkitRule.Remedy()}",
        DBusErrorReplyException reply => $"systemd does not start the unit {unit}: {reply.ErrorMessage}",
        _ => $"systemd cannot be reached over D-Bus: {(Environment.IsPrivilegedProcess ? null : PolkitRule.UserRemedy()) ?? problem.Message}",
    };

    public void Dispose()
    {
        lock (gate)
        {
            isDisposed = true;
            if (link is { IsCompletedSuccessfully: true }) link.Result.Dispose();
        }
    }
}
