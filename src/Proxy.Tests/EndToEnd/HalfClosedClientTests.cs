using System.Text;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>
/// A client that sent FIN has left, on both transports: it gets a complete answer or nothing, and never an invented status. A client that disconnects while it
/// sends its body has left too; this is not an error of the proxy.
/// </summary>
public abstract class HalfClosedClientTests(FrontDoor door)
{
    public sealed class Loops(Loops.Door door) : HalfClosedClientTests(door), IClassFixture<Loops.Door>
    {
        public sealed class Door : HalfClosedDoor
        {
            protected override string Transport => "epoll";
        }
    }

    public sealed class Sockets(Sockets.Door door) : HalfClosedClientTests(door), IClassFixture<Sockets.Door>
    {
        public sealed class Door : HalfClosedDoor
        {
            protected override string Transport => "sockets";
        }
    }

    public abstract class HalfClosedDoor : FrontDoor
    {
        protected override int Lanes => 11;

        protected override string Sections() => """
            [[backends]]
            name = "echo"
            url = "builtin:echo"
            models = ["echo"]
            """;
    }

    /// <summary>Requests that a loop serves itself, and requests that it leaves to Kestrel.</summary>
    public static TheoryData<string, string> Ways => new()
    {
        { "/v1/chat/completions", "Accept: */*" },
        { "/v1/chat/completions?a=b", "Accept: */*" },
        { "/v1/chat/completions", "Connection: close" },
    };

    [Theory]
    [MemberData(nameof(Ways))]
    public async Task Half_closed_while_the_host_works_Connection_ends_without_a_status(string path, string header)
    {
        foreach (var stream in new[] { false, true })
        {
            var lane = door.Take();
            lane.A.Answer(exchange => exchange.StallAsync());
            var arrival = lane.A.NextCallAsync();
            var correlation = FrontDoor.Correlation();
            await using var client = await RawClient.ConnectAsync(door.Address);
            await client.RequestAsync("POST", path, Encoding.UTF8.GetBytes(OpenAi.Request(lane.Solo, stream)), header, $"x-correlation-id: {correlation}");
            await arrival;
            client.HalfClose();

            Assert.Equal("", await client.ReadToEndAsync());
            Assert.Equal("client_left client 499", (await door.Proxy.Log.CallAsync(correlation)).Verdict);
        }
    }

    [Theory]
    [MemberData(nameof(Ways))]
    public async Task Half_closed_at_once_Connection_ends_without_a_status(string path, string header)
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.StallAsync());
        for (var i = 0; i < 50; i++)
        {
            await using var client = await RawClient.ConnectAsync(door.Address);
            await client.RequestAsync("POST", path, Encoding.UTF8.GetBytes(OpenAi.Request(lane.Solo, stream: i % 2 == 0)), header);
            client.HalfClose();

            Assert.Equal("", await client.ReadToEndAsync());
        }
    }

    [Fact]
    public async Task Half_closed_after_the_end_marker_The_answer_was_whole()
    {
        var lane = door.Take();
        lane.A.Answer(async exchange =>
        {
            await exchange.HeadAsync(OpenAi.Sse);
            await exchange.ChunkAsync(string.Concat(OpenAi.Stream("all")));
            await exchange.StallAsync(); // its connection stays open
        });
        var correlation = FrontDoor.Correlation();
        await using var client = await RawClient.ConnectAsync(door.Address);
        await client.RequestAsync(
            "POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(OpenAi.Request(lane.Solo, stream: true)), $"x-correlation-id: {correlation}");
        await client.ReadHeadAsync();
        await client.ReadUntilAsync("[DONE]");

        client.HalfClose();

        Assert.Equal("ok none 200", (await door.Proxy.Log.CallAsync(correlation)).Verdict);
    }

    [Theory]
    [MemberData(nameof(Ways))]
    public async Task Half_closed_call_that_is_refused_Gets_that_refusal_or_nothing(string path, string header)
    {
        foreach (var (body, status) in new[] { (OpenAi.Request("no-such-model"), 404), ("{", 400), (OpenAi.Request("echo") + " ", 200) })
        {
            for (var i = 0; i < 30; i++)
            {
                await using var client = await RawClient.ConnectAsync(door.Address);
                await client.RequestAsync("POST", path, Encoding.UTF8.GetBytes(body), header);
                client.HalfClose();

                var answer = await client.ReadToEndAsync();

                if (answer.Length == 0) continue;
                Assert.StartsWith($"HTTP/1.1 {status} ", answer, StringComparison.Ordinal);
                Assert.DoesNotContain("\r\nContent-Length: 0\r\n", answer, StringComparison.Ordinal);
            }
        }
    }

    [Theory]
    [InlineData("/v1/chat/completions", "Content-Length: 100000", false)]
    [InlineData("/v1/chat/completions", "Content-Length: 100000", true)]
    [InlineData("/v1/chat/completions?a=b", "Content-Length: 100000", false)]
    [InlineData("/v1/chat/completions?a=b", "Content-Length: 100000", true)]
    [InlineData("/v1/chat/completions", "Transfer-Encoding: chunked", false)]
    [InlineData("/v1/chat/completions", "Transfer-Encoding: chunked", true)]
    [InlineData("/v1/embeddings", "Content-Length: 100000", false)]
    [InlineData("/v1/audio/transcriptions", "Content-Length: 100000", true)]
    [InlineData("/api/chat", "Content-Length: 100000", true)]
    public async Task Client_breaks_off_in_its_body_It_left_and_nothing_failed(string path, string framing, bool reset)
    {
        for (var i = 0; i < 20; i++)
        {
            var correlation = FrontDoor.Correlation();
            var isPacked = i % 2 == 0;
            byte[] begun = isPacked ? [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3] : [.. "{\"model\":"u8];
            if (framing.StartsWith("Transfer", StringComparison.Ordinal)) begun = [.. "1000\r\n"u8, .. begun];
            await using var client = await RawClient.ConnectAsync(door.Address);
            await client.RequestAsync("POST", path, begun, framing, $"x-correlation-id: {correlation}", isPacked ? "Content-Encoding: gzip" : "Accept: */*");
            if (i % 3 == 0) await door.GetAsync("/health"); // so that the disconnect comes before, while and after the proxy waits for the body
            if (reset)
            {
                client.Reset();
            }
            else
            {
                client.HalfClose();
                Assert.Equal("", await client.ReadToEndAsync());
            }

            if (!await WasHeardAsync(correlation)) continue;

            Assert.Equal("client_left client 499", (await door.Proxy.Log.CallAsync(correlation)).Verdict);
            Assert.Equal(1, door.Proxy.Log.CallsOf(correlation));
        }

        Assert.Empty(door.Proxy.Log.Strays);
        Assert.DoesNotContain(door.Proxy.Log.Lines, line => ProxyLog.Text(line, "level") is "error");
        Assert.DoesNotContain(door.Proxy.Log.Lines, line => line.GetRawText().Contains("   at ", StringComparison.Ordinal));
    }

    // If the FIN overtook the request's head, there was no call.
    private async Task<bool> WasHeardAsync(string correlation)
    {
        var asked = 0;
        await Patience.Until(() => Task.FromResult(door.Proxy.Log.CallsOf(correlation) > 0 || ++asked > 25), "the call's line, or none");
        return door.Proxy.Log.CallsOf(correlation) > 0;
    }
}
