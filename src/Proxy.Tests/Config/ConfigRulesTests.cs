using Proxy.Config;

namespace Proxy.Tests.Config;

public sealed class ConfigRulesTests
{
    private const string Backend = "[[backends]]\nname = \"gpu\"\nurl = \"http://127.0.0.1:8000\"\n";
    private const string Digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    [Theory]
    [InlineData("0.0.0.0:80")]
    [InlineData("[::]:80")]
    [InlineData("192.168.1.2:80")]
    public void An_address_others_can_reach_without_a_key_Is_refused_with_both_ways_out(string address)
    {
        var toml = $"[server]\nlisten = [\"127.0.0.1:80\",\n\"{address}\"]\n";

        Toml.IsRefused(toml, 3, "server.listen[1]", "proxy keys new NAME");
        Toml.IsRefused(toml, 3, "server.listen[1]", "allow_anonymous = true in [auth]");
        Toml.Good(toml + "[auth]\nallow_anonymous = true");
        Toml.Good(toml + $"[[auth.keys]]\nname = \"k\"\nsha256 = \"{Digest}\"");
    }

    [Fact]
    public void A_backend_that_learns_nothing_Needs_prefixes_or_models_or_to_be_the_default()
    {
        Toml.IsRefused(Backend + "learn = false", 4, "backends[0].learn", "write its prefixes or models");
        Toml.Good(Backend + "learn = false\nprefixes = [\"qwen\"]");
        Toml.Good(Backend + "learn = false\nmodels = [\"m\"]");
        Toml.Good("default_backend = \"gpu\"\n" + Backend + "learn = false");
    }

    [Theory]
    [InlineData("127.0.0.1:80")]
    [InlineData("127.0.0.2:80")]
    [InlineData("localhost:80")]
    [InlineData("[::1]:80")]
    [InlineData("unix:/run/p.sock")]
    public void An_address_of_this_machine_alone_Needs_no_key(string address) =>
        Toml.Good($"[server]\nlisten = [\"{address}\"]");

    [Theory]
    [InlineData("127.0.0.1", "the port is missing")]
    [InlineData("::1", "the port is missing")]
    [InlineData("127.0.0.1:http", "the port is a number")]
    [InlineData("127.0.0.1:70000", "the port is a number")]
    [InlineData("http://127.0.0.1:80", "an address, not a URL")]
    [InlineData("proxy.example:80", "an IP address or localhost")]
    [InlineData(":80", "an IP address or localhost")]
    [InlineData("::1:80", "the port is missing")]
    [InlineData("unix:run/p.sock", "the absolute path")]
    [InlineData("1:80", "an IP address or localhost")]
    [InlineData("8080", "the host is missing; write \"127.0.0.1:8080\"")]
    public void An_address_that_is_none_Is_refused(string address, string message) =>
        Toml.IsRefused($"[server]\nlisten = [\"{address}\"]", 2, "server.listen[0]", message);

    [Theory]
    [InlineData("[server]\nlisten = [8080]", 2, "server.listen", "holds a number; write \"127.0.0.1:8080\"")]
    [InlineData("[server]\nlisten = 8080", 2, "server.listen", "write a list: listen = [\"127.0.0.1:8080\"]")]
    [InlineData("[server]\nlisten = \"8080\"", 2, "server.listen", "write a list: listen = [\"127.0.0.1:8080\"]")]
    [InlineData("[server]\nqueue = 99999999999999999999", 2, "", "queue = 99999999999999999999 is out of range")]
    [InlineData("[server]\nqueue = -99999999999999999999", 2, "", "queue = -99999999999999999999 is out of range")]
    [InlineData("[server]\nqueue = 0xffffffffffffffffffff", 2, "", "is out of range")]
    [InlineData("[server]\nqueue = 007", 2, "", "write queue = 7")]
    [InlineData("default_backend = “echo”", 1, "", "“ is not a quote in TOML; write default_backend = \"echo\"")]
    [InlineData("[server]\nlisten = [‘127.0.0.1:80’]", 2, "", "‘ is not a quote in TOML; write \"")]
    [InlineData("[[auth.keys]]\nname = \"a\"\nsha256 = “secret”", 3, "", "“ is not a quote in TOML; write \"")]
    [InlineData("[[backends]]\nname = \"gpu\"\nurl = \"http://a\"\n[[backends]]\nname = \"GPU\"\nurl = \"http://b\"", 5, "backends[1].name",
        "\"GPU\" differs from \"gpu\" only in upper and lower case")]
    [InlineData("[[auth.keys]]\nname = \"k\"\nsha256 = \"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"\n[[auth.keys]]\nname = \"K\"\nsha256 = \"ca7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"", 5, "auth.keys[1].name", "only in upper and lower case")]
    public void What_people_write_instead_Is_answered_with_what_they_mean(string toml, int line, string key, string message) =>
        Toml.IsRefused(toml, line, key, message);

    [Theory]
    [InlineData("unix:/run/llama.sock", "is a unix socket, but hosts are reached over TCP only")]
    [InlineData("http://unix:/run/llama.sock", "is a unix socket")]
    [InlineData("unix:///run/llama.sock", "is a unix socket")]
    [InlineData("http+unix://%2Frun%2Fllama.sock", "is a unix socket")]
    [InlineData("/run/llama.sock", "is a unix socket")]
    [InlineData("http://h/v1/chat/completions", "ends in a path of the API, which the proxy appends itself; shorten it to \"http://h\"")]
    [InlineData("https://h:8000/base/v1/messages/", "shorten it to \"https://h:8000/base\"")]
    [InlineData("http://h/v1/models", "shorten it to \"http://h\"")]
    [InlineData("http://h/chat/completions", "shorten it to \"http://h\"")]
    [InlineData("http://h/v1/audio/speech", "shorten it to \"http://h\"")]
    [InlineData("http://h:11434/api", "shorten it to \"http://h:11434\"")]
    [InlineData("http://h:11434/api/", "shorten it to \"http://h:11434\"")]
    [InlineData("http://h:11434/api/chat", "shorten it to \"http://h:11434\"")]
    [InlineData(" http://h", "begins or ends with a space; write \"http://h\"")]
    [InlineData("http://h ", "begins or ends with a space; write \"http://h\"")]
    public void A_url_that_would_fail_at_the_first_call_Is_refused(string url, string message)
    {
        Toml.IsRefused($"[[backends]]\nname = \"gpu\"\nurl = \"{url}\"", 3, "backends[0].url", message);
        ConfigReader.ReadEnvironment(Toml.Machine(new() { ["LLM_BASE_URL"] = url }), out var problems);
        Assert.Contains(message, Assert.Single(problems).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("http://h/v1")]
    [InlineData("https://openrouter.example/api/v1")]
    [InlineData("https://gateway.example/v1/account/gateway/openai")]
    [InlineData("http://h/models/a")]
    [InlineData("http://api")]
    public void A_url_with_a_path_of_the_hosts_own_Is_taken(string url) => Toml.Good($"[[backends]]\nname = \"gpu\"\nurl = \"{url}\"");

    [Theory]
    [InlineData("[server]\nlisten = []", 2, "server.listen", "is empty")]
    [InlineData("[server]\nlisten = [\"127.0.0.1:80\",\"127.0.0.1:80\"]", 2, "server.listen[1]", "listed twice")]
    [InlineData("[server]\norigins = [\"chat.example\"]", 2, "server.origins[0]", "is not an origin")]
    [InlineData("[server]\norigins = [\"*\"]", 2, "server.origins[0]", "is not an origin")]
    [InlineData("[server]\norigins = [\"https://*.example\"]", 2, "server.origins[0]", "is not an origin")]
    [InlineData("[server]\norigins = [\"https://chat.example/path\"]", 2, "server.origins[0]", "is not an origin")]
    [InlineData("[server]\norigins = [\"https://Chat.example/\"]", 2, "server.origins[0]", "write \"https://chat.example\"")]
    [InlineData("[server]\norigins = [\"https://chat.example:443\"]", 2, "server.origins[0]", "write \"https://chat.example\"")]
    [InlineData("[server]\npublic_urls = [\"ai.example\"]", 2, "server.public_urls[0]", "is not a URL that clients use")]
    [InlineData("[server]\npublic_urls = [\"https://*.example\"]", 2, "server.public_urls[0]", "is not a URL that clients use")]
    [InlineData("[server]\npublic_urls = [\" https://ai.example\"]", 2, "server.public_urls[0]", "is not a URL that clients use")]
    [InlineData("[server]\npublic_urls = [\"unix:/run/p.sock\"]", 2, "server.public_urls[0]", "is not a URL that clients use")]
    [InlineData("[server]\npublic_urls = [\"https://a:b@ai.example\"]", 2, "server.public_urls[0]", "holds a credential")]
    [InlineData("[server]\npublic_urls = [\"https://ai.example/?a=b\"]", 2, "server.public_urls[0]", "a query or a fragment")]
    [InlineData("[server]\npublic_urls = [\"https://ai.example\", \"https://ai.example\"]", 2, "server.public_urls[1]", "listed twice")]
    [InlineData("[server]\npublic_url = \"https://ai.example\"", 2, "server.public_url", "public_urls")]
    [InlineData("default_backend = \"echoo\"", 1, "default_backend", "write \"echo\"")]
    [InlineData(Backend + "prefixes = [\"a\", \"a\"]", 4, "backends[0].prefixes[1]", "listed twice")]
    [InlineData(Backend + "prefixes = [\"\"]", 4, "backends[0].prefixes[0]", "is empty")]
    [InlineData(Backend + "models = [\"a \"]", 4, "backends[0].models[0]", "begins or ends with a space")]
    [InlineData(Backend + "models = [\"a*\"]", 4, "backends[0].models[0]", "write globs in prefixes")]
    [InlineData(Backend + "connect = \"0s\"", 4, "backends[0].connect", "leaves no time")]
    [InlineData(Backend + "ca = \"/c\"", 4, "backends[0].ca", "https://")]
    [InlineData(Backend + "tls_verify = false", 4, "backends[0].tls_verify", "https://")]
    [InlineData(Backend + "key = \"\"", 4, "backends[0].key", "is empty")]
    [InlineData(Backend + "key = \"a b\"", 4, "backends[0].key", "a header cannot carry")]
    [InlineData(Backend + "headers = { \"x y\" = \"1\" }", 4, "backends[0].headers.x y", "not a header's name")]
    [InlineData(Backend + "headers = { Host = \"1\" }", 4, "backends[0].headers.Host", "is set by the proxy")]
    [InlineData(Backend + "key = \"k\"\nheaders = { Authorization = \"1\" }", 5, "backends[0].headers.Authorization", "is set together with key")]
    [InlineData(Backend + "headers = { a = \"x\\r\\ny: z\" }", 4, "backends[0].headers.a", "a line break")]
    [InlineData(Backend + "dialects = [\"openai\"]\noptions = { num_ctx = 4096 }", 5, "backends[0].options.num_ctx", "Ollama hosts")]
    [InlineData("[[backends]]\nname = \"g p\"\nurl = \"http://h\"", 2, "backends[0].name", "is not a valid name")]
    [InlineData("[[backends]]\nname = \"g\"\nurl = \"builtin:eko\"", 3, "backends[0].url", "\"builtin:echo\"")]
    [InlineData("[[backends]]\nname = \"g\"\nurl = \"ftp://h\"", 3, "backends[0].url", "is not a URL of a host")]
    [InlineData("[[backends]]\nname = \"g\"\nurl = \"http://h?x=1\"", 3, "backends[0].url", "a query")]
    [InlineData("[aliases]\na = \"a\"", 2, "aliases.a", "stands for itself")]
    [InlineData("[aliases]\na = \"\"", 2, "aliases.a", "stands for nothing")]
    [InlineData("[aliases]\na = \"b\"\nb = \"c\"", 2, "aliases.a", "is an alias too")]
    [InlineData("[aliases]\n\"a*\" = \"b\"", 2, "aliases.a*", "one exact name")]
    [InlineData("[[auth.keys]]\nname = \"anonymous\"\nsha256 = \"" + Digest + "\"", 2, "auth.keys[0].name", "callers without a key")]
    [InlineData("[[auth.keys]]\nname = \"k\"\nsha256 = \"pxy-secret\"", 3, "auth.keys[0].sha256", "is not a SHA-256 digest")]
    [InlineData("[[auth.keys]]\nname = \"k\"", 1, "auth.keys[0].sha256", "is missing")]
    [InlineData("[[auth.keys]]\nname = \"k\"\nsha256 = \"" + Digest + "\"\nconcurrency = 0", 4, "auth.keys[0].concurrency", "1 or more")]
    [InlineData("[[auth.keys]]\nname = \"k\"\nsha256 = \"" + Digest + "\"\n[[auth.keys]]\nname = \"j\"\nsha256 = \"" + Digest + "\"", 6, "auth.keys[1].sha256",
        "the same key as \"k\"")]
    public void What_cannot_work_Is_refused_with_its_line_and_the_way_out(string toml, int line, string key, string message) =>
        Toml.IsRefused(toml, line, key, message, Toml.Machine(files: new() { ["/c"] = Toml.CertPem }));

    [Fact]
    public void Two_names_alike_Are_refused()
    {
        Toml.IsRefused(Backend + Backend, 5, "backends[1].name", "\"gpu\" is used already");
        Toml.IsRefused($"[[auth.keys]]\nname = \"k\"\nsha256 = \"{Digest}\"\n[[auth.keys]]\nname = \"k\"\nsha256 = \"{Digest.Replace('b', 'c')}\"", 5,
            "auth.keys[1].name", "\"k\" is used already");
    }

    [Fact]
    public void No_message_Repeats_a_secret()
    {
        var problems = Toml.Bad("""
            [[backends]]
            name = "g"
            url = "http://user:hunter2@h"
            key = "hunter2 "
            headers = { a = "hunter2\n" }
            [[auth.keys]]
            name = "k"
            sha256 = "pxy-hunter2"
            """);

        Assert.Equal(4, problems.Count);
        Assert.DoesNotContain(problems.Concat(Toml.Bad("[[backends]]\nkey = hunter2")),
            problem => problem.Message.Contains("hunter2", StringComparison.Ordinal));
    }

    [Fact]
    public void Backends_that_share_models_and_prefixes_Are_fine() =>
        Toml.Good(Backend + "prefixes = [\"q\"]\nmodels = [\"m\"]\n"
            + Backend.Replace("gpu", "two", StringComparison.Ordinal) + "prefixes = [\"q\"]\nmodels = [\"m\"]");
}
