using Proxy.Backends;
using Proxy.Buffers;
using Proxy.Chat;

namespace Proxy.Http;

/// <summary>
/// Sends a call that is more than its hosts take at once in parts, each to a host of its own choosing and over a slot of its own. The first part that fails is the whole call's error and ends the others.
/// </summary>
/// <typeparam name="T">What the answer to one part is read into.</typeparam>
/// <param name="errors">How a host's refusal is read.</param>
/// <param name="read">The part's number and its answer; null when it is none.</param>
internal sealed class PartedCall<T>(VectorCall call, VectorParts parts, IReadOnlyList<HostCall> sent, BackendDialect errors, Func<int, ReadOnlyMemory<byte>, T?> read)
    where T : class
{
    /// <summary>Parts under way at a time: as many as the hosts have slots, and not so many that other calls have to wait long behind them.</summary>
    private const int MostAtOnce = 8, WhereUnlimited = 4;

    private readonly T?[] answers = new T?[sent.Count];
    private int taken = -1;
    private ProxyError? problem;
    private BackendReply? first;

    /// <summary>The answers in the order of the parts, and what the first of them says of its host; or why there are none.</summary>
    public async Task<(T[]? Answers, string? Backend, string Served, ProxyError? Problem)> SendAsync()
    {
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(call.Scope.Cancellation);
        var slots = call.Resolution.Candidates.Sum(static backend => (long)(backend.Slots ?? WhereUnlimited));
        await Task.WhenAll(Enumerable.Range(0, (int)Math.Min(sent.Count, Math.Clamp(slots, 1, MostAtOnce))).Select(_ => RunAsync(ending)));
        T[] all = [.. answers.OfType<T>()];
        if (problem is null && all.Length < sent.Count) problem = new(ProxyErrorKind.ClientLeft, "the client left");
        return problem is null ? (all, first!.Backend, first.ServedModel, null) : (null, null, call.Resolution.Served, problem);
    }

    private async Task RunAsync(CancellationTokenSource ending)
    {
        while (!ending.IsCancellationRequested && Interlocked.Increment(ref taken) is var number && number < sent.Count)
        {
            if (await SendAsync(number, ending.Token) is not { } failed) continue;
            Interlocked.CompareExchange(ref problem, failed, null);
            await ending.CancelAsync();
        }
    }

    private async ValueTask<ProxyError?> SendAsync(int number, CancellationToken cancellation)
    {
        switch (await parts.Dispatcher.SendAsync(sent[number], call.Model, call.Resolution, cancellation))
        {
            case DispatchResult.Failed failed:
                return failed.Error;
            case DispatchResult.Echo echo:
                echo.Lease.Dispose();
                return new(ProxyErrorKind.NotImplemented, $"the built-in backend '{echo.Lease.Backend.Name}' only chats");
            case DispatchResult.Answered { Reply: var reply }:
                using (reply)
                {
                    using var document = new PooledBody((int)Math.Min(reply.ContentLength ?? 16384, BackendReply.LongestDocument) + 1);
                    if (await VerbatimWriter.ReadAsync(reply, document) is { } broken) return broken;
                    if (reply.Refusal is { } refusal) return refusal;
                    if (read(number, document.Memory) is not { } answer) return reply.NotAnAnswer();
                    answers[number] = answer;
                    Interlocked.CompareExchange(ref first, reply, null);
                    return null;
                }

            default:
                throw new System.Diagnostics.UnreachableException();
        }
    }
}
