using Proxy.Knowledge;
using Proxy.Knowledge.Analysis;
using Proxy.Knowledge.Index;
using Proxy.Store.Sqlite;
using Proxy.Store.Sqlite.Knowledge;

namespace Proxy.Tests.Store;

/// <summary>
/// Reads a whole database of documents and its vector files, and says where they disagree: what follows from the chunks' texts is computed again and compared.
/// The store must not be in use.
/// </summary>
internal sealed class KnowledgeChecker(string folder, ITextAnalyzer analyzer, Func<string, VectorSet, float[]> vectorOf)
{
    private readonly List<string> problems = [];

    public IReadOnlyList<string> Problems()
    {
        using var connection = new SqliteConnection(KnowledgeDatabase.FileIn(folder));
        var whole = connection.Prepare("pragma integrity_check");
        while (whole.Step())
        {
            if (whole.Text(0) != "ok") problems.Add(whole.Text(0));
        }

        Orphans(connection);
        var files = new HashSet<string>();
        using var vectors = new VectorFiles(folder);
        foreach (var workspace in WorkspaceTable.All(connection, long.MinValue))
        {
            var chunks = Chunks(connection, workspace);
            Slots(connection, workspace, chunks);
            Postings(connection, workspace, chunks);
            foreach (var set in workspace.Row.Vectors)
            {
                files.Add(VectorFiles.NameOf(workspace.Row.Id, set.Id));
                Vectors(vectors, workspace, set, chunks);
            }
        }

        foreach (var file in Directory.Exists(vectors.Folder) ? Directory.GetFiles(vectors.Folder) : [])
        {
            if (!files.Contains(Path.GetFileName(file))) problems.Add($"{file} belongs to no vector set");
        }

        return problems;
    }

    private void Orphans(SqliteConnection connection)
    {
        foreach (var sql in (string[])
        [
            "file_parts where file not in (select id from files)",
            "files f where bytes <> (select coalesce(sum(length(content)), 0) from file_parts p where p.file = f.id)",
            "uploads",
            "dead_sets",
            "dead_workspaces",
            "holds",
            "free_slots where clean = 0",
            "workspace_files where ws not in (select number from workspaces)",
            "vector_sets where ws not in (select number from workspaces)",
            "batches where ws not in (select number from workspaces)",
            "postings where ws not in (select number from workspaces)",
            "slot_blocks where ws not in (select number from workspaces)",
            "free_slots where ws not in (select number from workspaces)",
            "chunks where file not in (select id from workspace_files)",
            "chunks c where (id >> 32) <> (select ws from workspace_files f where f.id = c.file)",
            "workspace_files f where chunks <> (select count(*) from chunks c where c.file = f.id)",
            "workspace_files f where chunks <> (select coalesce(max(number), -1) + 1 from chunks c where c.file = f.id)",
            "workspace_files f where text_bytes <> (select coalesce(sum(length(cast(text as blob))), 0) from chunks c where c.file = f.id)",
            "workspaces w where chunks <> (select coalesce(sum(chunks), 0) from workspace_files f where f.ws = w.number)",
            "workspaces w where text_bytes <> (select coalesce(sum(text_bytes), 0) from workspace_files f where f.ws = w.number)",
        ])
        {
            if (connection.Integer($"select count(*) from {sql}") is > 0 and var count) problems.Add($"{count} {sql}");
        }
    }

    private Dictionary<int, (ulong Packed, ChunkTerms Terms, string Text)> Chunks(SqliteConnection connection, StoredWorkspace workspace)
    {
        var chunks = new Dictionary<int, (ulong, ChunkTerms, string)>();
        var rows = connection.Prepare("""
            select c.id & 4294967295, c.name, c.heading, c.text, f.ordinal from chunks c join workspace_files f on f.id = c.file where f.ws = ? order by c.id
            """).Bind(workspace.Number);
        while (rows.Step())
        {
            var terms = analyzer.TermsOf(ChunkTitle.Of(rows.Text(1), rows.Text(2)), rows.Text(3));
            chunks[rows.Number(0)] = (SlotTable.Pack(rows.Number(4), terms.BodyLength, terms.TitleLength), terms, rows.Text(3));
        }

        return chunks;
    }

    private void Slots(SqliteConnection connection, StoredWorkspace workspace, Dictionary<int, (ulong Packed, ChunkTerms, string)> chunks)
    {
        var (name, packed) = (workspace.Row.Id, new ulong[workspace.Row.Slots]);
        SlotBlocks.Read(connection, workspace.Number, -1, packed);
        var free = new HashSet<int>();
        var rows = connection.Prepare("select slot from free_slots where ws = ?").Bind(workspace.Number);
        while (rows.Step()) free.Add(rows.Number(0));
        for (var slot = 0; slot < packed.Length; slot++)
        {
            var expected = chunks.TryGetValue(slot, out var chunk) ? chunk.Packed : 0;
            if (packed[slot] != expected) problems.Add($"{name}: slot {slot} is {packed[slot]:x} instead of {expected:x}");
            if (free.Contains(slot) != (expected == 0)) problems.Add($"{name}: slot {slot} is free and used, or neither");
        }

        foreach (var slot in chunks.Keys.Concat(free).Where(slot => slot >= packed.Length)) problems.Add($"{name}: slot {slot} is outside of the table");
    }

    private void Postings(SqliteConnection connection, StoredWorkspace workspace, Dictionary<int, (ulong, ChunkTerms Terms, string)> chunks)
    {
        var changes = new PostingChanges();
        foreach (var slot in chunks.Keys.Order()) changes.Add(slot, chunks[slot].Terms);
        var expected = changes.All.ToDictionary(
            static change => (change.Block, (int)change.Key.Field, change.Key.Term), static change => PostingBlock.Merge([], change.Block, change.Added, null));
        var rows = connection.Prepare("select block, field, term, data from postings where ws = ?").Bind(workspace.Number);
        while (rows.Step())
        {
            if (!expected.Remove((rows.Number(0), rows.Number(1), rows.Text(2)), out var data) || !rows.Span(3).SequenceEqual(data))
                problems.Add($"{workspace.Row.Id}: the postings of {rows.Text(2)} are others than its chunks'");
        }

        foreach (var (_, _, term) in expected.Keys) problems.Add($"{workspace.Row.Id}: {term} has no postings");
    }

    private void Vectors(VectorFiles vectors, StoredWorkspace workspace, VectorSet set, Dictionary<int, (ulong, ChunkTerms, string Text)> chunks)
    {
        var map = vectors.Map(workspace, set, 0);
        for (var slot = 0; slot < workspace.Row.Slots; slot++)
        {
            if (!chunks.TryGetValue(slot, out var chunk))
            {
                if (map?.Has(slot) is true) problems.Add($"{workspace.Row.Id}: slot {slot} still has the vector of a deleted chunk");
            }
            else if (map?.Cosine(slot, vectorOf(chunk.Text, set)) is not > 0.99f)
            {
                problems.Add($"{workspace.Row.Id}: slot {slot} has another vector than its chunk's");
            }
        }

        map?.Release();
    }
}
