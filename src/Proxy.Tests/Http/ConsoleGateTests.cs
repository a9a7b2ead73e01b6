using Microsoft.AspNetCore.Http;
using Proxy.Config;
using Proxy.Http;

namespace Proxy.Tests.Http;

/// <summary>Who may open the console, and read what it shows.</summary>
public sealed class ConsoleGateTests
{
    private static readonly ApiKeyConfig Boss = new() { Name = "boss", Sha256 = ApiKeyConfig.Digest("b"), Admin = true };
    private static readonly ApiKeyConfig Worker = new() { Name = "worker", Sha256 = ApiKeyConfig.Digest("w") };

    private static (int Page, int Data) Admit(AuthConfig auth, bool local, params string[] headers)
    {
        var context = new DefaultHttpContext();
        context.Features.Set(new ConnectionFeature(local, admin: false));
        context.Request.Scheme = "http";
        context.Request.Headers.Host = "localhost:11435";
        foreach (var header in headers)
        {
            var at = header.IndexOf(':', StringComparison.Ordinal);
            context.Request.Headers[header[..at]] = header[(at + 1)..].TrimStart();
        }

        var gate = new ApiKeyGate(new ProxyConfig { Auth = auth }, TimeProvider.System);
        return (gate.AdmitPage(context)?.Status ?? 200, gate.AdmitOperator(context)?.Status ?? 200);
    }

    [Theory]
    [InlineData(200, "Authorization: Bearer b")]
    [InlineData(200, "x-api-key: b")]
    [InlineData(200, "Authorization: Bearer b", "Host: ai.example", "x-forwarded-for: 10.0.0.1")]
    [InlineData(403, "Authorization: Bearer w")]
    [InlineData(401, "Authorization: Bearer x")]
    [InlineData(401, "Authorization: Bearer ")]
    [InlineData(401)]
    public void Keys_are_configured_Everyone_gets_the_page_and_only_an_operators_key_the_data(int expected, params string[] headers)
    {
        foreach (var local in new[] { true, false })
            Assert.Equal((200, expected), Admit(new() { Keys = [Worker, Boss], AllowAnonymous = true }, local, headers));
    }

    [Theory]
    [InlineData(200)]
    [InlineData(200, "Host: 127.0.0.1:11435")]
    [InlineData(200, "Host: 127.1.2.3")]
    [InlineData(200, "Host: [::1]:11435")]
    [InlineData(200, "Host: LOCALHOST.", "Origin: http://LOCALHOST.")]
    [InlineData(200, "Origin: http://localhost:11435")]
    [InlineData(200, "Sec-Fetch-Site: same-origin")]
    [InlineData(200, "Sec-Fetch-Site: none")]
    [InlineData(200, "Authorization: Bearer anything")]
    [InlineData(403, "Host: ")]
    [InlineData(403, "Host: evil.example")]
    [InlineData(403, "Host: localhost.evil.example")]
    [InlineData(403, "Host: evil@localhost")]
    [InlineData(403, "Host: 192.168.1.7:11435")] // an address, but not of loopback
    [InlineData(403, "Origin: http://localhost:3000")]
    [InlineData(403, "Origin: https://localhost:11435")]
    [InlineData(403, "Origin: http://evil.example")]
    [InlineData(403, "Origin: null")]
    [InlineData(403, "Sec-Fetch-Site: cross-site")]
    [InlineData(403, "Sec-Fetch-Site: same-site")]
    [InlineData(403, "X-Forwarded-For: 127.0.0.1")]
    [InlineData(403, "X-Forwarded-Proto: https")]
    [InlineData(403, "Forwarded: for=127.0.0.1")]
    [InlineData(403, "X-Real-IP: 127.0.0.1")]
    [InlineData(403, "Via: 1.1 front")]
    public void No_key_is_configured_Only_a_browser_of_this_machine_is_trusted(int expected, params string[] headers)
    {
        foreach (var anonymous in new[] { true, false })
        {
            Assert.Equal((expected, expected), Admit(new() { AllowAnonymous = anonymous }, local: true, headers));
            Assert.Equal((403, 403), Admit(new() { AllowAnonymous = anonymous }, local: false, headers));
        }
    }

    [Fact]
    public async Task Console_is_off_There_is_nothing()
    {
        await using var edge = await Edge.StartAsync(new ProxyConfig { Console = new() { Enabled = false } });

        foreach (var path in new[] { "/console", "/console/", "/console/main.js", "/console/api/state", "/console/api/events" })
            Assert.Equal(404, (await edge.SendAsync("GET", path)).Status);
    }

    [Fact]
    public async Task Stranger_opens_the_page_It_says_why_not_and_what_to_do()
    {
        await using var edge = await Edge.StartAsync(new ProxyConfig());

        var (status, text, reply) = await edge.SendAsync("GET", "/console", null, "Host: not-here.example");

        Assert.Equal((403, "text/html"), (status, reply.Content.Headers.ContentType?.MediaType));
        Assert.Contains("proxy keys new NAME --admin", text, StringComparison.Ordinal);
        Assert.Contains("&#39;not-here.example&#39;", text, StringComparison.Ordinal); // what a client sends is escaped
        Assert.Contains("default-src 'none'", string.Join(' ', reply.Headers.GetValues("content-security-policy")), StringComparison.Ordinal);
    }
}
