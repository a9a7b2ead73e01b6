using System.Net.ServerSentEvents;
using System.Text;
using Proxy.Chat;

namespace Proxy.Tests.Chat;

public sealed class FrameCutterTests
{
    public static TheoryData<string> Streams() =>
    [
        "data: a\n\ndata: b\n\n",
        "data: a\r\n\r\ndata: b\r\n\r\n",
        "data: a\n\r\ndata: b\r\n\n",
        "data:a\n\ndata:  two spaces\n\n",
        "event: x\ndata: a\nid: 7\n\n: comment\n\ndata: b\n\n",
        ": ping\n\n: ping\n\ndata: {\"x\":1}\n\n",
        "data: one\ndata: two\n\ndata: three\ndata: four\ndata: five\n\n",
        "data\n\ndata:\n\ndata: x\n\n",
        "data\ndata\n\n",
        "database: no\ndatum: no\ndata: yes\n\n",
        "retry: 100\n\ndata: a:b: c\n\n",
        "data: ä漢🙂\n\ndata: [DONE]\n\n",
        "\n\n\ndata: a\n\n\n\ndata: b\n\n",
        "data: a \t\n\n",
        "data: {\"model\":\ndata: \"x\"}\n\n",
    ];

    [Theory]
    [MemberData(nameof(Streams))]
    public void Server_sent_events_Are_those_the_runtimes_own_parser_finds_however_they_are_cut(string stream)
    {
        var bytes = Encoding.UTF8.GetBytes(stream);
        var expected = SseParser.Create(new MemoryStream(bytes)).Enumerate().Select(item => item.Data).ToArray();

        for (var cut = 0; cut <= bytes.Length; cut++)
        {
            var (frames, payloads, rest) = Cut(StreamFraming.ServerSentEvents, bytes[..cut], bytes[cut..]);

            Assert.Equal(stream, string.Concat(frames));
            Assert.Empty(rest);
            // The reference parser reports an event with an empty data line; our cutter gives no payload for it.
            Assert.Equal(expected.Where(data => data.Length > 0), payloads);
        }
    }

    [Fact]
    public void Every_byte_comes_alone_Frames_are_the_same()
    {
        var bytes = Encoding.UTF8.GetBytes("data: one\r\n\r\n: c\n\ndata: a\ndata: b\n\n");

        var (frames, payloads, rest) = Cut(StreamFraming.ServerSentEvents, [.. bytes.Select(b => (byte[])[b])]);

        Assert.Equal(["data: one\r\n\r\n", ": c\n\n", "data: a\ndata: b\n\n"], frames);
        Assert.Equal(["one", "a\nb"], payloads);
        Assert.Empty(rest);
    }

    [Fact]
    public void Json_lines_Are_cut_at_every_line_end()
    {
        var bytes = Encoding.UTF8.GetBytes("{\"a\":1}\n{\"b\":2}\r\n\n  {\"c\":3} \n{\"d\":");
        for (var cut = 0; cut <= bytes.Length; cut++)
        {
            var (frames, payloads, rest) = Cut(StreamFraming.JsonLines, bytes[..cut], bytes[cut..]);

            Assert.Equal(["{\"a\":1}\n", "{\"b\":2}\r\n", "\n", "  {\"c\":3} \n"], frames);
            Assert.Equal(["{\"a\":1}", "{\"b\":2}", "{\"c\":3}"], payloads);
            Assert.Equal("{\"d\":", rest);
        }
    }

    [Theory]
    [InlineData("data: a\ndata: b", "a\nb")]
    [InlineData("data: a\r\n", "a")]
    [InlineData("event: x", "")]
    [InlineData("", "")]
    public void Stream_ends_without_a_terminator_The_rest_has_a_payload(string rest, string expected)
    {
        using var cutter = FrameCutter.For(StreamFraming.ServerSentEvents);

        Assert.Equal(expected, Encoding.UTF8.GetString(cutter.PayloadOfRest(Encoding.UTF8.GetBytes(rest))));
    }

    private static (List<string> Frames, List<string> Payloads, string Left) Cut(StreamFraming framing, params byte[][] pieces)
    {
        using var cutter = FrameCutter.For(framing);
        var (frames, payloads) = (new List<string>(), new List<string>());
        byte[] held = [];
        foreach (var piece in pieces)
        {
            ReadOnlySpan<byte> pending = held = [.. held, .. piece];
            while (cutter.TryTake(ref pending, out var frame, out var payload))
            {
                frames.Add(Encoding.UTF8.GetString(frame));
                if (!payload.IsEmpty) payloads.Add(Encoding.UTF8.GetString(payload));
            }

            held = pending.ToArray();
        }

        return (frames, payloads, Encoding.UTF8.GetString(held));
    }
}
