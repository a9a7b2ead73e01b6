using System.Text;
using Npgsql;
using Proxy.Knowledge;
using Proxy.Knowledge.Analysis;
using Proxy.Knowledge.Index;
using static Proxy.Store.Postgres.Knowledge.PostgresCommands;

namespace Proxy.Store.Postgres.Knowledge;

/// <summary>Chunks with their postings, slots and vectors. Every change is made in a transaction that has the workspace's lock.</summary>
/// <param name="schema">The schema's name, quoted.</param>
/// <param name="workspaces">The rows of the workspaces.</param>
/// <param name="vectors">The tables of vectors.</param>
/// <param name="analyzer">Finds the terms of chunks that are removed.</param>
internal sealed class ChunkRows(string schema, WorkspaceRows workspaces, PostgresVectors vectors, ITextAnalyzer analyzer)
{
    /// <summary>Chunks that are read from the database at once when many are removed.</summary>
    private const int AtOnce = 1000;

    private const string Columns = "c.slot, f.file_id, c.number, c.text, c.heading, c.page, c.starts, c.ends, c.tokens";

    private readonly PostingRows postings = new(schema);

    private readonly string select =
        $"select {Columns} from {schema}.chunks c join {schema}.workspace_files f on f.workspace = c.workspace and f.ordinal = c.ordinal where";

    public PostingRows Postings => postings;

    /// <summary>Appends chunks to a file, and returns the bytes of their texts.</summary>
    public async Task<long> AppendAsync(
        NpgsqlConnection connection, WorkspaceRow workspace, WorkspaceFile row, WorkspaceFile file, IReadOnlyList<NewChunk> chunks, bool isVisible,
        CancellationToken cancellation)
    {
        var sets = workspace.Workspace.Vectors;
        var slots = await TakeSlotsAsync(connection, workspace, chunks.Count, cancellation).ConfigureAwait(false);
        var texts = chunks.Select(static chunk => PostgresText.Clean(chunk.Text)).ToArray();
        var headings = chunks.Select(static chunk => PostgresText.Clean(chunk.Heading)).ToArray();
        var (changes, packed) = (new PostingChanges(), new Dictionary<int, ulong>(slots.Length));
        for (var i = 0; i < slots.Length; i++)
        {
            // The terms must be those that are found again when the chunk is removed: from the text and the file's name as they are stored.
            var isKept = row.Name == file.Name && ReferenceEquals(texts[i], chunks[i].Text) && ReferenceEquals(headings[i], chunks[i].Heading);
            var terms = isKept ? chunks[i].Terms : TermsOf(row.Name, headings[i], texts[i]);
            changes.Add(slots[i], terms);
            packed[slots[i]] = SlotTable.Pack(row.Ordinal, terms.BodyLength, terms.TitleLength);
        }

        var textBytes = texts.Sum(static text => (long)Encoding.UTF8.GetByteCount(text));
        var high = slots.Length == 0 ? workspace.Workspace.Slots : Math.Max(workspace.Workspace.Slots, slots[^1] + 1);
        var changed = await workspaces.ChangeAsync(connection, workspace, slots.Length, textBytes, high, isVisible, cancellation).ConfigureAwait(false);
        if (slots.Length == 0) return 0;
        await connection.RunAsync(
            $"""
            insert into {schema}.chunks (workspace, ordinal, slot, number, text, heading, page, starts, ends, tokens)
            select $1, $2, * from unnest($3, $4, $5, $6, $7, $8, $9, $10)
            """,
            cancellation, Of(workspace.Number), Of(row.Ordinal), Integers(slots), Integers(Enumerable.Range(row.Chunks, slots.Length)), Texts(texts),
            Texts(headings), Integers(chunks.Select(static chunk => chunk.PageNumber)), Integers(chunks.Select(static chunk => chunk.Start)),
            Integers(chunks.Select(static chunk => chunk.End)), Integers(chunks.Select(static chunk => chunk.Tokens))).ConfigureAwait(false);
        await postings.ChangeAsync(connection, workspace.Number, changes, cancellation).ConfigureAwait(false);
        await postings.ChangeAsync(connection, workspace.Number, changed.Revision, packed, cancellation).ConfigureAwait(false);
        for (var set = 0; set < sets.Count; set++)
            await vectors.AddAsync(
                connection, workspace.Number, sets[set], [.. slots.Select((slot, i) => (slot, chunks[i].Vectors[set]))], cancellation).ConfigureAwait(false);
        return textBytes;
    }

    /// <summary>Removes all chunks of a file. Returns the workspace's row as it then is.</summary>
    public async Task<WorkspaceRow> RemoveAsync(
        NpgsqlConnection connection, WorkspaceRow workspace, WorkspaceFile file, CancellationToken cancellation)
    {
        var isVisible = file.Status == FileStatus.Completed;
        while (true)
        {
            var gone = await connection.RowsAsync(
                $"""
                delete from {schema}.chunks where workspace = $1 and slot = any(array(
                    select slot from {schema}.chunks where workspace = $1 and ordinal = $2 order by number limit {AtOnce}))
                returning slot, heading, text
                """,
                static row => (Slot: row.GetInt32(0), Heading: row.GetString(1), Text: row.GetString(2)), cancellation, Of(workspace.Number),
                Of(file.Ordinal)).ConfigureAwait(false);
            if (gone.Count == 0) break;
            var changes = new PostingChanges();
            foreach (var chunk in gone) changes.Remove(chunk.Slot, TermsOf(file.Name, chunk.Heading, chunk.Text));
            var slots = gone.ConvertAll(static chunk => chunk.Slot);
            workspace = await workspaces.ChangeAsync(
                connection, workspace, -gone.Count, -gone.Sum(static chunk => (long)Encoding.UTF8.GetByteCount(chunk.Text)), workspace.Workspace.Slots,
                isVisible, cancellation).ConfigureAwait(false);
            await postings.ChangeAsync(connection, workspace.Number, changes, cancellation).ConfigureAwait(false);
            await postings.ChangeAsync(
                connection, workspace.Number, workspace.Revision, slots.Select(static slot => KeyValuePair.Create(slot, 0UL)), cancellation)
                .ConfigureAwait(false);
            await vectors.RemoveAsync(connection, workspace.Number, workspace.AllSets, slots, cancellation).ConfigureAwait(false);
            await connection.RunAsync(
                $"insert into {schema}.free_slots (workspace, slot) select $1, * from unnest($2)", cancellation, Of(workspace.Number), Integers(slots))
                .ConfigureAwait(false);
            if (gone.Count < AtOnce) break;
        }

        return workspace;
    }

    /// <summary>Makes all postings anew, if an older analyser made them.</summary>
    public async Task<WorkspaceRow> ReindexAsync(NpgsqlConnection connection, WorkspaceRow workspace, CancellationToken cancellation)
    {
        if (workspace.Analyzer >= analyzer.Version) return workspace;
        await postings.ClearAsync(connection, workspace.Number, cancellation).ConfigureAwait(false);
        var slot = 0;
        while (true)
        {
            var chunks = await connection.RowsAsync(
                $"""
                select c.slot, f.ordinal, f.name, c.heading, c.text
                from {schema}.chunks c join {schema}.workspace_files f on f.workspace = c.workspace and f.ordinal = c.ordinal
                where c.workspace = $1 and c.slot >= $2 order by c.slot limit {AtOnce}
                """,
                static row => (Slot: row.GetInt32(0), Ordinal: row.GetInt32(1), Name: row.GetString(2), Heading: row.GetString(3), Text: row.GetString(4)),
                cancellation, Of(workspace.Number), Of(slot)).ConfigureAwait(false);
            if (chunks.Count == 0) break;
            var (changes, packed) = (new PostingChanges(), new Dictionary<int, ulong>(chunks.Count));
            foreach (var chunk in chunks)
            {
                var terms = TermsOf(chunk.Name, chunk.Heading, chunk.Text);
                changes.Add(chunk.Slot, terms);
                packed[chunk.Slot] = SlotTable.Pack(chunk.Ordinal, terms.BodyLength, terms.TitleLength);
            }

            workspace = await workspaces.ChangeAsync(connection, workspace, 0, 0, workspace.Workspace.Slots, isVisible: true, cancellation)
                .ConfigureAwait(false);
            await postings.ChangeAsync(connection, workspace.Number, changes, cancellation).ConfigureAwait(false);
            await postings.ChangeAsync(connection, workspace.Number, workspace.Revision, packed, cancellation).ConfigureAwait(false);
            slot = chunks[^1].Slot + 1;
        }

        await connection.RunAsync(
            $"update {schema}.workspaces set analyzer = $2 where number = $1", cancellation, Of(workspace.Number), Of(analyzer.Version)).ConfigureAwait(false);
        return workspace with { Analyzer = analyzer.Version };
    }

    /// <summary>Deletes all that belongs to a workspace, except for its own row and those that refer to it.</summary>
    public async Task ClearAsync(NpgsqlConnection connection, WorkspaceRow workspace, CancellationToken cancellation)
    {
        foreach (var table in (string[])["chunks", "free_slots", "slot_blocks", "postings"])
            await connection.RunAsync($"delete from {schema}.{table} where workspace = $1", cancellation, Of(workspace.Number)).ConfigureAwait(false);
        await vectors.DropAsync(connection, workspace.Number, workspace.AllSets, cancellation).ConfigureAwait(false);
    }

    /// <summary>Chunks of one file, by number.</summary>
    public Task<List<StoredChunk>> OfFileAsync(
        NpgsqlConnection connection, string workspace, string fileId, int from, int most, CancellationToken cancellation) => connection.RowsAsync(
        $"{select} f.workspace = (select number from {schema}.workspaces where id = $1) and f.file_id = $2 and c.number >= $3 order by c.number limit $4",
        Read, cancellation, Text(workspace), Text(fileId), Of(from), Of(most));

    /// <summary>Chunks of one file with these numbers.</summary>
    public Task<List<StoredChunk>> OfFileAsync(
        NpgsqlConnection connection, int workspace, string fileId, IEnumerable<int> numbers, CancellationToken cancellation) => connection.RowsAsync(
        $"{select} f.workspace = $1 and f.file_id = $2 and c.number = any($3)", Read, cancellation, Of(workspace), Text(fileId), Integers(numbers));

    /// <summary>Chunks from a slot on.</summary>
    public Task<List<StoredChunk>> FromAsync(NpgsqlConnection connection, string workspace, int slot, int most, CancellationToken cancellation) =>
        connection.RowsAsync(
            $"{select} c.workspace = (select number from {schema}.workspaces where id = $1) and c.slot >= $2 order by c.slot limit $3",
            Read, cancellation, Text(workspace), Of(slot), Of(most));

    /// <summary>Chunks of slots, unless a slot belongs to another file by now.</summary>
    public Task<List<StoredChunk>> OfSlotsAsync(
        NpgsqlConnection connection, int workspace, IReadOnlyList<int> slots, IEnumerable<int> ordinals, CancellationToken cancellation) =>
        connection.RowsAsync(
            $"{select} c.workspace = $1 and (c.slot, c.ordinal) in (select * from unnest($2, $3))", Read, cancellation, Of(workspace), Integers(slots),
            Integers(ordinals));

    /// <summary>
    /// Slots for new chunks, in rising order: first those of deleted chunks. While vectors of other models are being computed, slots are not used again:
    /// a vector that is on its way would be taken for that of the new chunk.
    /// </summary>
    private async Task<int[]> TakeSlotsAsync(NpgsqlConnection connection, WorkspaceRow workspace, int count, CancellationToken cancellation)
    {
        var free = count == 0 || workspace.Workspace.Building.Count > 0 ? [] : await connection.RowsAsync(
            $"""
            delete from {schema}.free_slots where workspace = $1 and slot = any(array(
                select slot from {schema}.free_slots where workspace = $1 order by slot limit $2)) returning slot
            """,
            static row => row.GetInt32(0), cancellation, Of(workspace.Number), Of(count)).ConfigureAwait(false);
        return [.. free.Order(), .. Enumerable.Range(workspace.Workspace.Slots, count - free.Count)];
    }

    private ChunkTerms TermsOf(string name, string heading, string text) => analyzer.TermsOf(ChunkTitle.Of(name, heading), text);

    private static StoredChunk Read(NpgsqlDataReader row) => new(row.GetInt32(0), row.GetString(1), row.GetInt32(2), row.GetString(3))
    {
        Heading = row.GetString(4), Page = row.IntegerOrNull(5), Start = row.GetInt32(6), End = row.GetInt32(7), Tokens = row.GetInt32(8),
    };
}
