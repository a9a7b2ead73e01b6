using Proxy.Config;

namespace Proxy.Tests.Config;

public sealed class ConfigReaderTests
{
    private const string Backend = "[[backends]]\nname = \"gpu\"\nurl = \"http://127.0.0.1:8000\"\n";

    [Fact]
    public void The_example_of_the_issue_Reads_as_written()
    {
        var config = Toml.Good("""
            default_backend = "gpu"
            [server]
            listen = ["127.0.0.1:11435"]
            [[backends]]
            name = "gpu"
            url = "http://127.0.0.1:8000"
            dialects = ["openai"]        # families, if left out, the proxy asks the host
            prefixes = ["qwen", "llama"]
            slots = 8
            """);

        var backend = Assert.Single(config.Backends);
        Assert.Equal(("gpu", "gpu", "http://127.0.0.1:8000", 8), (config.DefaultBackend, backend.Name, backend.Url, backend.Slots));
        Assert.Equal([DialectFamily.OpenAi], backend.Dialects!);
        Assert.Equal(["qwen", "llama"], backend.Prefixes);
        Assert.Equal(["127.0.0.1:11435"], config.Server.Listen);
    }

    [Fact]
    public void An_empty_file_Is_the_echo_on_loopback()
    {
        var config = Toml.Good("");

        Assert.Same(BackendConfig.Echo, Assert.Single(config.Backends));
        Assert.Equal(["127.0.0.1:11435"], config.Server.Listen);
        Assert.Equal(32 * 1024 * 1024, config.Server.BodyLimit);
    }

    [Fact]
    public void Every_key_Reaches_its_record()
    {
        var digest = new string('a', 64);
        var config = Toml.Good($$"""
            default_backend = "a"
            [server]
            listen = ["0.0.0.0:80", "[::1]:0", "unix:/run/x.sock"]
            body_limit = "512KB"
            queue = 0
            drain = "1h30m"
            keepalive_after = "2s"
            origins = ["https://chat.example", "http://localhost:3000", "chrome-extension://abcdef"]
            transport = "epoll"
            [server.tls]
            cert = "chain.pem"
            key = "/k.pem"
            [[backends]]
            name = "a"
            url = "https://a.example/v1"
            dialects = ["ollama", "tei", "anthropic", "responses"]
            models = ["m"]
            weight = 3
            key_file = "secrets/a"
            ca = "ca.pem"
            connect = "250ms"
            first_token = "10m"
            idle = "5s"
            total = "1h"
            options = { num_ctx = 32_768 }
            [backends.headers]
            x-team = "search"
            [[backends]]
            name = "b"
            url = "https://b.example"
            tls_verify = false
            total = "off"
            headers = { "x-team" = "other" }
            [aliases]
            "gpt-4.1" = "m"
            [auth]
            allow_anonymous = true
            [[auth.keys]]
            name = "ci"
            sha256 = "{{digest.ToUpperInvariant()}}"
            models = ["q*"]
            concurrency = 2
            requests_per_minute = 3
            [log]
            level = "warn"
            format = "json"
            """, Toml.Machine(files: new()
        {
            ["/etc/proxy/chain.pem"] = Toml.CertPem, ["/k.pem"] = Toml.KeyPem, ["/etc/proxy/ca.pem"] = Toml.CertPem, ["/etc/proxy/secrets/a"] = "s3cret\n",
        }));

        var server = config.Server;
        Assert.Equal((512_000L, 0, TimeSpan.FromMinutes(90), TimeSpan.FromSeconds(2), "epoll"),
            (server.BodyLimit, server.Queue, server.Drain, server.KeepaliveAfter, server.Transport));
        Assert.Equal(("/etc/proxy/chain.pem", "/k.pem"), (server.Tls!.Cert.Path, server.Tls.Key.Path));
        Assert.Equal(3, server.Listen.Count);
        Assert.Equal(3, server.Origins.Count);
        var (a, b) = (config.Backends[0], config.Backends[1]);
        Assert.Equal([DialectFamily.Ollama, DialectFamily.Tei, DialectFamily.Anthropic, DialectFamily.Responses], a.Dialects!);
        Assert.Equal((3, "s3cret", "/etc/proxy/ca.pem", 32768), (a.Weight, a.Key, a.Ca?.Path, a.Options.NumCtx));
        Assert.Equal((250d, 600_000d, 5_000d, 3_600_000d),
            (a.Connect.TotalMilliseconds, a.FirstToken.TotalMilliseconds, a.Idle.TotalMilliseconds, a.Total!.Value.TotalMilliseconds));
        Assert.Equal(("search", "other"), (a.Headers["x-team"], b.Headers["x-team"]));
        Assert.Equal((false, (TimeSpan?)null), (b.TlsVerify, b.Total));
        Assert.Equal("m", config.Aliases["gpt-4.1"]);
        var key = Assert.Single(config.Auth.Keys);
        Assert.Equal(("ci", digest, 2, 3, true), (key.Name, key.Sha256, key.Concurrency, key.RequestsPerMinute, config.Auth.AllowAnonymous));
        Assert.Equal(["q*"], key.Models);
        Assert.Equal(("warn", "json"), (config.Log.Level, config.Log.Format));
    }

    [Fact]
    public void Many_mistakes_Are_told_at_once_in_reading_order()
    {
        var problems = Toml.Bad("""
            default_backend = "gpo"
            [server]
            lisen = ["127.0.0.1:1"]
            body_limit = "32 MB"
            drain = 30
            queue = "256"
            [[backends]]
            name = "gpu"
            url = "127.0.0.1:8000"
            dialects = ["open-ai"]
            slots = 0
            [[backends]]
            name = "gpu"
            tls_verify = "no"
            [log]
            level = "inf"
            """);

        Assert.Equal(
            ["1 default_backend", "3 server.lisen", "4 server.body_limit", "5 server.drain", "6 server.queue", "9 backends[0].url", "10 backends[0].dialects",
                "11 backends[0].slots", "12 backends[1].url", "13 backends[1].name", "14 backends[1].tls_verify", "16 log.level"],
            problems.Select(problem => $"{problem.Line} {problem.Key}"));
        Assert.Equal(
            ["there is no backend \"gpo\"; write \"gpu\"", "unknown key; did you mean \"listen\"?"],
            problems.Take(2).Select(problem => problem.Message));
        Assert.Contains(problems, problem => problem.Message == "\"127.0.0.1:8000\" has no scheme; write \"http://127.0.0.1:8000\"");
        Assert.Contains(problems, problem => problem.Message == "is a number; write a duration with its unit in quotes, such as \"30s\"");
    }

    [Theory]
    [InlineData("default_backed = \"x\"", 1, "default_backed", "did you mean \"default_backend\"?")]
    [InlineData("[server]\nport = 80", 2, "server.port", "write listen = [\"127.0.0.1:PORT\"]")]
    [InlineData("[server]\ndefault_backend = \"gpu\"", 2, "server.default_backend", "it belongs at the top of the file")]
    [InlineData("[log]\nqueue = 3", 2, "log.queue", "it belongs in [server]")]
    [InlineData("queue = 3", 1, "queue", "it belongs in [server]")]
    [InlineData("[serve]\nqueue = 3", 1, "serve", "did you mean \"server\"?")]
    [InlineData("frobnicate = 3", 1, "frobnicate", "the top of the file takes aliases, auth, backends, console, default_backend, inference, log, metrics, pipelines, server")]
    [InlineData(Backend + "api_key = \"x\"", 4, "backends[0].api_key", "write key")]
    [InlineData(Backend + "[backends.options]\nnumctx = 3", 5, "backends[0].options.numctx", "did you mean \"num_ctx\"?")]
    public void An_unknown_key_Is_a_problem_that_says_what_was_meant(string toml, int line, string key, string message) =>
        Toml.IsRefused(toml, line, key, message);

    [Theory]
    [InlineData("[server]\nlisten = \"127.0.0.1:80\"", 2, "server.listen", "write a list: listen = [\"127.0.0.1:80\"]")]
    [InlineData("[server]\norigins = [80]", 2, "server.origins", "write every entry in quotes")]
    [InlineData("[server]\nqueue = -1", 2, "server.queue", "write a number of 0 or more")]
    [InlineData("[server]\nqueue = 1.5", 2, "server.queue", "is a fraction")]
    [InlineData("[server]\nbody_limit = 1000", 2, "server.body_limit", "\"1000B\"")]
    [InlineData("[server]\nbody_limit = \"2GiB\"", 2, "server.body_limit", "out of range")]
    [InlineData("[server]\ndrain = \"half a minute\"", 2, "server.drain", "write whole numbers of h, m, s or ms")]
    [InlineData("[server]\ntransport = \"epol\"", 2, "server.transport", "write \"epoll\"")]
    [InlineData("server = 3", 1, "server", "write a section, [server]")]
    [InlineData("[[server]]\nqueue = 1", 1, "server", "[server] with single brackets")]
    [InlineData("[backends]\nname = \"gpu\"", 1, "backends", "[[backends]] section for each")]
    [InlineData("[auth]\nallow_anonymous = \"true\"", 2, "auth.allow_anonymous", "write true or false, without quotes")]
    [InlineData("aliases = 3", 1, "aliases", "write a table")]
    [InlineData("[aliases]\ngpt-4.1 = \"m\"", 2, "aliases.gpt-4", "write \"gpt-4.1\"")]
    [InlineData("[[backends]]\nurl = \"http://h\"", 1, "backends[0].name", "is missing; write name = \"gpu\"")]
    [InlineData("[[backends]]\nname = \"g\"\nurl = \"\"", 3, "backends[0].url", "is empty; write")]
    [InlineData(Backend + "total = \"never\"", 4, "backends[0].total", "or \"off\"")]
    [InlineData(Backend + "idle = \"off\"", 4, "backends[0].idle", "not a duration")]
    [InlineData(Backend + "dialects = []", 4, "backends[0].dialects", "leave it out to have the host asked")]
    [InlineData(Backend + "dialects = [\"tei\", \"tei\"]", 4, "backends[0].dialects", "twice")]
    public void A_value_of_the_wrong_kind_Is_a_problem_that_says_what_to_write(string toml, int line, string key, string message) =>
        Toml.IsRefused(toml, line, key, message);

    [Theory]
    [InlineData("[server]\ndrain = 30s", 2, "a text needs quotes; write drain = \"30s\"")]
    [InlineData("[server]\nlisten = 127.0.0.1:80", 2, "write listen = \"127.0.0.1:80\"")]
    [InlineData("[auth]\nallow_anonymous = True", 2, "write allow_anonymous = true")]
    [InlineData("[server\nqueue = 1", 1, "a section is written [server]")]
    [InlineData("\n[[backends]\nname = \"x\"", 2, "a section of a list is written [[backends]]")]
    [InlineData("[server]\nlisten", 2, "a line is key = value")]
    [InlineData("[server]\nqueue =", 2, "queue has no value")]
    [InlineData("[[backends]]\nname = \"unfinished\nurl = \"http://h\"", 2, "newline in a string")]
    public void Text_that_is_not_TOML_Is_told_by_its_line_and_nothing_is_made_up_from_it(string toml, int line, string message) =>
        Toml.IsRefused(toml, line, "", message);

    [Fact]
    public void A_slip_Hides_no_other_mistake_and_makes_up_none()
    {
        var problems = Toml.Bad("[server]\ndrain = 30s\nqeue = 3\n[[backends]\nname = \"gpu\nurl = http://h\nslots = \"8\"\n[log\nlevel = \"inf\"");

        Assert.Equal([2, 3, 4, 5, 6, 7, 8, 9], problems.Select(problem => problem.Line));
    }

    [Theory]
    [InlineData("[server]\nqueue = 1\nqueue = 2", 3, "server.queue", "is written on line 2 already")]
    [InlineData("[server]\nqueue = 1\n[log]\n[server]\ndrain = \"1s\"", 4, "server", "was opened on line 1 already")]
    [InlineData("[log]\n[[log]]", 2, "log", "one section since line 1")]
    [InlineData("aliases = { a = \"b\" }\n[aliases]\nc = \"d\"", 2, "aliases", "was opened on line 1 already")]
    [InlineData("default_backend = \"echo\"\ndefault_backend = \"echo\"", 2, "default_backend", "is written on line 1 already")]
    public void What_is_written_twice_Is_a_problem_with_both_lines(string toml, int line, string key, string message) =>
        Toml.IsRefused(toml, line, key, message);

    [Fact]
    public void The_environment_Fills_texts_and_what_it_lacks_is_a_problem()
    {
        var machine = Toml.Machine(new() { ["HOST"] = "10.0.0.1", ["KEY"] = "k" });

        var config = Toml.Good("[[backends]]\nname = \"gpu\"\nurl = \"http://${HOST}:8000\"\nkey = \"${KEY}\"\nheaders = { x = \"$${HOST}\" }", machine);
        Assert.Equal(("http://10.0.0.1:8000", "k", "${HOST}"), (config.Backends[0].Url, config.Backends[0].Key, config.Backends[0].Headers["x"]));

        Toml.IsRefused(Backend + "key = \"${NO_SUCH}\"", 4, "backends[0].key", "the environment has no NO_SUCH", machine);
        Toml.IsRefused("[server]\norigins = [\n\"${HOST\",\n]", 3, "server.origins[0]", "write ${NAME}", machine);
    }

    [Fact]
    public void A_key_file_Is_a_path_or_a_credential_of_the_service()
    {
        var machine = Toml.Machine(new() { ["CREDENTIALS_DIRECTORY"] = "/run/credentials/proxy" },
            new() { ["/run/credentials/proxy/gpu"] = "from-systemd\n", ["/etc/proxy/k"] = "from-file" });

        Assert.Equal("from-systemd", Toml.Good(Backend + "key_file = \"gpu\"", machine).Backends[0].Key);
        Assert.Equal("from-file", Toml.Good(Backend + "key_file = \"./k\"", machine).Backends[0].Key);
        Toml.IsRefused(Backend + "key_file = \"nowhere\"", 4, "backends[0].key_file", "there is no file /run/credentials/proxy/nowhere", machine);
        Toml.IsRefused(Backend + "key = \"a\"\nkey_file = \"gpu\"", 5, "backends[0].key_file", "keep one of the two", machine);
    }

    [Fact]
    public void Certificates_Are_read_and_must_fit()
    {
        var machine = Toml.Machine(files: new() { ["/c.pem"] = Toml.CertPem, ["/k.pem"] = Toml.KeyPem, ["/junk"] = "junk" });

        Toml.IsRefused("[server.tls]\ncert = \"/c.pem\"", 1, "server.tls.key", "is missing", machine);
        Toml.IsRefused("[server.tls]\ncert = \"/c.pem\"\nkey = \"/junk\"", 2, "server.tls.cert", "not a PEM certificate and its unencrypted PEM key", machine);
        Toml.IsRefused("[server.tls]\ncert = \"/none\"\nkey = \"/k.pem\"", 2, "server.tls.cert", "there is no file /none", machine);
        Toml.IsRefused("[[backends]]\nname = \"g\"\nurl = \"https://h\"\nca = \"/junk\"", 4, "backends[0].ca", "holds no PEM certificate", machine);
    }

    [Fact]
    public void A_file_that_may_not_be_read_Is_a_problem()
    {
        var machine = Toml.Machine() with { ReadText = path => throw new UnauthorizedAccessException($"Access to the path '{path}' is denied.") };

        Toml.IsRefused(Backend + "key_file = \"/root/key\"", 4, "backends[0].key_file", "/root/key cannot be read", machine);
    }

    [Fact]
    public void Without_a_file_The_environment_of_a_container_is_used()
    {
        var machine = Toml.Machine(new() { ["LLM_BASE_URL"] = "http://vllm:8000/v1", ["PROXY_LISTEN"] = "0.0.0.0:80, unix:/x", ["PROXY_API_KEY"] = "abc" });

        var config = ConfigFile.Load(null, machine).Config!;

        Assert.Equal(["0.0.0.0:80", "unix:/x"], config.Server.Listen);
        Assert.Equal(("llm", "http://vllm:8000/v1", "llm"), (Assert.Single(config.Backends).Name, config.Backends[0].Url, config.DefaultBackend));
        Assert.Equal("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", Assert.Single(config.Auth.Keys).Sha256);
    }

    [Fact]
    public void Without_a_file_What_the_environment_has_wrong_is_named_by_its_variable()
    {
        var problems = ConfigFile.Load(null, Toml.Machine(new() { ["LLM_BASE_URL"] = "vllm:8000", ["PROXY_LISTEN"] = "0.0.0.0:80" })).Problems;

        Assert.Equal(["PROXY_LISTEN", "LLM_BASE_URL"], problems.Select(problem => problem.Key));
    }

    [Fact]
    public void The_command_lines_addresses_Replace_the_files_and_keep_its_rules()
    {
        var machine = Toml.Machine() with { Listen = ["127.0.0.1:9"] };

        Assert.Equal(["127.0.0.1:9"], Toml.Good("[server]\nlisten = [\"0.0.0.0:80\"]", machine).Server.Listen);
        Toml.IsRefused("", 0, "--listen", "can be reached from other machines", machine with { Listen = ["0.0.0.0:9"] });
    }

    [Fact]
    public void A_draft_Keeps_what_is_right_beside_what_is_wrong()
    {
        var draft = ConfigReader.ReadDraft("[server]\nlisten = [\"127.0.0.1:99\"]\nqueue = \"many\"\nwhat = 1", Toml.Machine(), out var problems);

        Assert.Equal(2, problems.Count);
        Assert.Equal((256, "127.0.0.1:99"), (draft.Server.Queue, Assert.Single(draft.Server.Listen)));
    }
}
