namespace Proxy.Config;

internal static partial class ConfigRules
{
    /// <summary>Longer waits only delay what is published: a message is sent earlier as soon as it is large.</summary>
    private static readonly TimeSpan LongestBatch = TimeSpan.FromSeconds(10);

    private static IEnumerable<ConfigProblem> Nats(NatsConfig? nats)
    {
        if (nats is null) yield break;

        // The reader has already noted a missing url. No message repeats one: it may hold a password.
        if (nats.Url.Length > 0 && nats.Url.Split(',').Any(static url => !IsNatsUrl(url.Trim())))
            yield return new("nats.url", 0, "is not a list of NATS servers; write \"nats://HOST:4222\", or tls:// for TLS, and a comma between two");
        if (nats.Prefix.Length > 0 && !IsSubject(nats.Prefix))
            yield return new(
                "nats.prefix", 0, $"\"{nats.Prefix}\" cannot begin a subject; write letters, digits, \"-\" and \"_\", with single dots between words");
        if (nats.Batch > LongestBatch) yield return new("nats.batch", 0, "is too long; write \"10s\" or less");
        if (!nats.TlsVerify && nats.Ca is not null) yield return new("nats.tls_verify", 0, "false ignores ca; leave one of the two out");

        foreach (var problem in NatsLogin(nats)) yield return problem;
    }

    private static IEnumerable<ConfigProblem> Journal(ProxyConfig config)
    {
        if (config is { Streams.Journal: "jetstream", Nats: null })
            yield return new("streams.journal", 0, "\"jetstream\" needs a NATS server; add [nats] with its url, or set NATS_URL");
    }

    private static IEnumerable<ConfigProblem> NatsLogin(NatsConfig nats)
    {
        var ways = new[]
        {
            ("user", nats.User is not null || nats.Password is not null), ("token", nats.Token is not null), ("nkey", nats.Nkey is not null),
            ("creds", nats.Creds is not null),
        }.Where(static way => way.Item2).Select(static way => way.Item1).ToList();
        if (ways.Count > 1) yield return new($"nats.{ways[1]}", 0, $"is set together with {ways[0]}, but only one way to log in can be used; keep one of the two");
        if (nats.User is null != nats.Password is null)
        {
            yield return nats.User is null
                ? new("nats.password", 0, "is set without user; write user = \"…\", or token for a password alone")
                : new("nats.user", 0, "is set without password; write password = \"…\" or password_file");
        }

        if (nats.Nkey is { } seed && !(seed.StartsWith("SU", StringComparison.Ordinal) && seed.Length == 58))
            yield return new("nats.nkey", 0, "is not the seed of a user, which has 58 characters and begins with SU");
    }

    private static bool IsNatsUrl(string url) =>
        Uri.TryCreate(url.Contains("://", StringComparison.Ordinal) ? url : $"nats://{url}", UriKind.Absolute, out var uri)
        && uri.Scheme is "nats" or "tls" && uri.Host.Length > 0 && uri.AbsolutePath is "/" or "" && uri.Query.Length == 0;

    private static bool IsSubject(string text) => text.Length <= 200
        && text.Split('.').All(static word => word.Length > 0 && word.All(static c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_'));
}
