using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Time.Testing;
using Proxy.Transport;

namespace Proxy.Tests.Transport;

public sealed class HostAddressesTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    private readonly FakeTimeProvider time = new();
    private readonly HostAddresses addresses;
    private readonly List<string> tried = [];
    private readonly HashSet<string> refusing = [];
    private readonly HashSet<string> silent = [];
    private string[] known = ["10.0.0.1", "10.0.0.2", "fd00::3"];
    private int lookups;

    public HostAddressesTests() => addresses = new("host", 80, time, (_, _) =>
    {
        lookups++;
        return Task.FromResult(known.Select(IPAddress.Parse).ToArray());
    });

    [Fact]
    public async Task First_address_answers_It_is_the_only_one_tried()
    {
        Assert.Equal("10.0.0.1", await ConnectAsync());
        Assert.Equal(["10.0.0.1"], tried);
    }

    [Fact]
    public async Task Addresses_that_refuse_Are_passed_over_and_the_one_that_answers_comes_first_next_time()
    {
        refusing.UnionWith(["10.0.0.1", "10.0.0.2"]);
        Assert.Equal("fd00::3", await ConnectAsync());

        tried.Clear();
        Assert.Equal("fd00::3", await ConnectAsync());

        Assert.Equal(["fd00::3"], tried);
        Assert.Equal(1, lookups);
    }

    [Fact]
    public async Task Address_that_is_silent_Gets_its_share_of_the_time()
    {
        silent.Add("10.0.0.1");
        var connecting = ConnectAsync();
        Assert.False(connecting.IsCompleted);

        time.Advance(Patience / 3);

        Assert.Equal("10.0.0.2", await connecting);
    }

    [Fact]
    public async Task All_refuse_Last_failure_is_told()
    {
        refusing.UnionWith(known);

        var failure = await Assert.ThrowsAsync<SocketException>(ConnectAsync);

        Assert.Equal(SocketError.ConnectionRefused, failure.SocketErrorCode);
        Assert.Equal((3, 1), (tried.Count, lookups));
    }

    [Fact]
    public async Task All_known_ones_refuse_Name_is_resolved_again()
    {
        await ConnectAsync();
        refusing.UnionWith(known);
        known = ["10.0.0.9"];

        Assert.Equal("10.0.0.9", await ConnectAsync());
        Assert.Equal(2, lookups);
    }

    [Fact]
    public async Task Half_a_minute_later_Name_is_resolved_again()
    {
        await ConnectAsync();
        known = ["10.0.0.9"];
        time.Advance(TimeSpan.FromSeconds(31));

        Assert.Equal("10.0.0.9", await ConnectAsync());
    }

    [Fact]
    public async Task Address_instead_of_a_name_Is_not_resolved()
    {
        var literal = new HostAddresses("fd00::7", 80, time, (_, _) => throw new InvalidOperationException("resolved"));

        Assert.Equal("fd00::7", await literal.ConnectAsync(OpenAsync, Patience, TestContext.Current.CancellationToken));
    }

    private Task<string> ConnectAsync() => addresses.ConnectAsync(OpenAsync, Patience, TestContext.Current.CancellationToken);

    private async Task<string> OpenAsync(IPEndPoint address, CancellationToken cancellation)
    {
        var name = address.Address.ToString();
        tried.Add(name);
        Assert.Equal(80, address.Port);
        if (silent.Contains(name)) await Task.Delay(Timeout.Infinite, cancellation);
        return refusing.Contains(name) ? throw new SocketException((int)SocketError.ConnectionRefused) : name;
    }
}
