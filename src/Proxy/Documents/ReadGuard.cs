using System.Runtime.ExceptionServices;

namespace Proxy.Documents;

/// <summary>Runs a reader on a thread of its own, and gives up on it if it gets no further or the caller leaves.</summary>
internal sealed class ReadGuard
{
    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(500);

    /// <summary>How long a reader may take to notice that it was given up on.</summary>
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(2);

    private static int lost;

    private readonly CancellationToken cancellation;
    private readonly Lock gate = new();
    private long steps;
    private volatile bool givenUp;
    private bool isLost, hasEnded;

    private ReadGuard(CancellationToken cancellation) => this.cancellation = cancellation;

    /// <summary>Notes that the reader got a step further. Throws if it should end.</summary>
    public void Step()
    {
        if (givenUp) throw new OperationCanceledException("the reader was given up on");
        cancellation.ThrowIfCancellationRequested();
        Volatile.Write(ref steps, steps + 1);
    }

    /// <summary>
    /// The reader's result. Whatever the reader throws becomes a <see cref="DocumentException"/>, except the caller's cancellation.
    /// </summary>
    public static T Run<T>(Func<ReadGuard, T> reader, TimeSpan stall, TimeSpan total, CancellationToken cancellation)
        where T : class
    {
        cancellation.ThrowIfCancellationRequested();
        if (Volatile.Read(ref lost) >= DocumentLimits.LostReaders)
            throw new DocumentException(DocumentFault.Busy, "too many damaged documents are still being read; restart the process to read more");
        var guard = new ReadGuard(cancellation);
        T? result = null;
        Exception? failure = null;
        using var ended = new ManualResetEventSlim();
        var thread = new Thread(Work, DocumentLimits.StackBytes) { IsBackground = true, Name = "document" };
        thread.Start();
        guard.Await(ended, stall, total);
        if (failure is not null) Rethrow(failure, cancellation);
        return result!;

        void Work()
        {
            // The libraries that read formats throw anything on damaged files; no exception may leave this thread, for it would end the process.
            try
            {
                result = reader(guard);
            }
            catch (Exception thrown)
            {
                failure = thrown;
            }

            guard.End(ended);
        }
    }

    private static void Rethrow(Exception failure, CancellationToken cancellation)
    {
        if (failure is DocumentException) ExceptionDispatchInfo.Throw(failure);
        cancellation.ThrowIfCancellationRequested();
        throw failure switch
        {
            OutOfMemoryException => new DocumentException(DocumentFault.Invalid, "there is not enough memory to read the file", failure),
            _ => new DocumentException(DocumentFault.Invalid, $"the file is damaged: {Short(failure.Message)}", failure),
        };
    }

    /// <summary>The first sentence or line of a library's message.</summary>
    private static string Short(string message)
    {
        var end = message.AsSpan().IndexOfAny('\r', '\n');
        var line = end < 0 ? message : message[..end];
        return line.Length <= 200 ? line.TrimEnd('.') : line[..200] + "…";
    }

    /// <summary>Waits for the reader's end. Throws if it was given up on.</summary>
    private void Await(ManualResetEventSlim ended, TimeSpan stall, TimeSpan total)
    {
        long began = Environment.TickCount64, movedAt = began, seen = 0;
        while (!Ended(ended))
        {
            var now = Environment.TickCount64;
            var at = Volatile.Read(ref steps);
            if (at != seen) (seen, movedAt) = (at, now);
            var stuck = now - movedAt > stall.TotalMilliseconds;
            if (!stuck && now - began <= total.TotalMilliseconds && !cancellation.IsCancellationRequested) continue;
            GiveUp(ended);
            cancellation.ThrowIfCancellationRequested();
            throw new DocumentException(
                DocumentFault.Invalid,
                stuck
                    ? $"reading the file got no further for {stall.TotalSeconds:0} s; it is damaged, or made so that it cannot be read"
                    : $"reading the file took longer than {total.TotalMinutes:0} minutes");
        }
    }

    private bool Ended(ManualResetEventSlim ended)
    {
        try
        {
            return ended.Wait(Look, cancellation);
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }

    private void GiveUp(ManualResetEventSlim ended)
    {
        givenUp = true;
        if (ended.Wait(Grace, CancellationToken.None)) return;
        lock (gate)
        {
            if (hasEnded) return;
            isLost = true;
            Interlocked.Increment(ref lost);
        }
    }

    private void End(ManualResetEventSlim ended)
    {
        lock (gate)
        {
            hasEnded = true;
            if (isLost) Interlocked.Decrement(ref lost);
            else ended.Set();
        }
    }
}
