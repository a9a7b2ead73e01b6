using Proxy.Knowledge;

namespace Proxy.Store.Sqlite.Knowledge;

/// <summary>The uploaded files and their content, which is kept in parts.</summary>
internal static class FileTable
{
    public const int PartBytes = 1 << 20;

    private const string Columns = "id, owner, name, purpose, bytes, sha256, created_at, expires_at";

    public static KnowledgeFile? Find(SqliteConnection connection, string id, long now) =>
        Read(connection.Prepare($"select {Columns} from files where id = ? and (expires_at is null or expires_at > ?)").Bind(id).Bind(now)).FirstOrDefault();

    public static List<KnowledgeFile> List(SqliteConnection connection, string? owner, string? purpose, Page page, long now)
    {
        const string Own = "(?1 is null or owner = ?1)"; // also of the row of an id, which may be another's
        var query = new PageQuery(page, "files", "created_at", "id");
        var rows = connection.Prepare($"""
            select {Columns} from files
            where {Own} and (?2 is null or purpose = ?2) and (expires_at is null or expires_at > ?3)
            {query.Where($"id = ?4 and {Own}", $"id = ?5 and {Own}")}
            order by {query.Order} limit ?6
            """).Bind(owner).Bind(purpose).Bind(now).Bind(page.After).Bind(page.Before).Bind(page.Most);
        return query.InOrder(Read(rows));
    }

    public static void AddPart(SqliteConnection connection, string file, int number, ReadOnlySpan<byte> content) =>
        connection.Prepare("insert into file_parts(file, number, content) values (?, ?, ?)").Bind(file).Bind(number).BindBytes(content).Run();

    /// <summary>Notes that a content is being stored, and that its sender was there just now.</summary>
    public static void TouchUpload(SqliteConnection connection, string file, long now) =>
        connection.Prepare("insert into uploads(file, touched_at) values (?, ?) on conflict(file) do update set touched_at = excluded.touched_at")
            .Bind(file).Bind(now).Run();

    public static bool HasUpload(SqliteConnection connection, string file)
    {
        var row = connection.Prepare("select 1 from uploads where file = ?").Bind(file);
        var found = row.Step();
        row.Reset();
        return found;
    }

    /// <summary>Makes a file visible whose content is stored.</summary>
    public static void Add(SqliteConnection connection, KnowledgeFile file)
    {
        connection.Prepare("delete from uploads where file = ?").Bind(file.Id).Run();
        connection.Prepare($"insert into files({Columns}) values (?, ?, ?, ?, ?, ?, ?, ?)").Bind(file.Id).Bind(file.Owner).Bind(file.Name).Bind(file.Purpose)
            .Bind(file.Bytes).Bind(file.Sha256).Bind(file.CreatedAt).Bind(file.ExpiresAt?.ToUnixTimeMilliseconds()).Run();
    }

    /// <summary>A part of a file that is there; null after the last.</summary>
    public static byte[]? Part(SqliteConnection connection, string file, int number)
    {
        var row = connection.Prepare("select content from file_parts where file = ? and number = ?").Bind(file).Bind(number);
        var part = row.Step() ? row.Bytes(0) : null;
        row.Reset();
        return part;
    }

    public static bool Delete(SqliteConnection connection, string id)
    {
        connection.Prepare("delete from file_parts where file = ?").Bind(id).Run();
        return connection.Prepare("delete from files where id = ?").Bind(id).Run() > 0;
    }

    public static void DeleteUpload(SqliteConnection connection, string file)
    {
        connection.Prepare("delete from file_parts where file = ?").Bind(file).Run();
        connection.Prepare("delete from uploads where file = ?").Bind(file).Run();
    }

    public static List<string> Expired(SqliteConnection connection, long now) =>
        Texts(connection.Prepare("select id from files where expires_at <= ?").Bind(now));

    public static List<string> IdsOf(SqliteConnection connection, string owner) =>
        Texts(connection.Prepare("select id from files where owner = ?").Bind(owner));

    /// <summary>Contents whose sender has not been there since the given time.</summary>
    public static List<string> Abandoned(SqliteConnection connection, long since) =>
        Texts(connection.Prepare("select file from uploads where touched_at < ?").Bind(since));

    private static List<KnowledgeFile> Read(SqliteStatement rows)
    {
        var found = new List<KnowledgeFile>();
        while (rows.Step())
        {
            found.Add(new()
            {
                Id = rows.Text(0), Owner = rows.Text(1), Name = rows.Text(2), Purpose = rows.Text(3), Bytes = rows.Integer(4), Sha256 = rows.Text(5),
                CreatedAt = rows.Time(6), ExpiresAt = rows.TimeOrNull(7),
            });
        }

        return found;
    }

    private static List<string> Texts(SqliteStatement rows)
    {
        var found = new List<string>();
        while (rows.Step()) found.Add(rows.Text(0));
        return found;
    }
}
