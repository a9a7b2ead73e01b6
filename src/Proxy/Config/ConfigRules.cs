using System.Net.Http.Headers;
using System.Text.RegularExpressions;

namespace Proxy.Config;

/// <summary>What must hold of a configuration as a whole. Plain functions over the records: no file, no clock, no machine.</summary>
internal static partial class ConfigRules
{
    /// <summary>Names appear in logs, metric labels and systemd units; these characters are safe in all of them.</summary>
    private const string NameAdvice = "a name has letters, digits, \"-\", \"_\" and \".\" (at most 64), and starts with a letter or digit";

    /// <summary>How an address that others can reach is made to pass.</summary>
    public const string WaysOut = "add one (`proxy keys new NAME` prints the [[auth.keys]] section), or serve anyone with allow_anonymous = true in [auth]";

    private static readonly string[] OwnHeaders = ["host", "content-length", "content-type", "transfer-encoding", "connection", "keep-alive", "upgrade", "te",
        "trailer", "expect", "accept-encoding", "via"];

    /// <summary>Every problem, keyed by the path of what is wrong; lines are for the reader to add.</summary>
    public static IEnumerable<ConfigProblem> Check(ProxyConfig config) =>
    [
        .. Listeners(config),
        .. Server(config.Server),
        .. config.Backends.SelectMany((backend, i) => Backend(backend, $"backends[{i}]")),
        .. Twins(config.Backends, backend => backend.Name, "backends", "name"),
        .. Keys(config.Auth),
        .. DefaultBackend(config),
        .. Unlearned(config),
        .. Aliases(config),
        .. Models(config.Inference),
    ];

    /// <summary>Null where the name will do; else what to write instead.</summary>
    public static string? NameProblem(string name) =>
        name.Length is > 0 and <= 64 && char.IsAsciiLetterOrDigit(name[0]) && name.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.')
            ? null
            : $"\"{name}\" will not do; {NameAdvice}";

    /// <summary>Null where a key may have the name; else what to write instead.</summary>
    public static string? KeyNameProblem(string name) =>
        name == "anonymous" ? "\"anonymous\" is what callers without a key are called; write another name" : NameProblem(name);

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
                yield return new(path, 0, $"\"{listen[i]}\" is there twice; keep one");
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
                yield return new(path, 0, $"\"{origin}\" is there twice; keep one");
        }

        for (var i = 0; i < server.PublicUrls.Count; i++)
        {
            var (text, path) = (server.PublicUrls[i], $"server.public_urls[{i}]");
            if (!PublicUrl.TryParse(text, out _, out var problem))
            {
                yield return new(path, 0, text.Contains('@', StringComparison.Ordinal) ? problem : $"\"{text}\" {problem}");
            }
            else if (server.PublicUrls.Take(i).Contains(text)) yield return new(path, 0, $"\"{text}\" is there twice; keep one");
        }
    }

    private static IEnumerable<ConfigProblem> Backend(BackendConfig backend, string path)
    {
        // An empty name or url has been noted by the reader, with its line.
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
            if (key.Length == 0) yield return new($"{path}.key", 0, "is empty; leave it out where the host wants none");
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
                yield return new($"{path}.headers.{name}", 0, $"\"{name}\" is set for every request by itself; leave it out");
            }
            else if (backend.Key is not null && name.Equals("authorization", StringComparison.OrdinalIgnoreCase))
            {
                yield return new($"{path}.headers.{name}", 0, "stands beside key, which is sent in the same header; keep one of the two");
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

        foreach (var (clock, time) in new[] { ("connect", backend.Connect), ("first_token", backend.FirstToken), (
            "idle", backend.Idle), ("total", backend.Total ?? TimeSpan.MaxValue) })
            if (time <= TimeSpan.Zero)
            {
                yield return new(
                    $"{path}.{clock}", 0, clock == "total" ? "leaves no time at all; write \"off\" for no limit" : "leaves no time at all; write a longer one");
            }

        if (backend.Options.NumCtx is not null && backend.Dialects is { } dialects && !dialects.Contains(DialectFamily.Ollama))
            yield return new($"{path}.options.num_ctx", 0, "is an option of Ollama hosts; leave it out, or add \"ollama\" to dialects");
    }

    private static IEnumerable<ConfigProblem> Keys(AuthConfig auth)
    {
        for (var i = 0; i < auth.Keys.Count; i++)
        {
            var (key, path) = (auth.Keys[i], $"auth.keys[{i}]");
            if (key.Name.Length > 0 && KeyNameProblem(key.Name) is { } problem) yield return new($"{path}.name", 0, problem);
            // Somebody may have pasted the key itself: it is not repeated.
            if (key.Sha256.Length > 0 && (key.Sha256.Length != 64 || !key.Sha256.All(char.IsAsciiHexDigitLower)))
                yield return new($"{path}.sha256", 0, "is not a SHA-256 digest, which has 64 hex digits; `proxy keys new NAME` prints a key and its digest");
            foreach (var twice in Patterns(key.Models, $"{path}.models")) yield return twice;
        }

        foreach (var problem in Twins(auth.Keys, key => key.Name, "auth.keys", "name")) yield return problem;
        foreach (var (key, i) in auth.Keys.Select((key, i) => (key, i)).Where(entry => entry.key.Sha256.Length == 64))
            if (auth.Keys.Take(i).FirstOrDefault(earlier => earlier.Sha256 == key.Sha256) is { } twin)
                yield return new($"auth.keys[{i}].sha256", 0, $"is the same key as \"{twin.Name}\"; who called could not be told; keep one, or make a new key");
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
                yield return new($"backends[{i}].learn", 0, "false leaves nothing that this backend serves; write its prefixes or models");
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
                yield return new(path, 0, $"\"{model}\" is an alias too, and aliases are looked up once; write the model that is meant in the end");
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

    private static IEnumerable<ConfigProblem> Patterns(IReadOnlyList<string> patterns, string path)
    {
        for (var i = 0; i < patterns.Count; i++)
            if (PatternProblem(patterns[i]) is { } problem) yield return new($"{path}[{i}]", 0, problem);
            else if (patterns.Take(i).Contains(patterns[i])) yield return new($"{path}[{i}]", 0, $"\"{patterns[i]}\" is there twice; keep one");
    }

    /// <summary>Any model name may be a pattern; only what no model can be called is refused.</summary>
    private static string? PatternProblem(string pattern) =>
        pattern.Length == 0 ? "is empty, and no model is; leave it out"
        : pattern.Any(char.IsControl) || pattern.Trim().Length != pattern.Length
        ? $"\"{pattern}\" has a space at an end or a control character, as no model's name has"
        : null;

    private static IEnumerable<ConfigProblem> Twins<T>(IReadOnlyList<T> all, Func<T, string> name, string path, string key)
    {
        for (var i = 0; i < all.Count; i++)
            if (name(all[i]) is { Length: > 0 } own
                && all.Take(i).Select(name).FirstOrDefault(earlier => own.Equals(earlier, StringComparison.OrdinalIgnoreCase)) is { } twin)
                yield return new($"{path}[{i}].{key}", 0,
                    twin == own ? $"\"{own}\" is used already; each needs its own" : $"\"{own}\" is \"{twin}\" in other letters; each needs a name of its own");
    }

    private static string? UrlProblem(string url)
    {
        if (url == BackendConfig.BuiltinEcho) return null;
        if (url.Trim() is var trimmed && trimmed != url) return $"\"{url}\" has a space at an end; write \"{trimmed}\"";
        if (IsUnixSocket(url))
        {
            return $"\"{url}\" is a unix socket, and hosts are reached over TCP alone; have the host listen at an address, such as \"http://127.0.0.1:8080\"";
        }

        if (url.StartsWith("builtin:", StringComparison.Ordinal)) return $"the only backend inside this program is \"{BackendConfig.BuiltinEcho}\"";
        if (!Uri.TryCreate(url, UriKind.Absolute, out var uri) || uri.Scheme is not ("http" or "https") || uri.Host.Length == 0)
            return !url.Contains("://", StringComparison.Ordinal) && Uri.TryCreate($"http://{url}", UriKind.Absolute, out var guess) && guess.Host.Length > 0
                ? $"\"{url}\" has no scheme; write \"http://{url}\""
                : $"\"{url}\" is not a URL of a host; write \"http://127.0.0.1:8000\", https:// for TLS, or \"{BackendConfig.BuiltinEcho}\"";
        // Not repeated: it holds a credential.
        if (uri.UserInfo.Length > 0) return "holds a credential before the \"@\"; write it as key or key_file, or as a header in headers";
        if (uri.Query.Length > 0 || uri.Fragment.Length > 0) return $"\"{url}\" has a query or a fragment; end it with the path";
        if (SurfacePath().Match(uri.AbsolutePath) is { Success: true } surface)
            return $"\"{url}\" ends in a path of the API, which is put behind it for each call; end it before: \"{uri.GetLeftPart(UriPartial.Authority)}{uri.AbsolutePath[..surface.Index]}\"";
        return null;
    }

    /// <summary>However people write one.</summary>
    private static bool IsUnixSocket(string url)
    {
        var (scheme, rest) = url.Split("://", 2) is [var before, var behind] ? (before, behind) : ("", url);
        return scheme.Contains("unix", StringComparison.OrdinalIgnoreCase) || rest.StartsWith("unix:", StringComparison.OrdinalIgnoreCase)
            || rest.StartsWith('/') || rest.EndsWith(".sock", StringComparison.OrdinalIgnoreCase);
    }

    /// <summary>What people copy from a curl line behind the base url: a path of OpenAI's or Anthropic's, with its <c>/v1</c>, or of Ollama's.</summary>
    [GeneratedRegex("(/v1)?/(chat/completions|completions|responses|embeddings|models|messages|rerank|score|moderations|(audio|images)/[a-z]+)/?$|/api(/(chat|generate|tags|ps|show|embed|embeddings|version))?/?$", RegexOptions.IgnoreCase)]
    private static partial Regex SurfacePath();

    /// <summary>The origin in the form of the Origin header, which is compared letter by letter; null for what is not an origin.</summary>
    private static string? OriginAsSent(string origin)
    {
        // A browser extension's host is its id, which Uri takes as it is.
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
        // NameValueHeaderValue refuses what is not a token (RFC 9110), which is what a field name is.
        return NameValueHeaderValue.TryParse(name, out var parsed) && parsed.Name == name && parsed.Value is null;
    }
}
