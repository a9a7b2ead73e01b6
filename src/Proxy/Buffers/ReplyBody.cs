namespace Proxy.Buffers;

/// <summary>The kind of result of one read of a reply.</summary>
internal enum ReplyReadKind : byte
{
    /// <summary>Bytes arrived.</summary>
    Data,

    /// <summary>The reply ended as its framing requires; no more bytes will come.</summary>
    End,

    /// <summary>No bytes arrived until <see cref="ReplyBody.QuietAt"/>, but the reply is still open. Read again.</summary>
    Quiet,

    /// <summary>No bytes arrived until <see cref="ReplyBody.Deadline"/>; the connection is closed.</summary>
    TimedOut,

    /// <summary><see cref="ReplyBody.Cancel"/> was called; the connection is closed.</summary>
    Cancelled,

    /// <summary>
    /// The host broke off: it reset the connection, or closed it before the end that its framing announced. <see cref="ReplyBody.Failure"/> has the reason.
    /// </summary>
    Failed,
}

/// <summary>The result of one read. <paramref name="Bytes"/> is borrowed: see <see cref="ReplyBody.ReadAsync"/>.</summary>
internal readonly record struct ReplyRead(ReplyReadKind Kind, ReadOnlyMemory<byte> Bytes = default);

/// <summary>
/// A host's reply body, read in pieces as they arrive from the network. There is one reader at a time. <see cref="Cancel"/> may be called from any thread; all
/// other members belong to the reader. Disposing returns the connection to the pool if the body was read to its end, and closes it otherwise.
/// </summary>
internal abstract class ReplyBody : IDisposable
{
    /// <summary>No time limit, for <see cref="Deadline"/> and <see cref="QuietAt"/>.</summary>
    public const long Never = long.MaxValue;

    /// <summary>The clock of <see cref="Deadline"/> and <see cref="QuietAt"/>, in milliseconds from an arbitrary start.</summary>
    public abstract long Now { get; }

    /// <summary>The time, by <see cref="Now"/>, at which a silent host is given up. Checked by a coarse timer (100 ms).</summary>
    public long Deadline { get; set; } = Never;

    /// <summary>The time, by <see cref="Now"/>, at which a waiting read returns <see cref="ReplyReadKind.Quiet"/>.</summary>
    public long QuietAt { get; set; } = Never;

    /// <summary>Why the last read was <see cref="ReplyReadKind.Failed"/> or <see cref="ReplyReadKind.TimedOut"/>, for the log and the error message.</summary>
    public string? Failure { get; protected set; }

    /// <summary>
    /// True if the exchange failed because the host was down at the time and is up again now. The failure then does not count against the host.
    /// </summary>
    public bool HostWasAway { get; protected set; }

    /// <summary>
    /// The next bytes, without transfer framing. They stay valid until the next call or the caller's next suspension, whichever comes first: use or copy them
    /// before awaiting anything. Network errors never throw; they are results.
    /// </summary>
    public abstract ValueTask<ReplyRead> ReadAsync();

    /// <summary>
    /// Ends the exchange at once: the connection is closed, and a waiting read returns <see cref="ReplyReadKind.Cancelled"/>. May be called from any thread and
    /// repeatedly.
    /// </summary>
    public abstract void Cancel();

    public abstract void Dispose();
}
