using System.IO.Compression;
using System.Text;
using Microsoft.AspNetCore.Http;
using Proxy.Chat;
using Proxy.Http;
using ZstdSharp;

namespace Proxy.Tests.Http;

public sealed class RequestBodyTests
{
    private const string Text = """{"model":"m","messages":[{"role":"user","content":"é漢🙂"}]}""";

    private static async Task<string> ReadAsync(byte[] sent, string? encoding, long limit = 1 << 20, bool saysLength = true)
    {
        var context = new DefaultHttpContext();
        context.Request.Body = new Dripping(sent);
        if (saysLength) context.Request.ContentLength = sent.Length;
        if (encoding is not null) context.Request.Headers.ContentEncoding = encoding;
        var (body, problem) = await RequestBody.ReadAsync(context.Request, limit, default);
        Assert.True(body is null != problem is null);
        using var held = body;
        return problem is null ? Encoding.UTF8.GetString(body!.Span) : $"{problem.Status} {problem.Message}";
    }

    private static byte[] Pack(string encoding, byte[] bytes)
    {
        if (encoding == "zstd") return new Compressor().Wrap(bytes).ToArray();
        var packed = new MemoryStream();
        using (Stream stream = encoding switch
        {
            "br" => new BrotliStream(packed, CompressionLevel.Fastest),
            "deflate" => new ZLibStream(packed, CompressionLevel.Fastest),
            _ => new GZipStream(packed, CompressionLevel.Fastest),
        }) stream.Write(bytes);
        return packed.ToArray();
    }

    [Theory]
    [InlineData("gzip")]
    [InlineData("x-gzip")]
    [InlineData("GZIP")]
    [InlineData("br")]
    [InlineData("deflate")]
    [InlineData("zstd")]
    public async Task Encoded_It_is_decoded(string encoding)
    {
        Assert.Equal(Text, await ReadAsync(Pack(encoding.ToLowerInvariant(), Encoding.UTF8.GetBytes(Text)), encoding));
        Assert.Equal(Text, await ReadAsync(Pack(encoding.ToLowerInvariant(), Encoding.UTF8.GetBytes(Text)), encoding, saysLength: false));
    }

    [Theory]
    [InlineData(null)]
    [InlineData("identity")]
    [InlineData("Identity")]
    public async Task Plain_It_is_taken_as_it_is(string? encoding)
    {
        Assert.Equal(Text, await ReadAsync(Encoding.UTF8.GetBytes(Text), encoding));
        Assert.Equal(Text, await ReadAsync(Encoding.UTF8.GetBytes(Text), encoding, saysLength: false));
        Assert.Equal("", await ReadAsync([], encoding));
    }

    [Theory]
    [InlineData("compress")]
    [InlineData("gzip, br")]
    [InlineData("aes128gcm")]
    public async Task Encoding_is_not_ours_415_names_those_that_are(string encoding)
    {
        var said = await ReadAsync(Encoding.UTF8.GetBytes(Text), encoding);

        Assert.StartsWith("415 ", said, StringComparison.Ordinal);
        Assert.Contains("gzip, br, zstd", said, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("gzip")]
    [InlineData("br")]
    [InlineData("deflate")]
    [InlineData("zstd")]
    public async Task Few_bytes_become_many_The_limit_is_on_what_they_become(string encoding)
    {
        var bomb = Pack(encoding, new byte[32 << 20]);
        Assert.InRange(bomb.Length, 1, 1 << 19);

        Assert.Equal("413 the body is larger than 1 MiB, the limit here", await ReadAsync(bomb, encoding));
    }

    [Theory]
    [InlineData("gzip")]
    [InlineData("br")]
    [InlineData("deflate")]
    [InlineData("zstd")]
    public async Task Bytes_are_not_what_the_header_says_400(string encoding)
    {
        Assert.StartsWith("400 ", await ReadAsync("this is no such thing, not at all, whoever reads it"u8.ToArray(), encoding), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Zstd_window_is_larger_than_the_web_allows_400()
    {
        using var compressor = new Compressor(1);
        compressor.SetParameter(ZstdSharp.Unsafe.ZSTD_cParameter.ZSTD_c_windowLog, 27);
        var random = new byte[20 << 20];
        new Random(1).NextBytes(random);
        var packed = new MemoryStream();
        using (var stream = new CompressionStream(packed, compressor, leaveOpen: true)) stream.Write(random);

        Assert.StartsWith("400 ", await ReadAsync(packed.ToArray(), "zstd", 64 << 20), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(99, true, "413 the body is larger than 99 bytes, the limit here")]
    [InlineData(99, false, "413 the body is larger than 99 bytes, the limit here")]
    [InlineData(100, true, null)]
    [InlineData(100, false, null)]
    public async Task Limit_is_the_last_length_that_is_taken(long limit, bool saysLength, string? expected)
    {
        var sent = new string('x', 100);

        Assert.Equal(expected ?? sent, await ReadAsync(Encoding.UTF8.GetBytes(sent), null, limit, saysLength));
        Assert.Equal(expected ?? sent, await ReadAsync(Pack("gzip", Encoding.UTF8.GetBytes(sent)), "gzip", limit, saysLength));
    }

    /// <summary>Returns a few bytes per read, as a network may.</summary>
    private sealed class Dripping(byte[] bytes) : MemoryStream(bytes)
    {
        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
            base.ReadAsync(buffer[..Math.Min(buffer.Length, 1000)], cancellationToken);
    }
}
