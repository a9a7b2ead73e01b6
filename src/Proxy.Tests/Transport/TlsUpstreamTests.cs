using System.Net;
using Proxy.Buffers;
using Proxy.Transport;

namespace Proxy.Tests.Transport;

/// <summary>The contract over TLS, and what only TLS brings: whom to trust, and a handshake that may fail or never end.</summary>
public sealed class TlsUpstreamTests() : UpstreamContract(UpstreamKind.Tls)
{
    [Fact]
    public async Task Certificate_of_an_unknown_authority_Is_a_failed_connection()
    {
        using var harness = new UpstreamHarness(UpstreamKind.Tls, set: target => target with { Authorities = null });
        using var exchange = harness.Client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Post());
        using var peer = await harness.Host.AcceptAsync();
        var request = await peer.ReadRequestAsync();

        var head = await sending;

        Assert.Equal("", request);
        Assert.Equal(UpstreamOutcome.ConnectFailed, head.Outcome);
        Assert.Contains("certificate", head.Failure, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Certificate_of_an_unknown_authority_Is_taken_where_configuration_says_so()
    {
        using var harness = new UpstreamHarness(UpstreamKind.Tls, set: target => target with { Authorities = null, VerifyCertificate = false });

        using var peer = await harness.AnswerOnceAsync(UpstreamHarness.Hello);
    }

    [Fact]
    public async Task Certificate_for_another_name_Is_a_failed_connection()
    {
        using var other = new FakeHost(UpstreamHarness.Certificate, IPAddress.Parse("127.0.0.2"));
        using var harness = new UpstreamHarness(UpstreamKind.Tls, new($"https://127.0.0.2:{other.Port}"));
        using var exchange = harness.Client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Post());
        using var peer = await other.AcceptAsync();

        Assert.Equal("", await peer.ReadRequestAsync());
        Assert.Equal(UpstreamOutcome.ConnectFailed, (await sending).Outcome);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Host_that_does_not_shake_hands_Can_be_given_up(bool byCancel)
    {
        using var silent = new FakeHost();
        using var harness = new UpstreamHarness(UpstreamKind.Tls, new($"https://127.0.0.1:{silent.Port}"));
        using var exchange = harness.Client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Post());
        using var peer = await silent.AcceptAsync();

        if (byCancel) exchange.Cancel();
        else harness.Time.Advance(TimeSpan.FromSeconds(5.1));
        var head = await sending;

        Assert.Equal(byCancel ? UpstreamOutcome.Cancelled : UpstreamOutcome.ConnectTimedOut, head.Outcome);
        await peer.WaitForGoneAsync();
    }

    [Fact]
    public async Task Host_that_does_not_speak_TLS_Is_a_failed_connection()
    {
        using var plain = new FakeHost();
        using var harness = new UpstreamHarness(UpstreamKind.Tls, new($"https://127.0.0.1:{plain.Port}"));
        using var exchange = harness.Client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Post());
        using var peer = await plain.AcceptAsync();

        await peer.SendAsync("HTTP/1.1 400 Bad Request\r\n\r\n");
        var head = await sending;

        Assert.Equal(UpstreamOutcome.ConnectFailed, head.Outcome);
        Assert.Contains("TLS", head.Failure, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Host_says_more_than_its_answer_in_another_record_Connection_is_not_used_again()
    {
        using var harness = new UpstreamHarness(UpstreamKind.Tls);
        var exchange = harness.Client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Post());
        using var peer = await harness.Host.AcceptAsync();
        await peer.ReadRequestAsync();
        await peer.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 4096\r\n\r\n");
        await sending;
        var body = new string('x', 4096); // fills the buffer
        await peer.SendAsync(body);
        await peer.SendAsync("HTTP/1.1 200 OK\r\n\r\n"); // TLS reads it from the socket with the body, and has it

        Assert.Equal((body, ReplyReadKind.End), await exchange.ReadAllAsync());
        exchange.Dispose();

        using var other = await harness.AnswerOnceAsync(UpstreamHarness.Hello);
        await peer.WaitForGoneAsync();
    }
}
