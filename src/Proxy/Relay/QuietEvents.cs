using System.Runtime.CompilerServices;
using Proxy.Chat;

namespace Proxy.Relay;

/// <summary>Events of a source that says nothing while it waits (a workflow).</summary>
internal static class QuietEvents
{
    /// <summary>The same events, and <see cref="ChatEvent.Quiet"/> each time that the next one takes longer than <paramref name="period"/>.</summary>
    public static async IAsyncEnumerable<ChatEvent> Between(IAsyncEnumerable<ChatEvent> source, TimeSpan period, TimeProvider time, [EnumeratorCancellation] CancellationToken cancellation = default)
    {
        using var leaving = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        await using var events = source.GetAsyncEnumerator(leaving.Token);
        var next = Task.FromResult(true);
        try
        {
            while (true)
            {
                next = events.MoveNextAsync().AsTask();
                while (!next.IsCompleted)
                {
                    using var waiting = new CancellationTokenSource();
                    if (await Task.WhenAny(next, Task.Delay(period, time, waiting.Token)) != next) yield return ChatEvent.Quiet.Now;
                    await waiting.CancelAsync();
                }

                if (!await next) yield break;
                yield return events.Current;
            }
        }
        finally
        {
            // A source cannot be given back while it is asked: a client that left during a keep-alive ends the wait.
            await leaving.CancelAsync();
            await ((Task)next).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }
}
