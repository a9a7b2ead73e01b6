using System.IO.Compression;
using ZstdSharp;
using ZstdSharp.Unsafe;

namespace Proxy.Buffers;

/// <summary>Decodes the content codings of RFC 9110 §8.4.1, in requests and in hosts' answers.</summary>
internal static class ContentCoding
{
    /// <summary>
    /// The largest zstd window that RFC 9659 allows on the web (8 MiB). Without this limit the sender would decide how much memory is allocated.
    /// </summary>
    private const int LargestWindowLog = 23;

    public static bool IsIdentity(string? coding) => string.IsNullOrEmpty(coding) || coding.Equals("identity", StringComparison.OrdinalIgnoreCase);

    /// <summary>A stream of the decoded bytes. Null if the coding is not supported.</summary>
    /// <param name="first">The first bytes, if they are known: the standard defines "deflate" as zlib, but many servers send raw deflate.</param>
    /// <param name="resumes">True if a read of 0 bytes from <paramref name="encoded"/> is not its end, because more may follow.</param>
    public static Stream? Decode(string coding, Stream encoded, ReadOnlySpan<byte> first = default, bool resumes = false) => coding.ToLowerInvariant() switch
    {
        "gzip" or "x-gzip" => new GZipStream(encoded, CompressionMode.Decompress),
        "br" => new BrotliStream(encoded, CompressionMode.Decompress),
        "deflate" when first.Length >= 2 && !IsZlib(first) => new DeflateStream(encoded, CompressionMode.Decompress),
        "deflate" => new ZLibStream(encoded, CompressionMode.Decompress),
        "zstd" => Zstd(encoded, resumes),
        _ => null,
    };

    /// <summary>True if a decoder threw this exception because the bytes are not valid in its coding. Each decoder throws a different type.</summary>
    public static bool IsBroken(Exception problem) => problem is InvalidDataException or InvalidOperationException or ZstdException or EndOfStreamException;

    /// <summary>RFC 1950 §2.2: compression method 8, and a checksum over both bytes.</summary>
    private static bool IsZlib(ReadOnlySpan<byte> first) => (first[0] & 0x0f) == 8 && ((first[0] << 8) | first[1]) % 31 == 0;

    private static DecompressionStream Zstd(Stream encoded, bool resumes)
    {
        var stream = new DecompressionStream(encoded, checkEndOfStream: !resumes);
        stream.SetParameter(ZSTD_dParameter.ZSTD_d_windowLogMax, LargestWindowLog);
        return stream;
    }
}
