using System.Security.Cryptography.X509Certificates;
using Proxy.Buffers;

namespace Proxy.Transport;

/// <summary>A header of a request to a host, or one that a host sent.</summary>
internal readonly record struct UpstreamHeader(string Name, string Value);

/// <summary>Where a host is and what every request to it carries. The base path of <paramref name="Address"/> is the caller's business.</summary>
internal sealed record UpstreamTarget(Uri Address)
{
    /// <summary>Sent with every request: our credentials, configured extra headers.</summary>
    public IReadOnlyList<UpstreamHeader> Headers { get; init; } = [];

    /// <summary>Longest wait for the connection, its TLS handshake included.</summary>
    public TimeSpan Connect { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Trusted besides the system's roots, for <c>https</c>.</summary>
    public X509Certificate2Collection? Authorities { get; init; }

    public bool VerifyCertificate { get; init; } = true;

    /// <summary>What this process adds to <c>Via</c> in every request; null where it says nothing of itself.</summary>
    public string? Via { get; init; }
}

/// <summary>One request to a host. The body's memory must stay valid until <see cref="UpstreamExchange.SendAsync"/> has completed.</summary>
internal readonly record struct UpstreamRequest(string Method, string Path, SplicedBody Body)
{
    public string? ContentType { get; init; }

    /// <summary>Besides those of the target. Host, Content-Length, Connection and Accept-Encoding (identity) are the client's own business.</summary>
    public UpstreamHeader[] Headers { get; init; } = [];

    /// <summary>The <c>Via</c> that the call came with; null where it came from a client itself. That of the target is added to it.</summary>
    public string? Via { get; init; }
}

/// <summary>How the wait for a response's head ended.</summary>
internal enum UpstreamOutcome : byte
{
    /// <summary>A head came; the body follows.</summary>
    Answered,

    /// <summary>No connection: refused, unreachable, name not found, TLS failed.</summary>
    ConnectFailed,

    /// <summary>No connection within <see cref="UpstreamTarget.Connect"/>.</summary>
    ConnectTimedOut,

    /// <summary>No connection because this process has no descriptor left: the host was not asked.</summary>
    OutOfDescriptors,

    /// <summary>The connection broke before a whole head came.</summary>
    Broken,

    /// <summary>What came is not an HTTP/1.x response.</summary>
    NotHttp,

    /// <summary><see cref="ReplyBody.Deadline"/> passed.</summary>
    TimedOut,

    Cancelled,
}

/// <summary>A response's head. Headers are those that may cross to a client (see docs/ARCHITECTURE.md): content-type apart, retry-after, rate limits, request ids.</summary>
internal sealed record UpstreamHead(UpstreamOutcome Outcome, int Status = 0)
{
    public string? ContentType { get; init; }
    public long? ContentLength { get; init; }

    /// <summary>How the body is encoded although identity was asked; null where it is not.</summary>
    public string? ContentEncoding { get; init; }
    public IReadOnlyList<UpstreamHeader> Headers { get; init; } = [];

    /// <summary>What went wrong, in words for a log; null when <see cref="UpstreamOutcome.Answered"/>.</summary>
    public string? Failure { get; init; }
}

/// <summary>One request and its reply. <see cref="ReplyBody.Deadline"/> and <see cref="ReplyBody.QuietAt"/> count from before the request is sent.</summary>
internal abstract class UpstreamExchange : ReplyBody
{
    /// <summary>
    /// Connects (or takes an idle connection), sends, and waits for the head; 1xx heads are skipped. A reused connection that dies before any response
    /// byte is retried once on a fresh one. Never throws for what a network does. Call once.
    /// </summary>
    public abstract ValueTask<UpstreamHead> SendAsync(UpstreamRequest request);

    /// <summary>The clock or <see cref="ReplyBody.Cancel"/> ended the wait for the head.</summary>
    protected static UpstreamHead Ended(bool byClock) => byClock
        ? new(UpstreamOutcome.TimedOut) { Failure = "the host did not answer in time" }
        : new(UpstreamOutcome.Cancelled) { Failure = "the call was cancelled" };
}

/// <summary>Connections to one host. Thread-safe.</summary>
internal abstract class UpstreamClient : IDisposable
{
    public abstract UpstreamExchange Open();

    /// <summary>A number that grows with every receive that brings bytes, over all connections.</summary>
    public abstract long Heard { get; }

    /// <summary>The host has stopped answering: the connections that there are now may be dead.</summary>
    public abstract void Suspect();

    /// <summary>The host is back: what runs on a suspect that has brought nothing since has failed, and none is used again. Those that have brought something live.</summary>
    public abstract void EndSuspects();

    public abstract void Dispose();
}
