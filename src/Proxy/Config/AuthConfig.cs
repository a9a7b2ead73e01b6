using System.Security.Cryptography;
using System.Text;

namespace Proxy.Config;

/// <summary>The <c>[auth]</c> section: who may call.</summary>
internal sealed record AuthConfig
{
    /// <summary>The keys that open the door. None: anonymous calls, from this machine only.</summary>
    public IReadOnlyList<ApiKeyConfig> Keys { get; init; } = [];

    /// <summary>True serves callers without a key from other machines too. Off, so that an open port is a decision and not an accident.</summary>
    public bool AllowAnonymous { get; init; }
}

/// <summary>One <c>[[auth.keys]]</c> entry. The key itself is not in the file, only its digest.</summary>
internal sealed record ApiKeyConfig
{
    /// <summary>Unique; what logs and metrics call the owner.</summary>
    public required string Name { get; init; }

    /// <summary>SHA-256 of the key, 64 lower-case hex digits.</summary>
    public required string Sha256 { get; init; }

    /// <summary>Model names or globs (<c>qwen*</c>) that the key may see and use. Empty: all.</summary>
    public IReadOnlyList<string> Models { get; init; } = [];

    /// <summary>Calls the key may have running at once. Null: without limit.</summary>
    public int? Concurrency { get; init; }

    /// <summary>Calls the key may start in a minute. Null: without limit.</summary>
    public int? RequestsPerMinute { get; init; }

    /// <summary>What the file holds of a key: the SHA-256 of its UTF-8 bytes, as lower-case hex.</summary>
    public static string Digest(string key) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(key)));
}
