using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace Proxy.Inference;

/// <summary>Computes a file's digest in the form that the hub gives for it.</summary>
internal sealed class FileDigest : IDisposable
{
    private const int Block = 1 << 18;

    private readonly IncrementalHash hash;

    /// <summary>Throws <see cref="HubException"/> if the hub gives no digest, because the file could not be verified.</summary>
    public FileDigest(HubFile file)
    {
        Expected = Of(file);
        hash = IncrementalHash.CreateHash(file.Sha256 is not null ? HashAlgorithmName.SHA256 : HashAlgorithmName.SHA1);
        Begin(file);
    }

    public string Expected { get; }

    /// <summary>The expected digest, in lower case.</summary>
    public static string Of(HubFile file)
    {
        var digest = (file.Sha256 ?? file.BlobId)?.ToLowerInvariant();
        if (digest is null || digest.Length != (file.Sha256 is not null ? 64 : 40) || !digest.All(char.IsAsciiHexDigit) || file.Size < 0)
            throw new HubException($"the hub gives no size or no digest for {file.Path}, so it cannot be verified");
        return digest;
    }

    /// <summary>Whether the file exists and has the expected digest. Reads all of it.</summary>
    public static async Task<bool> IsMetAsync(string path, HubFile file, CancellationToken cancellation)
    {
        if (new FileInfo(path) is not { Exists: true } there || there.Length != file.Size) return false;
        using var digest = new FileDigest(file);
        await using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, 0, useAsync: true);
        await digest.AppendAsync(stream, cancellation);
        return digest.Finish() == digest.Expected;
    }

    /// <summary>Discards the appended bytes.</summary>
    public void Restart(HubFile file)
    {
        Finish();
        Begin(file);
    }

    public void Append(ReadOnlySpan<byte> bytes) => hash.AppendData(bytes);

    public async Task AppendAsync(Stream stream, CancellationToken cancellation)
    {
        var buffer = new byte[Block];
        for (int read; (read = await stream.ReadAsync(buffer, cancellation)) > 0;) Append(buffer.AsSpan(0, read));
    }

    public string Finish() => Convert.ToHexStringLower(hash.GetHashAndReset());

    public void Dispose() => hash.Dispose();

    /// <summary>Git hashes a content together with its length.</summary>
    private void Begin(HubFile file)
    {
        if (file.Sha256 is null) hash.AppendData(Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"blob {file.Size}\0")));
    }
}
