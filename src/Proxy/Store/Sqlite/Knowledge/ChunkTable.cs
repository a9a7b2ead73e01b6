using System.Text;
using Proxy.Knowledge;

namespace Proxy.Store.Sqlite.Knowledge;

/// <summary>A chunk that is to be deleted: what its terms and counts follow from.</summary>
internal readonly record struct DoomedChunk(int Slot, string Name, string Heading, string Text);

/// <summary>The texts of the chunks.</summary>
internal static class ChunkTable
{
    private const string Select = """
        select c.id & 4294967295, f.file, c.number, c.text, c.heading, c.page, c.start, c.end, c.tokens, f.ordinal
        from chunks c join workspace_files f on f.id = c.file
        """;

    public static long IdOf(long workspace, int slot) => (workspace << 32) | (uint)slot;

    public static int TextBytes(string text) => Encoding.UTF8.GetByteCount(text);

    public static void Add(SqliteConnection connection, long id, long file, int number, string name, NewChunk chunk) => connection.Prepare("""
        insert into chunks(id, file, number, name, heading, page, start, end, tokens, text) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """).Bind(id).Bind(file).Bind(number).Bind(name).Bind(chunk.Heading).Bind(chunk.PageNumber).Bind(chunk.Start).Bind(chunk.End).Bind(chunk.Tokens)
        .Bind(chunk.Text).Run();

    public static List<StoredChunk> OfFile(SqliteConnection connection, string workspace, string file, int from, int most) => Read(connection.Prepare($"""
        {Select} where c.file = (select a.id from workspace_files a join workspaces w on w.number = a.ws where w.id = ? and a.file = ?) and c.number >= ?
        order by c.number limit ?
        """).Bind(workspace).Bind(file).Bind(from).Bind(most));

    public static List<StoredChunk> From(SqliteConnection connection, long workspace, int slot, int most) => Read(connection.Prepare($"""
        {Select} where c.id >= ? and c.id < ? order by c.id limit ?
        """).Bind(IdOf(workspace, slot)).Bind(IdOf(workspace + 1, 0)).Bind(most));

    /// <summary>The chunk of a slot, if it is still of the file with this ordinal.</summary>
    public static StoredChunk? At(SqliteConnection connection, long workspace, int slot, int ordinal) => Read(connection.Prepare($"""
        {Select} where c.id = ? and f.ordinal = ?
        """).Bind(IdOf(workspace, slot)).Bind(ordinal)).FirstOrDefault();

    public static List<StoredChunk> Numbered(SqliteConnection connection, string workspace, string file, IReadOnlyList<int> numbers)
    {
        var found = new List<StoredChunk>(numbers.Count);
        foreach (var number in numbers)
        {
            found.AddRange(Read(connection.Prepare($"""
                {Select} where c.file = (select a.id from workspace_files a join workspaces w on w.number = a.ws where w.id = ? and a.file = ?) and c.number = ?
                """).Bind(workspace).Bind(file).Bind(number)));
        }

        return found;
    }

    /// <summary>The slots of a workspace's chunks, rising.</summary>
    public static List<int> Slots(SqliteConnection connection, long workspace)
    {
        var found = new List<int>();
        var rows = connection.Prepare("select id & 4294967295 from chunks where id >= ? and id < ? order by id")
            .Bind(IdOf(workspace, 0)).Bind(IdOf(workspace + 1, 0));
        while (rows.Step()) found.Add(rows.Number(0));
        return found;
    }

    public static bool Has(SqliteConnection connection, long id)
    {
        var row = connection.Prepare("select 1 from chunks where id = ?").Bind(id);
        var found = row.Step();
        row.Reset();
        return found;
    }

    /// <summary>Deletes the chunks of a file and returns them, by slot.</summary>
    public static List<DoomedChunk> Take(SqliteConnection connection, long file)
    {
        var found = new List<DoomedChunk>();
        var rows = connection.Prepare("select id & 4294967295, name, heading, text from chunks where file = ? order by id").Bind(file);
        while (rows.Step()) found.Add(new(rows.Number(0), rows.Text(1), rows.Text(2), rows.Text(3)));
        connection.Prepare("delete from chunks where file = ?").Bind(file).Run();
        return found;
    }

    private static List<StoredChunk> Read(SqliteStatement rows)
    {
        var found = new List<StoredChunk>();
        while (rows.Step())
        {
            found.Add(new(rows.Number(0), rows.Text(1), rows.Number(2), rows.Text(3))
            {
                Heading = rows.Text(4), Page = rows.NumberOrNull(5), Start = rows.Number(6), End = rows.Number(7), Tokens = rows.Number(8),
            });
        }

        return found;
    }
}
