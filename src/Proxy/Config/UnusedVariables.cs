namespace Proxy.Config;

/// <summary>
/// Variables of the environment that name a service which the configuration does not use. They were probably set in the belief that they have an effect, so
/// each is a line of the log at start and a warning of <c>proxy check</c>.
/// </summary>
internal static class UnusedVariables
{
    /// <summary>What to do about a Qdrant, for the variable and for a section of the file.</summary>
    public const string Qdrant = "Qdrant is not supported; PostgreSQL with pgvector takes its place ([store] kind = \"postgres\")";

    public static IEnumerable<(string Name, string Reason)> Find(ProxyConfig config, Func<string, string?> environment)
    {
        if (environment("DATABASE_URL") is { Length: > 0 } url && config.Store?.Url != url)
        {
            yield return ("DATABASE_URL", config.Store switch
            {
                null => "its scheme is not postgres://",
                { Kind: "sqlite" } => "[store] has kind = \"sqlite\"",
                _ => "[store] has a url of its own",
            });
        }

        if (environment("OTEL_EXPORTER_OTLP_ENDPOINT") is { Length: > 0 } otlp && config.Traces?.Otlp != otlp)
            yield return ("OTEL_EXPORTER_OTLP_ENDPOINT", "[traces] has an otlp of its own");
        if (environment("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") is { Length: > 0 })
            yield return ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "set OTEL_EXPORTER_OTLP_ENDPOINT, or otlp in [traces]");
        if (config.Traces is not null && environment("OTEL_EXPORTER_OTLP_PROTOCOL") is { Length: > 0 } protocol and not "http/protobuf")
            yield return ("OTEL_EXPORTER_OTLP_PROTOCOL", $"traces are sent as http/protobuf, not as {protocol}");
        if (environment("QDRANT_URL") is { Length: > 0 }) yield return ("QDRANT_URL", Qdrant);
    }
}
