using System.Net;
using System.Numerics.Tensors;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json;
using Proxy.Tests.Harness;
using Proxy.Tests.Inference;
using Proxy.Tests.Sdk;

namespace Proxy.Tests.EndToEnd;

/// <summary>One copied file is enough: TLS on both sides in a Debian without OpenSSL, ICU or the C++ library.</summary>
[Trait("Category", "System")]
public sealed class BareBoxTests
{
    const string Certificate = "/etc/proxy/cert.pem";
    const string Key = "/etc/proxy/key.pem";
    const string Authority = "/etc/proxy/authority.pem";

    /// <summary>Fedora's place for certificate authorities, in which Debian's OpenSSL does not look.</summary>
    const string MachineAuthorities = "/etc/pki/tls/certs/ca-bundle.crt";

    [Theory]
    [InlineData("bullseye")]
    [InlineData("bookworm")]
    public async Task Bare_Debian_Chats_are_streamed_over_TLS_from_a_host_with_a_private_authority(string release)
    {
        DebianTree.Require();
        Assert.Empty(DebianTree.Strangers(await DebianTree.BareAsync(release)));
        using var authority = new TestAuthority();
        await using var host = await TokenHost.StartAsync(authority.Issue());
        using var own = TestAuthority.SelfSigned();
        await using var box = await BareBox.StartAsync(release, Files(own, $"""
            [[backends]]
            name = "known"
            url = "{host.Url}"
            dialects = ["openai"]
            models = ["known"]
            ca = "{Authority}"
            """, (Authority, authority.Pem)));
        using var client = Trusting(own, box.Address);

        Assert.Equal("https", box.Address.Scheme);
        using var chat = await StreamedChat.BeginAsync(client, "known"); // the host has more to send and waits
        host.Release();

        Assert.Equal(TokenHost.Stream("known"), await chat.EndAsync());
    }

    [Fact]
    public async Task Bare_Debian_A_host_with_an_unknown_authority_is_not_trusted()
    {
        DebianTree.Require();
        using var authority = new TestAuthority();
        await using var host = await TokenHost.StartAsync(authority.Issue());
        using var own = TestAuthority.SelfSigned();
        await using var box = await BareBox.StartAsync("bookworm", Files(own, Plain(host)));
        using var client = Trusting(own, box.Address);

        using var reply = await StreamedChat.SendAsync(client, "plain");

        Assert.True(reply.StatusCode is HttpStatusCode.BadGateway or HttpStatusCode.ServiceUnavailable, reply.StatusCode.ToString());
        Assert.Equal(0, host.Calls);
    }

    [Fact]
    public async Task Authorities_are_where_Fedora_keeps_them_The_host_is_trusted()
    {
        DebianTree.Require();
        using var authority = new TestAuthority();
        await using var host = await TokenHost.StartAsync(authority.Issue());
        host.Release();
        using var own = TestAuthority.SelfSigned();
        await using var box = await BareBox.StartAsync("bookworm", Files(own, Plain(host), (MachineAuthorities, authority.Pem)));
        using var client = Trusting(own, box.Address);

        using var chat = await StreamedChat.BeginAsync(client, "plain");

        Assert.Equal(TokenHost.Stream("plain"), await chat.EndAsync());
    }

    [Theory]
    [InlineData("bullseye")]
    [InlineData("bookworm")]
    public async Task Bare_Debian_The_model_inside_embeds(string release)
    {
        DebianTree.Require();
        using var own = TestAuthority.SelfSigned();
        await using var box = await BareBox.StartAsync(release, Files(own, ""));
        using var client = Trusting(own, box.Address);
        var line = TestModels.Lines("all-minilm-q4", "golden.jsonl").First();

        using var reply = await client.PostAsync("/v1/embeddings",
            new StringContent($$"""{"model":"all-minilm-q4","input":{{line.GetProperty("text").GetRawText()}}}""", Encoding.UTF8, "application/json"),
            TestContext.Current.CancellationToken);

        var body = await reply.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
        Assert.True(reply.IsSuccessStatusCode, $"{body}\n{box.Output}");
        float[] vector = [.. JsonDocument.Parse(body).RootElement.GetProperty("data")[0].GetProperty("embedding").EnumerateArray()
            .Select(static number => number.GetSingle())];
        Assert.InRange(TensorPrimitives.CosineSimilarity(line.Vector()!, vector), 0.999f, 1.0001f);
    }

    [Fact]
    public async Task Bare_Debian_Clients_embed_and_rerank_Answers_are_the_reference_s()
    {
        const string Models = "/srv/models";
        DebianTree.Require();
        using var models = new LocalModelFolders();
        await using var box = await BareBox.StartAsync("bullseye", new Dictionary<string, string> { ["/etc/proxy.toml"] = FrontDoor.Server()
            + LocalModelFolders.Sections(Models) }, new Dictionary<string, string> { [Models] = models.Path });

        var javaScript = await Script.NodeAsync("local.mjs", box.Address, LocalModelFolders.Golden);
        var python = await Script.PythonAsync("local_client.py", box.Address, LocalModelFolders.Golden);

        Assert.Equal((LocalModelFolders.ThingsInJavaScript, LocalModelFolders.ThingsInPython), (javaScript.Count, python.Count));
    }

    static string Plain(TokenHost host) => $"""
        [[backends]]
        name = "plain"
        url = "{host.Url}"
        dialects = ["openai"]
        models = ["plain"]
        """;

    static Dictionary<string, string> Files(X509Certificate2 own, string backends, params (string Path, string Text)[] more)
    {
        var config = $"""
            [server]
            listen = ["127.0.0.1:0"]
            [server.tls]
            cert = "{Certificate}"
            key = "{Key}"
            {backends}
            """;
        using var key = own.GetECDsaPrivateKey()!;
        return new([
            new("/etc/proxy.toml", config),
            new(Certificate, own.ExportCertificatePem()),
            new(Key, key.ExportPkcs8PrivateKeyPem()),
            .. more.Select(file => KeyValuePair.Create(file.Path, file.Text)),
        ]);
    }

    /// <summary>A client that accepts only this certificate.</summary>
    static HttpClient Trusting(X509Certificate2 certificate, Uri address) => new(new SocketsHttpHandler
    {
        SslOptions = { RemoteCertificateValidationCallback = (_, shown, _, _) => shown!.GetCertHashString() == certificate.GetCertHashString() },
    })
    {
        BaseAddress = address,
    };
}
