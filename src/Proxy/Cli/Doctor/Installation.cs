using Proxy.Config;

namespace Proxy.Cli.Doctor;

/// <summary>What <c>proxy doctor</c> looks at: the configuration as the running proxy reads it, or as the service would.</summary>
/// <param name="File">The configuration file; null: there is none, and the environment is used.</param>
/// <param name="Config">A draft if there are problems.</param>
/// <param name="Problems">The mistakes of the configuration.</param>
/// <param name="Environment">The environment of the running proxy, where it may be read; else this command's.</param>
internal sealed record Installation(
    string? File, ProxyConfig Config, IReadOnlyList<ConfigProblem> Problems, Func<string, string?> Environment, RunningProxy Running)
{
    private const string PackagedFile = "/etc/proxy/config.toml", PackagedState = "/var/lib/proxy", PackagedCache = "/var/cache/proxy";

    /// <summary>Secrets that are shorter would also match ordinary words.</summary>
    private const int ShortestSecret = 4;

    public static async Task<Installation> FindAsync(Surroundings around, string? named, CancellationToken cancellation)
    {
        var running = await RunningProxy.FindAsync(around.Environment, around.Processes, cancellation).ConfigureAwait(false);
        var environment = running.Environment() ?? around.Environment;
        var file = named ?? running.ConfigFile() ?? ConfigFile.Find(null, environment);
        if (file == PackagedFile && environment("STATE_DIRECTORY") is null && Directory.Exists(PackagedState)) environment = AsService(environment);
        var config = ConfigFile.LoadDraft(file, (around with { Environment = environment }).Sources, out var problems);
        return new(file, config, problems, environment, running);
    }

    /// <summary>The folder of what the proxy keeps; null: there is none.</summary>
    public string? StateFolder => StateDirectory.Find(Environment);

    /// <summary>The text without any secret of the configuration.</summary>
    public string Strike(string text) => Secrets(Config).Aggregate(text, static (text, secret) => text.Replace(secret, "***", StringComparison.Ordinal));

    /// <summary>A shell does not have the folders that systemd gives to the service.</summary>
    private static Func<string, string?> AsService(Func<string, string?> environment) =>
        name => name switch { "STATE_DIRECTORY" => PackagedState, "CACHE_DIRECTORY" => PackagedCache, _ => environment(name) };

    private static IEnumerable<string> Secrets(ProxyConfig config)
    {
        var found = new List<string?>();
        foreach (var backend in config.Backends)
        {
            found.Add(backend.Key);
            found.AddRange(backend.Headers.Values.SelectMany(static value => value.Split(' ')));
        }

        if (config.Nats is { } nats)
        {
            found.AddRange([nats.Password, nats.Token, nats.Nkey, .. nats.Creds?.Text.Split('\n', StringSplitOptions.TrimEntries) ?? []]);
            found.AddRange(nats.Url.Split(',').SelectMany(Password));
        }

        if (config.Store?.Url is { } url)
        {
            found.AddRange(Password(url));
            if (PostgresUrl.TryParse(url, out var settings, out _))
                found.AddRange(settings.GetValueOrDefault("Password"), settings.GetValueOrDefault("SSL Password"));
            // A connection string: Host=…;Password=…
            found.AddRange(from part in url.Split(';')
                           where part.Contains("password", StringComparison.OrdinalIgnoreCase) && part.Contains('=', StringComparison.Ordinal)
                           select part[(part.IndexOf('=', StringComparison.Ordinal) + 1)..].Trim());
        }

        return found.OfType<string>().Where(static secret => secret.Length >= ShortestSecret).Distinct().OrderByDescending(static secret => secret.Length);
    }

    /// <summary>The password in a url, as it is written there and as it is meant.</summary>
    private static IEnumerable<string> Password(string url)
    {
        var (start, end) = (url.IndexOf("://", StringComparison.Ordinal), url.LastIndexOf('@'));
        if (start < 0 || end < start) yield break;
        var user = url[(start + 3)..end];
        var written = user[(user.IndexOf(':', StringComparison.Ordinal) + 1)..];
        yield return written;
        yield return Uri.UnescapeDataString(written);
    }
}
