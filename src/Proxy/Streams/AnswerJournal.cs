using Proxy.Buffers;
using Proxy.Chat;

namespace Proxy.Streams;

/// <summary>The call whose answer a journal keeps, and what its client asked for.</summary>
/// <param name="TraceId">The call's id, by which its answer is found.</param>
/// <param name="Owner">The caller whose answer it is. No other caller can read it.</param>
/// <param name="Dialect">The client's dialect.</param>
/// <param name="Surface">The path that was called.</param>
/// <param name="Model">The model as the client named it.</param>
/// <param name="Streams">Whether the client asked for a stream.</param>
/// <param name="Created">When the call came.</param>
internal sealed record JournalOrigin(
    string TraceId, string Owner, ClientDialect Dialect, string Surface, string Model, bool Streams, DateTimeOffset Created)
{
    /// <summary>The digest of everything by which two calls are compared. Empty: this call cannot be joined.</summary>
    public string Digest { get; init; } = "";

    /// <summary>The <c>Idempotency-Key</c>; null: none.</summary>
    public string? Key { get; init; }

    /// <summary>The client can read the answer again by its trace id.</summary>
    public bool Resumable { get; init; }

    /// <summary>
    /// The <c>X-Conversation-Id</c> by which the answer is found. The journal then keeps the bytes as the client gets them; null: it keeps the host's frames.
    /// </summary>
    public string? Conversation { get; init; }

    /// <summary>Tells the journals of one table apart.</summary>
    public string Id => Conversation is null ? TraceId : $"{Owner}\n{Conversation}";

    /// <summary>The request, if the client can fetch the answer by the answer's own id; else null.</summary>
    public KeptRequest? Request { get; init; }

    /// <summary>Clients can ask for the answer later.</summary>
    public bool IsNamed => Resumable || Request is not null;

    /// <summary>Clients can ask for the answer even if the call was refused.</summary>
    public bool KeepsRefusal => Resumable || Request is { AnswersAtOnce: true };

    /// <summary>How long the generation runs on when the last client has left.</summary>
    public TimeSpan Linger { get; init; }

    /// <summary>How long the finished answer is kept.</summary>
    public TimeSpan Keep { get; init; }
}

/// <summary>Where an answer is.</summary>
internal enum JournalState
{
    /// <summary>No answer has come yet.</summary>
    Pending,

    /// <summary>The answer is being generated.</summary>
    Running,

    /// <summary>The answer is complete.</summary>
    Finished,

    /// <summary>The call was refused, or the answer broke off.</summary>
    Failed,
}

/// <summary>
/// The frames of one answer, kept in memory so that any number of clients can read them from the start, while they are generated and afterwards. One generation
/// appends; each client reads with a <see cref="JournalBody"/> of its own. Appending is synchronous and wakes the readers on the same thread, so a token still
/// crosses the process on one thread. Thread-safe.
/// </summary>
internal sealed class AnswerJournal
{
    private const int SmallestPiece = 2048, LargestPiece = 64 << 10;

    /// <summary>
    /// From this size on, a piece is an object that the garbage collector does not move. All pieces live for minutes; moving them twice, and clearing memory
    /// for them, was a third of what journaling costs.
    /// </summary>
    private const int SmallestPinned = 4096;

    /// <summary>
    /// Bytes that a finished answer takes besides its frames: its key, its head, and its places in the table. So the number of answers is bounded too.
    /// </summary>
    private const int Overhead = 1536;

    private readonly Lock gate = new();
    private readonly JournalTable table;
    private readonly List<JournalBody> waiting = [];
    private readonly List<JournalBody> readers = [];
    private readonly TaskCompletionSource begun = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Piece? first; // null: the frames that every reader has passed are dropped
    private Piece last;
    private CallLifetime? held;
    private int clients;
    private long charged; // bytes that count against the table's limit
    private bool counts = true;

    /// <param name="origin">The call.</param>
    /// <param name="table">The table that has the journal.</param>
    /// <param name="number">Counts the table's journals.</param>
    public AnswerJournal(JournalOrigin origin, JournalTable table, long number)
    {
        Number = number;
        Origin = origin;
        this.table = table;
        first = last = new Piece(0);
    }

    /// <summary>Only the table changes it.</summary>
    public JournalOrigin Origin { get; set; }

    /// <summary>A newer journal has a larger number.</summary>
    public long Number { get; }

    public TimeProvider Time => table.Time;

    public JournalState State { get; private set; }

    /// <summary>Null until the answer begins.</summary>
    public AnswerHead? Head { get; private set; }

    /// <summary>Why the call was refused or the answer broke off.</summary>
    public ProxyError? Error { get; private set; }

    public long Length { get; private set; }

    /// <summary>When the answer was complete or failed; null: it is still generated.</summary>
    public DateTimeOffset? Ended { get; private set; }

    /// <summary>The names, besides its trace id, by which the answer is found. Only the table changes them.</summary>
    public List<string> Names { get; } = [];

    /// <summary>Told, on the appending thread, when the answer begins, grows or ends. Must not wait.</summary>
    public Action? Changed { get; set; }

    /// <summary>Some client waits for the answer or reads it.</summary>
    public bool HasClients => Volatile.Read(ref clients) > 0;

    /// <summary>Its owner has deleted it.</summary>
    public bool IsDeleted { get; set; }

    /// <summary>Some client has received a part of the answer.</summary>
    public bool WasSeen { get; set; }

    /// <summary>The frames are complete from the first one on, so that a new client can read them.</summary>
    public bool IsReadable => first is not null;

    public bool IsOver => State is JournalState.Finished or JournalState.Failed;

    /// <summary>When the journal is given up, in the table's milliseconds: a running one without clients, or a finished one. Never if it has clients.</summary>
    public long Until { get; private set; } = ReplyBody.Never;

    /// <summary>The time in which a client could come back is over; the generation ends.</summary>
    public bool IsGivenUp => !IsOver && Until <= table.Now;

    /// <summary>Bytes that count against the table's limit.</summary>
    public long Charged => Volatile.Read(ref charged);

    /// <summary>
    /// This is an answer, or becomes one. The host's own refusal of what the client sent is an answer too; a failure of the host or of ours is none.
    /// </summary>
    public bool IsAnswer => (Error ?? Head?.Refusal) is { } error
        ? error is { Kind: ProxyErrorKind.HostRefused, Status: >= 400 and < 500 and not (408 or 409 or 429) }
        : State is not JournalState.Failed;

    /// <summary>Another call with the same digest gets this answer: no client has received any of it, or the call has a key.</summary>
    public bool IsJoinable => IsReadable && IsAnswer && Origin.Digest.Length > 0 && (!WasSeen || Origin.Key is not null);

    /// <summary>Keeps the work for the call going until <see cref="Release"/>, whether its client stays or not.</summary>
    public void Hold(CallLifetime lifetime)
    {
        lifetime.Add();
        held = lifetime;
    }

    /// <summary>A client begins to wait for the answer or to read it. False: the journal has been given up.</summary>
    public bool Enter()
    {
        lock (gate)
        {
            if (IsGivenUp) return false;
            clients++;
            if (!IsOver) Until = ReplyBody.Never;
        }

        table.UpdateUnclaimed(this);
        return true;
    }

    /// <summary>A client has gone. The last one decides how long the generation runs on.</summary>
    /// <param name="linger">How long, at least; the call may have asked for longer.</param>
    public void Leave(TimeSpan linger)
    {
        var isAbandoned = false;
        lock (gate)
        {
            if (--clients > 0 || IsOver) return;
            if (Origin.Linger > linger) linger = Origin.Linger;
            isAbandoned = linger == TimeSpan.Zero || !IsReadable;
            Until = isAbandoned ? 0 : table.Now + (long)linger.TotalMilliseconds;
        }

        if (isAbandoned)
        {
            Release();
            return;
        }

        table.Wake();
        table.UpdateUnclaimed(this);
    }

    /// <summary>Gives up the generation: if no client waits for it, it is cancelled.</summary>
    public void Release() => Interlocked.Exchange(ref held, null)?.Release();

    /// <summary>The answer has arrived.</summary>
    public void Begin(AnswerHead head)
    {
        lock (gate)
        {
            if (State is not JournalState.Pending) return;
            Head = head;
            State = JournalState.Running;
        }

        begun.TrySetResult();
        Changed?.Invoke();
    }

    /// <summary>Adds whole frames. Wakes the readers before it returns.</summary>
    /// <param name="frames">The frames.</param>
    /// <param name="isPlain">They are one frame, which has content and says nothing about the answer's end.</param>
    public void Append(ReadOnlySpan<byte> frames, bool isPlain = false)
    {
        if (frames.IsEmpty) return;
        JournalBody? only = null;
        ReplyRead read = default;
        bool isShared;
        lock (gate)
        {
            if (IsOver) return;
            Copy(frames);
            Length += frames.Length;
            if (!IsReadable) CutSlowReaders();
            Count(frames.Length);
            isShared = waiting.Count > 1;
            if (waiting.Count == 1)
            {
                only = waiting[0];
                waiting.Clear();
                read = Next(only);
            }
        }

        table.Limit();
        if (only is not null)
        {
            // Whole means that it is not cut by the end of a piece. The reader had read everything before it, because it was waiting.
            if (isPlain && read.Bytes.Length == frames.Length && only.Direct is { } direct) _ = only.SendAsync(direct, read.Bytes);
            else only.Wake(read);
        }

        if (isShared) WakeReaders();
        Changed?.Invoke();
    }

    /// <summary>The generation has ended.</summary>
    public void End(GenerationEnd end) => End(
        end.Kind is EndKind.Whole ? JournalState.Finished : JournalState.Failed,
        end.Error ?? (end.Kind is EndKind.ClientLeft ? Cancelled : null));

    /// <summary>The call was refused: there is no answer. Does nothing once the answer has begun.</summary>
    public void Refuse(ProxyError error)
    {
        if (State is JournalState.Pending) End(JournalState.Failed, error);
    }

    /// <summary>Waits until the answer begins, or the call is refused.</summary>
    public Task WhenBegunAsync(CancellationToken cancellation) => begun.Task.WaitAsync(cancellation);

    /// <summary>Waits until the answer is complete or has failed.</summary>
    public Task WhenEndedAsync(CancellationToken cancellation) => ended.Task.WaitAsync(cancellation);

    /// <summary>A body that reads the frames from the first one on; null: the first ones are not kept any more.</summary>
    /// <param name="from">Bytes that are left out, at most <see cref="Length"/>.</param>
    public JournalBody? Read(long from = 0)
    {
        lock (gate)
        {
            if (first is null) return null;
            var body = new JournalBody(this, first);
            body.Skip(from);
            readers.Add(body);
            return body;
        }
    }

    /// <summary>What a gate holds back of the end; null: no gate does. For gates, which run before the end is in the journal.</summary>
    public Func<ReadOnlyMemory<byte>>? HeldEnd { private get; set; }

    /// <summary>The end that a gate holds back, and the number of bytes before it.</summary>
    public (long Length, byte[] Tail) ToHeldEnd() => (Length, HeldEnd?.Invoke().ToArray() ?? []);

    /// <summary>What a reader that does not wait has not read yet, as far as it is in one piece. False: it was too slow for what is kept.</summary>
    public bool TryTake(JournalBody reader, out ReadOnlyMemory<byte> bytes)
    {
        lock (gate)
        {
            bytes = reader.IsCut ? default : reader.Advance();
            return !reader.IsCut;
        }
    }

    /// <summary>The whole answer, the end that a gate holds back included.</summary>
    public byte[] ToWholeArray() => HeldEnd is { } held ? [.. ToArray(), .. held().Span] : ToArray();

    /// <summary>All bytes so far, if they are kept.</summary>
    public byte[] ToArray()
    {
        lock (gate)
        {
            var all = new byte[Length];
            var at = 0;
            for (var piece = first; piece is not null; piece = piece.Next)
            {
                piece.Bytes.AsSpan(0, piece.Length).CopyTo(all.AsSpan(at));
                at += piece.Length;
            }

            return all;
        }
    }

    /// <summary>
    /// Keeps from here on only what a reader has not read yet. The present readers get the rest; no new client can read the answer.
    /// </summary>
    public void StopKeeping()
    {
        lock (gate) first = null;
        StopCounting();
    }

    /// <summary>Counts the request, which is kept with the answer.</summary>
    public void CountRequest(int bytes)
    {
        lock (gate) Count(bytes);
    }

    /// <summary>The bytes do not count against the table's limit any more, whether they came already or come later.</summary>
    public void StopCounting()
    {
        lock (gate)
        {
            table.CountBytes(-charged);
            (charged, counts) = (0, false);
        }
    }

    /// <summary>Gives up the generation if no client reads it, because none can begin to.</summary>
    public void ReleaseUnread()
    {
        if (!HasClients) Release();
    }

    /// <summary>The next bytes for a reader, or null after noting that it waits for them.</summary>
    public ReplyRead? TryRead(JournalBody reader)
    {
        lock (gate)
        {
            if (reader.IsCut || IsOver || reader.HasMore) return Next(reader);
            waiting.Add(reader);
            return null;
        }
    }

    /// <summary>Ends a reader's wait. False: it does not wait, or something else has just ended its wait.</summary>
    public bool StopWaiting(JournalBody reader)
    {
        lock (gate) return waiting.Remove(reader);
    }

    public void Forget(JournalBody reader)
    {
        lock (gate)
        {
            waiting.Remove(reader);
            readers.Remove(reader);
        }
    }

    /// <summary>Wakes the readers that have waited longer than they wanted to.</summary>
    public void Tick(long now)
    {
        List<JournalBody>? quiet = null;
        lock (gate)
        {
            foreach (var reader in waiting)
            {
                if (reader.QuietAt <= now) (quiet ??= []).Add(reader);
            }
        }

        if (quiet is null) return;
        foreach (var reader in quiet)
        {
            if (StopWaiting(reader)) reader.Wake(new(ReplyReadKind.Quiet));
        }
    }

    private bool IsKeptAfterEnd =>
        Origin.KeepsRefusal || (Origin is { Request: not null, Key: null } ? Head is { Refusal: null } : IsAnswer);

    /// <summary>Why an answer was broken off that no client waited for any more.</summary>
    public static ProxyError Cancelled => new(ProxyErrorKind.Cancelled, "the generation was cancelled before its answer was complete");

    private void End(JournalState state, ProxyError? error)
    {
        lock (gate)
        {
            if (IsOver) return;
            State = state;
            Error = error;
            Ended = Time.GetUtcNow();
            Until = table.Now + (IsKeptAfterEnd ? (long)Origin.Keep.TotalMilliseconds : 0);
            Count(Overhead + last.Room);
        }

        begun.TrySetResult();
        ended.TrySetResult();
        WakeReaders();
        Release();
        table.Ended(this);
        Changed?.Invoke();
    }

    /// <summary>What a reader that does not have to wait gets. Called under the lock.</summary>
    private ReplyRead Next(JournalBody reader)
    {
        if (reader.IsCut) return new(ReplyReadKind.Failed);
        if (reader.Advance() is { Length: > 0 } bytes) return new(ReplyReadKind.Data, bytes);
        return new(State is JournalState.Finished || Error is null ? ReplyReadKind.End : ReplyReadKind.Failed);
    }

    private void Count(int bytes)
    {
        if (!counts) return;
        charged += bytes;
        table.CountBytes(bytes);
    }

    private void Copy(ReadOnlySpan<byte> frames)
    {
        while (!frames.IsEmpty)
        {
            if (last.Room == 0) last = last.Next = new Piece(SizeOfNext(frames.Length));
            var count = Math.Min(last.Room, frames.Length);
            frames[..count].CopyTo(last.Bytes.AsSpan(last.Length));
            last.Length += count;
            frames = frames[count..];
        }
    }

    /// <summary>A quarter of what there is, so that at the end an eighth is unused on average.</summary>
    private int SizeOfNext(int atLeast)
    {
        var size = (int)Math.Min(Math.Max(Length, atLeast) / 4, LargestPiece);
        return size >= SmallestPinned ? size : SmallestPiece;
    }

    /// <summary>A reader that is far behind would keep all frames since then in memory.</summary>
    private void CutSlowReaders()
    {
        foreach (var reader in readers)
        {
            if (Length - reader.Position > HoldingWriter.Most) reader.IsCut = true;
        }
    }

    private void WakeReaders()
    {
        JournalBody[] woken;
        JournalBody? only = null;
        lock (gate)
        {
            if (waiting.Count == 0) return;
            if (waiting.Count == 1) (only, woken) = (waiting[0], []);
            else woken = [.. waiting];
            waiting.Clear();
        }

        if (only is not null) Wake(only);
        foreach (var reader in woken) Wake(reader);
    }

    private void Wake(JournalBody reader)
    {
        if (TryRead(reader) is { } read) reader.Wake(read);
    }

    /// <summary>A part of the frames. What a piece holds never changes, so that readers need no lock for the bytes.</summary>
    internal sealed class Piece(int size)
    {
        public byte[] Bytes { get; } = size == 0 ? [] : GC.AllocateUninitializedArray<byte>(size, pinned: size >= SmallestPinned);
        public int Length { get; set; }
        public int Room => Bytes.Length - Length;
        public Piece? Next { get; set; }
    }
}
