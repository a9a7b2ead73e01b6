using System.Net.Http.Headers;
using System.Text.RegularExpressions;

namespace Proxy.Config;

/// <summary>The rules that a configuration must satisfy as a whole. Plain functions of the records, without file, clock or machine.</summary>
internal static partial class ConfigRules
{
    /// <summary>Names appear in logs, metric labels and systemd units; these characters are safe in all of them.</summary>
    private const string NameAdvice = "a name has letters, digits, \"-\", \"_\" and \".\" (at most 64), and starts with a letter or digit";

    /// <summary>What to do about an address that other machines can reach.</summary>
    public const string WaysOut = "add one (`proxy keys new NAME` prints the [[auth.keys]] section), or serve everyone with allow_anonymous = true in [auth]";

    private static readonly string[] OwnHeaders = ["host", "content-length", "content-type", "transfer-encoding", "connection", "keep-alive", "upgrade", "te",
        "trailer", "expect", "accept-encoding", "via"];

    /// <summary>Every problem, with the path of its key; the reader adds the lines.</summary>
    public static IEnumerable<ConfigProblem> Check(ProxyConfig config) =>
    [
        .. Listeners(config),
        .. Server(config.Server),
        .. config.Backends.SelectMany((backend, i) => Backend(backend, $"backends[{i}]")),
        .. Twins(config.Backends, backend => backend.Name, "backends", "name"),
        .. Keys(config.Auth),
        .. Knowledge(config.Knowledge),
        .. DefaultBackend(config),
        .. Unlearned(config),
        .. Aliases(config),
        .. Models(config.Inference),
        .. Nats(config.Nats),
        .. Traces(config.Traces),
        .. Journal(config),
        .. Cache(config),
        .. Log(config.Log),
        .. Store(config.Store),
        .. Pipelines(config),
    ];

    /// <summary>Null if the name is valid; else what to write instead.</summary>
    public static string? NameProblem(string name) =>
        name.Length is > 0 and <= 64 && char.IsAsciiLetterOrDigit(name[0]) && name.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.')
            ? null
            : $"\"{name}\" is not a valid name; {NameAdvice}";

    /// <summary>Null if the name is valid for a key; else what to write instead.</summary>
    public static string? KeyNameProblem(string name) => name switch
    {
        "anonymous" => "\"anonymous\" is what callers without a key are called; write another name",
        "local" => "\"local\" owns the documents of the command line, which every key may use; write another name",
        _ => NameProblem(name),
    };

    private static IEnumerable<ConfigProblem> Log(LogConfig log)
    {
        if (log.BodiesSize < 1 << 20) yield return new("log.bodies_size", 0, $"{ByteSize.Text(log.BodiesSize)} is too small for bodies; write \"1MiB\" or more");
    }

    private static IEnumerable<ConfigProblem> Listeners(ProxyConfig config)
    {
        var listen = config.Server.Listen;
        if (listen.Count == 0) yield return new("server.listen", 0, "is empty; write listen = [\"127.0.0.1:11435\"]");

        var seen = new HashSet<string>(StringComparer.Ordinal);
        for (var i = 0; i < listen.Count; i++)
        {
            var path = $"server.listen[{i}]";
            if (!ListenAddress.TryParse(listen[i], out var address, out var problem))
                yield return new(path, 0, $"\"{listen[i]}\": {problem}");
            else if (address.Ip?.Port != 0 && !seen.Add(address.ToString()))
                yield return new(path, 0, $"\"{listen[i]}\" is listed twice; keep one");
            else if (!address.IsLocal && config.Auth is { Keys.Count: 0, AllowAnonymous: false })
                yield return new(path, 0, $"\"{listen[i]}\" can be reached from other machines and there is no key: {WaysOut}");
        }
    }

    private static IEnumerable<ConfigProblem> Server(ServerConfig server)
    {
        if (server.BodyLimit is < 1024 or > 1L << 30)
            yield return new(
                "server.body_limit", 0, $"{ByteSize.Text(server.BodyLimit)} is out of range; a body is held in memory: write \"1KiB\" to \"1GiB\"");
        if (server.KeepaliveAfter < TimeSpan.FromMilliseconds(100))
            yield return new("server.keepalive_after", 0, "is too short; write \"100ms\" or more");

        var seen = new HashSet<string>(StringComparer.Ordinal);
        for (var i = 0; i < server.Origins.Count; i++)
        {
            var (origin, path) = (server.Origins[i], $"server.origins[{i}]");
            if (OriginAsSent(origin) is not { } sent)
                yield return new(
                    path, 0, $"\"{origin}\" is not an origin; write a scheme and a host, such as \"https://chat.example\" or \"http://localhost:3000\"");
            else if (sent != origin)
                yield return new(path, 0, $"\"{origin}\" is not how a browser sends it; write \"{sent}\"");
            else if (!seen.Add(origin))
                yield return new(path, 0, $"\"{origin}\" is listed twice; keep one");
        }

        for (var i = 0; i < server.PublicUrls.Count; i++)
        {
            var (text, path) = (server.PublicUrls[i], $"server.public_urls[{i}]");
            if (!PublicUrl.TryParse(text, out _, out var problem))
            {
                yield return new(path, 0, text.Contains('@', StringComparison.Ordinal) ? problem : $"\"{text}\" {problem}");
            }
            else if (server.PublicUrls.Take(i).Contains(text)) yield return new(path, 0, $"\"{text}\" is listed twice; keep one");
        }
    }

    private static IEnumerable<ConfigProblem> Backend(BackendConfig backend, string path)
    {
        // The reader has already noted an empty name or url, with its line.
        if (backend.Name.Length > 0 && NameProblem(backend.Name) is { } nameProblem)
            yield return new($"{path}.name", 0, nameProblem);
        if (backend.Url.Length > 0 && UrlProblem(backend.Url) is { } urlProblem)
            yield return new($"{path}.url", 0, urlProblem);

        foreach (var problem in Patterns(backend.Prefixes, $"{path}.prefixes")) yield return problem;
        foreach (var problem in Patterns(backend.Models, $"{path}.models")) yield return problem;
        for (var i = 0; i < backend.Models.Count; i++)
            if (backend.Models[i].IndexOfAny(['*', '?']) >= 0)
                yield return new($"{path}.models[{i}]", 0, $"\"{backend.Models[i]}\": models are exact names; write globs in prefixes");

        if (backend.Key is { } key)
        {
            if (key.Length == 0) yield return new($"{path}.key", 0, "is empty; leave it out if the host needs none");
            else if (key.Any(c => c is <= ' ' or > '~'))
            {
                yield return new($"{path}.key", 0, "holds a space, a line break or a character that a header cannot carry");
            }
        }

        foreach (var (name, value) in backend.Headers)
        {
            if (!IsHeaderName(name)) yield return new($"{path}.headers.{name}", 0, $"\"{name}\" is not a header's name");
            else if (OwnHeaders.Contains(name, StringComparer.OrdinalIgnoreCase))
            {
                yield return new($"{path}.headers.{name}", 0, $"\"{name}\" is set by the proxy for every request; leave it out");
            }
            else if (backend.Key is not null && name.Equals("authorization", StringComparison.OrdinalIgnoreCase))
            {
                yield return new($"{path}.headers.{name}", 0, "is set together with key, which is sent in the same header; keep one of the two");
            }

            if (value.Any(char.IsControl)) yield return new($"{path}.headers.{name}", 0, "holds a line break or another character that a header cannot carry");
        }

        var isHttps = backend.Url.StartsWith("https://", StringComparison.OrdinalIgnoreCase);
        if (backend.Ca is not null && !isHttps && backend.Url.Length > 0)
        {
            yield return new($"{path}.ca", 0, "is for hosts reached by https://; leave it out, or change url");
        }

        if (!backend.TlsVerify && !isHttps && backend.Url.Length > 0)
        {
            yield return new($"{path}.tls_verify", 0, "is for hosts reached by https://; leave it out, or change url");
        }

        if (!backend.TlsVerify && backend.Ca is not null) yield return new($"{path}.tls_verify", 0, "false ignores ca; leave one of the two out");

        foreach (var (clock, time) in new[]
        {
            ("connect", backend.Connect), ("first_token", backend.FirstToken), ("idle", backend.Idle), ("total", backend.Total ?? TimeSpan.MaxValue),
        })
            if (time <= TimeSpan.Zero)
                yield return new($"{path}.{clock}", 0, clock == "total" ? "leaves no time; write \"off\" for no limit" : "leaves no time; write a longer one");

        if (backend.Options.NumCtx is not null && backend.Dialects is { } dialects && !dialects.Contains(DialectFamily.Ollama))
            yield return new($"{path}.options.num_ctx", 0, "is an option of Ollama hosts; leave it out, or add \"ollama\" to dialects");
    }

    private static IEnumerable<ConfigProblem> Keys(AuthConfig auth)
    {
        for (var i = 0; i < auth.Keys.Count; i++)
        {
            var (key, path) = (auth.Keys[i], $"auth.keys[{i}]");
            if (key.Name.Length > 0 && KeyNameProblem(key.Name) is { } problem) yield return new($"{path}.name", 0, problem);
            // The value may be the key itself, pasted by mistake, so the message does not show it.
            if (key.Sha256.Length > 0 && (key.Sha256.Length != 64 || !key.Sha256.All(char.IsAsciiHexDigitLower)))
                yield return new($"{path}.sha256", 0, "is not a SHA-256 digest, which has 64 hex digits; `proxy keys new NAME` prints a key and its digest");
            foreach (var twice in Patterns(key.Models, $"{path}.models")) yield return twice;
            foreach (var twice in Patterns(key.Workspaces, $"{path}.workspaces", "workspace")) yield return twice;
            foreach (var twice in Patterns(key.Pipelines ?? [], $"{path}.pipelines", "pipeline")) yield return twice;
        }

        foreach (var problem in Twins(auth.Keys, key => key.Name, "auth.keys", "name")) yield return problem;
        foreach (var (key, i) in auth.Keys.Select((key, i) => (key, i)).Where(entry => entry.key.Sha256.Length == 64))
            if (auth.Keys.Take(i).FirstOrDefault(earlier => earlier.Sha256 == key.Sha256) is { } twin)
                yield return new(
                    $"auth.keys[{i}].sha256", 0, $"is the same key as \"{twin.Name}\", so their calls could not be told apart; keep one, or make a new key");
    }

    private static IEnumerable<ConfigProblem> DefaultBackend(ProxyConfig config)
    {
        if (config.DefaultBackend is not { } name || config.Backends.Any(backend => backend.Name == name || backend.Name.Length == 0)) yield break;

        var names = config.Backends.Select(backend => backend.Name).ToList();
        yield return new("default_backend", 0, $"there is no backend \"{name}\"; write {SectionReader.NoneOf(name, names)}");
    }

    private static IEnumerable<ConfigProblem> Unlearned(ProxyConfig config)
    {
        for (var i = 0; i < config.Backends.Count; i++)
        {
            var backend = config.Backends[i];
            if (!backend.Learn && backend is { Prefixes.Count: 0, Models.Count: 0 } && backend.Name != config.DefaultBackend)
                yield return new($"backends[{i}].learn", 0, "with false this backend would serve no model; write its prefixes or models");
        }
    }

    private static IEnumerable<ConfigProblem> Aliases(ProxyConfig config)
    {
        foreach (var (alias, model) in config.Aliases)
        {
            var path = $"aliases.{alias}";
            if (PatternProblem(alias) is { } problem) yield return new(path, 0, problem);
            else if (alias.IndexOfAny(['*', '?']) >= 0) yield return new(path, 0, "an alias is one exact name; globs are for prefixes of a backend");
            if (model.Length == 0) yield return new(path, 0, $"stands for nothing; write \"{alias}\" = \"the model's name\"");
            else if (PatternProblem(model) is { } wrong) yield return new(path, 0, wrong);
            else if (model == alias) yield return new(path, 0, "stands for itself; leave it out");
            else if (config.Aliases.ContainsKey(model))
            {
                yield return new(path, 0, $"\"{model}\" is an alias too, and aliases are looked up once; write the model itself");
            }
        }
    }

    private static IEnumerable<ConfigProblem> Models(InferenceConfig inference)
    {
        for (var i = 0; i < inference.Models.Count; i++)
            if (inference.Models[i].Name is { Length: > 0 } name && PatternProblem(name) is { } problem)
            {
                yield return new($"inference.models[{i}].name", 0, problem);
            }

        foreach (var problem in Twins(inference.Models, static model => model.Name, "inference.models", "name")) yield return problem;
    }

    private static IEnumerable<ConfigProblem> Cache(ProxyConfig config)
    {
        if (config.Cache is not { } cache) yield break;
        if (cache.Ttl <= TimeSpan.Zero) yield return new("cache.ttl", 0, "leaves no time; write a longer one");
        if (cache.Size < 1 << 20) yield return new("cache.size", 0, $"{ByteSize.Text(cache.Size)} is too small for answers; write \"1MiB\" or more");
        if (!cache.Shared && config.Auth.Keys.Count == 0)
            yield return new("cache.shared", 0, "without keys no caller has a cache of its own; write shared = true, or add a key with `proxy keys new NAME`");
    }

    private static IEnumerable<ConfigProblem> Store(StoreConfig? store)
    {
        if (store is null) yield break;
        if (store.Url is { } url && !PostgresUrl.TryParse(url, out _, out var problem)) yield return new("store.url", 0, problem);
        if (!SchemaName().IsMatch(store.Schema))
            yield return new("store.schema", 0, $"\"{store.Schema}\" is not a schema's name; write letters, digits and \"_\" (at most 63)");
    }

    /// <summary>Names that need no quotes in SQL written by hand, apart from capital letters. PostgreSQL keeps those that begin with pg_ for itself.</summary>
    [GeneratedRegex("^(?!pg_)[A-Za-z_][A-Za-z0-9_]{0,62}$")]
    private static partial Regex SchemaName();

    private static IEnumerable<ConfigProblem> Patterns(IReadOnlyList<string> patterns, string path, string kind = "model")
    {
        for (var i = 0; i < patterns.Count; i++)
            if (PatternProblem(patterns[i], kind) is { } problem) yield return new($"{path}[{i}]", 0, problem);
            else if (patterns.Take(i).Contains(patterns[i])) yield return new($"{path}[{i}]", 0, $"\"{patterns[i]}\" is listed twice; keep one");
    }

    /// <summary>Every model name may be a pattern; a pattern that no model can have as its name is refused.</summary>
    private static string? PatternProblem(string pattern, string kind = "model") =>
        pattern.Length == 0 ? $"is empty, and no {kind}'s name is; leave it out"
        : pattern.Any(char.IsControl) || pattern.Trim().Length != pattern.Length
        ? $"\"{pattern}\" begins or ends with a space or contains a control character, which no {kind}'s name does"
        : null;

    private static IEnumerable<ConfigProblem> Twins<T>(IReadOnlyList<T> all, Func<T, string> name, string path, string key)
    {
        for (var i = 0; i < all.Count; i++)
            if (name(all[i]) is { Length: > 0 } own
                && all.Take(i).Select(name).FirstOrDefault(earlier => own.Equals(earlier, StringComparison.OrdinalIgnoreCase)) is { } twin)
                yield return new($"{path}[{i}].{key}", 0,
                    twin == own
                        ? $"\"{own}\" is used already; each needs its own"
                        : $"\"{own}\" differs from \"{twin}\" only in upper and lower case; each needs a name of its own");
    }

    private static string? UrlProblem(string url)
    {
        if (url == BackendConfig.BuiltinEcho) return null;
        if (url.Trim() is var trimmed && trimmed != url) return $"\"{url}\" begins or ends with a space; write \"{trimmed}\"";
        if (IsUnixSocket(url))
        {
            return $"\"{url}\" is a unix socket, but hosts are reached over TCP only; let the host listen at an address, such as \"http://127.0.0.1:8080\"";
        }

        if (url.StartsWith("builtin:", StringComparison.Ordinal)) return $"the only built-in backend is \"{BackendConfig.BuiltinEcho}\"";
        if (!Uri.TryCreate(url, UriKind.Absolute, out var uri) || uri.Scheme is not ("http" or "https") || uri.Host.Length == 0)
            return !url.Contains("://", StringComparison.Ordinal) && Uri.TryCreate($"http://{url}", UriKind.Absolute, out var guess) && guess.Host.Length > 0
                ? $"\"{url}\" has no scheme; write \"http://{url}\""
                : $"\"{url}\" is not a URL of a host; write \"http://127.0.0.1:8000\", https:// for TLS, or \"{BackendConfig.BuiltinEcho}\"";
        // The message does not repeat the url, because it contains a credential.
        if (uri.UserInfo.Length > 0) return "holds a credential before the \"@\"; write it as key or key_file, or as a header in headers";
        if (uri.Query.Length > 0 || uri.Fragment.Length > 0) return $"\"{url}\" has a query or a fragment; end it with the path";
        if (SurfacePath().Match(uri.AbsolutePath) is { Success: true } surface)
            return $"\"{url}\" ends in a path of the API, which the proxy appends itself; shorten it to "
                + $"\"{uri.GetLeftPart(UriPartial.Authority)}{uri.AbsolutePath[..surface.Index]}\"";
        return null;
    }

    /// <summary>Recognizes all common ways of writing one.</summary>
    private static bool IsUnixSocket(string url)
    {
        var (scheme, rest) = url.Split("://", 2) is [var before, var behind] ? (before, behind) : ("", url);
        return scheme.Contains("unix", StringComparison.OrdinalIgnoreCase) || rest.StartsWith("unix:", StringComparison.OrdinalIgnoreCase)
            || rest.StartsWith('/') || rest.EndsWith(".sock", StringComparison.OrdinalIgnoreCase);
    }

    /// <summary>
    /// A path of OpenAI's or Anthropic's API, with or without its <c>/v1</c>, or of Ollama's, which users copy from a curl line into the base url.
    /// </summary>
    [GeneratedRegex("(/v1)?/(chat/completions|completions|responses|embeddings|models|messages|rerank|score|moderations|(audio|images)/[a-z]+)/?$"
        + "|/api(/(chat|generate|tags|ps|show|embed|embeddings|version))?/?$", RegexOptions.IgnoreCase)]
    private static partial Regex SurfacePath();

    /// <summary>The origin as a browser sends it in the Origin header, which is compared exactly; null if the text is not an origin.</summary>
    private static string? OriginAsSent(string origin)
    {
        // A browser extension's host is its id, which Uri leaves unchanged.
        if (!Uri.TryCreate(origin, UriKind.Absolute, out var uri) || !origin.Contains("://", StringComparison.Ordinal)) return null;
        if (uri.Host.Length == 0 || uri.UserInfo.Length > 0 || uri.Query.Length > 0 || uri.Fragment.Length > 0 || uri.AbsolutePath.Trim('/').Length > 0
            || uri.Host.Contains('*', StringComparison.Ordinal))
        {
            return null;
        }

        return uri.IsDefaultPort || uri.Port < 0 ? $"{uri.Scheme}://{uri.IdnHost}" : $"{uri.Scheme}://{uri.IdnHost}:{uri.Port}";
    }

    private static bool IsHeaderName(string name)
    {
        // NameValueHeaderValue accepts only a token (RFC 9110), which a field name is.
        return NameValueHeaderValue.TryParse(name, out var parsed) && parsed.Name == name && parsed.Value is null;
    }
}
