namespace Proxy.Config;

/// <summary>The <c>[store]</c> section: the database that remembers calls.</summary>
internal sealed record StoreConfig
{
    /// <summary><c>sqlite</c> (a file in the state directory) or <c>postgres</c>.</summary>
    public required string Kind { get; init; }

    /// <summary>SQLite's file, <c>proxy.db</c> in the <see cref="StateDirectory"/>; null with PostgreSQL. Not a setting.</summary>
    public string? File { get; init; }

    /// <summary>PostgreSQL's address, as a <c>postgres://</c> URI or a connection string.</summary>
    public string? Url { get; init; }

    /// <summary>The folder of the records that wait for PostgreSQL; null for SQLite, and where there is no state directory. Not a setting.</summary>
    public string? Spool { get; init; }

    /// <summary>The PostgreSQL schema that holds the tables.</summary>
    public string Schema { get; init; } = "proxy";

    /// <summary>Whether the texts of all calls are kept, requests and answers.</summary>
    public bool Content { get; init; }

    /// <summary>How long a Responses answer is kept that its client did not ask to delete.</summary>
    public TimeSpan ResponsesTtl { get; init; } = TimeSpan.FromDays(30);
}
