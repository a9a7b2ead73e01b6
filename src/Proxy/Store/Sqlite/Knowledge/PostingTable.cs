using Proxy.Knowledge.Index;

namespace Proxy.Store.Sqlite.Knowledge;

/// <summary>The posting lists, by block.</summary>
internal static class PostingTable
{
    /// <summary>Changes the lists. In the order of their keys, which touches every page once.</summary>
    public static void Change(SqliteConnection connection, long workspace, PostingChanges changes)
    {
        var sorted = changes.All.ToArray();
        Array.Sort(sorted, static (a, b) => a.Block != b.Block ? a.Block.CompareTo(b.Block)
            : a.Key.Field != b.Key.Field ? a.Key.Field.CompareTo(b.Key.Field) : string.CompareOrdinal(a.Key.Term, b.Key.Term));
        foreach (var (key, block, added, removed) in sorted)
        {
            var old = connection.Prepare("select data from postings where ws = ? and block = ? and field = ? and term = ?")
                .Bind(workspace).Bind(block).Bind((int)key.Field).Bind(key.Term);
            var isOld = old.Step();
            var data = PostingBlock.Merge(isOld ? old.Span(0) : default, block, added, removed);
            old.Reset();
            if (data.Length > 0)
            {
                connection.Prepare("insert or replace into postings(ws, block, field, term, data) values (?, ?, ?, ?, ?)")
                    .Bind(workspace).Bind(block).Bind((int)key.Field).Bind(key.Term).BindBytes(data).Run();
            }
            else if (isOld)
            {
                connection.Prepare("delete from postings where ws = ? and block = ? and field = ? and term = ?")
                    .Bind(workspace).Bind(block).Bind((int)key.Field).Bind(key.Term).Run();
            }
        }
    }

    /// <summary>Takes slots out of whatever lists have them: for chunks whose terms are not known any more. Reads whole blocks.</summary>
    public static void Strike(SqliteConnection connection, long workspace, IReadOnlyCollection<int> slots)
    {
        foreach (var group in slots.GroupBy(PostingBlock.Of))
        {
            var gone = group.ToHashSet();
            var changed = new List<(int Field, string Term, byte[] Data)>();
            var rows = connection.Prepare("select field, term, data from postings where ws = ? and block = ?").Bind(workspace).Bind(group.Key);
            while (rows.Step())
            {
                var data = PostingBlock.Merge(rows.Span(2), group.Key, [], gone);
                if (data.Length != rows.Span(2).Length) changed.Add((rows.Number(0), rows.Text(1), data));
            }

            foreach (var (field, term, data) in changed)
            {
                if (data.Length > 0)
                {
                    connection.Prepare("update postings set data = ? where ws = ? and block = ? and field = ? and term = ?")
                        .BindBytes(data).Bind(workspace).Bind(group.Key).Bind(field).Bind(term).Run();
                }
                else
                {
                    connection.Prepare("delete from postings where ws = ? and block = ? and field = ? and term = ?")
                        .Bind(workspace).Bind(group.Key).Bind(field).Bind(term).Run();
                }
            }
        }
    }

    public static List<PostingList> Read(SqliteConnection connection, long workspace, int slots, IReadOnlyList<TermKey> terms)
    {
        var found = new List<PostingList>(terms.Count);
        var last = slots == 0 ? -1 : PostingBlock.Of(slots - 1);
        foreach (var (field, term) in terms)
        {
            var blocks = new List<(int Block, ReadOnlyMemory<byte> Data)>();
            for (var block = 0; block <= last; block++)
            {
                var row = connection.Prepare("select data from postings where ws = ? and block = ? and field = ? and term = ?")
                    .Bind(workspace).Bind(block).Bind((int)field).Bind(term);
                if (row.Step()) blocks.Add((block, row.Bytes(0)));
                row.Reset();
            }

            found.Add(blocks.Count == 0 ? PostingList.Empty : new(blocks));
        }

        return found;
    }
}
