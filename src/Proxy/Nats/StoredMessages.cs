using System.Globalization;
using System.Runtime.CompilerServices;
using NATS.Client.Core;
using Proxy.Buffers;
using Proxy.Streams;

namespace Proxy.Nats;

/// <summary>
/// Reads a stream by its subjects. Of a stream that publishes what it has stored, a subject can be followed without a consumer: what a follower did not get is
/// noticed by the numbers of the messages, and read from the stream.
/// </summary>
internal sealed class StoredMessages(NatsLink link, string stream, TimeProvider time)
{
    public const string KindHeader = "Proxy-Kind", MarkHeader = "Proxy-Mark";

    /// <summary>Messages that may wait in a subscription. Those that find no room are dropped, and are read from the stream later.</summary>
    public const int Capacity = 1024;

    private const string SequenceHeader = "Nats-Sequence";

    private const int Batch = 64;

    /// <summary>How long the server may take for one question.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(3);

    /// <summary>A server that has just started needs a moment until it knows its streams.</summary>
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(200);

    private readonly JetStream jetStream = new(link.Connection);

    public static bool IsTimeout(Exception problem, CancellationToken cancellation) =>
        problem is OperationCanceledException && !cancellation.IsCancellationRequested;

    /// <summary>The first message that answers a question; null: there is none.</summary>
    /// <exception cref="SharedJournalException">It cannot be read.</exception>
    public async Task<SharedMessage?> OneAsync(string which, CancellationToken cancellation)
    {
        await foreach (var message in ReadAsync(which, 1, cancellation).ConfigureAwait(false)) return message;
        return null;
    }

    /// <summary>
    /// The messages of a subject in their order, each once, until it is cancelled or the connection is disposed. Null when nothing has come for
    /// <paramref name="quiet"/>, when a message came again, and when the stream could not be read.
    /// </summary>
    /// <param name="live">Subscribed to what the stream publishes of the subject, with <see cref="Capacity"/>.</param>
    /// <param name="subject">Under which it is stored.</param>
    /// <param name="isBegun">Messages may have been stored before the subscription.</param>
    /// <param name="quiet">After so long without a message, the stream is asked whether it has one.</param>
    /// <param name="cancellation">The follower leaves. It must be cancelled in the end: until then a part of it stays with the connection.</param>
    public async IAsyncEnumerable<SharedMessage?> FollowAsync(
        INatsSub<byte[]> live, string subject, bool isBegun, TimeSpan quiet, [EnumeratorCancellation] CancellationToken cancellation)
    {
        var (last, hasGap, hasDropped) = (0UL, isBegun, false);
        using var alarm = new Alarm(time);
        var changed = Watch(alarm, cancellation);
        var arriving = new PendingMove(alarm);
        while (true)
        {
            while (hasGap)
            {
                if (changed.IsCompleted) changed = Watch(alarm, cancellation);
                var (history, hasFailed) = await HistoryAsync(subject, last + 1, cancellation).ConfigureAwait(false);
                foreach (var message in history)
                {
                    last = message.Sequence;
                    yield return message;
                }

                hasGap = history.Count > 0 || hasFailed;
                if (!hasFailed) continue;
                yield return null;
                await changed.WaitAsync(Pause, time, cancellation).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                cancellation.ThrowIfCancellationRequested();
            }

            while (true)
            {
                hasDropped |= live.Msgs.Count >= Capacity; // only this reader makes room, so it is still full if a message was dropped
                if (!live.Msgs.TryRead(out var sent)) break;
                var sequence = Number(sent.Headers, SequenceHeader);
                if (sequence <= last)
                {
                    yield return null;
                    continue;
                }

                hasGap = Number(sent.Headers, "Nats-Last-Sequence") > last; // the stream has the missing ones, and this one
                if (hasGap) break;
                last = sequence;
                yield return Read(sent);
            }

            hasGap |= hasDropped;
            hasDropped = false;
            if (hasGap) continue;
            if (!arriving.IsBegun) arriving.Begin(live.Msgs.WaitToReadAsync(cancellation));
            var since = time.GetTimestamp();
            while (!arriving.IsDone && !changed.IsCompleted && quiet - time.GetElapsedTime(since) is var left && left > TimeSpan.Zero)
                await alarm.WaitAsync(left).ConfigureAwait(false);
            cancellation.ThrowIfCancellationRequested();
            if (!arriving.IsDone)
            {
                hasGap = true; // what was published while there was no connection
                if (!changed.IsCompleted) yield return null;
                continue;
            }

            if (!arriving.Take()) yield break;
        }
    }

    /// <summary>Completes when the connection is made or lost the next time, and rings then. Nothing of it stays with the connection once it is cancelled.</summary>
    private Task Watch(Alarm alarm, CancellationToken cancellation)
    {
        var changed = link.Changed.WaitAsync(cancellation);
        changed.ConfigureAwait(false).GetAwaiter().UnsafeOnCompleted(alarm.RingElsewhere);
        return changed;
    }

    private static ulong Number(NatsHeaders? headers, string name) =>
        headers is not null && headers.TryGetLastValue(name, out var text) && ulong.TryParse(text, CultureInfo.InvariantCulture, out var number) ? number : 0;

    private static SharedMessage Read(NatsMsg<byte[]> message)
    {
        var headers = message.Headers!;
        var kind = headers.TryGetLastValue(KindHeader, out var said) && Enum.TryParse<SharedKind>(said, ignoreCase: true, out var known) ? known : default;
        var stored = headers.TryGetLastValue("Nats-Time-Stamp", out var when)
            && DateTimeOffset.TryParse(when, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var at) ? at : default;
        return new(Number(headers, SequenceHeader), kind, message.Data ?? [], stored)
        {
            Mark = headers.TryGetLastValue(MarkHeader, out var mark) ? mark : null,
        };
    }

    private async Task<(List<SharedMessage> Messages, bool HasFailed)> HistoryAsync(string subject, ulong from, CancellationToken cancellation)
    {
        var found = new List<SharedMessage>();
        try
        {
            await foreach (var message in ReadAsync(
                $$"""{"seq":{{from}},"next_by_subj":"{{subject}}","batch":{{Batch}}}""", Batch, cancellation).ConfigureAwait(false)) found.Add(message);
            return (found, false);
        }
        catch (SharedJournalException)
        {
            return (found, true);
        }
    }

    private async IAsyncEnumerable<SharedMessage> ReadAsync(string which, int most, [EnumeratorCancellation] CancellationToken cancellation)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        patience.CancelAfter(Patience);
        await using var replies = jetStream.ReadAsync(stream, which, most, patience.Token).GetAsyncEnumerator(patience.Token);
        while (true)
        {
            SharedMessage message;
            try
            {
                if (!await replies.MoveNextAsync().ConfigureAwait(false)) yield break;
                message = Read(replies.Current);
            }
            catch (Exception problem) when (problem is NatsException or IOException || IsTimeout(problem, cancellation))
            {
                throw new SharedJournalException("NATS does not answer", problem);
            }

            yield return message;
        }
    }
}
