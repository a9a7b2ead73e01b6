using System.Globalization;
using System.Net.Sockets;
using System.Text;

namespace Proxy.Composition;

/// <summary>
/// Reports the state of the process to the service manager (<c>man sd_notify</c>). Does nothing without a manager. A message that cannot be delivered is
/// dropped, because serving matters more than reporting.
/// </summary>
/// <remarks>Microsoft.Extensions.Hosting.Systemd looks at its parent process, which a hardened unit hides.</remarks>
internal sealed class SystemdNotify : IDisposable
{
    readonly TimeProvider time;
    readonly Socket? socket;
    volatile bool hasHandedOver;

    /// <param name="address">A path, or <c>@</c> and a name for an abstract socket; null without a manager.</param>
    /// <param name="watchdog">The longest silence that the manager allows; null if it does not watch.</param>
    public SystemdNotify(string? address, TimeSpan? watchdog, TimeProvider time)
    {
        this.time = time;
        WatchdogPeriod = watchdog / 2;
        if (address is not (['/', ..] or ['@', _, ..])) return;

        socket = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
        try
        {
            socket.Connect(new UnixDomainSocketEndPoint(address[0] == '@' ? $"\0{address[1..]}" : address));
        }
        catch (SocketException)
        {
            socket.Dispose();
            socket = null;
        }
    }

    /// <summary>How often to call <see cref="Watchdog"/>, with time to spare; null if the manager does not watch.</summary>
    public TimeSpan? WatchdogPeriod { get; }

    /// <summary>Reads <c>NOTIFY_SOCKET</c>, <c>WATCHDOG_USEC</c> and <c>WATCHDOG_PID</c>.</summary>
    public static SystemdNotify FromEnvironment(TimeProvider time)
    {
        var watched = Environment.GetEnvironmentVariable("WATCHDOG_PID") is not { Length: > 0 } pid
            || pid == Environment.ProcessId.ToString(CultureInfo.InvariantCulture);
        TimeSpan? watchdog = watched && long.TryParse(Environment.GetEnvironmentVariable("WATCHDOG_USEC"), CultureInfo.InvariantCulture, out var microseconds)
            && microseconds > 0
            ? TimeSpan.FromMicroseconds(microseconds)
            : null;
        return new(Environment.GetEnvironmentVariable("NOTIFY_SOCKET"), watchdog, time);
    }

    /// <summary>Reports that the process has started, or has finished reloading.</summary>
    public void Ready() => Send("READY=1");

    /// <summary>
    /// Reports that another process is the service from now on. What this process says afterwards is not meant for the manager any more, so it is not sent.
    /// </summary>
    public void HandOver(int pid)
    {
        Send(string.Create(CultureInfo.InvariantCulture, $"MAINPID={pid}"));
        hasHandedOver = true;
    }

    public void Stopping() => Send("STOPPING=1");

    /// <summary>Must be followed by <see cref="Ready"/>. The time lets the manager distinguish this reload from an earlier one.</summary>
    public void Reloading() =>
        Send(string.Create(CultureInfo.InvariantCulture, $"RELOADING=1\nMONOTONIC_USEC={time.GetElapsedTime(0).Ticks / TimeSpan.TicksPerMicrosecond}"));

    public void Watchdog() => Send("WATCHDOG=1");

    /// <summary>Sets the status line of <c>systemctl status</c>.</summary>
    public void Status(string line) => Send($"STATUS={line.ReplaceLineEndings(" ")}");

    public void Dispose() => socket?.Dispose();

    void Send(string message)
    {
        if (hasHandedOver) return;
        try
        {
            socket?.Send(Encoding.UTF8.GetBytes(message));
        }
        catch (SocketException)
        {
            // Dropped, as the class says.
        }
    }
}
