using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;
using Proxy.Backends;
using Proxy.Chat;
using Proxy.Config;

namespace Proxy.Http;

/// <summary>The caller of a request, and what it may do.</summary>
internal sealed class Caller(string name, ApiKeyConfig? key, KeyUse? use)
{
    public const string AnonymousName = "anonymous";

    public static readonly Caller Anonymous = new(AnonymousName, null, null);

    public string Name => name;

    /// <summary>Whether the caller may use every model, including models that are added later.</summary>
    public bool MayUseAll => key is null || key.Models.Count == 0;

    /// <summary>Whether the caller's key is an operator's.</summary>
    public bool IsAdmin => key is { Admin: true };

    /// <summary>Names and globs of the workspaces that the key may use; empty: its own, and those made on the command line.</summary>
    public IReadOnlyList<string> Workspaces => key?.Workspaces ?? [];

    /// <summary>Whether the caller sent no key.</summary>
    public bool IsAnonymous => key is null;

    public bool MayUse(string model) =>
        model.StartsWith(ModelName.PipelinePrefix, StringComparison.Ordinal) ? MayRun(model[ModelName.PipelinePrefix.Length..]) : HasModel(model);

    private bool HasModel(string model)
    {
        if (key is null || key.Models.Count == 0) return true;
        foreach (var allowed in key.Models)
        {
            if (ModelName.Same(allowed, model) || (allowed.AsSpan().ContainsAny('*', '?')
                && (BackendTable.Matches(allowed, model) || BackendTable.Matches(allowed, ModelName.Bare(model))))) return true;
        }

        return false;
    }

    /// <summary>
    /// Whether the caller may use the pipeline. A key that is limited to some models may use those only that it names, as a pipeline or a model.
    /// </summary>
    public bool MayRun(string pipeline)
    {
        if (key?.Pipelines is not { } named) return HasModel(ModelName.PipelinePrefix + pipeline);
        foreach (var allowed in named)
        {
            if (allowed == pipeline || (allowed.AsSpan().ContainsAny('*', '?') && BackendTable.Matches(allowed, pipeline))) return true;
        }

        return false;
    }

    /// <summary>
    /// Counts a call against the key's limits, or returns why it exceeds them. Each call that was counted must be followed by <see cref="Leave"/>.
    /// </summary>
    public ProxyError? Enter() => use?.Enter(key!);

    public void Leave() => use?.Leave();
}

/// <summary>The number of calls that a key has running, and what is left of its requests per minute. Kept across reloads. Thread-safe.</summary>
internal sealed class KeyUse(TimeProvider time)
{
    private readonly Lock gate = new();
    private int running;
    private long? saved;
    private long filled;

    public ProxyError? Enter(ApiKeyConfig key)
    {
        lock (gate)
        {
            if (key.Concurrency is { } most && running >= most)
            {
                return new(ProxyErrorKind.RateLimited, $"key '{key.Name}' has {running} calls running, which is its limit")
                {
                    RetryAfter = TimeSpan.FromSeconds(1)
                };
            }

            if (key.RequestsPerMinute is { } rate)
            {
                // A token bucket that holds a minute of time and fills evenly; each call takes its share of the minute. It allows a burst, but not a lasting
                // flood.
                var now = time.GetTimestamp();
                saved = saved is { } before ? Math.Min(TimeSpan.TicksPerMinute, before + time.GetElapsedTime(filled, now).Ticks) : TimeSpan.TicksPerMinute;
                filled = now;
                var cost = TimeSpan.TicksPerMinute / rate;
                if (saved < cost)
                {
                    return new(ProxyErrorKind.RateLimited, $"key '{key.Name}' has used its {rate} requests per minute")
                    {
                        RetryAfter = TimeSpan.FromSeconds(Math.Ceiling(TimeSpan.FromTicks(cost - saved.Value).TotalSeconds))
                    };
                }

                saved -= cost;
            }

            running++;
            return null;
        }
    }

    public void Leave()
    {
        lock (gate) running--;
    }
}

/// <summary>
/// Identifies the caller by its API key. Only the SHA-256 of each key is known, and it is compared in constant time. A call without a key is anonymous.
/// Anonymous calls are allowed on loopback if no keys are configured, or everywhere if the configuration says so. If a web page makes the call, the page must
/// be this proxy's own or come from one of <c>[server] origins</c>, because the user may not know that the page calls.
/// </summary>
internal sealed class ApiKeyGate(ProxyConfig config, TimeProvider time)
{
    private readonly ConcurrentDictionary<string, KeyUse> uses = new();
    private Table table = new(config);

    public void Apply(ProxyConfig next) => Volatile.Write(ref table, new Table(next));

    /// <summary>Identifies the caller, or returns why it is refused.</summary>
    public ProxyError? Admit(HttpContext context, out Caller caller)
    {
        caller = Caller.Anonymous;
        var current = Volatile.Read(ref table);
        var headers = context.Request.Headers;
        var connection = ConnectionFeature.Of(context);
        if (connection?.Known is { } known)
        {
            caller = known;
            return null;
        }

        var header = headers.Authorization.ToString();
        if (connection?.Last is { } last && ReferenceEquals(last.Header, header) && ReferenceEquals(last.Keys, current))
        {
            caller = last.Caller;
            return null;
        }

        if (Presented(headers) is { } presented && current.Keys.Length > 0)
        {
            if (current.Find(presented) is not { } key) return new(ProxyErrorKind.Unauthenticated, "the API key is not valid");
            caller = new Caller(key.Name, key, uses.GetOrAdd(key.Name, static (_, clock) => new KeyUse(clock), time));
            if (connection is not null && IsBearer(header)) connection.Last = new(header, current, caller);
            return null;
        }

        if (!MayBeAnonymous(context, current))
            return new(ProxyErrorKind.Unauthenticated, "an API key is needed: send it as 'Authorization: Bearer …' or 'x-api-key: …'");
        return RefusePage(context, current);
    }

    /// <summary>The caller of this name, with what its key may do by the present configuration.</summary>
    public Caller Named(string name)
    {
        if (name == Caller.AnonymousName) return Caller.Anonymous;
        var key = Array.Find(Volatile.Read(ref table).Keys, key => key.Name == name) ?? new ApiKeyConfig { Name = name, Sha256 = "" };
        return new Caller(name, key, uses.GetOrAdd(name, static (_, clock) => new KeyUse(clock), time));
    }

    /// <summary>For endpoints that only callers with a valid key or on this machine may use. Returns null, or why the caller is refused.</summary>
    public ProxyError? Trust(HttpContext context)
    {
        var current = Volatile.Read(ref table);
        if (Presented(context.Request.Headers) is { } presented && current.Find(presented) is not null) return null;
        if (ConnectionFeature.Of(context) is not { Local: true } || IsForwarded(context.Request.Headers))
            return new(ProxyErrorKind.Unauthenticated, "from another machine, this needs an API key");
        return RefusePage(context, current);
    }

    /// <summary>
    /// Whether an admitted caller may see and change what belongs to others: with an admin key or, if no key is configured, from this machine.
    /// </summary>
    public bool IsAdmin(HttpContext context, Caller caller) => caller.IsAdmin || (caller.IsAnonymous && Volatile.Read(ref table).Keys.Length == 0
        && ConnectionFeature.Of(context) is { Local: true } && !IsForwarded(context.Request.Headers));

    /// <summary>
    /// For the operator's pages: admits an admin key or, as long as no key is configured, a browser on this very machine that shows a page of this proxy.
    /// Returns null, or why the caller is refused.
    /// </summary>
    public ProxyError? AdmitOperator(HttpContext context)
    {
        var current = Volatile.Read(ref table);
        if (current.Keys.Length == 0) return RefuseStranger(context);
        if (Presented(context.Request.Headers) is not { Length: > 0 } presented)
            return new(ProxyErrorKind.Unauthenticated, "the console needs the key of an operator: one that has admin = true in its section");
        return current.Find(presented) switch
        {
            null => new(ProxyErrorKind.Unauthenticated, "the API key is not valid"),
            { Admin: true } => null,
            var key => new(ProxyErrorKind.Forbidden, $"the key '{key.Name}' is not an operator's: its section needs admin = true"),
        };
    }

    /// <summary>
    /// Whether the operator's pages may be shown at all. They hold no data, so with keys configured everyone may load them and is asked for a key there.
    /// </summary>
    public ProxyError? AdmitPage(HttpContext context) => Volatile.Read(ref table).Keys.Length == 0 ? RefuseStranger(context) : null;

    /// <summary>
    /// Without keys, only this machine is trusted: the connection must be local, no other server may have forwarded the request, the Host must be a name of
    /// loopback (a stranger's name can be made to resolve to it), and if a page makes the request, it must be a page of this proxy.
    /// </summary>
    private static ProxyError? RefuseStranger(HttpContext context)
    {
        var headers = context.Request.Headers;
        var host = headers.Host.ToString();
        var origin = headers.Origin.ToString();
        const string Advice = "make a key with `proxy keys new NAME --admin`, add it to the configuration and run `proxy reload`";
        if (ConnectionFeature.Of(context) is not { Local: true })
            return new(ProxyErrorKind.Forbidden, $"no key is configured, so the console is shown on this machine only; to see it from another one, {Advice}");
        if (WasForwarded(headers))
        {
            return new(ProxyErrorKind.Forbidden,
                $"no key is configured, and another server forwarded this request, so it may come from another machine; {Advice}");
        }

        if (!OwnNames.IsLoopback(host))
        {
            return new(ProxyErrorKind.Forbidden, $"no key is configured, so the console is shown at http://localhost and http://127.0.0.1 only, "
                + $"not at '{Shown(host)}'; to see it there, {Advice}");
        }

        var isForeign = (origin.Length > 0 && !IsOwnOrigin(context, host, origin))
            || (headers.TryGetValue("sec-fetch-site", out var site) && site.ToString() is "cross-site" or "same-site");
        return isForeign ? new(ProxyErrorKind.Forbidden, "a page of another origin may not use the console") : null;
    }

    /// <summary>The origin to name in the answer's CORS headers; null if the request has none, or if it is not configured.</summary>
    public string? AllowedOrigin(HttpContext context)
    {
        var origin = context.Request.Headers.Origin.ToString();
        return origin.Length > 0 && Volatile.Read(ref table).Allows(origin) ? origin : null;
    }

    /// <summary>
    /// Refuses the calls that a web page could make without its user's knowledge: from a foreign origin, or by a foreign host name that was made to resolve to
    /// this machine (DNS rebinding).
    /// </summary>
    private static ProxyError? RefusePage(HttpContext context, Table current)
    {
        var headers = context.Request.Headers;
        var host = headers.Host.ToString();
        var origin = headers.Origin.ToString();
        if (!current.Names.Has(host) && !current.Allows($"{context.Request.Scheme}://{host}"))
        {
            return new(ProxyErrorKind.Forbidden, $"the Host header '{Shown(host)}' is not one of this machine's names; "
                + $"if clients are to reach this proxy by it, its operator can add \"{context.Request.Scheme}://{Shown(host)}\" to [server] public_urls");
        }

        if (origin.Length > 0 && !IsOwnOrigin(context, host, origin) && !current.Names.HasOrigin(origin) && !current.Allows(origin))
            return new(ProxyErrorKind.Forbidden, $"pages of the origin '{Shown(origin)}' may not use this proxy; its operator can list it in [server] origins");
        return null;
    }

    private static bool MayBeAnonymous(HttpContext context, Table current)
        => current.AllowAnonymous || (current.Keys.Length == 0 && ConnectionFeature.Of(context) is { Local: true });

    /// <summary>Whether the page was served under the same host name as this request. That name has been checked as the Host header.</summary>
    private static bool IsOwnOrigin(HttpContext context, string host, string origin)
        => string.Equals(origin, $"{context.Request.Scheme}://{host}", StringComparison.OrdinalIgnoreCase);

    // Limits how much of a client's header a message quotes.
    private static string Shown(string text) => text.Length <= 100 ? text : text[..100] + "…";

    /// <summary>Whether a reverse proxy forwarded the request. It then comes from another machine, even over a local connection.</summary>
    private static bool IsForwarded(IHeaderDictionary headers) => headers.ContainsKey("x-forwarded-for") || headers.ContainsKey("forwarded");

    /// <summary>Whether any of the headers is there that a server adds to a request which it passes on.</summary>
    private static bool WasForwarded(IHeaderDictionary headers)
    {
        if (headers.ContainsKey("forwarded") || headers.ContainsKey("via") || headers.ContainsKey("x-real-ip")) return true;
        foreach (var (name, _) in headers)
        {
            if (name.StartsWith("x-forwarded-", StringComparison.OrdinalIgnoreCase)) return true;
        }

        return false;
    }

    private static string? Presented(IHeaderDictionary headers)
    {
        var authorization = headers.Authorization.ToString();
        if (IsBearer(authorization)) return authorization[7..].Trim();
        if (headers.TryGetValue("x-api-key", out var key) || headers.TryGetValue("api-key", out key)) return key.ToString();
        return null;
    }

    private static bool IsBearer(string authorization) => authorization.StartsWith("Bearer ", StringComparison.OrdinalIgnoreCase);

    private sealed class Table(ProxyConfig config)
    {
        private readonly byte[][] digests = [.. config.Auth.Keys.Select(k => Convert.FromHexString(k.Sha256))];

        public ApiKeyConfig[] Keys { get; } = [.. config.Auth.Keys];
        public bool AllowAnonymous => config.Auth.AllowAnonymous;
        public OwnNames Names { get; } = new(config.Server);

        public bool Allows(string origin)
        {
            foreach (var allowed in config.Server.Origins)
            {
                if (allowed == "*" || string.Equals(allowed, origin, StringComparison.OrdinalIgnoreCase)) return true;
            }

            return false;
        }

        /// <summary>Compares with every key, even after a match, so that the time it takes reveals nothing.</summary>
        public ApiKeyConfig? Find(string presented)
        {
            Span<byte> digest = stackalloc byte[32];
            var length = Encoding.UTF8.GetByteCount(presented);
            var bytes = length <= 512 ? stackalloc byte[length] : new byte[length];
            Encoding.UTF8.GetBytes(presented, bytes);
            SHA256.HashData(bytes, digest);
            ApiKeyConfig? found = null;
            for (var i = 0; i < digests.Length; i++)
            {
                if (CryptographicOperations.FixedTimeEquals(digests[i], digest)) found = Keys[i];
            }

            return found;
        }
    }
}
