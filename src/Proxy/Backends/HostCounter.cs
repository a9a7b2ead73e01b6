using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Transport;

namespace Proxy.Backends;

/// <summary>A host's answer to a request for a token count; the owner disposes it to return its memory.</summary>
internal sealed record CounterAnswer(int Status, PooledBody Body) : IDisposable
{
    /// <summary>Whether the host says that its count is an estimate, as a proxy may.</summary>
    public bool Estimated { get; init; }

    public void Dispose() => Body.Dispose();
}

/// <summary>Asks a host to count the tokens of a prompt. Takes no slot, does not wait for one, and a failure does not count against the backend.</summary>
internal static class HostCounter
{
    /// <summary>Short, because a host answers at once even while it generates.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    private const int LongestAnswer = 8 << 20;

    /// <summary>Null if there was no complete answer in time.</summary>
    public static async ValueTask<CounterAnswer?> AskAsync(
        Backend backend, string path, ReadOnlyMemory<byte> body, KeyValuePair<string, string>? version,
        IReadOnlyList<KeyValuePair<string, string>> crossing, CallInfo info, CancellationToken cancellation)
    {
        List<UpstreamHeader> headers = [.. CrossingHeaders.Of(crossing, info, backend)];
        if (version is { } needed && !headers.Exists(header => header.Name.Equals(needed.Key, StringComparison.OrdinalIgnoreCase)))
        {
            headers.Add(new(needed.Key, needed.Value));
        }

        using var exchange = backend.Upstream.Open();
        exchange.Deadline = exchange.Now + (long)Patience.TotalMilliseconds;
        using var registration = cancellation.UnsafeRegister(static state => ((UpstreamExchange)state!).Cancel(), exchange);
        var head = await exchange.SendAsync(
            new("POST", backend.PathOf(path), new(body)) { ContentType = "application/json", Headers = [.. headers], Via = info.Via });
        if (head.Outcome is not UpstreamOutcome.Answered) return null;

        var answer = new PooledBody();
        while (true)
        {
            var read = await exchange.ReadAsync();
            switch (read.Kind)
            {
                case ReplyReadKind.Data:
                    answer.Write(read.Bytes.Span);
                    if (answer.Length <= LongestAnswer) break;
                    answer.Dispose();
                    return null;
                case ReplyReadKind.Quiet:
                    break;
                case ReplyReadKind.End:
                    return new(head.Status, answer) { Estimated = head.Headers.Any(static header => header is { Name: "x-token-count", Value: "estimate" }) };
                default:
                    answer.Dispose();
                    return null;
            }
        }
    }
}
