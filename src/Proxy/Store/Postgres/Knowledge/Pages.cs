using Npgsql;
using Proxy.Knowledge;
using static Proxy.Store.Postgres.Knowledge.PostgresCommands;

namespace Proxy.Store.Postgres.Knowledge;

/// <summary>Reads pages of lists.</summary>
internal static class Pages
{
    /// <param name="connection">An open connection.</param>
    /// <param name="select">A statement that ends in conditions, of the given parameters.</param>
    /// <param name="key">The columns of the order, oldest first.</param>
    /// <param name="keyOf">A statement that gives the same columns of the row whose id is the given parameter.</param>
    /// <param name="page">Which rows.</param>
    /// <param name="read">Reads a row.</param>
    /// <param name="cancellation">Ends the read.</param>
    /// <param name="parameters">Those of <paramref name="select"/>.</param>
    public static async Task<List<T>> ReadAsync<T>(
        NpgsqlConnection connection, string select, string key, Func<string, string> keyOf, Page page, Func<NpgsqlDataReader, T> read,
        CancellationToken cancellation, params NpgsqlParameter[] parameters)
    {
        var (after, before, most) = ($"${parameters.Length + 1}", $"${parameters.Length + 2}", $"${parameters.Length + 3}");
        var (later, earlier) = page.Descending ? ("<", ">") : (">", "<");
        // With an end, the rows that are nearest to it are read backwards from there.
        var isBackwards = page.Before is not null;
        var direction = page.Descending != isBackwards ? " desc" : "";
        var rows = await connection.RowsAsync(
            $"""
            {select} and ({after}::text is null or ({key}) {later} ({keyOf(after)})) and ({before}::text is null or ({key}) {earlier} ({keyOf(before)}))
            order by {key.Replace(",", direction + ",", StringComparison.Ordinal)}{direction} limit {most}
            """,
            read, cancellation, [.. parameters, Text(page.After), Text(page.Before), Of(page.Most)]).ConfigureAwait(false);
        if (isBackwards) rows.Reverse();
        return rows;
    }
}
