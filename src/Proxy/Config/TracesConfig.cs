namespace Proxy.Config;

/// <summary>The <c>[traces]</c> section: where spans of calls are sent, and of which calls.</summary>
internal sealed record TracesConfig
{
    private const string Path = "/v1/traces";

    /// <summary>Where OTLP is spoken over HTTP: <c>http://HOST:4318</c>. <c>/v1/traces</c> is added to its path, unless it ends so.</summary>
    public required string Otlp { get; init; }

    /// <summary>The share of calls that are traced, from 0 to 1. Calls that come with a <c>traceparent</c> are traced if that says so.</summary>
    public double Sample { get; init; } = 0.01;

    /// <summary>Sent with every request, for example a token.</summary>
    public IReadOnlyDictionary<string, string> Headers { get; init; } = new Dictionary<string, string>();

    /// <summary>Certificate authorities to trust for the receiver, in addition to the system's.</summary>
    public NamedFile? Ca { get; init; }

    /// <summary>False accepts every certificate.</summary>
    public bool TlsVerify { get; init; } = true;

    /// <summary>Where spans are posted.</summary>
    public static Uri Endpoint(string otlp)
    {
        var uri = new UriBuilder(otlp);
        var path = uri.Path.TrimEnd('/');
        if (!path.EndsWith(Path, StringComparison.Ordinal)) path += Path;
        uri.Path = path;
        return uri.Uri;
    }

    /// <summary>Everything but the share, as one text that is equal for equal settings.</summary>
    public string Receiver() => string.Join('\n',
        [Otlp, Ca?.Text ?? "", TlsVerify ? "" : "no check", .. Headers.OrderBy(static header => header.Key, StringComparer.Ordinal)
            .Select(static header => $"{header.Key}: {header.Value}")]);

    // Headers hold credentials.
    public override string ToString() => "[traces]";
}
