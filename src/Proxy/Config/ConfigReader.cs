using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Proxy.Config;

/// <summary>Reads the file's text into the records, once; the rest of the program uses only the records.</summary>
internal static partial class ConfigReader
{
    private static readonly Dictionary<string, string> FileHints = new() { ["qdrant"] = UnusedVariables.Qdrant };

    private static readonly Dictionary<string, string> BackendHints = new()
    {
        ["api_key"] = "write key",
        ["base_url"] = "write url",
        ["host"] = "write url = \"http://HOST:PORT\"",
        ["dialect"] = "write dialects = [\"openai\"]",
        ["timeout"] = "the time limits are connect, first_token, idle and total",
        ["verify"] = "write tls_verify",
        ["num_ctx"] = "write options = { num_ctx = … }",
    };

    private static readonly Dictionary<string, string> ServerHints = new()
    {
        ["host"] = "write listen = [\"HOST:PORT\"]",
        ["port"] = "write listen = [\"127.0.0.1:PORT\"]",
        ["address"] = "write listen = [\"HOST:PORT\"]",
        ["bind"] = "write listen = [\"HOST:PORT\"]",
        ["cors"] = "write origins = [\"https://…\"]",
        ["public_url"] = "write public_urls = [\"https://…\"]",
        ["base_url"] = "write public_urls = [\"https://…\"]",
        ["hosts"] = "write public_urls = [\"https://…\"]",
        ["cert"] = "it belongs in [server.tls]",
    };

    private static readonly Dictionary<string, string> LogHints = new()
    {
        ["file"] = "the log goes to standard error; bodies = \"/path\" writes the bodies of chats to a file",
        ["path"] = "the log goes to standard error; bodies = \"/path\" writes the bodies of chats to a file",
        ["body"] = "write bodies = \"/path\"",
        ["prompts"] = "write bodies = \"/path\"",
    };

    private static readonly Dictionary<string, string> MetricsHints = new()
    {
        ["enabled"] = "GET /metrics needs no setting; write hosts = true to show the hosts' own figures there",
        ["path"] = "the path is /metrics",
        ["backends"] = "write hosts",
        ["host"] = "write hosts",
    };

    private static readonly Dictionary<string, string> KeyHints = new()
    {
        ["key"] = "the file holds only the key's digest; `proxy keys new NAME` prints what to paste",
        ["rpm"] = "write requests_per_minute",
        ["vector_stores"] = "write workspaces = [\"NAME\"]",
    };

    /// <summary>The configuration that the text describes, or all its problems.</summary>
    public static ConfigResult Read(string toml, ConfigSources sources)
    {
        var draft = ReadDraft(toml, sources, out var problems);
        return new(problems.Count == 0 ? draft : null, problems);
    }

    /// <summary>
    /// The same, but returns a configuration even if there are problems; defaults replace the wrong values. For health checks of a proxy whose file was damaged
    /// after it started.
    /// </summary>
    public static ProxyConfig ReadDraft(string toml, ConfigSources sources, out IReadOnlyList<ConfigProblem> problems)
    {
        var findings = new Findings();
        var file = new SectionReader(ReadSyntax(toml, findings), "", "", findings, sources) { Hints = FileHints };

        var backends = file.Sections("backends", BackendHints).Select(section => ReadBackend(section, sources)).ToList();
        var defaultBackend = file.Text("default_backend");
        var config = new ProxyConfig
        {
            Server = ReadServer(file.Section("server", ServerHints), sources),
            Backends = backends.Count > 0 ? backends : [BackendConfig.Echo],
            // If the backends could not be read at all, a default_backend that names none of them is not a second problem.
            DefaultBackend = backends.Count == 0 && file.Has("backends") ? null : defaultBackend,
            Aliases = file.TextTable("aliases"),
            Auth = ReadAuth(file.Section("auth")),
            Inference = ReadInference(file.Section("inference"), sources),
            Streams = ReadStreams(file.Section("streams", StreamsHints)),
            Store = file.Has("store") ? ReadStore(file.Section("store", StoreHints), sources) : StoreOf(sources),
            Nats = file.Has("nats") ? ReadNats(file.Section("nats", NatsHints), sources) : NatsOf(sources),
            Traces = file.Has("traces") ? ReadTraces(file.Section("traces", TracesHints), sources) : TracesOf(sources),
            Cache = ReadCache(file),
            Knowledge = ReadKnowledge(file, sources),
            Pipelines = [.. file.Sections("pipelines", PipelineHints).Select(ReadPipeline)],
            Console = ReadConsole(file.Section("console", ConsoleHints)),
            Metrics = new() { Hosts = file.Section("metrics", MetricsHints).Truth("hosts", false) },
            Log = ReadLog(file.Section("log", LogHints), sources),
        };

        findings.RefuseUnknownKeys();
        foreach (var problem in ConfigRules.Check(config).Concat(OwnListener.Check(config, sources)))
            findings.Add(sources.Listen is not null && IsListen(problem) ? problem with { Key = "--listen" }
                : problem.Key is StoreUrl && config.Store?.Url == DatabaseOf(sources) ? problem with { Key = "DATABASE_URL" } : problem);
        problems = findings.InReadingOrder();
        return config;
    }

    /// <summary>The configuration of a process without a file: the defaults, changed by the environment variables that containers set.</summary>
    public static ProxyConfig ReadEnvironment(ConfigSources sources, out IReadOnlyList<ConfigProblem> problems)
    {
        var config = new ProxyConfig();
        if (sources.Listen is not null)
            config = config with { Server = config.Server with { Listen = sources.Listen } };
        else if (Set("PROXY_LISTEN") is { } listen)
            config = config with
            {
                Server = config.Server with { Listen = listen.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries) },
            };

        if (Set("LLM_BASE_URL") is { } url)
            config = config with { Backends = [new() { Name = "llm", Url = url, Key = Set("LLM_API_KEY") }], DefaultBackend = "llm" };
        if (Set("PROXY_API_KEY") is { } key)
            config = config with { Auth = config.Auth with { Keys = [new() { Name = "env", Sha256 = ApiKeyConfig.Digest(key) }] } };
        if (Set("PROXY_ALLOW_ANONYMOUS") == "true")
            config = config with { Auth = config.Auth with { AllowAnonymous = true } };
        config = config with
        {
            Store = StoreOf(sources), Nats = NatsOf(sources), Traces = TracesOf(sources), Knowledge = new() { Folder = KnowledgeFolder(sources) },
        };

        problems =
        [
            .. ConfigRules.Check(config).Concat(OwnListener.Check(config, sources)).Select(problem => problem with
            {
                Key = Variable(problem), Message = problem.Message.Replace(ConfigRules.WaysOut, WaysOut, StringComparison.Ordinal),
            }),
        ];
        return config;

        string? Set(string name) => sources.Environment(name) is { Length: > 0 } value ? value : null;

        string Variable(ConfigProblem problem) =>
            IsListen(problem) ? sources.Listen is null ? "PROXY_LISTEN" : "--listen"
            : problem.Key.StartsWith("nats.", StringComparison.Ordinal) ? NatsVariable
            : problem.Key.StartsWith("traces.headers", StringComparison.Ordinal) ? OtlpHeadersVariable
            : problem.Key.StartsWith("traces.", StringComparison.Ordinal) ? OtlpVariable
            : problem.Key.EndsWith(".key", StringComparison.Ordinal) ? "LLM_API_KEY"
            : problem.Key is StoreUrl ? "DATABASE_URL"
            : "LLM_BASE_URL";
    }

    private const string WaysOut = "set PROXY_API_KEY to one, or serve everyone with PROXY_ALLOW_ANONYMOUS=true";

    private const string StoreUrl = "store.url";

    private static bool IsListen(ConfigProblem problem) => problem.Key.StartsWith("server.listen", StringComparison.Ordinal);

    private static ServerConfig ReadServer(SectionReader section, ConfigSources sources)
    {
        var defaults = new ServerConfig();
        var listen = section.Texts("listen", defaults.Listen, ListenAddress.OfPort);
        return new()
        {
            Listen = sources.Listen ?? listen,
            Tls = ReadTls(section, sources),
            BodyLimit = section.Size("body_limit", defaults.BodyLimit),
            Queue = section.Whole("queue", least: 0) ?? defaults.Queue,
            Drain = section.Time("drain", defaults.Drain),
            HandoffDrain = section.Time("handoff_drain", defaults.HandoffDrain),
            KeepaliveAfter = section.Time("keepalive_after", defaults.KeepaliveAfter),
            PrefixHygiene = section.Truth("prefix_hygiene", defaults.PrefixHygiene),
            FetchImages = section.Truth("fetch_images", defaults.FetchImages),
            Origins = section.Texts("origins", defaults.Origins),
            PublicUrls = section.Texts("public_urls", defaults.PublicUrls),
            Transport = section.Choice("transport", defaults.Transport, "sockets", "epoll"),
        };
    }

    private static TlsConfig? ReadTls(SectionReader server, ConfigSources sources)
    {
        var section = server.Section("tls");
        var isThere = server.Has("tls");
        var cert = isThere ? section.Required("cert", "\"/path/to/chain.pem\"") : section.Text("cert");
        var key = isThere ? section.Required("key", "\"/path/to/key.pem\"") : section.Text("key");
        if (cert is not { Length: > 0 } || key is not { Length: > 0 }) return null;

        (cert, key) = (Path.GetFullPath(cert, sources.Folder), Path.GetFullPath(key, sources.Folder));
        var (chain, secret) = (ReadFile(section, "cert", cert, sources), ReadFile(section, "key", key, sources));
        if (chain is not null && secret is not null)
            try
            {
                X509Certificate2.CreateFromPem(chain, secret).Dispose();
                var others = new X509Certificate2Collection();
                others.ImportFromPem(chain);
                foreach (var other in others) other.Dispose();
            }
            catch (Exception e) when (e is CryptographicException or ArgumentException)
            {
                section.Refuse("cert", $"cert and key are not a PEM certificate and its unencrypted PEM key: {e.Message}");
            }

        return new() { Cert = new(cert, chain ?? ""), Key = new(key, secret ?? "") };
    }

    private static BackendConfig ReadBackend(SectionReader section, ConfigSources sources)
    {
        var defaults = BackendConfig.Echo;
        return new()
        {
            Name = section.Required("name", "\"gpu\""),
            Url = section.Required("url", "\"http://127.0.0.1:8000\""),
            Dialects = ReadDialects(section),
            Prefixes = section.Texts("prefixes", []),
            Models = section.Texts("models", []),
            Learn = section.Truth("learn", defaults.Learn),
            Slots = section.Whole("slots", least: 1),
            Weight = section.Whole("weight", least: 1, most: 1000) ?? defaults.Weight,
            Key = ReadKey(section, sources),
            Headers = section.TextTable("headers"),
            Ca = ReadCa(section, sources),
            TlsVerify = section.Truth("tls_verify", defaults.TlsVerify),
            StreamUsage = section.Truth("stream_usage", defaults.StreamUsage),
            Connect = section.Time("connect", defaults.Connect),
            FirstToken = section.Time("first_token", defaults.FirstToken),
            Idle = section.Time("idle", defaults.Idle),
            Total = section.TimeOrOff("total"),
            Options = new() { NumCtx = section.Section("options").Whole("num_ctx", least: 1) },
        };
    }

    private static List<DialectFamily>? ReadDialects(SectionReader section)
    {
        if (section.Texts("dialects", []) is var names && !section.Has("dialects")) return null;
        if (names.Count == 0) section.Refuse("dialects", "is empty; leave it out to have the host asked");

        var families = new List<DialectFamily>();
        foreach (var name in names)
            if (DialectNames.Parse(name) is not { } family)
            {
                section.Refuse("dialects", $"\"{name}\" is not known; write {SectionReader.NoneOf(name, [.. DialectNames.All])}");
            }
            else if (families.Contains(family)) section.Refuse("dialects", $"\"{name}\" is listed twice");
            else families.Add(family);
        return families.Count > 0 ? families : null;
    }

    /// <summary>
    /// The credential from <c>key</c> (or the setting of another name), or from the file or systemd credential that <c>key_file</c> names. No message shows it.
    /// </summary>
    private static string? ReadKey(SectionReader section, ConfigSources sources, string name = "key")
    {
        var key = section.Text(name);
        if (section.Text($"{name}_file") is not { } file) return key;
        if (section.Has(name))
        {
            section.Refuse($"{name}_file", $"is set together with {name}; keep one of the two");
            return key;
        }

        return ReadFile(section, $"{name}_file", SecretPath(file, sources), sources)?.Trim();
    }

    /// <summary>The path of a file with a secret. If the service has systemd credentials, a bare name is the name of one.</summary>
    private static string SecretPath(string file, ConfigSources sources)
    {
        var folder = !file.Contains('/', StringComparison.Ordinal) && sources.Environment("CREDENTIALS_DIRECTORY") is { Length: > 0 } credentials
            ? credentials : sources.Folder;
        return Path.GetFullPath(file, folder);
    }

    private static NamedFile? ReadCa(SectionReader section, ConfigSources sources)
    {
        if (section.Text("ca") is not { } ca) return null;

        ca = Path.GetFullPath(ca, sources.Folder);
        var pem = ReadFile(section, "ca", ca, sources);
        if (pem is not null)
            try
            {
                var authorities = new X509Certificate2Collection();
                authorities.ImportFromPem(pem);
                if (authorities.Count == 0) section.Refuse("ca", $"{ca} holds no PEM certificate");
                foreach (var authority in authorities) authority.Dispose();
            }
            catch (CryptographicException e)
            {
                section.Refuse("ca", $"{ca} holds no readable PEM certificate: {e.Message}");
            }

        return new(ca, pem ?? "");
    }

    private static AuthConfig ReadAuth(SectionReader section) => new()
    {
        AllowAnonymous = section.Truth("allow_anonymous", new AuthConfig().AllowAnonymous),
        Keys =
        [
            .. section.Sections("keys", KeyHints).Select(key => new ApiKeyConfig
            {
                Name = key.Required("name", "\"laptop\""),
                Sha256 = key.Required("sha256", "\"…\", 64 hex digits; `proxy keys new NAME` prints them").ToLowerInvariant(),
                Admin = key.Truth("admin", false),
                Models = key.Texts("models", []),
                Concurrency = key.Whole("concurrency", least: 1),
                RequestsPerMinute = key.Whole("requests_per_minute", least: 1),
                Publish = key.Truth("publish", true),
                Workspaces = key.Texts("workspaces", []),
                Pipelines = key.Has("pipelines") ? key.Texts("pipelines", []) : null,
            }),
        ],
    };

    private static LogConfig ReadLog(SectionReader section, ConfigSources sources)
    {
        var defaults = new LogConfig();
        return new()
        {
            Level = section.Choice("level", defaults.Level, "trace", "debug", "info", "warn", "error"),
            Format = section.Choice("format", defaults.Format, "text", "json"),
            Bodies = section.Text("bodies") is { Length: > 0 } path ? Path.GetFullPath(path, sources.Folder) : null,
            BodiesSize = section.Size("bodies_size", defaults.BodiesSize),
            BodiesFiles = section.Whole("bodies_files", least: 0, most: 100) ?? defaults.BodiesFiles,
        };
    }

    private static string? ReadFile(SectionReader section, string key, string path, ConfigSources sources)
    {
        try
        {
            return sources.ReadText(path);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            section.Refuse(key, $"there is no file {path}");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            section.Refuse(key, e is NotUtf8Exception ? $"{path} {e.Message}" : $"{path} cannot be read: {e.Message}");
        }

        return null;
    }
}
