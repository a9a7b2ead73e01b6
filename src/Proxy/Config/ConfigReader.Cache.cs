namespace Proxy.Config;

internal static partial class ConfigReader
{
    private static readonly Dictionary<string, string> CacheHints = new()
    {
        ["enabled"] = "the section alone serves calls with x-cache: use; write exact = true for every call with temperature 0 or a seed",
        ["max_age"] = "write ttl",
        ["expire"] = "write ttl",
        ["max_size"] = "write size",
        ["memory"] = "write size",
    };

    private static CacheConfig? ReadCache(SectionReader file)
    {
        if (!file.Has("cache")) return null;
        var (section, defaults) = (file.Section("cache", CacheHints), new CacheConfig());
        return new()
        {
            Exact = section.Truth("exact", defaults.Exact),
            Ttl = section.Time("ttl", defaults.Ttl),
            Size = section.Size("size", defaults.Size),
            Shared = section.Truth("shared", defaults.Shared),
        };
    }
}
