using System.Collections;
using System.Reflection;
using System.Text.Json;
using System.Text.RegularExpressions;
using Proxy.Config;

namespace Proxy.Tests.Config;

/// <summary>Checks config.example.toml against the configuration records: it has every key, with its default.</summary>
public sealed partial class ExampleTests
{
    private static readonly string Example = File.ReadAllText(Path.Combine(Root(), "config.example.toml"));

    private static readonly string Uncommented = SettingLine().Replace(Example, "");

    /// <summary>Keys that are an alternative to another key and so are not in the file.</summary>
    private static readonly string[] Beside = ["key_file", "password_file", "token", "token_file", "nkey", "nkey_file", "creds"];

    [Fact]
    public void As_it_stands_It_is_what_no_file_means()
    {
        var config = Toml.Good(Example);

        Same(new ProxyConfig(), config, "");
    }

    [Fact]
    public void Uncommented_Every_key_that_has_a_default_shows_it()
    {
        var config = ReadUncommented();
        var gpu = config.Backends.Single(backend => backend.Name == "gpu");
        var plain = new BackendConfig { Name = gpu.Name, Url = gpu.Url };

        Same(new ServerConfig(), config.Server with { Tls = null }, "server");
        Same(new LogConfig(), config.Log, "log");
        Same(new MetricsConfig(), config.Metrics, "metrics");
        Same(new InferenceConfig(), config.Inference with { Models = [], Threads = null }, "inference");
        Same(new InferenceModelConfig { Name = "bge-small", Path = "/etc/proxy/BAAI/bge-small-en-v1.5" }, config.Inference.Models[0] with { Kind = null },
            "model");
        Same(new NatsConfig { Url = "nats://127.0.0.1:4222" }, config.Nats! with { Ca = null, User = null, Password = null }, "nats");
        Same(new StreamsConfig(), config.Streams, "streams");
        Same(new CacheConfig(), config.Cache, "cache");
        Same(new AuthConfig(), config.Auth with { Keys = [] }, "auth");
        Same(new StoreConfig { Kind = "sqlite", File = "/s/proxy.db" }, config.Store, "store");
        Same(new KnowledgeConfig { Folder = "/s/knowledge" }, config.Knowledge with { Embedders = [], Reranker = null, Listed = [] }, "knowledge");
        Same(new PipelineConfig { Name = "research", Launcher = "process" }, config.Pipelines[0] with { Command = [] }, "pipelines");
        Same(BackendConfig.Echo, config.Backends[0], "echo");
        Same(plain, gpu with { Dialects = null, Prefixes = [], Models = [], Slots = null, Key = null, Headers = plain.Headers, Ca = null, Options = new() },
            "gpu");
    }

    [Fact]
    public void Uncommented_Every_key_that_has_no_default_shows_an_example()
    {
        var config = ReadUncommented();
        var gpu = config.Backends.Single(backend => backend.Name == "gpu");

        foreach (var (record, name) in new (object, string)[] { (config, "top"), (gpu, "gpu"), (gpu.Options, "options"), (config.Server.Tls!, "tls"),
            (config.Auth.Keys[0], "key"), (config.Inference, "inference"), (config.Knowledge, "knowledge") })
            foreach (var property in Properties(record.GetType()).Where(property => property.Name != nameof(BackendConfig.Total)))
                Assert.False(property.GetValue(record) is null or "" or ICollection { Count: 0 }, $"{name}.{property.Name} has no example");
    }

    [Fact]
    public void Every_property_Has_its_line_and_every_line_its_property()
    {
        var spelt = KeyOfLine().Matches(Uncommented).Select(match => match.Groups[1].Value).Where(key => !key.StartsWith('"')).ToHashSet();
        var known = new[] { typeof(ProxyConfig), typeof(ServerConfig), typeof(TlsConfig), typeof(BackendConfig), typeof(AuthConfig), typeof(ApiKeyConfig),
            typeof(LogConfig), typeof(MetricsConfig), typeof(NatsConfig), typeof(StreamsConfig), typeof(InferenceConfig), typeof(InferenceModelConfig),
            typeof(StoreConfig), typeof(CacheConfig), typeof(KnowledgeConfig), typeof(PipelineConfig) }
            .SelectMany(Properties).Where(property => !IsSection(property)
                && property.Name is not (nameof(StoreConfig.File) or nameof(StoreConfig.Spool) or nameof(KnowledgeConfig.Folder)))
            .Select(property => property.Name is nameof(KnowledgeConfig.Embedders) ? "embedder" : JsonNamingPolicy.SnakeCaseLower.ConvertName(property.Name))
            .Except(Beside).ToHashSet();

        Assert.Equal(known.Order(), spelt.Order());
        Assert.All(Beside, key => Assert.Contains(key, Example, StringComparison.Ordinal));
        foreach (var section in new[] { "[server]", "[server.tls]", "[[backends]]", "[aliases]", "[auth]", "[[auth.keys]]", "[log]", "[metrics]", "[streams]",
            "[inference]", "[[inference.models]]", "[store]", "[cache]", "[nats]", "[knowledge]", "[[pipelines]]" })
            Assert.Contains($"\n{section}\n", Uncommented, StringComparison.Ordinal);
    }

    private static ProxyConfig ReadUncommented() => Toml.Good(Uncommented, Toml.Machine(
        new() { ["GPU_KEY"] = "k", ["STATE_DIRECTORY"] = "/s", ["NATS_PASSWORD"] = "p" }, new()
    {
        ["/etc/proxy/chain.pem"] = Toml.CertPem, ["/etc/proxy/key.pem"] = Toml.KeyPem, ["/etc/proxy/gpu-ca.pem"] = Toml.CertPem,
        ["/etc/proxy/nats-ca.pem"] = Toml.CertPem,
    }));

    private static void Same(object expected, object? actual, string path)
    {
        Assert.NotNull(actual);
        foreach (var property in Properties(expected.GetType()))
        {
            var (want, have) = (property.GetValue(expected), property.GetValue(actual));
            if (want is ServerConfig or AuthConfig or LogConfig or MetricsConfig or InferenceConfig or BackendOptions)
                Same(want, have, $"{path}.{property.Name}");
            else if (want is IEnumerable<BackendConfig> backends)
                foreach (var (a, b) in backends.Zip((IEnumerable<BackendConfig>)have!)) Same(a, b, $"{path}.{a.Name}");
            else if (want is IEnumerable and not string)
                Assert.True(((IEnumerable)want).Cast<object>().SequenceEqual(((IEnumerable)have!).Cast<object>()), $"{path}.{property.Name}");
            else Assert.True(Equals(want, have), $"{path}.{property.Name}: the record says {want}, the file {have}");
        }
    }

    private static IEnumerable<PropertyInfo> Properties(Type type) => type.GetProperties(BindingFlags.Public | BindingFlags.Instance);

    private static bool IsSection(PropertyInfo property) =>
        property.DeclaringType == typeof(ProxyConfig) && property.Name != nameof(ProxyConfig.DefaultBackend)
        || property.Name is nameof(ServerConfig.Tls) or nameof(AuthConfig.Keys)
        || property.DeclaringType == typeof(InferenceConfig) && property.Name == nameof(InferenceConfig.Models);

    private static string Root()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (folder is not null && !File.Exists(Path.Combine(folder.FullName, "config.example.toml"))) folder = folder.Parent;
        return folder?.FullName ?? throw new InvalidOperationException("config.example.toml is not above the tests");
    }

    [GeneratedRegex("^#(?=[^ \\n])", RegexOptions.Multiline)]
    private static partial Regex SettingLine();

    [GeneratedRegex("^([\"\\w][^=\\n]*?) *=", RegexOptions.Multiline)]
    private static partial Regex KeyOfLine();
}
