using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Streams;

namespace Proxy.Http.Shared;

/// <summary>Fills a journal of this process with an answer that another one generates, or has generated, from its shared journal.</summary>
/// <param name="journal">A new journal.</param>
/// <param name="known">The number of the last message that is known to be there.</param>
/// <param name="shared">What all shared journals have in common.</param>
/// <param name="time">The clock.</param>
internal sealed class JournalMirror(AnswerJournal journal, ulong known, SharedJournals shared, TimeProvider time) : IDisposable
{
    /// <summary>How often it is looked whether there is more, and the other proxy is told of clients here.</summary>
    private static readonly TimeSpan Pace = TimeSpan.FromSeconds(2);

    /// <summary>How long an unreachable journal may keep clients waiting.</summary>
    private static readonly TimeSpan LongestOutage = TimeSpan.FromSeconds(60);

    private readonly TaskCompletionSource caughtUp = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly PooledBody request = new(16);
    private readonly string traceId = journal.Origin.TraceId;
    private bool isBegun;

    /// <summary>Completes when the journal has what was known to be there at the start.</summary>
    public Task CaughtUp => caughtUp.Task;

    /// <summary>Runs until the answer is complete, or its writer is silent.</summary>
    public async Task RunAsync()
    {
        await Task.Yield();
        using var stop = new CancellationTokenSource();
        var (heardAt, toldAt) = (time.GetTimestamp(), 0L);
        try
        {
            await foreach (var next in shared.Store.FollowAsync(traceId, Pace, stop.Token))
            {
                if (journal.IsOver) return;
                if (journal.HasClients && shared.Store.IsUsable && (toldAt == 0 || time.GetElapsedTime(toldAt) > Pace))
                {
                    toldAt = time.GetTimestamp();
                    await shared.Store.AskOwnerAsync(traceId, journal.Origin.Owner, OwnerAsk.GoOn, stop.Token);
                }

                if (next is { } message)
                {
                    heardAt = time.GetTimestamp();
                    Take(message);
                    if (message.Sequence >= known) caughtUp.TrySetResult();
                }
                else if (time.GetElapsedTime(heardAt) > (shared.Store.IsUsable ? SharedJournals.LongestSilence : LongestOutage))
                {
                    Break(SharedJournals.Broken);
                }

                if (journal.IsOver) return;
            }
        }
        finally
        {
            await stop.CancelAsync();
        }
    }

    public void Dispose()
    {
        caughtUp.TrySetResult();
        request.Dispose();
    }

    private void Take(SharedMessage message)
    {
        if (!isBegun && message.Kind is not SharedKind.Open)
        {
            Break(new(EndKind.BrokeOff, null, SharedJournals.TooLarge)); // the server has dropped the beginning
            return;
        }

        isBegun = true;
        switch (message.Kind)
        {
            case SharedKind.Request:
                request.Write(message.Data.Span);
                break;
            case SharedKind.Head:
                Begin(message);
                break;
            case SharedKind.Frames:
                journal.Append(message.Data.Span);
                break;
            case SharedKind.End:
                journal.End(SharedJson.ReadEnd(message).End);
                break;
            case SharedKind.Deleted:
                Break(new(EndKind.BrokeOff, null, SharedJournals.WasDeleted));
                break;
        }
    }

    private void Begin(SharedMessage message)
    {
        ChatRequest? parsed = null;
        if (request.Length > 0) journal.Origin.Dialect.ReadRequest(request.Memory, out parsed);
        if (SharedJson.ReadHead(message, parsed) is { } head) journal.Begin(head);
        else Break(new(EndKind.BrokeOff, null, new(ProxyErrorKind.NotImplemented, "this version of the proxy cannot read that answer")));
    }

    /// <summary>Ends the journal with an error. Who asks again, asks the shared journal again.</summary>
    private void Break(GenerationEnd end)
    {
        shared.Forget(journal);
        journal.End(end);
    }
}
