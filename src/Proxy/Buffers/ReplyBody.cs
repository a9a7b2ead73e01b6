namespace Proxy.Buffers;

/// <summary>What one read of a reply brought.</summary>
internal enum ReplyReadKind : byte
{
    /// <summary>Bytes came.</summary>
    Data,

    /// <summary>The reply ended as its framing says it should; no more bytes will come.</summary>
    End,

    /// <summary>Nothing came until <see cref="ReplyBody.QuietAt"/>; the reply goes on. Read again.</summary>
    Quiet,

    /// <summary>Nothing came until <see cref="ReplyBody.Deadline"/>; the connection is closed.</summary>
    TimedOut,

    /// <summary><see cref="ReplyBody.Cancel"/> was called; the connection is closed.</summary>
    Cancelled,

    /// <summary>The host broke off (reset, or closed before its own framing said the body was over). <see cref="ReplyBody.Failure"/> says how.</summary>
    Failed,
}

/// <summary>The outcome of one read. <paramref name="Bytes"/> is borrowed: see <see cref="ReplyBody.ReadAsync"/>.</summary>
internal readonly record struct ReplyRead(ReplyReadKind Kind, ReadOnlyMemory<byte> Bytes = default);

/// <summary>
/// A host's reply body, read piece by piece as the network brings it. One reader at a time. <see cref="Cancel"/> may be called from any thread; everything else
/// belongs to the reader. Disposing gives the connection back when the body was read to its end, and closes it otherwise.
/// </summary>
internal abstract class ReplyBody : IDisposable
{
    /// <summary>Never, as a value of <see cref="Deadline"/> and <see cref="QuietAt"/>.</summary>
    public const long Never = long.MaxValue;

    /// <summary>The clock of <see cref="Deadline"/> and <see cref="QuietAt"/>, in milliseconds from some beginning.</summary>
    public abstract long Now { get; }

    /// <summary>When to give up a silent host, by <see cref="Now"/>. Checked by a coarse tick (100 ms).</summary>
    public long Deadline { get; set; } = Never;

    /// <summary>When to return <see cref="ReplyReadKind.Quiet"/> from a read that waits, by <see cref="Now"/>.</summary>
    public long QuietAt { get; set; } = Never;

    /// <summary>Why the last read was <see cref="ReplyReadKind.Failed"/> or <see cref="ReplyReadKind.TimedOut"/>; for the log and the error message.</summary>
    public string? Failure { get; protected set; }

    /// <summary>The exchange failed because its host was away when it ran; now the host is back, and nothing can be said against it.</summary>
    public bool HostWasAway { get; protected set; }

    /// <summary>
    /// The next bytes, without transfer framing. They are valid until the next call or the caller's next suspension, whichever comes first:
    /// use or copy them before awaiting anything. Never throws for what a network does.
    /// </summary>
    public abstract ValueTask<ReplyRead> ReadAsync();

    /// <summary>Ends the exchange at once: the connection is closed and a waiting read returns <see cref="ReplyReadKind.Cancelled"/>. Any thread, any number of times.</summary>
    public abstract void Cancel();

    public abstract void Dispose();
}
