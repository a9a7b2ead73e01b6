using System.IO.Compression;
using System.Text;
using Proxy.Buffers;
using Proxy.Tests.Backends;
using Proxy.Transport;
using ZstdSharp;

namespace Proxy.Tests.Transport;

public sealed class DecodedBodyTests
{
    [Theory]
    [InlineData("gzip")]
    [InlineData("deflate")]
    [InlineData("br")]
    [InlineData("zstd")]
    public async Task What_the_host_flushed_Is_read_before_more_comes_and_quiet_passes(string coding)
    {
        var pieces = Compressed(coding, "first", "second");
        var exchange = new ScriptedExchange(pieces[0], Step.Quiet, pieces[1][..1], pieces[1][1..], pieces[2], Step.End);
        using var body = new DecodedBody(exchange, coding) { Deadline = 7, QuietAt = 5 };

        Assert.Equal("first", await TextAsync(body));
        Assert.Equal(ReplyReadKind.Quiet, (await body.ReadAsync()).Kind);
        Assert.Equal("second", await TextAsync(body));
        Assert.Equal(ReplyReadKind.End, (await body.ReadAsync()).Kind);
        Assert.All(exchange.Deadlines, at => Assert.Equal(7, at));
        Assert.All(exchange.QuietTimes, at => Assert.Equal(5, at));
    }

    [Fact]
    public async Task Little_that_unpacks_to_much_Comes_in_bounded_pieces()
    {
        using var body = new DecodedBody(
            new ScriptedExchange(Compressed("gzip", new string('a', 1 << 20))[0], Compressed("gzip", new string('a', 1 << 20))[1], Step.End), "gzip");
        var total = 0;
        while (await body.ReadAsync() is { Kind: ReplyReadKind.Data } read)
        {
            Assert.InRange(read.Bytes.Length, 1, 16 << 10);
            total += read.Bytes.Length;
        }

        Assert.Equal(1 << 20, total);
    }

    private static async Task<string> TextAsync(DecodedBody body)
    {
        var read = await body.ReadAsync();
        Assert.Equal(ReplyReadKind.Data, read.Kind);
        return Encoding.UTF8.GetString(read.Bytes.Span);
    }

    private static List<byte[]> Compressed(string coding, params string[] pieces)
    {
        var output = new MemoryStream();
        var made = new List<byte[]>();
        using (Stream packer = coding switch
        {
            "gzip" => new GZipStream(output, CompressionLevel.Fastest, leaveOpen: true),
            "deflate" => new ZLibStream(output, CompressionLevel.Fastest, leaveOpen: true),
            "br" => new BrotliStream(output, CompressionLevel.Fastest, leaveOpen: true),
            _ => new CompressionStream(output, leaveOpen: true),
        })
        {
            foreach (var piece in pieces)
            {
                packer.Write(Encoding.UTF8.GetBytes(piece));
                packer.Flush();
                made.Add(output.ToArray());
                output.SetLength(0);
            }
        }

        made.Add(output.ToArray());
        return made;
    }
}
