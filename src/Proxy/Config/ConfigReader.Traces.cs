namespace Proxy.Config;

internal static partial class ConfigReader
{
    private const string OtlpVariable = "OTEL_EXPORTER_OTLP_ENDPOINT";

    private const string OtlpHeadersVariable = "OTEL_EXPORTER_OTLP_HEADERS";

    private static readonly Dictionary<string, string> TracesHints = new()
    {
        ["url"] = "write otlp = \"http://127.0.0.1:4318\"",
        ["endpoint"] = "write otlp = \"http://127.0.0.1:4318\"",
        ["ratio"] = "write sample = 0.01",
        ["sampling"] = "write sample = 0.01",
        ["protocol"] = "traces are always sent as http/protobuf; leave it out",
        ["verify"] = "write tls_verify",
    };

    private static TracesConfig ReadTraces(SectionReader section, ConfigSources sources)
    {
        var defaults = new TracesConfig { Otlp = "" };
        var otlp = section.Text("otlp") ?? OtlpOf(sources);
        if (otlp is null && !section.Has("otlp"))
            section.Refuse("otlp", $"is missing; write otlp = \"http://127.0.0.1:4318\", or set {OtlpVariable}");
        var headers = section.TextTable("headers");
        return new()
        {
            Otlp = otlp ?? "",
            Sample = section.Share("sample", defaults.Sample),
            Headers = section.Has("headers") ? headers : OtlpHeadersOf(sources),
            Ca = ReadCa(section, sources),
            TlsVerify = section.Truth("tls_verify", defaults.TlsVerify),
        };
    }

    /// <summary>The receiver that the environment names; null: none.</summary>
    private static TracesConfig? TracesOf(ConfigSources sources) =>
        OtlpOf(sources) is { } otlp ? new() { Otlp = otlp, Headers = OtlpHeadersOf(sources) } : null;

    private static string? OtlpOf(ConfigSources sources) => sources.Environment(OtlpVariable) is { Length: > 0 } otlp ? otlp : null;

    /// <summary>
    /// Headers as OpenTelemetry has them: <c>name=value,name=value</c>, with percent-encoded values. What has no "=" is refused later as a name.
    /// </summary>
    private static Dictionary<string, string> OtlpHeadersOf(ConfigSources sources)
    {
        var headers = new Dictionary<string, string>(StringComparer.Ordinal);
        var pairs = (sources.Environment(OtlpHeadersVariable) ?? "").Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
        foreach (var pair in pairs)
        {
            var at = pair.IndexOf('=', StringComparison.Ordinal);
            headers[at < 0 ? $"{pair}=" : pair[..at].Trim()] = at < 0 ? "" : Uri.UnescapeDataString(pair[(at + 1)..].Trim());
        }

        return headers;
    }
}
