using System.Security.Cryptography;
using System.Text;
using Npgsql;
using Proxy.Knowledge.Index;
using static Proxy.Store.Postgres.Knowledge.PostgresCommands;

namespace Proxy.Store.Postgres.Knowledge;

/// <summary>
/// Reads and changes posting lists and slots, which are rows of blocks. A change reads the blocks that it touches with one statement, merges them here and
/// writes them with one statement. The caller has the workspace's lock.
/// </summary>
/// <param name="schema">The schema's name, quoted.</param>
internal sealed class PostingRows(string schema)
{
    /// <summary>The longest term that stands in the index as it is, in UTF-16 units. Of a longer one its hash stands for its end.</summary>
    private const int LongestTerm = 200;

    /// <summary>The blocks of the terms' lists, in the order of the terms.</summary>
    public async Task<IReadOnlyList<PostingList>> ReadAsync(
        NpgsqlConnection connection, int workspace, IReadOnlyList<TermKey> terms, CancellationToken cancellation)
    {
        var rows = await connection.RowsAsync(
            $"""
            select wanted.n, p.block, p.data from unnest($2, $3) with ordinality as wanted (field, term, n)
            join {schema}.postings p on p.workspace = $1 and p.field = wanted.field and p.term = wanted.term order by wanted.n, p.block
            """,
            static row => (Term: (int)row.GetInt64(0) - 1, Block: row.GetInt32(1), Data: row.GetFieldValue<byte[]>(2)), cancellation, Of(workspace),
            Shorts(terms.Select(static key => (short)key.Field)), Texts(terms.Select(static key => Kept(key.Term)))).ConfigureAwait(false);
        var found = rows.ToLookup(static row => row.Term, static row => (row.Block, (ReadOnlyMemory<byte>)row.Data));
        return [.. terms.Select((_, i) => found.Contains(i) ? new PostingList([.. found[i]]) : PostingList.Empty)];
    }

    /// <summary>Changes posting lists.</summary>
    public async Task ChangeAsync(NpgsqlConnection connection, int workspace, PostingChanges changes, CancellationToken cancellation)
    {
        var all = changes.All.OrderBy(static change => (change.Key.Field, change.Block)).ThenBy(static change => change.Key.Term, StringComparer.Ordinal)
            .ToList();
        if (all.Count == 0) return;
        var (fields, terms, blocks) = (all.ConvertAll(static change => (short)change.Key.Field).ToArray(),
            all.ConvertAll(static change => Kept(change.Key.Term)).ToArray(), all.ConvertAll(static change => change.Block).ToArray());
        var old = new byte[]?[all.Count];
        await connection.RowsAsync(
            $"""
            select wanted.n, p.data from unnest($2, $3, $4) with ordinality as wanted (field, term, block, n)
            join {schema}.postings p on p.workspace = $1 and p.field = wanted.field and p.term = wanted.term and p.block = wanted.block
            """,
            row => old[row.GetInt64(0) - 1] = row.GetFieldValue<byte[]>(1), cancellation, Of(workspace), Shorts(fields), Texts(terms), Integers(blocks))
            .ConfigureAwait(false);

        var merged = all.Select((change, i) => PostingBlock.Merge(old[i], change.Block, change.Added, change.Removed)).ToArray();
        var (kept, emptied) = (Where(static data => data.Length > 0), Where(static data => data.Length == 0));
        if (kept.Length > 0)
            await connection.RunAsync(
                $"""
                insert into {schema}.postings (workspace, field, term, block, data) select $1, * from unnest($2, $3, $4, $5)
                on conflict (workspace, field, term, block) do update set data = excluded.data
                """,
                cancellation, [.. Keys(kept), Blobs(Pick(merged, kept))]).ConfigureAwait(false);
        if (emptied.Length > 0)
            await connection.RunAsync(
                $"""
                delete from {schema}.postings p using unnest($2, $3, $4) as gone (field, term, block)
                where p.workspace = $1 and p.field = gone.field and p.term = gone.term and p.block = gone.block
                """,
                cancellation, [.. Keys(emptied)]).ConfigureAwait(false);

        int[] Where(Func<byte[], bool> condition) => [.. Enumerable.Range(0, merged.Length).Where(i => condition(merged[i]))];
        NpgsqlParameter[] Keys(int[] rows) => [Of(workspace), Shorts(Pick(fields, rows)), Texts(Pick(terms, rows)), Integers(Pick(blocks, rows))];
    }

    /// <summary>Changes slots.</summary>
    /// <param name="connection">In the transaction of the change.</param>
    /// <param name="workspace">The workspace's number.</param>
    /// <param name="revision">The workspace's revision after the change.</param>
    /// <param name="changes">The slots as <see cref="SlotTable.Pack"/> makes them; 0: without a chunk.</param>
    /// <param name="cancellation">Ends the change.</param>
    public async Task ChangeAsync(
        NpgsqlConnection connection, int workspace, long revision, IEnumerable<KeyValuePair<int, ulong>> changes, CancellationToken cancellation)
    {
        var blocks = changes.GroupBy(static change => change.Key / SlotTable.BlockSlots).OrderBy(static block => block.Key).ToList();
        if (blocks.Count == 0) return;
        var numbers = blocks.ConvertAll(static block => block.Key).ToArray();
        var old = (await connection.RowsAsync(
            $"select block, data from {schema}.slot_blocks where workspace = $1 and block = any($2)",
            static row => (Block: row.GetInt32(0), Data: row.GetFieldValue<byte[]>(1)), cancellation, Of(workspace), Integers(numbers))
            .ConfigureAwait(false)).ToDictionary(static row => row.Block, static row => row.Data);
        await connection.RunAsync(
            $"""
            insert into {schema}.slot_blocks (workspace, revision, block, data) select $1, $2, * from unnest($3, $4)
            on conflict (workspace, block) do update set revision = excluded.revision, data = excluded.data
            """,
            cancellation, Of(workspace), Of(revision), Integers(numbers),
            Blobs(blocks.Select(block => SlotTable.Change(old.GetValueOrDefault(block.Key), block.Key, block)))).ConfigureAwait(false);
    }

    /// <summary>Deletes all posting lists of a workspace.</summary>
    public Task ClearAsync(NpgsqlConnection connection, int workspace, CancellationToken cancellation) =>
        connection.RunAsync($"delete from {schema}.postings where workspace = $1", cancellation, Of(workspace));

    /// <summary>A term as it stands in the table: an entry of PostgreSQL's index may have 2,700 bytes.</summary>
    private static string Kept(string term)
    {
        term = PostgresText.Clean(term);
        return term.Length <= LongestTerm ? term
            : string.Concat(PostgresText.Clean(term[..100]), "#", Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(term))));
    }

    private static T[] Pick<T>(T[] from, int[] rows) => [.. rows.Select(row => from[row])];
}
