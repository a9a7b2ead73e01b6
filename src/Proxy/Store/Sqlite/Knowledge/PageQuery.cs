using Proxy.Knowledge;

namespace Proxy.Store.Sqlite.Knowledge;

/// <summary>
/// The conditions and the order of a page's rows, which are ordered by time and id. With <see cref="Page.Before"/> they are read backwards from there, and
/// turned round afterwards. An id that does not exist gives an empty page.
/// </summary>
internal readonly struct PageQuery(Page page, string table, string time, string id)
{
    private readonly bool rising = page.Descending == (page.Before is not null);

    public string Order => rising ? $"{time}, {id}" : $"{time} desc, {id} desc";

    /// <param name="after">Finds the row of <see cref="Page.After"/>.</param>
    /// <param name="before">Finds the row of <see cref="Page.Before"/>.</param>
    public string Where(string after, string before)
    {
        var (later, earlier) = page.Descending ? ("<", ">") : (">", "<");
        var where = "";
        if (page.After is not null) where += $" and ({time}, {id}) {later} (select {time}, {id} from {table} where {after})";
        if (page.Before is not null) where += $" and ({time}, {id}) {earlier} (select {time}, {id} from {table} where {before})";
        return where;
    }

    public List<T> InOrder<T>(List<T> rows)
    {
        if (page.Before is not null) rows.Reverse();
        return rows;
    }
}
