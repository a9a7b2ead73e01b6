namespace Proxy.Streams;

/// <summary>What a message of a shared journal holds.</summary>
internal enum SharedKind
{
    /// <summary>Something that a newer version of the proxy writes. It is skipped.</summary>
    Unknown,

    /// <summary>The first message: the call.</summary>
    Open,

    /// <summary>A part of the client's request, which the answer repeats. The parts come before the head.</summary>
    Request,

    /// <summary>What is known of the answer besides its frames.</summary>
    Head,

    /// <summary>Bytes of the answer.</summary>
    Frames,

    /// <summary>Nothing happened, but the generation goes on.</summary>
    Alive,

    /// <summary>How the answer ended. Only <see cref="Deleted"/> can follow.</summary>
    End,

    /// <summary>The owner of the answer has deleted it.</summary>
    Deleted,
}

/// <summary>A message of a shared journal, or of a key.</summary>
/// <param name="Sequence">Its number; a later message has a larger one.</param>
/// <param name="Kind">What it holds.</param>
/// <param name="Data">Its content.</param>
/// <param name="Stored">When it was stored, by the server's clock.</param>
internal readonly record struct SharedMessage(ulong Sequence, SharedKind Kind, ReadOnlyMemory<byte> Data, DateTimeOffset Stored)
{
    /// <summary>Which append this was: each has its own mark.</summary>
    public string? Mark { get; init; }
}

/// <summary>What became of an append.</summary>
internal enum AppendResult
{
    Stored,

    /// <summary>Another process has appended something, so the journal is not the caller's any more.</summary>
    Taken,

    /// <summary>What was appended before is not there any more.</summary>
    Lost,
}

/// <summary>What a proxy asks of the proxy that generates an answer.</summary>
internal enum OwnerAsk
{
    /// <summary>Go on: a client of another proxy reads the answer. Asked again every few seconds.</summary>
    GoOn,

    /// <summary>Cancel the generation: its owner has deleted it.</summary>
    Cancel,
}

/// <summary>The shared journals cannot be reached at present.</summary>
internal sealed class SharedJournalException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>
/// Journals that several proxies write and read: for each answer a sequence of messages. An append names the number of the message before it and is refused if
/// there is a later one, so only one process at a time can write a journal. Thread-safe.
/// </summary>
internal interface ISharedJournals
{
    /// <summary>There is a connection, and a place where journals are kept.</summary>
    bool IsUsable { get; }

    /// <summary>It is known that there is no place where journals are kept.</summary>
    bool IsMissing { get; }

    /// <summary>Bytes of the largest content of one message.</summary>
    int LargestData { get; }

    /// <summary>
    /// Answers what other proxies ask about a call: its trace id, its owner, and the question. Returns whether this process generates its answer.
    /// </summary>
    Func<string, string, OwnerAsk, bool> Asked { set; }

    /// <summary>Appends a message to the journal of an answer. Returns its number.</summary>
    /// <param name="traceId">The answer.</param>
    /// <param name="kind">What the message holds.</param>
    /// <param name="data">Its content.</param>
    /// <param name="last">The number of the message before it; 0: it is the first.</param>
    /// <param name="cancellation">Gives up; whether it was stored is then unknown.</param>
    /// <exception cref="SharedJournalException">Not known to be stored. Appending again is safe.</exception>
    Task<(AppendResult Result, ulong Sequence)> AppendAsync(
        string traceId, SharedKind kind, ReadOnlyMemory<byte> data, ulong last, CancellationToken cancellation);

    /// <summary>The first message of a journal from <paramref name="from"/> on; null: there is none.</summary>
    /// <exception cref="SharedJournalException">It cannot be read.</exception>
    Task<SharedMessage?> FirstAsync(string traceId, ulong from, CancellationToken cancellation);

    /// <summary>The last message of a journal; null: there is none.</summary>
    /// <exception cref="SharedJournalException">It cannot be read.</exception>
    Task<SharedMessage?> LastAsync(string traceId, CancellationToken cancellation);

    /// <summary>
    /// All messages of a journal in their order, and those to come, until it is cancelled. Null each time when nothing has come for <paramref name="quiet"/>.
    /// </summary>
    IAsyncEnumerable<SharedMessage?> FollowAsync(string traceId, TimeSpan quiet, CancellationToken cancellation);

    /// <summary>Takes an <c>Idempotency-Key</c> for a call.</summary>
    /// <inheritdoc cref="AppendAsync" path="/exception"/>
    Task<AppendResult> ClaimKeyAsync(string owner, string key, ReadOnlyMemory<byte> data, ulong last, CancellationToken cancellation);

    /// <summary>The claim of the call that has a key; null: no call has it.</summary>
    /// <exception cref="SharedJournalException">It cannot be read.</exception>
    Task<SharedMessage?> FindKeyAsync(string owner, string key, CancellationToken cancellation);

    /// <summary>Asks the proxy that generates an answer. Returns whether there is one.</summary>
    Task<bool> AskOwnerAsync(string traceId, string owner, OwnerAsk ask, CancellationToken cancellation);
}
