using System.Globalization;
using System.Net.Sockets;
using System.Text;

namespace Proxy.Composition;

/// <summary>
/// Tells the service manager how the process is doing (<c>man sd_notify</c>). Says nothing where nobody listens, and a
/// message that cannot be delivered is dropped: the service matters more than its supervisor's knowledge of it.
/// </summary>
/// <remarks>Microsoft.Extensions.Hosting.Systemd decides by looking at its parent process, which a hardened unit hides.</remarks>
internal sealed class SystemdNotify : IDisposable
{
    readonly TimeProvider time;
    readonly Socket? socket;

    /// <param name="address">A path, or <c>@</c> and a name for an abstract socket; null where no manager listens.</param>
    /// <param name="watchdog">The longest silence that the manager bears; null when it does not watch.</param>
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

    /// <summary>How often <see cref="Watchdog"/> is due, with time to spare; null when nobody waits for it.</summary>
    public TimeSpan? WatchdogPeriod { get; }

    /// <summary>As <c>NOTIFY_SOCKET</c>, <c>WATCHDOG_USEC</c> and <c>WATCHDOG_PID</c> say.</summary>
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

    /// <summary>Started, or done with reloading.</summary>
    public void Ready() => Send("READY=1");

    public void Stopping() => Send("STOPPING=1");

    /// <summary>To be followed by <see cref="Ready"/>. The time lets the manager tell this reload from an earlier one.</summary>
    public void Reloading() =>
        Send(string.Create(CultureInfo.InvariantCulture, $"RELOADING=1\nMONOTONIC_USEC={time.GetElapsedTime(0).Ticks / TimeSpan.TicksPerMicrosecond}"));

    public void Watchdog() => Send("WATCHDOG=1");

    /// <summary>One line for <c>systemctl status</c>.</summary>
    public void Status(string line) => Send($"STATUS={line.ReplaceLineEndings(" ")}");

    public void Dispose() => socket?.Dispose();

    void Send(string message)
    {
        try
        {
            socket?.Send(Encoding.UTF8.GetBytes(message));
        }
        catch (SocketException)
        {
            // See the class: nothing to be done, nobody to tell.
        }
    }
}
