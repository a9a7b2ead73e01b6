namespace Proxy.Config;

internal static partial class ConfigReader
{
    private const string NatsVariable = "NATS_URL";

    private static readonly Dictionary<string, string> NatsHints = new()
    {
        ["urls"] = "write url = \"nats://A:4222,nats://B:4222\"",
        ["servers"] = "write url = \"nats://A:4222,nats://B:4222\"",
        ["username"] = "write user",
        ["seed"] = "write nkey, or nkey_file = the path of a file that holds the seed",
        ["creds_file"] = "write creds = the path of the file",
        ["credentials"] = "write creds = the path of the file",
        ["subject_prefix"] = "write prefix",
        ["verify"] = "write tls_verify",
    };

    private static NatsConfig ReadNats(SectionReader section, ConfigSources sources)
    {
        var defaults = new NatsConfig { Url = "" };
        var url = section.Text("url") ?? NatsUrl(sources);
        if (url is null && !section.Has("url")) section.Refuse("url", "is missing; write url = \"nats://127.0.0.1:4222\", or set NATS_URL");
        return new()
        {
            Url = url ?? "",
            Prefix = section.Text("prefix") ?? defaults.Prefix,
            Record = section.Choice("record", defaults.Record, "summary", "full"),
            Batch = section.Time("batch", defaults.Batch),
            Ca = ReadCa(section, sources),
            TlsVerify = section.Truth("tls_verify", defaults.TlsVerify),
            User = section.Text("user"),
            Password = ReadKey(section, sources, "password"),
            Token = ReadKey(section, sources, "token"),
            Nkey = ReadKey(section, sources, "nkey"),
            Creds = ReadCreds(section, sources),
        };
    }

    private static NamedFile? ReadCreds(SectionReader section, ConfigSources sources)
    {
        if (section.Text("creds") is not { } creds) return null;
        creds = SecretPath(creds, sources);
        var text = ReadFile(section, "creds", creds, sources);
        if (text is not null && !text.Contains("BEGIN NATS USER JWT", StringComparison.Ordinal))
            section.Refuse("creds", $"{creds} holds no user's JWT; `nsc generate creds` writes such a file");
        return new(creds, text ?? "");
    }

    /// <summary>The servers that the environment names; null: none.</summary>
    private static NatsConfig? NatsOf(ConfigSources sources) => NatsUrl(sources) is { } url ? new() { Url = url } : null;

    private static string? NatsUrl(ConfigSources sources) => sources.Environment(NatsVariable) is { Length: > 0 } url ? url : null;
}
