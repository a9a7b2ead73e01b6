using System.Net;
using System.Net.Sockets;
using System.Text.RegularExpressions;
using Proxy.Tests.Backends;
using Proxy.Tests.Inference;

namespace Proxy.Tests.Harness;

/// <summary>A fake host that ends while it accepts, or while a client connects, must not fail a test.</summary>
public sealed partial class HostEndTests
{
    private const int Rounds = 200;

    [Fact]
    public async Task Host_that_ends_while_it_accepts_Ends_quietly()
    {
        await Task.WhenAll(Enumerable.Range(0, Rounds).Select(_ => Task.Run(async () => await new RecordedHost().DisposeAsync())));
        await Task.WhenAll(Enumerable.Range(0, Rounds).Select(_ => Task.Run(async () => await new FakeHub().DisposeAsync())));
        await Task.WhenAll(Enumerable.Range(0, Rounds).Select(_ => Task.Run(async () => await FakeBackend.Start().DisposeAsync())));
    }

    [Fact]
    public async Task Host_that_ends_while_a_client_connects_and_says_nothing_Ends_quietly()
    {
        await EndsAsync(static () => new RecordedHost(), static host => host.Url);
        await EndsAsync(static () => new FakeHub(), static host => host.Url);
        await EndsAsync(FakeBackend.Start, static host => host.Url);
    }

    [Fact]
    public async Task Host_that_refuses_while_a_client_connects_Keeps_no_connection()
    {
        for (var round = 0; round < Rounds; round++)
        {
            await using var host = FakeBackend.Start();
            using var client = new Socket(SocketType.Stream, ProtocolType.Tcp);
            await client.ConnectAsync(IPAddress.Loopback, host.Port, TestContext.Current.CancellationToken);

            host.Refuse();

            await Patience.Until(() => Task.FromResult(host.OpenConnections == 0), "no connection is open");
        }
    }

    [Fact]
    public void Interrupted_run_Names_the_tests_that_run()
    {
        var said = new StringWriter();

        RunningTestsAttribute.Say(said);

        Assert.Matches(Line(), said.ToString());
    }

    [Fact]
    public void Slow_classes_Start_first()
    {
        Assert.Equal(0, SlowFirst.Rank("Test collection for Proxy.Tests.EndToEnd.SystemdTests (id: 1)"));
        Assert.Equal(1, SlowFirst.Rank("real clients"));
        Assert.Equal(2, SlowFirst.Rank("Test collection for Proxy.Tests.EndToEnd.SoakTests (id: 2)"));
        Assert.Equal(3, SlowFirst.Rank("Test collection for Proxy.Tests.EndToEnd.MatrixTests (id: 3)"));
        Assert.Equal(4, SlowFirst.Rank("Test collection for Proxy.Tests.Harness.HostEndTests (id: 4)"));
    }

    private static async Task EndsAsync<T>(Func<T> start, Func<T, string> url)
        where T : IAsyncDisposable
    {
        for (var round = 0; round < Rounds; round++)
        {
            var host = start();
            using var client = new Socket(SocketType.Stream, ProtocolType.Tcp);
            await client.ConnectAsync(IPEndPoint.Parse(url(host)["http://".Length..]), TestContext.Current.CancellationToken);

            await Patience.For(host.DisposeAsync().AsTask(), "the host's end");
        }
    }

    [GeneratedRegex(@"^  0:\d\d:\d\d  Proxy\.Tests\.Harness\.HostEndTests\.Interrupted_run_Names_the_tests_that_run\r?$", RegexOptions.Multiline)]
    private static partial Regex Line();
}
