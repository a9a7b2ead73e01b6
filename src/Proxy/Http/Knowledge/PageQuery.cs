using System.Globalization;
using Proxy.Chat;
using Proxy.Knowledge;

namespace Proxy.Http.Knowledge;

/// <summary>The part of a list that a client asks for by <c>limit</c>, <c>order</c>, <c>after</c> and <c>before</c>.</summary>
/// <param name="Limit">The most rows of the answer.</param>
/// <param name="Page">One row more than the answer has, which shows whether there are more.</param>
internal readonly record struct PageQuery(int Limit, Page Page)
{
    /// <summary>Reads the query. Returns what is wrong with it, or null.</summary>
    /// <param name="query">The request's query.</param>
    /// <param name="usual">The limit if none is asked for.</param>
    /// <param name="most">The largest limit.</param>
    /// <param name="page">The result.</param>
    public static ProxyError? Read(IQueryCollection query, int usual, int most, out PageQuery page)
    {
        page = default;
        var limit = usual;
        if (query["limit"].ToString() is { Length: > 0 } said
            && (!int.TryParse(said, NumberStyles.None, CultureInfo.InvariantCulture, out limit) || limit < 1 || limit > most))
            return Wrong("limit", said, $"it must be an integer from 1 to {most}");
        var order = query["order"].ToString();
        if (order is not ("" or "asc" or "desc")) return Wrong("order", order, "it can be asc or desc");
        page = new(limit, new Page(limit + 1, order is not "asc", IdOf(query["after"].ToString()), IdOf(query["before"].ToString())));
        return null;

        static string? IdOf(string id) => id.Length > 0 ? id : null;
    }

    /// <summary>Reads <c>filter</c>, the state of a file.</summary>
    public static ProxyError? ReadStatus(IQueryCollection query, out FileStatus? status)
    {
        var said = query["filter"].ToString();
        status = said switch
        {
            "in_progress" => FileStatus.InProgress,
            "completed" => FileStatus.Completed,
            "failed" => FileStatus.Failed,
            "cancelled" => FileStatus.Cancelled,
            _ => null,
        };
        return said.Length == 0 || status is not null ? null : Wrong("filter", said, "it can be in_progress, completed, failed or cancelled");
    }

    /// <summary>The rows of the answer, of those that were read. A page that ends before an id has the surplus row at its beginning.</summary>
    public (IReadOnlyList<T> Rows, bool HasMore) Cut<T>(IReadOnlyList<T> read)
    {
        if (read.Count <= Limit) return (read, false);
        return (Page is { Before: not null, After: null } ? [.. read.Skip(read.Count - Limit)] : [.. read.Take(Limit)], true);
    }

    /// <summary>The same page of a list that is in memory and in the page's order.</summary>
    public IReadOnlyList<T> Of<T>(IEnumerable<T> all, Func<T, string> id)
    {
        var (after, before, most) = (Page.After, Page.Before, Page.Most);
        if (after is not null) all = all.SkipWhile(row => id(row) != after).Skip(1);
        if (before is not null) all = all.TakeWhile(row => id(row) != before);
        return before is not null && after is null ? [.. all.TakeLast(most)] : [.. all.Take(most)];
    }

    private static ProxyError Wrong(string name, string said, string hint) =>
        new(ProxyErrorKind.InvalidRequest, $"{name} is '{ModelName.Shown(said)}'; {hint}") { Param = name };
}
