using System.Data;
using Npgsql;
using Proxy.Knowledge.Index;
using static Proxy.Store.Postgres.Knowledge.PostgresCommands;

namespace Proxy.Store.Postgres.Knowledge;

/// <summary>
/// Keeps what searches know of each slot, 8 bytes a slot, for the workspaces that were searched last. A workspace that changed has only its changed blocks read
/// again. Thread-safe.
/// </summary>
/// <param name="schema">The schema's name, quoted.</param>
/// <param name="workspaces">The rows of the workspaces.</param>
internal sealed class SlotCache(string schema, WorkspaceRows workspaces)
{
    private const int MostWorkspaces = 100;

    private readonly Lock gate = new();
    private readonly Dictionary<string, Entry> entries = [];
    private long clock;

    /// <summary>The workspace and its slots as they are now; null: there is no such workspace.</summary>
    public async Task<(WorkspaceRow Row, SlotTable Slots)?> ReadAsync(
        NpgsqlConnection connection, string workspace, DateTimeOffset now, CancellationToken cancellation)
    {
        var known = Find(workspace);
        if (known is not null)
        {
            var same = await workspaces.FindAsync(connection, workspace, now, cancellation).ConfigureAwait(false);
            if (same is null) return null;
            if (same.Workspace.Version == known.Row.Workspace.Version) return (same, known.Slots);
        }

        // The transaction's statements see the database as it is at one moment.
        var transaction = await connection.BeginTransactionAsync(IsolationLevel.RepeatableRead, cancellation).ConfigureAwait(false);
        await using var ended = transaction.ConfigureAwait(false);
        if (await workspaces.FindAsync(connection, workspace, now, cancellation).ConfigureAwait(false) is not { } row) return null;
        // After the database was restored from a backup the version can be lower: then everything is read.
        if (known?.Row.Workspace.Version > row.Workspace.Version) known = null;
        var live = await connection.RowsAsync(
            $"select ordinal from {schema}.workspace_files where workspace = $1 and status = 1", static row => row.GetInt32(0), cancellation, Of(row.Number))
            .ConfigureAwait(false);
        var slots = new ulong[row.Workspace.Slots];
        if (known is not null) known.Slots.Packed[..Math.Min(known.Slots.Length, slots.Length)].CopyTo(slots);
        await connection.RowsAsync(
            $"select block, data from {schema}.slot_blocks where workspace = $1 and revision > $2",
            found =>
            {
                SlotTable.Read(found.GetFieldValue<byte[]>(1), found.GetInt32(0), slots);
                return 0;
            },
            cancellation, Of(row.Number), Of(known?.Row.Revision ?? -1)).ConfigureAwait(false);
        var table = new SlotTable(slots, live.ToHashSet());
        Keep(workspace, new(row, table));
        return (row, table);
    }

    private Entry? Find(string workspace)
    {
        lock (gate)
        {
            if (!entries.TryGetValue(workspace, out var entry)) return null;
            entry.LastUse = ++clock;
            return entry;
        }
    }

    private void Keep(string workspace, Entry entry)
    {
        lock (gate)
        {
            entry.LastUse = ++clock;
            entries[workspace] = entry;
            if (entries.Count > MostWorkspaces) entries.Remove(entries.MinBy(static kept => kept.Value.LastUse).Key);
        }
    }

    /// <summary>The row as it was when the slots were read.</summary>
    private sealed record Entry(WorkspaceRow Row, SlotTable Slots)
    {
        public long LastUse { get; set; }
    }
}
