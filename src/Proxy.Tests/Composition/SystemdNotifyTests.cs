using System.Net.Sockets;
using System.Text;
using Microsoft.Extensions.Time.Testing;
using Proxy.Composition;

namespace Proxy.Tests.Composition;

public sealed class SystemdNotifyTests
{
    readonly FakeTimeProvider time = new();

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Each_state_Is_one_message_to_the_manager(bool isAbstract)
    {
        using var manager = new Manager(isAbstract);
        using var notify = new SystemdNotify(manager.Address, watchdog: null, time);

        notify.Ready();
        notify.Status("serving\n2 models");
        notify.Watchdog();
        notify.Stopping();

        Assert.Equal("READY=1", manager.Next());
        Assert.Equal("STATUS=serving 2 models", manager.Next());
        Assert.Equal("WATCHDOG=1", manager.Next());
        Assert.Equal("STOPPING=1", manager.Next());
    }

    [Fact]
    public void Reloading_Says_when_by_the_monotonic_clock()
    {
        using var manager = new Manager(isAbstract: false);
        using var notify = new SystemdNotify(manager.Address, watchdog: null, TimeProvider.System);
        var before = System.Diagnostics.Stopwatch.GetTimestamp() / 1_000; // CLOCK_MONOTONIC in µs, from ns

        notify.Reloading();

        var lines = manager.Next().Split('\n');
        Assert.Equal("RELOADING=1", lines[0]);
        Assert.StartsWith("MONOTONIC_USEC=", lines[1], StringComparison.Ordinal);
        Assert.InRange(long.Parse(lines[1]["MONOTONIC_USEC=".Length..], null), before, before + 60_000_000);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("@")]
    [InlineData("vsock:2:1234")]
    [InlineData("/nowhere/notify")]
    public void Nobody_listens_Nothing_happens(string? address)
    {
        using var notify = new SystemdNotify(address, watchdog: null, time);

        Assert.Null(Record.Exception(notify.Ready));
    }

    [Fact]
    public void Manager_went_away_Nothing_happens()
    {
        var manager = new Manager(isAbstract: false);
        using var notify = new SystemdNotify(manager.Address, watchdog: null, time);
        manager.Dispose();

        Assert.Null(Record.Exception(notify.Watchdog));
    }

    [Fact]
    public void Watchdog_is_watching_A_sign_is_due_twice_as_often()
    {
        using var notify = new SystemdNotify(null, TimeSpan.FromSeconds(30), time);

        Assert.Equal(TimeSpan.FromSeconds(15), notify.WatchdogPeriod);
    }

    /// <summary>The receiving end of the notify socket, in place of systemd.</summary>
    sealed class Manager : IDisposable
    {
        readonly string name = $"{Path.GetTempPath()}notify-{Guid.NewGuid():N}";
        readonly Socket socket = new(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified) { ReceiveTimeout = 5_000 };

        public Manager(bool isAbstract)
        {
            socket.Bind(new UnixDomainSocketEndPoint(isAbstract ? $"\0{name}" : name));
            Address = isAbstract ? $"@{name}" : name;
        }

        public string Address { get; }

        public string Next()
        {
            var buffer = new byte[512];
            return Encoding.UTF8.GetString(buffer, 0, socket.Receive(buffer));
        }

        public void Dispose()
        {
            socket.Dispose();
            File.Delete(name);
        }
    }
}
