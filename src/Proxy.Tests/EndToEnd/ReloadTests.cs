using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using Proxy.Tests.Backends;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>A reload applies the settings that it can, and names the others as long as the file differs from the settings in use.</summary>
public sealed class ReloadTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("proxy-reload-").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public async Task Authority_changes_under_its_path_The_host_is_trusted_by_the_new_one()
    {
        using var old = new TestAuthority();
        using var next = new TestAuthority();
        using var issued = next.Issue();
        await using var host = new RecordedHost(certificate: X509CertificateLoader.LoadPkcs12(issued.Export(X509ContentType.Pkcs12), null))
            .Json("/v1/models", """{"object":"list","data":[]}""").Json("/v1/chat/completions", OpenAi.Whole("trusted"));
        var ca = Write("ca.pem", old.Pem);
        await using var proxy = await ProxyProcess.StartAsync($"{Log()}\n{Host(host.Url)}\nca = \"{ca}\"");
        Assert.Equal(502, (await ChatAsync(proxy)).Status);

        Write("ca.pem", next.Pem);
        var reload = await proxy.CommandAsync("reload");

        Assert.Equal((0, "reloaded"), (reload.ExitCode, reload.Output.Trim()));
        await Patience.Until(async () => (await ChatAsync(proxy)).Text.Contains("trusted", StringComparison.Ordinal), "the host is trusted");
    }

    [Fact]
    public async Task Credential_and_certificate_change_under_their_paths_The_new_ones_are_used()
    {
        await using var host = FakeBackend.Start();
        host.Answer(exchange => exchange.JsonAsync(OpenAi.Whole("fine")));
        using var before = TestAuthority.SelfSigned();
        using var after = TestAuthority.SelfSigned();
        var tls = $"[server.tls]\ncert = \"{Write("cert.pem", before.ExportCertificatePem())}\"\nkey = \"{Write("key.pem", KeyOf(before))}\"";
        await using var proxy = await ProxyProcess.StartAsync($"{Log("\n" + tls)}\n{Host(host.Url)}\nkey_file = \"{Write("host.key", "old-key")}\"");
        Assert.Equal(before.Thumbprint, await ShownAsync(proxy.Address));

        Write("cert.pem", after.ExportCertificatePem());
        Write("key.pem", KeyOf(after));
        Write("host.key", "new-key");
        var reload = await proxy.CommandAsync("reload");

        Assert.Equal((0, "reloaded"), (reload.ExitCode, reload.Output.Trim()));
        Assert.Equal(after.Thumbprint, await ShownAsync(proxy.Address));
        await Patience.Until(
            () => Task.FromResult(host.Probes.Any(probe => probe.Header("authorization") == "Bearer new-key")), "the host is asked with the new key");
    }

    [Fact]
    public async Task Only_a_start_can_change_it_Each_part_is_named_until_the_file_says_what_runs()
    {
        var config = Log();
        await using var proxy = await ProxyProcess.StartAsync(config);
        var changed = """
            [server]
            listen = ["127.0.0.2:0"]
            transport = "OTHER"
            [log]
            format = "text"
            [inference]
            bundled = false
            """.Replace("OTHER", config.Contains("\"sockets\"", StringComparison.Ordinal) ? "epoll" : "sockets", StringComparison.Ordinal);
        string[] sections = ["[server] listen", "[server] transport", "[inference]", "[log] format"];

        for (var round = 0; round < 2; round++)
        {
            await File.WriteAllTextAsync(proxy.ConfigFile, changed, TestContext.Current.CancellationToken);
            var reload = await proxy.CommandAsync("reload");
            Assert.Equal(5, reload.ExitCode);
            Assert.All(
                sections, section => Assert.Contains($"{section}: the file differs from the setting in use", reload.Output, StringComparison.Ordinal));
        }

        await File.WriteAllTextAsync(proxy.ConfigFile, config, TestContext.Current.CancellationToken);
        Assert.Equal((0, "reloaded"), (await proxy.CommandAsync("reload")) is var back ? (back.ExitCode, back.Output.Trim()) : default);
        await Patience.Until(() => Task.FromResult(proxy.Log.Lines.Count(line => ProxyLog.Text(line, "event") == "needs_restart") == 2 * sections.Length),
            "each part is in the log, each time");
    }

    [Fact]
    public async Task Level_of_the_log_changes_It_holds_from_then_on()
    {
        await using var host = FakeBackend.Start();
        host.Answer(exchange => exchange.JsonAsync(OpenAi.Whole("fine")));
        var config = $"{Log()}\n{Host(host.Url)}";
        await using var proxy = await ProxyProcess.StartAsync(config);

        await File.WriteAllTextAsync(
            proxy.ConfigFile, config.Replace("[log]", "[log]\nlevel = \"error\"", StringComparison.Ordinal), TestContext.Current.CancellationToken);
        Assert.Equal(0, (await proxy.CommandAsync("reload")).ExitCode);
        await ChatAsync(proxy, "x-correlation-id: silent");
        await File.WriteAllTextAsync(proxy.ConfigFile, config, TestContext.Current.CancellationToken);
        Assert.Equal(0, (await proxy.CommandAsync("reload")).ExitCode);
        await ChatAsync(proxy, "x-correlation-id: told");

        await proxy.Log.CallAsync("told");
        Assert.DoesNotContain(proxy.Log.Lines, line => ProxyLog.Text(line, "correlation_id") == "silent");
    }

    private static string Log(string server = "") => $"{FrontDoor.Server(server)}\n[log]\nformat = \"json\"";

    private static string Host(string url) => $"[[backends]]\nname = \"host\"\nurl = \"{url}\"\ndialects = [\"openai\"]\nmodels = [\"m\"]";

    private static Task<RawReply> ChatAsync(ProxyProcess proxy, params string[] headers) =>
        RawClient.SendAsync(proxy.Address, "POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(OpenAi.Request("m")), headers);

    private static string KeyOf(X509Certificate2 certificate) => certificate.GetECDsaPrivateKey()!.ExportPkcs8PrivateKeyPem();

    private static async Task<string> ShownAsync(Uri address)
    {
        using var socket = new TcpClient(address.Host, address.Port);
#pragma warning disable CA5359 // the test looks at the certificate itself
        await using var stream = new SslStream(socket.GetStream(), false, static (_, _, _, _) => true);
#pragma warning restore CA5359
        await stream.AuthenticateAsClientAsync("127.0.0.1");
        return new X509Certificate2(stream.RemoteCertificate!).Thumbprint;
    }

    private string Write(string name, string text)
    {
        var path = Path.Combine(folder, name);
        File.WriteAllText(path, text);
        return path;
    }
}
