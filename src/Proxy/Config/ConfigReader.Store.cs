namespace Proxy.Config;

internal static partial class ConfigReader
{
    private static readonly Dictionary<string, string> StoreHints = new()
    {
        ["type"] = "write kind",
        ["path"] = "the file is proxy.db in the state directory ($STATE_DIRECTORY)",
        ["dsn"] = "write url",
        ["database_url"] = "write url",
    };

    private static StoreConfig ReadStore(SectionReader section, ConfigSources sources)
    {
        var defaults = new StoreConfig { Kind = "sqlite" };
        var url = section.Text("url");
        var variable = DatabaseOf(sources);
        var kind = section.Choice("kind", url is null && variable is null ? defaults.Kind : "postgres", "sqlite", "postgres");
        if (kind is "sqlite" && url is not null) section.Refuse("url", "SQLite needs no url; write kind = \"postgres\", or remove it");
        url ??= variable;
        if (kind is "postgres" && url is null)
            section.Refuse("url", "is missing; write url = \"postgres://USER:PASSWORD@HOST:5432/DATABASE\", or set DATABASE_URL");
        var file = kind is "sqlite" && StateDirectory.Find(sources.Environment) is { } state ? Path.Combine(state, "proxy.db") : null;
        if (kind is "sqlite" && file is null)
            section.Refuse("kind", "SQLite needs a folder for its file: set STATE_DIRECTORY to one, by its whole path");
        return new()
        {
            Kind = kind,
            File = file,
            Url = kind is "postgres" ? url : null,
            Spool = kind is "postgres" ? Spool(sources) : null,
            Schema = section.Text("schema") ?? defaults.Schema,
            Content = section.Truth("content", defaults.Content),
            ResponsesTtl = section.Kept("responses_ttl", defaults.ResponsesTtl),
        };
    }

    /// <summary>The store that the environment names; null: none.</summary>
    private static StoreConfig? StoreOf(ConfigSources sources) =>
        DatabaseOf(sources) is { } url ? new() { Kind = "postgres", Url = url, Spool = Spool(sources) } : null;

    /// <summary>Null if there is none, or if it is another program's database.</summary>
    private static string? DatabaseOf(ConfigSources sources) =>
        sources.Environment("DATABASE_URL") is { Length: > 0 } url && (!url.Contains("://", StringComparison.Ordinal)
            || url.StartsWith("postgres", StringComparison.Ordinal)) ? url : null;

    private static string? Spool(ConfigSources sources) => StateDirectory.Find(sources.Environment) is { } state ? Path.Combine(state, "spool") : null;
}
