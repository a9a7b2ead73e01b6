namespace Proxy.Store.Sqlite.Knowledge;

/// <summary>While a backup copies the vector files, no slot is used again and no vector is overwritten or deleted.</summary>
internal static class Holds
{
    /// <summary>A hold ends by itself after this time, in case its process ends before.</summary>
    public static readonly TimeSpan Longest = TimeSpan.FromHours(1);

    public static void Begin(SqliteConnection connection, string id, DateTimeOffset now)
    {
        connection.Prepare("delete from holds where until <= ?").Bind(now).Run();
        connection.Prepare("insert into holds(id, until) values (?, ?)").Bind(id).Bind(now + Longest).Run();
    }

    public static void End(SqliteConnection connection, string id) => connection.Prepare("delete from holds where id = ?").Bind(id).Run();

    /// <summary>One that has ended counts until the next begins or <see cref="Prune"/>: no more than slots that stay free.</summary>
    public static bool Any(SqliteConnection connection) => connection.Integer("select exists (select 1 from holds)") != 0;

    public static void Prune(SqliteConnection connection, DateTimeOffset now) => connection.Prepare("delete from holds where until <= ?").Bind(now).Run();
}
