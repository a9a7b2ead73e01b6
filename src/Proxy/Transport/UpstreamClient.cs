using System.Security.Cryptography.X509Certificates;
using Proxy.Buffers;

namespace Proxy.Transport;

/// <summary>A header of a request to a host or of a host's response.</summary>
internal readonly record struct UpstreamHeader(string Name, string Value);

/// <summary>A host's address and the settings of all requests to it. The client ignores the path of <paramref name="Address"/>; callers add it.</summary>
internal sealed record UpstreamTarget(Uri Address)
{
    /// <summary>Sent with every request: the configured credentials and extra headers.</summary>
    public IReadOnlyList<UpstreamHeader> Headers { get; init; } = [];

    /// <summary>The longest wait for a connection, including its TLS handshake.</summary>
    public TimeSpan Connect { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Certificate authorities that are trusted in addition to the system's roots, for <c>https</c>.</summary>
    public X509Certificate2Collection? Authorities { get; init; }

    public bool VerifyCertificate { get; init; } = true;

    /// <summary>The entry that this process adds to <c>Via</c> in every request; null to add none.</summary>
    public string? Via { get; init; }
}

/// <summary>One request to a host. The body's memory must stay valid until <see cref="UpstreamExchange.SendAsync"/> has completed.</summary>
internal readonly record struct UpstreamRequest(string Method, string Path, SplicedBody Body)
{
    public string? ContentType { get; init; }

    /// <summary>
    /// Sent in addition to the target's headers. Host, Content-Length, Connection and Accept-Encoding (identity) are set by the client itself.
    /// </summary>
    public UpstreamHeader[] Headers { get; init; } = [];

    /// <summary>The <c>Via</c> of the incoming call, to which the target's own entry is appended; null if the call had none.</summary>
    public string? Via { get; init; }
}

/// <summary>How the wait for a response's head has ended.</summary>
internal enum UpstreamOutcome : byte
{
    /// <summary>A head has arrived; the body follows.</summary>
    Answered,

    /// <summary>No connection: refused, unreachable, name not found, TLS failed.</summary>
    ConnectFailed,

    /// <summary>No connection within <see cref="UpstreamTarget.Connect"/>.</summary>
    ConnectTimedOut,

    /// <summary>No connection, because this process has no file descriptor left. The host was not contacted.</summary>
    OutOfDescriptors,

    /// <summary>The connection broke before a complete head arrived.</summary>
    Broken,

    /// <summary>The received bytes are not an HTTP/1.x response.</summary>
    NotHttp,

    /// <summary><see cref="ReplyBody.Deadline"/> passed.</summary>
    TimedOut,

    Cancelled,
}

/// <summary>
/// A response's head. <see cref="Headers"/> are those that are forwarded to clients: retry-after, rate limits, request ids;
/// Content-Type has its own property.
/// </summary>
internal sealed record UpstreamHead(UpstreamOutcome Outcome, int Status = 0)
{
    public string? ContentType { get; init; }
    public long? ContentLength { get; init; }

    /// <summary>The body's content-encoding, although the request asked for identity; null if it has none.</summary>
    public string? ContentEncoding { get; init; }
    public IReadOnlyList<UpstreamHeader> Headers { get; init; } = [];

    /// <summary>The failure as a text for the log; null when <see cref="UpstreamOutcome.Answered"/>.</summary>
    public string? Failure { get; init; }
}

/// <summary>
/// One request and its reply. <see cref="ReplyBody.Deadline"/> covers connecting and sending too; <see cref="ReplyBody.QuietAt"/> applies once the head has
/// arrived.
/// </summary>
internal abstract class UpstreamExchange : ReplyBody
{
    /// <summary>When a new connection was ready, by <see cref="TimeProvider.GetTimestamp"/>; 0: an idle one was used.</summary>
    public long Connected { get; protected set; }

    /// <summary>
    /// Connects or takes an idle connection, sends the request, and waits for the head; skips 1xx heads. If a reused connection breaks before any byte of
    /// the response, the request is retried once on a new connection. Network failures are results, never exceptions. Call it once.
    /// </summary>
    public abstract ValueTask<UpstreamHead> SendAsync(UpstreamRequest request);

    /// <summary>The result if the clock or <see cref="ReplyBody.Cancel"/> ended the wait for the head.</summary>
    protected static UpstreamHead Ended(bool byClock) => byClock
        ? new(UpstreamOutcome.TimedOut) { Failure = "the host did not answer in time" }
        : new(UpstreamOutcome.Cancelled) { Failure = "the call was cancelled" };
}

/// <summary>An HTTP/1.1 client for one host, with its connection pool. Thread-safe.</summary>
internal abstract class UpstreamClient : IDisposable
{
    public abstract UpstreamExchange Open();

    /// <summary>A counter of receives that brought bytes, over all connections.</summary>
    public abstract long Heard { get; }

    /// <summary>The host has stopped answering. Marks all open connections as suspect: they may be dead.</summary>
    public abstract void Suspect();

    /// <summary>
    /// The host answers again. Suspect connections that have received nothing since are closed, and their calls fail. Connections that have received
    /// bytes are kept.
    /// </summary>
    public abstract void EndSuspects();

    public abstract void Dispose();
}
