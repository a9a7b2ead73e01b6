using Proxy.Knowledge;

namespace Proxy.Http.Console;

/// <summary>A workspace and how many of its files are in which state.</summary>
internal sealed record WorkspaceState(Workspace Workspace, FileCounts Files);

/// <summary>
/// The workspaces as the console shows them. They are read in the background and at most every few seconds, however many pages are open, so that a slow
/// database holds up neither the pages nor itself. Thread-safe.
/// </summary>
/// <param name="knowledge">Null: this proxy has none.</param>
/// <param name="absent">Why it has none.</param>
/// <param name="time">The clock.</param>
internal sealed class WorkspaceProgress(KnowledgeParts? knowledge, string absent, TimeProvider time)
{
    /// <summary>The number of workspaces that are shown, the newest first.</summary>
    public const int Most = 100;

    private static readonly TimeSpan Fresh = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    private readonly Lock gate = new();
    private Task reading = Task.CompletedTask;
    private long readAt;

    /// <summary>Null: they have not been read yet.</summary>
    public IReadOnlyList<WorkspaceState>? Rows { get; private set; }

    /// <summary>The number of workspaces, those that are not shown included.</summary>
    public int Count { get; private set; }

    /// <summary>Why there are none, or why they cannot be read; null: they were read.</summary>
    public string? Problem { get; private set; } = knowledge is null ? absent : null;

    /// <summary>The files that were read since the start, those of them that failed, and the chunks that were stored; null: there is no knowledge.</summary>
    public (long Files, long Failed, long Chunks)? Done => knowledge?.Ingest.Done;

    /// <summary>Begins to read them again if the last time was too long ago. Completes when they were read for the first time.</summary>
    public Task RefreshAsync()
    {
        if (knowledge is null) return Task.CompletedTask;
        lock (gate)
        {
            if (reading.IsCompleted && (readAt == 0 || time.GetElapsedTime(readAt) >= Fresh)) reading = ReadAsync(knowledge);
            return Rows is null && Problem is null ? reading : Task.CompletedTask;
        }
    }

    private async Task ReadAsync(KnowledgeParts parts)
    {
        try
        {
            using var limit = new CancellationTokenSource(Patience, time);
            var all = await parts.Access.ListAsync(new(KnowledgeCaller.LocalOwner, IsAdmin: true, []), limit.Token).ConfigureAwait(false);
            var rows = new List<WorkspaceState>();
            foreach (var workspace in all.Take(Most))
                rows.Add(new(workspace, await parts.Store.CountsAsync(workspace.Id, null, limit.Token).ConfigureAwait(false)));
            (Rows, Count, Problem) = (rows, all.Count, null);
        }
        catch (Exception problem) when (problem is KnowledgeStoreException or OperationCanceledException)
        {
            Problem = problem is KnowledgeStoreException ? problem.Message : "the workspaces could not be read in time";
        }
        finally
        {
            readAt = time.GetTimestamp();
        }
    }
}
