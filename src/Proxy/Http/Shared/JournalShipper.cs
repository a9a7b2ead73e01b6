using System.Threading.Channels;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Streams;

namespace Proxy.Http.Shared;

/// <summary>
/// Appends one answer of this process to its shared journal while it is generated: what has come since the last message, one message at a time. The clients of
/// the answer do not wait for that, except for its end. While the journal cannot be reached, the bytes wait in this process.
/// </summary>
internal sealed class JournalShipper : IEndGate, IDisposable
{
    /// <summary>Messages with frames are at least so far apart.</summary>
    private static readonly TimeSpan Batch = TimeSpan.FromMilliseconds(50);

    /// <summary>A journal without a message for several times as long has lost its writer.</summary>
    private static readonly TimeSpan AliveEvery = TimeSpan.FromSeconds(2);

    private static readonly TimeSpan RetryAfter = TimeSpan.FromMilliseconds(250);

    /// <summary>An answer that is complete is given up after this.</summary>
    private static readonly TimeSpan LongestOutage = TimeSpan.FromMinutes(10);

    /// <summary>The clients of other proxies are gone if no proxy has spoken of one for this time.</summary>
    private static readonly TimeSpan LongestSilence = TimeSpan.FromSeconds(15);

    private readonly Channel<bool> changed = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });
    private readonly TaskCompletionSource ending = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource stored = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly PooledBody batch = new();
    private readonly Lock gate = new();
    private readonly SharedJournals shared;
    private readonly JournalBody reader;
    private readonly TimeProvider time;
    private volatile HeldEnd? held; // the end of a whole answer, which the clients get when it is stored
    private ReadOnlyMemory<byte> taken; // read from the journal and not yet in the batch
    private long collected; // bytes of the journal that were put into batches
    private ulong last;
    private long shippedAt;
    private long heardAt; // when another proxy last spoke of a client; 0: there is none
    private bool hasHead;
    private bool isDone;

    /// <param name="journal">A journal that has just begun.</param>
    /// <param name="shared">Where it goes.</param>
    /// <param name="time">The clock.</param>
    public JournalShipper(AnswerJournal journal, SharedJournals shared, TimeProvider time)
    {
        (Journal, this.shared, this.time) = (journal, shared, time);
        reader = journal.Read()!;
        journal.Changed = OnChanged;
    }

    public AnswerJournal Journal { get; }

    /// <summary>The client's request, if the answer may repeat it. Set before the answer begins.</summary>
    public byte[]? Request { private get; set; }

    /// <summary>Completes when everything is stored, or never will be.</summary>
    public Task Done => stored.Task;

    public async ValueTask<ProxyError?> BeforeEndAsync(GenerationEnd end, CancellationToken cancellation)
    {
        var (length, tail) = Journal.ToHeldEnd();
        held = new(length, tail);
        OnChanged();
        ending.TrySetResult();
        try
        {
            await stored.Task.WaitAsync(shared.EndPatience, time, cancellation);
        }
        catch (TimeoutException)
        {
            shared.EndedUnstored(Journal.Origin.TraceId);
        }

        return null;
    }

    public void Ended(GenerationEnd end) { }

    /// <summary>A client of another proxy reads the answer.</summary>
    public void GoOn()
    {
        lock (gate)
        {
            if (isDone || (heardAt == 0 && !Journal.Enter())) return;
            heardAt = time.GetTimestamp();
        }
    }

    /// <summary>Runs until the journal is complete there, or is not this process's any more.</summary>
    public async Task RunAsync()
    {
        await Task.Yield();
        try
        {
            await ShipAllAsync();
        }
        catch (OperationCanceledException)
        {
            // The journal belongs to another process, or waiting for the server has taken too long.
        }
        finally
        {
            Journal.Changed = null;
            stored.TrySetResult();
            lock (gate) isDone = true;
            ForgetClients();
            Dispose();
        }
    }

    public void Dispose()
    {
        reader.Dispose();
        batch.Dispose();
    }

    private bool IsEnding => held is not null || Journal.IsOver;

    private void OnChanged()
    {
        changed.Writer.TryWrite(true);
        if (Journal.IsOver) ending.TrySetResult();
    }

    private async Task ShipAllAsync()
    {
        using (var origin = new PooledBody())
        {
            SharedJson.WriteOrigin(origin, Journal.Origin);
            await ShipAsync(SharedKind.Open, origin.Memory);
        }

        Task? change = null;
        while (true)
        {
            var isEnding = IsEnding; // before the frames: then these are all
            if (!hasHead && Journal.Head is { } head) await ShipHeadAsync(head);
            if (!Collect())
            {
                await EndAsync(GenerationEndOf(isWhole: false, SharedJournals.TooLarge));
                return;
            }

            if (batch.Length > 0)
            {
                await ShipAsync(SharedKind.Frames, batch.Memory);
                batch.Clear();
                if (!isEnding && time.GetElapsedTime(shippedAt) is var since && since < Batch) await Task.WhenAny(ending.Task, Task.Delay(Batch - since, time));
                continue;
            }

            if (isEnding) break;
            change ??= changed.Reader.ReadAsync().AsTask();
            await change.WaitAsync(AliveEvery, time).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (change.IsCompleted) change = null;
            else if (time.GetElapsedTime(shippedAt) >= AliveEvery) await ShipAsync(SharedKind.Alive, default);
            ForgetClients();
        }

        if (held is { Tail.Length: > 0 } end) await ShipPiecesAsync(SharedKind.Frames, end.Tail);
        await EndAsync(GenerationEndOf(held is not null || Journal.State is JournalState.Finished, Journal.Error));
    }

    private static GenerationEnd GenerationEndOf(bool isWhole, ProxyError? error) => new(isWhole ? EndKind.Whole : EndKind.BrokeOff, null, error);

    private async Task ShipHeadAsync(AnswerHead head)
    {
        hasHead = true;
        if (head.Stamp.Request is not null && Request is { } request) await ShipPiecesAsync(SharedKind.Request, request);
        Request = null;
        using var json = new PooledBody();
        SharedJson.WriteHead(json, head);
        await ShipAsync(SharedKind.Head, json.Memory);
    }

    private async Task EndAsync(GenerationEnd end)
    {
        using var json = new PooledBody();
        SharedJson.WriteEnd(json, end, end.Kind is EndKind.Whole ? Journal.Head is not { Refusal: not null } || Journal.IsAnswer : Journal.IsAnswer);
        await ShipAsync(SharedKind.End, json.Memory);
    }

    private async Task ShipPiecesAsync(SharedKind kind, ReadOnlyMemory<byte> all)
    {
        while (!all.IsEmpty)
        {
            var piece = all[..Math.Min(all.Length, shared.Store.LargestData)];
            await ShipAsync(kind, piece);
            all = all[piece.Length..];
        }
    }

    /// <summary>Takes what has come into the batch, as much as a message holds. False: it is not kept any more.</summary>
    private bool Collect()
    {
        var most = shared.Store.LargestData;
        while (batch.Length < most)
        {
            if (taken.IsEmpty && !Journal.TryTake(reader, out taken)) return false;
            if (held is { } end && end.Length - collected < taken.Length) taken = taken[..(int)(end.Length - collected)]; // the rest is the held end
            if (taken.IsEmpty) return true;
            var piece = taken[..Math.Min(taken.Length, most - batch.Length)];
            batch.Write(piece.Span);
            taken = taken[piece.Length..];
            collected += piece.Length;
        }

        return true;
    }

    /// <summary>Appends a message, however often that must be tried.</summary>
    /// <exception cref="OperationCanceledException">It is not possible any more.</exception>
    private async Task ShipAsync(SharedKind kind, ReadOnlyMemory<byte> data)
    {
        var overAt = 0L;
        while (true)
        {
            try
            {
                if (!shared.Store.IsUsable) throw new SharedJournalException("there is no connection to NATS");
                var (result, sequence) = await shared.Store.AppendAsync(Journal.Origin.TraceId, kind, data, last, CancellationToken.None);
                shared.Reached();
                if (result is AppendResult.Stored)
                {
                    (last, shippedAt) = (sequence, time.GetTimestamp());
                    shared.Count();
                    return;
                }

                shared.Lost(Journal, result);
                throw new OperationCanceledException();
            }
            catch (SharedJournalException problem)
            {
                shared.Missed(problem);
            }

            if (shared.Store.IsMissing) throw new OperationCanceledException();
            if (Journal.IsOver && overAt == 0) overAt = time.GetTimestamp();
            if (overAt != 0 && time.GetElapsedTime(overAt) > LongestOutage) throw new OperationCanceledException();
            ForgetClients();
            await Task.Delay(RetryAfter, time);
        }
    }

    private void ForgetClients()
    {
        lock (gate)
        {
            if (heardAt == 0 || (!isDone && time.GetElapsedTime(heardAt) < LongestSilence)) return;
            heardAt = 0;
        }

        Journal.Leave(TimeSpan.Zero);
    }

    /// <param name="Length">The bytes before it.</param>
    /// <param name="Tail">The end.</param>
    private sealed record HeldEnd(long Length, byte[] Tail);
}
