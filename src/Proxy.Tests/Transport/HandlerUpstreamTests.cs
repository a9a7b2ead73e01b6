using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using Proxy.Buffers;
using Proxy.Transport;

namespace Proxy.Tests.Transport;

public sealed class HandlerUpstreamTests : IDisposable
{
    private const string Hello = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

    private readonly X509Certificate2 authority;
    private readonly X509Certificate2 certificate;
    private readonly UpstreamHarness harness;

    public HandlerUpstreamTests()
    {
        (authority, certificate) = Certificates();
        harness = Harness(target => target with { Authorities = [authority] });
    }

    [Theory]
    [InlineData(null, "1.1 us")]
    [InlineData("1.1 them, 2 others", "1.1 them, 2 others, 1.1 us")]
    public async Task Via_Says_whom_the_call_has_come_by_and_us_last(string? before, string via)
    {
        using var on = Harness(target => target with { Authorities = [authority], Via = "1.1 us" });
        using var exchange = on.Client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Post() with { Via = before });
        using var peer = await on.Host.AcceptAsync();

        var request = await peer.ReadRequestAsync();
        await peer.SendAsync(Hello);
        await sending;

        Assert.Equal([$"Via: {via}"], request.Split("\r\n").Where(static line => line.StartsWith("via:", StringComparison.OrdinalIgnoreCase)));
    }

    [Fact]
    public async Task Post_Arrives_whole_and_answer_is_read()
    {
        using var exchange = harness.Client.Open();
        var sending = exchange.SendAsync(
            UpstreamHarness.Post("{\"a\":1}") with { Headers = [new("traceparent", "00-1"), new("Host", "evil"), new("User-Agent", "odd (agent")] });
        using var peer = await harness.Host.AcceptAsync();

        var request = await peer.ReadRequestAsync();
        await peer.SendAsync("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nX-Request-Id: r1\r\nServer: x\r\nRetry-After: 7\r\n"
            + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
        var head = await sending;
        var answer = await exchange.ReadAllAsync();

        var lines = request.Split("\r\n");
        Assert.Equal("POST /v1/x HTTP/1.1", lines[0]);
        Assert.Equal(
            ["", "Accept-Encoding: identity", "Content-Length: 7", "Content-Type: application/json", $"Host: localhost:{harness.Host.Port}",
                "traceparent: 00-1", "User-Agent: odd (agent", "{\"a\":1}"],
            lines[1..].Order(StringComparer.OrdinalIgnoreCase));
        Assert.Equal((UpstreamOutcome.Answered, 200, "text/event-stream; charset=utf-8"), (head.Outcome, head.Status, head.ContentType));
        Assert.Equal([new("x-request-id", "r1"), new("retry-after", "7")], head.Headers);
        Assert.Equal(("hello", ReplyReadKind.End), answer);
    }

    [Fact]
    public async Task Connection_to_a_host_Is_watched_by_the_kernel()
    {
        using var peer = await harness.AnswerOnceAsync(Hello);

        Assert.Equal("on 30 10 3 60000", UpstreamAwayTests.WatchOf((System.Net.IPEndPoint)peer.RemoteEndPoint!));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Host_was_away_and_is_back_Stream_that_was_silent_since_has_failed(bool silent)
    {
        var (exchange, peer) = await harness.StreamAsync();
        using var both = exchange;
        using var host = peer;
        harness.Client.Suspect();
        if (!silent)
        {
            var before = harness.Client.Heard;
            await peer.SendAsync("5\r\nhello\r\n");
            Assert.Equal(ReplyReadKind.Data, (await exchange.ReadAsync()).Kind);
            Assert.NotEqual(before, harness.Client.Heard);
        }

        harness.Client.EndSuspects();
        if (!silent) await peer.SendAsync("0\r\n\r\n");

        Assert.Equal(("", silent ? ReplyReadKind.Failed : ReplyReadKind.End), await exchange.ReadAllAsync());
        Assert.Equal(silent, exchange.HostWasAway);
    }

    [Fact]
    public async Task Host_was_away_and_is_back_Request_without_an_answer_has_failed_and_is_not_repeated()
    {
        using var peer = await harness.AnswerOnceAsync(Hello);
        using var exchange = harness.Client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Post()).AsTask();
        await peer.ReadRequestAsync();

        harness.Client.Suspect();
        harness.Client.EndSuspects();

        Assert.Equal(UpstreamOutcome.Broken, (await sending).Outcome);
        Assert.True(exchange.HostWasAway);
        Assert.False(harness.Host.HasPending);
    }

    [Fact]
    public async Task Compressed_although_identity_was_asked_The_head_says_so()
    {
        using var exchange = harness.Client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Post());
        using var peer = await harness.Host.AcceptAsync();
        await peer.ReadRequestAsync();
        await peer.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Encoding: gzip\r\n\r\nx");

        Assert.Equal("gzip", (await sending).ContentEncoding);
    }

    [Fact]
    public async Task Connection_Is_reused()
    {
        using var peer = await harness.AnswerOnceAsync(Hello);

        await harness.AnswerAsync(peer, Hello);

        Assert.False(harness.Host.HasPending);
    }

    [Fact]
    public async Task Reused_connection_dies_before_a_byte_Request_is_repeated_once_on_a_fresh_one()
    {
        using var first = await harness.AnswerOnceAsync(Hello);
        using var exchange = harness.Client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Post("{\"n\":2}"));
        await first.ReadRequestAsync();

        first.Reset();
        using var second = await harness.Host.AcceptAsync();
        var request = await second.ReadRequestAsync();
        await second.SendAsync(Hello);

        Assert.EndsWith("{\"n\":2}", request, StringComparison.Ordinal);
        Assert.Equal(200, (await sending).Status);
    }

    [Fact]
    public async Task Fresh_connection_dies_before_a_byte_Is_broken()
    {
        using var exchange = harness.Client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Post());
        using var peer = await harness.Host.AcceptAsync();
        await peer.ReadRequestAsync();

        peer.Reset();
        var head = await sending;

        Assert.Equal(UpstreamOutcome.Broken, head.Outcome);
        Assert.False(harness.Host.HasPending);
    }

    [Fact]
    public async Task Answer_that_is_not_HTTP_Is_said_to_be_so()
    {
        using var exchange = harness.Client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Post());
        using var peer = await harness.Host.AcceptAsync();
        await peer.ReadRequestAsync();

        await peer.SendAsync("SSH-2.0-OpenSSH_9.6\r\n\r\n");

        Assert.Equal(UpstreamOutcome.NotHttp, (await sending).Outcome);
    }

    [Fact]
    public async Task Host_that_breaks_off_Is_a_failure_after_what_came()
    {
        var (exchange, peer) = await harness.StreamAsync();
        await peer.SendAsync("9\r\nhello");
        var read = await exchange.ReadAsync();
        var text = Encoding.Latin1.GetString(read.Bytes.Span);

        peer.Reset();
        var last = await exchange.ReadAsync();

        Assert.Equal(("hello", ReplyReadKind.Failed), (text, last.Kind));
        Assert.NotNull(exchange.Failure);
        exchange.Dispose();
    }

    [Fact]
    public async Task Large_bodies_Cross_both_ways()
    {
        using var exchange = harness.Client.Open();
        var body = new byte[8 << 20];
        new Random(1).NextBytes(body);
        var third = body.Length / 3;
        var sending = exchange.SendAsync(
            UpstreamHarness.Post() with { Body = new(body.AsMemory(0, third), body.AsMemory(third, third), body.AsMemory(2 * third)) });
        using var peer = await harness.Host.AcceptAsync();

        var echoing = peer.EchoAsync(body.Length);
        await sending;
        using var got = new PooledBody();
        ReplyRead read;
        while ((read = await exchange.ReadAsync()).Kind == ReplyReadKind.Data) got.Write(read.Bytes.Span);
        await echoing;

        Assert.Equal(ReplyReadKind.End, read.Kind);
        Assert.True(got.Span.SequenceEqual(body));
    }

    [Fact]
    public async Task Certificate_of_an_unknown_authority_Is_a_failed_connection()
    {
        using var strict = Harness(target => target);
        using var exchange = strict.Client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Post());
        using var peer = await strict.Host.AcceptAsync();
        var request = await peer.ReadRequestAsync();

        var head = await sending;

        Assert.Equal("", request);
        Assert.Equal(UpstreamOutcome.ConnectFailed, head.Outcome);
        Assert.Contains("certificate", head.Failure, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Certificate_of_an_unknown_authority_Is_taken_where_configuration_says_so()
    {
        using var lax = Harness(target => target with { VerifyCertificate = false });

        using var peer = await lax.AnswerOnceAsync(Hello);
    }

    [Fact]
    public async Task Certificate_for_another_name_Is_a_failed_connection()
    {
        using var host = new FakeHost(certificate);
        using var strict = new UpstreamHarness(host, new(new($"https://127.0.0.1:{host.Port}")) { Authorities = [authority] });
        using var exchange = strict.Client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Post());
        using var peer = await host.AcceptAsync();

        Assert.Equal("", await peer.ReadRequestAsync());
        Assert.Equal(UpstreamOutcome.ConnectFailed, (await sending).Outcome);
    }

    [Fact]
    public async Task Port_where_nobody_listens_Is_a_failed_connection()
    {
        harness.Host.Dispose();
        using var exchange = harness.Client.Open();

        var head = await exchange.SendAsync(UpstreamHarness.Post());

        Assert.Equal(UpstreamOutcome.ConnectFailed, head.Outcome);
    }

    [Fact]
    public async Task Host_that_does_not_shake_hands_Times_out_after_connect()
    {
        using var silent = new FakeHost();
        // This uses .NET's clock, which a test cannot set.
        using var client = UpstreamClients.Create(new(new($"https://127.0.0.1:{silent.Port}")) { Connect = TimeSpan.FromMilliseconds(50) }, harness.Ticker);
        using var exchange = client.Open();

        var head = await exchange.SendAsync(UpstreamHarness.Post());

        Assert.Equal(UpstreamOutcome.ConnectTimedOut, head.Outcome);
    }

    [Fact]
    public async Task Cancelled_before_the_head_Host_sees_it_at_once()
    {
        using var exchange = harness.Client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Post());
        using var peer = await harness.Host.AcceptAsync();
        await peer.ReadRequestAsync();

        exchange.Cancel();
        await peer.WaitForGoneAsync();

        Assert.Equal(UpstreamOutcome.Cancelled, (await sending).Outcome);
    }

    [Fact]
    public async Task Cancelled_while_it_uploads_Host_sees_it_at_once()
    {
        using var exchange = harness.Client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Post() with { Body = new(new byte[64 << 20]) });
        using var peer = await harness.Host.AcceptAsync();
        Assert.NotEqual(0, await peer.ReceiveAsync()); // until then the connection belongs to no exchange and stays open

        exchange.Cancel();
        await peer.WaitForGoneAsync();

        Assert.Equal(UpstreamOutcome.Cancelled, (await sending).Outcome);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Cancelled_in_the_body_Host_sees_it_at_once(bool whileWaiting)
    {
        var (exchange, peer) = await harness.StreamAsync();
        var reading = whileWaiting ? exchange.ReadAsync() : default;

        exchange.Cancel();
        await peer.WaitForGoneAsync();

        if (whileWaiting) Assert.Equal(ReplyReadKind.Cancelled, (await reading).Kind);
        Assert.Equal(ReplyReadKind.Cancelled, (await exchange.ReadAsync()).Kind);
        exchange.Dispose();
        peer.Dispose();
    }

    [Fact]
    public async Task Disposed_in_the_middle_Host_sees_it_at_once()
    {
        var (exchange, peer) = await harness.StreamAsync();

        exchange.Dispose();

        await peer.WaitForGoneAsync();
        peer.Dispose();
    }

    [Fact]
    public async Task Deadline_before_the_head_Is_a_time_out_and_closes()
    {
        using var exchange = harness.Client.Open();
        exchange.Deadline = harness.Ticker.Now + 5000;
        var sending = exchange.SendAsync(UpstreamHarness.Post());
        using var peer = await harness.Host.AcceptAsync();
        await peer.ReadRequestAsync();

        harness.Time.Advance(TimeSpan.FromSeconds(5.2));

        Assert.Equal(UpstreamOutcome.TimedOut, (await sending).Outcome);
        await peer.WaitForGoneAsync();
    }

    [Fact]
    public async Task Silence_Is_quiet_and_the_reply_goes_on_until_the_deadline()
    {
        var (exchange, peer) = await harness.StreamAsync();
        exchange.QuietAt = harness.Ticker.Now + 1000;
        var waiting = exchange.ReadAsync();
        harness.Time.Advance(TimeSpan.FromSeconds(1.2));
        Assert.Equal(ReplyReadKind.Quiet, (await waiting).Kind);

        exchange.QuietAt = ReplyBody.Never;
        var reading = exchange.ReadAsync();
        await peer.SendAsync("5\r\nhello\r\n");
        Assert.Equal("hello", Encoding.Latin1.GetString((await reading).Bytes.Span));

        exchange.Deadline = harness.Ticker.Now + 1000;
        var last = exchange.ReadAsync();
        harness.Time.Advance(TimeSpan.FromSeconds(1.2));
        Assert.Equal(ReplyReadKind.TimedOut, (await last).Kind);
        await peer.WaitForGoneAsync();
        exchange.Dispose();
        peer.Dispose();
    }

    public void Dispose()
    {
        harness.Dispose();
        authority.Dispose();
        certificate.Dispose();
    }

    private UpstreamHarness Harness(Func<UpstreamTarget, UpstreamTarget> set)
    {
        var host = new FakeHost(certificate);
        return new(host, set(new(host.Address)));
    }

    private static (X509Certificate2 Authority, X509Certificate2 Certificate) Certificates()
    {
        var from = new DateTimeOffset(2020, 1, 1, 0, 0, 0, TimeSpan.Zero);
        var until = from.AddYears(60);
        using var authorityKey = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var root = new CertificateRequest("CN=a private authority", authorityKey, HashAlgorithmName.SHA256);
        root.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        root.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign, true));
        var authority = root.CreateSelfSigned(from, until);

        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var leaf = new CertificateRequest("CN=localhost", key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddDnsName("localhost");
        leaf.CertificateExtensions.Add(names.Build());
        using var signed = leaf.Create(authority, from, until, [1, 2, 3]);
        return (authority, signed.CopyWithPrivateKey(key));
    }
}
