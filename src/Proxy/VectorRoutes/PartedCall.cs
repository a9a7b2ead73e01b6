using Proxy.Chat;

namespace Proxy.VectorRoutes;

/// <summary>
/// Sends a call in parts, for a call that exceeds what its hosts accept at once. Each part gets its own host and its own slot. The error of the first part that
/// fails is the error of the whole call and cancels the other parts.
/// </summary>
/// <typeparam name="T">The type of a part's parsed answer.</typeparam>
internal sealed class PartedCall<T>(VectorHosts hosts, VectorCall call, IReadOnlyList<HostCall<T>> sent)
    where T : class
{
    /// <summary>Parts under way at a time: as many as the hosts have slots, but not so many that other calls wait long behind them.</summary>
    private const int MostAtOnce = 8, WhereUnlimited = 4;

    private readonly T?[] answers = new T?[sent.Count];
    private int taken = -1;
    private ProxyError? problem;
    private BackendReply? first;

    /// <summary>
    /// Returns the answers in the order of the parts, or the error; and the first reply that arrived, which is disposed but still names its backend and model.
    /// </summary>
    public async ValueTask<(T[] Answers, BackendReply? First, ProxyError? Problem)> SendAsync(CancellationToken cancellation)
    {
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var slots = call.Resolution.Candidates.Sum(static backend => (long)(backend.Slots ?? WhereUnlimited));
        await Task.WhenAll(Enumerable.Range(0, (int)Math.Min(sent.Count, Math.Clamp(slots, 1, MostAtOnce))).Select(_ => RunAsync(ending)));
        T[] all = [.. answers.OfType<T>()];
        if (all.Length < sent.Count) problem ??= new(ProxyErrorKind.ClientLeft, "the client left");
        return (all, first, problem);
    }

    private async Task RunAsync(CancellationTokenSource ending)
    {
        while (!ending.IsCancellationRequested && Interlocked.Increment(ref taken) is var number && number < sent.Count)
        {
            var (reply, failed) = await hosts.SendAsync(sent[number], call with { Answering = null }, ending.Token);
            using (reply)
            {
                if (reply is not null)
                {
                    Interlocked.CompareExchange(ref first, reply, null);
                    (answers[number], failed) = await VectorHosts.ReadAsync(reply, sent[number]);
                }
            }

            if (failed is null) continue;
            Interlocked.CompareExchange(ref problem, failed, null);
            await ending.CancelAsync();
        }
    }
}
