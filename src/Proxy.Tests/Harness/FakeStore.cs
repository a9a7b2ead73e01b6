using System.Collections.Concurrent;
using Proxy.Streams;

namespace Proxy.Tests.Harness;

/// <summary>A database in memory that keeps completions and artifacts, and that can fail and hang.</summary>
internal sealed class FakeStore : IRecordStore
{
    private int asked;

    public ConcurrentDictionary<(string Owner, string RequestId), CompletionRow> Rows { get; } = [];

    /// <summary>The artifacts, by trace id and key.</summary>
    public ConcurrentDictionary<(string TraceId, string Key), ArtifactRow> Artifacts { get; } = [];

    /// <summary>Every call fails.</summary>
    public bool Fails { get; set; }

    public bool FailsToWrite { get; set; }

    /// <summary>Reads wait for it and do not listen to a cancellation.</summary>
    public TaskCompletionSource? Hangs { get; set; }


    /// <summary>The number of times that a completion was looked for.</summary>
    public int Asked => Volatile.Read(ref asked);

    public ValueTask CommitAsync(IReadOnlyList<StoreRow> rows, CancellationToken cancellation)
    {
        if (Fails || FailsToWrite) throw new StoreException("the database is gone");
        foreach (var row in rows.OfType<CompletionRow>()) Rows[(row.Owner, row.RequestId)] = row;
        foreach (var row in rows.OfType<ArtifactRow>()) Artifacts[(row.TraceId, row.Key)] = row;
        return default;
    }

    public async ValueTask<CompletionRow?> FindCompletionAsync(string owner, string requestId, CancellationToken cancellation)
    {
        Interlocked.Increment(ref asked);
        if (Hangs is { } end) await end.Task;
        if (Fails) throw new StoreException("the database is gone");
        return Rows.GetValueOrDefault((owner, requestId));
    }

    public ValueTask<KeyRow?> FindKeyAsync(string owner, string key, CancellationToken cancellation) => default;

    public ValueTask<AnswerRow?> FindAnswerAsync(string owner, string id, CancellationToken cancellation) => default;

    public ValueTask<bool> DeleteAnswerAsync(string owner, string id, CancellationToken cancellation) => default;

    public ValueTask<IReadOnlyList<UsageRow>> ReadUsageAsync(string? owner, DateOnly from, DateOnly to, CancellationToken cancellation) => new([]);

    public ValueTask<long> ForgetAsync(string owner, CancellationToken cancellation) => default;

    public ValueTask<IReadOnlyList<string>> CheckAsync(CancellationToken cancellation) => new(Array.Empty<string>());

    public ValueTask PruneAsync(CancellationToken cancellation) => default;

    public ValueTask DisposeAsync() => default;
}
