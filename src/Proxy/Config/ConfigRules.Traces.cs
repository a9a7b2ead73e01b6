namespace Proxy.Config;

internal static partial class ConfigRules
{
    private static IEnumerable<ConfigProblem> Traces(TracesConfig? traces)
    {
        if (traces is null) yield break;

        // The reader has already noted a missing otlp.
        if (traces.Otlp.Length > 0 && OtlpProblem(traces.Otlp) is { } problem) yield return new("traces.otlp", 0, problem);
        if (traces.Sample is not (>= 0 and <= 1))
            yield return new("traces.sample", 0, "is out of range; write the share of calls from 0 to 1, such as 0.01 for one call of a hundred");
        foreach (var (name, value) in traces.Headers)
        {
            if (!IsHeaderName(name)) yield return new($"traces.headers.{name}", 0, $"\"{name}\" is not a header's name");
            else if (OwnHeaders.Contains(name, StringComparer.OrdinalIgnoreCase))
            {
                yield return new($"traces.headers.{name}", 0, $"\"{name}\" is set by the proxy for every request; leave it out");
            }

            if (value.Any(char.IsControl)) yield return new($"traces.headers.{name}", 0, "holds a line break or another character that a header cannot carry");
        }

        if (!traces.TlsVerify && traces.Ca is not null) yield return new("traces.tls_verify", 0, "false ignores ca; leave one of the two out");
        if (traces.Ca is not null && traces.Otlp.Length > 0 && !traces.Otlp.StartsWith("https://", StringComparison.OrdinalIgnoreCase))
            yield return new("traces.ca", 0, "is for a receiver reached by https://; leave it out, or change otlp");
    }

    private static string? OtlpProblem(string otlp)
    {
        if (!Uri.TryCreate(otlp, UriKind.Absolute, out var uri) || uri.Scheme is not ("http" or "https") || uri.Host.Length == 0)
            return "is not the URL of a receiver; write \"http://127.0.0.1:4318\", or https:// for TLS";
        // The message does not repeat the url, because it contains a credential.
        if (uri.UserInfo.Length > 0) return "holds a credential before the \"@\"; write it as a header in headers";
        return uri.Query.Length > 0 || uri.Fragment.Length > 0 ? "has a query or a fragment; end it with the path" : null;
    }
}
