namespace Proxy.Config;

internal static partial class ConfigReader
{
    private static readonly Dictionary<string, string> StreamsHints = new()
    {
        ["ttl"] = "write keep for finished answers, or keys_ttl for those of an Idempotency-Key",
        ["retry"] = "write retry_window",
        ["size"] = "write memory",
        ["store"] = "write journal = \"memory\" or \"jetstream\"",
        ["shared"] = "write journal = \"jetstream\"",
    };

    private static StreamsConfig ReadStreams(SectionReader section)
    {
        var defaults = new StreamsConfig();
        return new()
        {
            RetryWindow = section.Time("retry_window", defaults.RetryWindow),
            Resume = section.Choice("resume", defaults.Resume, "asked", "all"),
            Linger = section.Time("linger", defaults.Linger),
            Keep = section.Time("keep", defaults.Keep),
            Memory = section.Size("memory", defaults.Memory),
            KeysTtl = section.Time("keys_ttl", defaults.KeysTtl),
            Journal = section.Choice("journal", defaults.Journal, "memory", "jetstream"),
        };
    }
}
