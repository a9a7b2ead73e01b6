using System.Buffers.Text;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using NATS.Client.Core;
using NATS.NKeys;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Nats;

/// <summary>Every way to log in at a real NATS server, and TLS.</summary>
public sealed class NatsLoginTests
{
    [Fact]
    public async Task User_and_password_Are_sent()
    {
        await using var server = await NatsServer.StartAsync(config: "authorization { user: \"proxy\", password: \"secret-of-the-test\" }");

        await PublishesAsync(server, new() { Url = server.Url, AuthOpts = new() { Username = "proxy", Password = "secret-of-the-test" } },
            $"url = \"{server.Url}\"\nuser = \"proxy\"\npassword = \"secret-of-the-test\"");
    }

    [Fact]
    public async Task User_and_password_in_the_url_Are_sent_and_not_logged()
    {
        await using var server = await NatsServer.StartAsync(config: "authorization { user: \"proxy\", password: \"secret-of-the-test\" }");
        var url = $"nats://proxy:secret-of-the-test@127.0.0.1:{server.Port}";

        var log = await PublishesAsync(server, new() { Url = url }, $"url = \"{url}\"");

        Assert.DoesNotContain("secret", log, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Token_from_a_file_Is_sent()
    {
        await using var server = await NatsServer.StartAsync(config: "authorization { token: \"token-of-the-test\" }");
        var file = Path.GetTempFileName();
        await File.WriteAllTextAsync(file, "token-of-the-test\n", TestContext.Current.CancellationToken);

        await PublishesAsync(server, new() { Url = server.Url, AuthOpts = new() { Token = "token-of-the-test" } },
            $"url = \"{server.Url}\"\ntoken_file = \"{file}\"");
        File.Delete(file);
    }

    [Fact]
    public async Task Nkey_Signs()
    {
        using var user = KeyPair.CreatePair(PrefixByte.User);
        await using var server = await NatsServer.StartAsync(config: $$"""authorization { users: [ { nkey: {{user.GetPublicKey()}} } ] }""");

        await PublishesAsync(server, new() { Url = server.Url, AuthOpts = new() { Seed = user.GetSeed(), NKey = user.GetPublicKey() } },
            $"url = \"{server.Url}\"\nnkey = \"{user.GetSeed()}\"");
    }

    [Fact]
    public async Task Credentials_file_Is_used()
    {
        using var @operator = KeyPair.CreatePair(PrefixByte.Operator);
        using var account = KeyPair.CreatePair(PrefixByte.Account);
        using var user = KeyPair.CreatePair(PrefixByte.User);
        const string Unlimited = "\"subs\":-1,\"data\":-1,\"payload\":-1";
        const string Free = "\"imports\":-1,\"exports\":-1,\"wildcards\":true,\"conn\":-1,\"leaf\":-1";
        var accountToken = Jwt(
            @operator, account, "{\"limits\":{" + Unlimited + "," + Free + """},"default_permissions":{"pub":{},"sub":{}},"type":"account","version":2}""");
        var creds = $"""
            -----BEGIN NATS USER JWT-----
            {Jwt(account, user, $$$"""{"pub":{},"sub":{},{{{Unlimited}}},"type":"user","version":2}""")}
            ------END NATS USER JWT------

            -----BEGIN USER NKEY SEED-----
            {user.GetSeed()}
            ------END USER NKEY SEED------
            """;
        await using var server = await NatsServer.StartAsync(jetStream: false, config: $$"""
            operator: "{{Jwt(@operator, @operator, """{"type":"operator","version":2}""")}}"
            resolver: MEMORY
            resolver_preload: { {{account.GetPublicKey()}}: "{{accountToken}}" }
            """);
        var file = Path.GetTempFileName();
        await File.WriteAllTextAsync(file, creds, TestContext.Current.CancellationToken);

        await PublishesAsync(server, new() { Url = server.Url, AuthOpts = new() { Creds = creds } }, $"url = \"{server.Url}\"\ncreds = \"{file}\"");
        File.Delete(file);
    }

    [Theory]
    [InlineData("nats", "ca = \"CA\"")]
    [InlineData("tls", "ca = \"CA\"")]
    [InlineData("tls", "tls_verify = false")]
    public async Task Tls_Is_spoken(string scheme, string setting)
    {
        await using var server = await TlsServerAsync();
        var file = Path.GetTempFileName();
        await File.WriteAllTextAsync(file, server.Authority.Pem, TestContext.Current.CancellationToken);

        await PublishesAsync(server.Server, server.Options,
            $"url = \"{scheme}://127.0.0.1:{server.Server.Port}\"\n{setting.Replace("CA", file, StringComparison.Ordinal)}");
        File.Delete(file);
    }

    [Fact]
    public async Task Certificate_of_an_unknown_authority_Is_not_accepted_and_calls_are_served()
    {
        await using var server = await TlsServerAsync();

        await using var proxy = await ProxyProcess.StartAsync(Config($"url = \"tls://127.0.0.1:{server.Server.Port}\""));

        await proxy.Log.EventAsync("nats_down");
        Assert.Equal(200, (await CallAsync(proxy)).Status);
    }

    [Fact]
    public async Task Password_is_wrong_Calls_are_served_and_the_log_says_why()
    {
        await using var server = await NatsServer.StartAsync(config: "authorization { user: \"proxy\", password: \"secret-of-the-test\" }");

        await using var proxy = await ProxyProcess.StartAsync(Config($"url = \"{server.Url}\"\nuser = \"proxy\"\npassword = \"wrong\""));

        var down = await proxy.Log.EventAsync("nats_down");
        Assert.Contains("Authorization", down.GetRawText(), StringComparison.OrdinalIgnoreCase);
        Assert.Equal(200, (await CallAsync(proxy)).Status);
    }

    /// <summary>A call reaches a subscriber. Returns the proxy's log.</summary>
    private static async Task<string> PublishesAsync(NatsServer server, NatsOpts options, string section)
    {
        await using var ear = await NatsEar.StartAsync(options);
        await using var proxy = await ProxyProcess.StartAsync(Config(section));
        await proxy.Log.EventAsync("nats_up");

        var reply = await CallAsync(proxy);

        Assert.Equal("hello", PublishedCallTests.TextOf(await ear.EventsAsync(reply.TraceId)).Trim());
        Assert.NotEmpty(server.Url);
        return proxy.Log.Tail;
    }

    private static Task<RawReply> CallAsync(ProxyProcess proxy) => RawClient.SendAsync(
        proxy.Address, "POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(OpenAi.Request("echo", stream: true)));

    private static string Config(string section) => $"""
        {FrontDoor.Server()}
        [inference]
        bundled = false
        [log]
        format = "json"
        [nats]
        {section}
        """;

    /// <summary>A token as nsc makes it.</summary>
    private static string Jwt(KeyPair issuer, KeyPair subject, string claims)
    {
        var body = $"{{\"jti\":\"{Guid.NewGuid():N}\",\"iat\":1795000000,\"iss\":\"{issuer.GetPublicKey()}\",\"name\":\"t\","
            + $"\"sub\":\"{subject.GetPublicKey()}\",\"nats\":{claims}}}";
        var token = $"{Encode("""{"typ":"JWT","alg":"ed25519-nkey"}""")}.{Encode(body)}";
        var signature = new byte[64];
        issuer.Sign(Encoding.UTF8.GetBytes(token), signature);
        return $"{token}.{Base64Url.EncodeToString(signature)}";
    }

    private static string Encode(string text) => Base64Url.EncodeToString(Encoding.UTF8.GetBytes(text));

    private static async Task<TlsServer> TlsServerAsync()
    {
        var authority = new TestAuthority();
        using var issued = authority.Issue();
        var server = await NatsServer.StartAsync(
            config: """tls { cert_file: "/mnt/cert.pem", key_file: "/mnt/key.pem" }""",
            files: new Dictionary<string, string>
            {
                ["cert.pem"] = issued.ExportCertificatePem(), ["key.pem"] = issued.GetECDsaPrivateKey()!.ExportPkcs8PrivateKeyPem(),
            });
        return new(server, authority);
    }

    private sealed record TlsServer(NatsServer Server, TestAuthority Authority) : IAsyncDisposable
    {
        public NatsOpts Options => new() { Url = Server.Url, TlsOpts = new() { InsecureSkipVerify = true } };

        public async ValueTask DisposeAsync()
        {
            await Server.DisposeAsync();
            Authority.Dispose();
        }
    }
}
