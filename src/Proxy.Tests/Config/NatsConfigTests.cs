using NATS.NKeys;
using Proxy.Config;

namespace Proxy.Tests.Config;

/// <summary>The <c>[nats]</c> section, <c>NATS_URL</c> and <c>publish</c> of a key.</summary>
public sealed class NatsConfigTests
{
    private const string Url = "[nats]\nurl = \"nats://127.0.0.1:4222\"\n";

    [Fact]
    public void No_section_and_no_variable_Nothing_is_published() => Assert.Null(Toml.Good("").Nats);

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("[nats]\nrecord = \"full\"")]
    public void Variable_Names_the_server_with_and_without_a_file(string? toml)
    {
        var sources = Toml.Machine(new() { ["NATS_URL"] = "nats://nats:4222" });

        var nats = toml is null ? ConfigReader.ReadEnvironment(sources, out _).Nats : Toml.Good(toml, sources).Nats;

        Assert.Equal("nats://nats:4222", nats!.Url);
    }

    [Fact]
    public void Variable_is_wrong_The_problem_names_it()
    {
        ConfigReader.ReadEnvironment(Toml.Machine(new() { ["NATS_URL"] = "http://nats" }), out var problems);

        Assert.Equal("NATS_URL", Assert.Single(problems).Key);
    }

    [Fact]
    public void Every_key_Reaches_its_record()
    {
        using var user = KeyPair.CreatePair(PrefixByte.User);
        var nats = Toml.Good("""
            [nats]
            url = "tls://a:4222, b"
            prefix = "team.one"
            record = "full"
            batch = "0s"
            ca = "ca.pem"
            nkey_file = "seed"
            """, Toml.Machine(files: new() { ["/etc/proxy/ca.pem"] = Toml.CertPem, ["/etc/proxy/seed"] = user.GetSeed() + "\n" })).Nats!;

        Assert.Equal(("tls://a:4222, b", "team.one", "full", TimeSpan.Zero), (nats.Url, nats.Prefix, nats.Record, nats.Batch));
        Assert.Equal(("/etc/proxy/ca.pem", user.GetSeed()), (nats.Ca!.Path, nats.Nkey));
        Assert.DoesNotContain(user.GetSeed(), nats.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void Secrets_Come_from_variables_and_credentials()
    {
        var sources = Toml.Machine(
            new() { ["PW"] = "secret", ["CREDENTIALS_DIRECTORY"] = "/run/credentials/proxy" },
            new() { ["/run/credentials/proxy/nats-token"] = "t0ken\n", ["/run/credentials/proxy/nats-creds"] = "-----BEGIN NATS USER JWT-----" });

        Assert.Equal("secret", Toml.Good(Url + "user = \"u\"\npassword = \"${PW}\"", sources).Nats!.Password);
        Assert.Equal("t0ken", Toml.Good(Url + "token_file = \"nats-token\"", sources).Nats!.Token);
        Assert.Equal("/run/credentials/proxy/nats-creds", Toml.Good(Url + "creds = \"nats-creds\"", sources).Nats!.Creds!.Path);
    }

    [Fact]
    public void Key_Publishes_unless_it_says_otherwise()
    {
        var keys = Toml.Good($"""
            [[auth.keys]]
            name = "a"
            sha256 = "{new string('a', 64)}"
            [[auth.keys]]
            name = "b"
            sha256 = "{new string('b', 64)}"
            publish = false
            """).Auth.Keys;

        Assert.Equal([true, false], keys.Select(static key => key.Publish));
    }

    [Theory]
    [InlineData("[streams]\njournal = \"jetstream\"", 2, "streams.journal", "needs a NATS server; add [nats]")]
    [InlineData(Url + "[streams]\njournal = \"disk\"", 4, "streams.journal", "memory")]
    [InlineData("[nats]", 1, "nats.url", "is missing; write url = \"nats://127.0.0.1:4222\", or set NATS_URL")]
    [InlineData("[nats]\nurl = \"http://a:4222\"", 2, "nats.url", "is not a list of NATS servers")]
    [InlineData("[nats]\nurl = \"nats://a:4222,\"", 2, "nats.url", "is not a list of NATS servers")]
    [InlineData("[nats]\nservers = \"nats://a:4222\"\nurl = \"nats://a\"", 2, "nats.servers", "write url = ")]
    [InlineData(Url + "prefix = \"a.\"", 3, "nats.prefix", "cannot begin a subject")]
    [InlineData(Url + "prefix = \"a.*\"", 3, "nats.prefix", "cannot begin a subject")]
    [InlineData(Url + "record = \"all\"", 3, "nats.record", "write one of \"summary\", \"full\"")]
    [InlineData(Url + "batch = \"1m\"", 3, "nats.batch", "is too long")]
    [InlineData(Url + "user = \"u\"", 3, "nats.user", "is set without password")]
    [InlineData(Url + "password = \"p\"", 3, "nats.password", "is set without user")]
    [InlineData(Url + "token = \"t\"\nuser = \"u\"\npassword = \"p\"", 3, "nats.token", "is set together with user")]
    [InlineData(Url + "token = \"t\"\ntoken_file = \"f\"", 4, "nats.token_file", "is set together with token; keep one of the two")]
    [InlineData(Url + "nkey = \"SUA\"", 3, "nats.nkey", "is not the seed of a user")]
    [InlineData(Url + "creds = \"nowhere\"", 3, "nats.creds", "there is no file /etc/proxy/nowhere")]
    public void Mistake_Is_named_with_its_line(string toml, int line, string key, string message) => Toml.IsRefused(toml, line, key, message);
}
