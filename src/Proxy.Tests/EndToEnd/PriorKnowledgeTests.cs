using System.Text;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>A client that speaks HTTP/2 without TLS is told in its own protocol to use HTTP/1.1, on both transports.</summary>
public abstract class PriorKnowledgeTests(FrontDoor door)
{
    private const string Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    public sealed class Loops(Loops.Door door) : PriorKnowledgeTests(door), IClassFixture<Loops.Door>
    {
        public sealed class Door : FrontDoor
        {
            protected override string Transport => "epoll";
        }
    }

    public sealed class Sockets(Sockets.Door door) : PriorKnowledgeTests(door), IClassFixture<Sockets.Door>
    {
        public sealed class Door : FrontDoor
        {
            protected override string Transport => "sockets";
        }
    }

    [Theory]
    [InlineData(1000)]
    [InlineData(1)]
    [InlineData(17)]
    public async Task Client_speaks_HTTP_2_at_once_It_gets_its_settings_and_is_sent_to_HTTP_1(int piece)
    {
        await using var client = await RawClient.ConnectAsync(door.Address);
        // Preface, SETTINGS, WINDOW_UPDATE, and the headers of a request.
        byte[] all = [.. Encoding.ASCII.GetBytes(Preface), 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 255, 0, 0, 0, 0, 3, 1, 5, 0, 0, 0, 1, 0x82,
            0x86, 0x84];
        for (var at = 0; at < all.Length; at += piece)
        {
            await client.SendAsync(all.AsMemory(at, Math.Min(piece, all.Length - at)));
            if (piece < 100) await Task.Yield();
        }

        if (piece > 1) client.HalfClose(); // otherwise the proxy ends the connection after it has waited for the client to do so
        var frames = Encoding.Latin1.GetBytes(await client.ReadToEndAsync());

        Assert.Equal([0, 0, 0, 4, 0, 0, 0, 0, 0], frames[..9]); // SETTINGS, empty
        var goAway = frames[9..];
        Assert.Equal((7, 0, 13), (goAway[3], goAway[5..13].Sum(one => one), goAway[16])); // GOAWAY of stream 0, HTTP_1_1_REQUIRED
        Assert.Equal(goAway.Length, 9 + goAway[2]);
        Assert.Contains("HTTP/1.1", Encoding.ASCII.GetString(goAway[17..]), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Clients_first_letters_are_those_of_HTTP_2_It_is_served_all_the_same()
    {
        await using var client = await RawClient.ConnectAsync(door.Address);
        await client.SendAsync("P"u8.ToArray());
        Assert.Equal(200, (await door.GetAsync("/health")).Status);
        await client.SendAsync("RI /health HTTP/1.1\r\nHost: localhost\r\n\r\n"u8.ToArray());

        Assert.Equal(405, (await client.ReadReplyAsync()).Status);
    }

    [Fact]
    public async Task Client_sends_a_part_of_the_preface_and_leaves_Its_connection_ends()
    {
        for (var cut = 1; cut < Preface.Length; cut += 5)
        {
            await using var client = await RawClient.ConnectAsync(door.Address);
            await client.SendAsync(Encoding.ASCII.GetBytes(Preface[..cut]));
            client.HalfClose();

            Assert.DoesNotContain(" 200 ", await client.ReadToEndAsync(), StringComparison.Ordinal);
        }
    }
}
