using System.Security.Cryptography;
using System.Text;

namespace Proxy.Config;

/// <summary>The <c>[auth]</c> section: which clients may call.</summary>
internal sealed record AuthConfig
{
    /// <summary>The keys that clients may use. If there are none, calls are anonymous and allowed from this machine only.</summary>
    public IReadOnlyList<ApiKeyConfig> Keys { get; init; } = [];

    /// <summary>True also serves callers without a key from other machines. Off by default, so that a port is open on purpose and not by accident.</summary>
    public bool AllowAnonymous { get; init; }
}

/// <summary>One <c>[[auth.keys]]</c> entry. The key itself is not in the file, only its digest.</summary>
internal sealed record ApiKeyConfig
{
    /// <summary>Unique; the key's name in logs and metrics.</summary>
    public required string Name { get; init; }

    /// <summary>SHA-256 of the key, 64 lower-case hex digits.</summary>
    public required string Sha256 { get; init; }

    /// <summary>Whether the key may see and change what belongs to other keys.</summary>
    public bool Admin { get; init; }

    /// <summary>Model names or globs (<c>qwen*</c>) that the key may see and use. If empty, all.</summary>
    public IReadOnlyList<string> Models { get; init; } = [];

    /// <summary>Calls that the key may have running at once. Null means no limit.</summary>
    public int? Concurrency { get; init; }

    /// <summary>Calls that the key may start in a minute. Null means no limit.</summary>
    public int? RequestsPerMinute { get; init; }

    /// <summary>False: nothing about the key's calls is published to NATS.</summary>
    public bool Publish { get; init; } = true;

    /// <summary>
    /// Names or globs (<c>docs*</c>) of the workspaces that the key may use, also those of other keys. If empty, its own and those made on the command line.
    /// </summary>
    public IReadOnlyList<string> Workspaces { get; init; } = [];

    /// <summary>
    /// Names or globs (<c>b*</c>) of the pipelines that the key may see and use. Null: all of them, or those that <see cref="Models"/> names.
    /// </summary>
    public IReadOnlyList<string>? Pipelines { get; init; }

    /// <summary>The digest of a key that the file holds: the SHA-256 of its UTF-8 bytes, as lower-case hex.</summary>
    public static string Digest(string key) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(key)));
}
