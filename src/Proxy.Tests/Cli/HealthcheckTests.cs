using System.Net;
using System.Net.Sockets;
using Proxy.Cli;
using Proxy.Tests.Backends;
using Proxy.Tests.Config;

namespace Proxy.Tests.Cli;

public sealed class HealthcheckTests : IDisposable
{
    private readonly CommandLine proxy = new();

    public void Dispose() => proxy.Dispose();

    [Fact]
    public async Task A_proxy_that_is_well_Exits_0()
    {
        await using var host = new RecordedHost().Json("/health", "{}").Json("/ready", "{}", 503);
        proxy.Config = $"[server]\nlisten = [\"{host.Address}\"]";

        Assert.Equal((ExitCode.Ok, "", ""), await proxy.RunAsync("healthcheck"));
        Assert.Equal((ExitCode.Failed, "", $"{host.Address} answers 503 at /ready\n"), await proxy.RunAsync("healthcheck --ready"));
    }

    [Fact]
    public async Task A_unix_listener_Is_asked_there()
    {
        await using var host = new RecordedHost(proxy.InFolder("http.sock")).Json("/health", "{}");
        proxy.Config = $"[server]\nlisten = [\"{host.Address}\"]";

        Assert.Equal(ExitCode.Ok, (await proxy.RunAsync("healthcheck")).Code);
    }

    [Fact]
    public async Task A_TLS_listener_Is_asked_whatever_name_its_certificate_has()
    {
        await using var host = new RecordedHost(certificate: Toml.Certificate()).Json("/health", "{}");
        await File.WriteAllTextAsync(proxy.InFolder("c.pem"), Toml.CertPem, TestContext.Current.CancellationToken);
        await File.WriteAllTextAsync(proxy.InFolder("k.pem"), Toml.KeyPem, TestContext.Current.CancellationToken);
        proxy.Config = $"[server]\nlisten = [\"{host.Address}\"]\n[server.tls]\ncert = \"c.pem\"\nkey = \"k.pem\"";

        Assert.Equal(ExitCode.Ok, (await proxy.RunAsync("healthcheck")).Code);
    }

    [Fact]
    public async Task What_listens_on_every_address_Is_asked_at_loopback()
    {
        await using var host = new RecordedHost().Json("/health", "{}");
        proxy.Config = $"[server]\nlisten = [\"0.0.0.0:{host.Address.Split(':')[1]}\"]\n[auth]\nallow_anonymous = true";

        Assert.Equal(ExitCode.Ok, (await proxy.RunAsync("healthcheck")).Code);
    }

    [Fact]
    public async Task A_file_that_was_spoilt_meanwhile_Does_not_make_the_proxy_ill()
    {
        await using var host = new RecordedHost().Json("/health", "{}");
        proxy.Config = $"[server]\nlisten = [\"{host.Address}\"]\nnonsense = 1";

        Assert.Equal(ExitCode.Ok, (await proxy.RunAsync("healthcheck")).Code);
    }

    [Fact]
    public async Task A_named_address_Goes_before_the_files()
    {
        await using var host = new RecordedHost().Json("/health", "{}");
        proxy.Config = "[server]\nlisten = [\"127.0.0.1:0\"]";

        Assert.Equal(ExitCode.Ok, (await proxy.RunAsync($"healthcheck --listen {host.Address}")).Code);
    }

    [Fact]
    public async Task A_proxy_that_is_not_there_Exits_1_with_the_reason()
    {
        using var gone = new TcpListener(IPAddress.Loopback, 0);
        gone.Start();
        var address = gone.LocalEndpoint.ToString();
        gone.Stop();

        Assert.Equal((ExitCode.Failed, "", $"{address}: Connection refused\n"), await proxy.RunAsync($"healthcheck --listen {address}"));
    }

    [Fact]
    public async Task A_proxy_that_hangs_Exits_1_within_the_timeout()
    {
        using var silent = new TcpListener(IPAddress.Loopback, 0);
        silent.Start();

        var (code, _, error) = await proxy.RunAsync($"healthcheck --timeout 50ms --listen {silent.LocalEndpoint}");

        Assert.Equal((ExitCode.Failed, $"{silent.LocalEndpoint}: no answer within 50ms\n"), (code, error));
    }
}
