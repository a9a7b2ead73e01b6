using System.Net;
using System.Net.Sockets;
using Microsoft.Win32.SafeHandles;
using Proxy.Buffers;
using Proxy.Transport;

namespace Proxy.Tests.Transport;

// A host that lost its power or its network, or slept: what such a client does with connections that may be dead.
public abstract partial class UpstreamContract
{
    [Fact]
    public async Task Connection_to_a_host_Is_watched_by_the_kernel()
    {
        using var harness = Harness();
        using var peer = await harness.AnswerOnceAsync(Hello);

        Assert.Equal("on 30 10 3 60000", WatchOf((IPEndPoint)peer.RemoteEndPoint!));
    }

    [Fact]
    public async Task Host_is_back_Stream_that_was_silent_since_has_failed()
    {
        using var harness = Harness();
        var (exchange, peer) = await harness.StreamAsync();
        using var both = exchange;
        using var host = peer;
        await peer.SendAsync("5\r\nhello\r\n");
        Assert.Equal(ReplyReadKind.Data, (await exchange.ReadAsync()).Kind);
        var reading = exchange.ReadAllAsync();

        harness.Client.Suspect();
        harness.Client.EndSuspects();

        Assert.Equal(("", ReplyReadKind.Failed), await reading);
        Assert.Contains("timed out", exchange.Failure, StringComparison.OrdinalIgnoreCase);
        Assert.True(exchange.HostWasAway);
        exchange.Dispose();
        await peer.WaitForGoneAsync();
    }

    [Fact]
    public async Task Host_is_back_Stream_that_brought_something_meanwhile_goes_on()
    {
        using var harness = Harness();
        var (exchange, peer) = await harness.StreamAsync();
        using var both = exchange;
        using var host = peer;
        harness.Client.Suspect();
        await harness.SettleAsync();
        var before = harness.Client.Heard;
        await peer.SendAsync("5\r\nhello\r\n");
        Assert.Equal(ReplyReadKind.Data, (await exchange.ReadAsync()).Kind);
        Assert.NotEqual(before, harness.Client.Heard);

        harness.Client.EndSuspects();
        await harness.SettleAsync();
        await peer.SendAsync("5\r\nworld\r\n0\r\n\r\n");

        Assert.Equal(("world", ReplyReadKind.End), await exchange.ReadAllAsync());
    }

    [Fact]
    public async Task Host_is_back_Connection_made_since_is_left_alone()
    {
        using var harness = Harness();
        harness.Client.Suspect();
        await harness.SettleAsync();
        var (exchange, peer) = await harness.StreamAsync();
        using var both = exchange;
        using var host = peer;

        harness.Client.EndSuspects();
        await harness.SettleAsync();
        await peer.SendAsync("5\r\nhello\r\n0\r\n\r\n");

        Assert.Equal(("hello", ReplyReadKind.End), await exchange.ReadAllAsync());
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Host_is_back_Request_without_an_answer_has_failed_and_is_not_repeated(bool reused)
    {
        using var harness = Harness();
        var peer = reused ? await harness.AnswerOnceAsync(Hello) : null;
        using var exchange = harness.Client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Post()).AsTask();
        peer ??= await harness.Host.AcceptAsync();
        using var host = peer;
        await peer.ReadRequestAsync();

        harness.Client.Suspect();
        harness.Client.EndSuspects();

        Assert.Equal(UpstreamOutcome.Broken, (await sending).Outcome);
        Assert.True(exchange.HostWasAway);
        await peer.WaitForGoneAsync();
        Assert.False(harness.Host.HasPending);
    }

    [Fact]
    public async Task Host_is_back_Upload_that_it_did_not_read_has_failed()
    {
        using var harness = Harness();
        using var exchange = harness.Client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Post() with { Body = new(new byte[64 << 20]) }).AsTask();
        using var peer = await harness.Host.AcceptAsync();
        await peer.ReadBodyAsync(1); // so the connection is known

        harness.Client.Suspect();
        harness.Client.EndSuspects();

        Assert.Equal(UpstreamOutcome.Broken, (await sending).Outcome);
        await peer.WaitForGoneAsync();
    }

    [Fact]
    public async Task Host_is_away_Idle_connection_is_not_used_for_a_call()
    {
        using var harness = Harness();
        using var peer = await harness.AnswerOnceAsync(Hello);

        harness.Client.Suspect();
        await harness.SettleAsync();

        // On the old connection, the call would wait until the kernel gives up on bytes that are not acknowledged.
        using var other = await harness.AnswerOnceAsync(Hello);
        await peer.WaitForGoneAsync();
    }

    [Fact]
    public async Task Host_is_back_Idle_connection_is_not_used_again()
    {
        using var harness = Harness();
        using var peer = await harness.AnswerOnceAsync(Hello);

        harness.Client.Suspect();
        harness.Client.EndSuspects();

        await peer.WaitForGoneAsync();
        using var other = await harness.AnswerOnceAsync(Hello);
    }

    /// <summary>What the kernel was told of the connection of this process that has the address.</summary>
    internal static string WatchOf(IPEndPoint local)
    {
        foreach (var entry in Directory.EnumerateFileSystemEntries("/proc/self/fd"))
        {
            if (new FileInfo(entry).LinkTarget?.StartsWith("socket:", StringComparison.Ordinal) is not true) continue;
            using var handle = new SafeSocketHandle(int.Parse(Path.GetFileName(entry), System.Globalization.CultureInfo.InvariantCulture), ownsHandle: false);
            Socket socket;
            try
            {
                socket = new Socket(handle);
                if (socket.LocalEndPoint is not IPEndPoint own || own.Port != local.Port || socket.RemoteEndPoint is null) continue;
            }
            catch (SocketException)
            {
                continue; // closed meanwhile, or no TCP
            }

            var patience = new byte[4];
            socket.GetRawSocketOption(6, 18, patience);
            return $"{(Option(SocketOptionLevel.Socket, SocketOptionName.KeepAlive) == 0 ? "off" : "on")} "
                + $"{Option(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime)} "
                + $"{Option(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveInterval)} "
                + $"{Option(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveRetryCount)} {BitConverter.ToInt32(patience)}";

            int Option(SocketOptionLevel level, SocketOptionName name) => (int)socket.GetSocketOption(level, name)!;
        }

        return "no such connection";
    }
}
