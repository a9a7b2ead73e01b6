using System.Diagnostics;
using System.Net;
using System.Text.RegularExpressions;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>A page of a foreign origin in a real Chromium: without <c>origins</c> it can neither read an answer nor make a host work; with them it can.</summary>
[Trait("Category", "Sdk")]
public sealed partial class BrowserTests : IAsyncLifetime
{
    private readonly FakeBackend host = FakeBackend.Start();
    private readonly FakeBackend site = FakeBackend.Start();

    public ValueTask InitializeAsync()
    {
        host.Answer(exchange => exchange.Request.Json.TryGetProperty("stream", out var stream) && stream.GetBoolean()
            ? exchange.StreamAsync(OpenAi.Sse, OpenAi.Stream("the ", "answer"))
            : exchange.JsonAsync(OpenAi.Whole("the answer")));
        return ValueTask.CompletedTask;
    }

    public async ValueTask DisposeAsync()
    {
        await host.DisposeAsync();
        await site.DisposeAsync();
    }

    [Fact]
    public async Task Foreign_page_calls_an_anonymous_proxy_It_reads_nothing_and_no_host_is_asked()
    {
        await using var proxy = await ProxyProcess.StartAsync(Config(""));
        // A request of each kind a page can make: with preflight, without one, and blindly.
        Page(proxy.Address, """
            await attempt('json', () => fetch(P + '/v1/chat/completions', { method: 'POST', headers: { 'content-type': 'application/json' }, body: B }));
            await attempt('plain', () => fetch(P + '/v1/chat/completions', { method: 'POST', headers: { 'content-type': 'text/plain' }, body: B }));
            await attempt('blind', () => fetch(P + '/v1/chat/completions', { method: 'POST', mode: 'no-cors', body: B }));
            await attempt('ollama', () => fetch(P + '/api/chat', { method: 'POST', mode: 'no-cors', body: B }));
            await attempt('models', () => fetch(P + '/v1/models'));
            await attempt('beacon', async () => ({ status: navigator.sendBeacon(P + '/v1/chat/completions', B), text: async () => '' }));
            const form = document.createElement('form');
            form.method = 'POST'; form.enctype = 'text/plain'; form.action = P + '/v1/chat/completions'; form.target = 'frame';
            form.innerHTML = '<input name=\'{"model":"m","messages":[],"x":"\' value=\'"}\'>';
            document.body.append(form);
            const frame = document.createElement('iframe'); frame.name = 'frame'; document.body.append(frame);
            await new Promise(done => { frame.onload = done; form.submit(); setTimeout(done, 3000); });
            """);

        var page = await BrowseAsync($"{site.Url}/page");

        Assert.Contains("json: blocked", page, StringComparison.Ordinal);
        Assert.Contains("plain: blocked", page, StringComparison.Ordinal);
        Assert.Contains("models: blocked", page, StringComparison.Ordinal);
        Assert.DoesNotContain("the answer", page, StringComparison.Ordinal);
        Assert.DoesNotContain("secret-model", page, StringComparison.Ordinal);
        // The attempts did reach the proxy; it is the proxy that refused them.
        Assert.Contains(proxy.Log.Lines, line => ProxyLog.Text(line, "status") == "403");
        Assert.Empty(host.Calls);
    }

    [Fact]
    public async Task Strangers_name_points_to_this_machine_The_page_reads_nothing()
    {
        await using var proxy = await ProxyProcess.StartAsync(Config(""));

        var page = await BrowseAsync($"http://evil.example:{proxy.Address.Port}/v1/models", "--host-resolver-rules=MAP evil.example 127.0.0.1");

        Assert.DoesNotContain("secret-model", page, StringComparison.Ordinal);
        Assert.Contains("error", page, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Allowed_page_calls_It_reads_whole_and_streamed_answers()
    {
        await using var proxy = await ProxyProcess.StartAsync(Config($"origins = [\"{site.Url}\"]"));
        Page(proxy.Address, """
            await attempt('json', () => fetch(P + '/v1/chat/completions', { method: 'POST', headers: { 'content-type': 'application/json', 'authorization': 'Bearer sk-x', 'x-stainless-lang': 'js' }, body: B }));
            await attempt('stream', async () => {
              const reply = await fetch(P + '/v1/chat/completions', { method: 'POST', headers: { 'content-type': 'application/json' }, body: B.replace('"m"', '"m","stream":true') });
              const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
              let text = '';
              for (let piece = await reader.read(); !piece.done; piece = await reader.read()) text += piece.value;
              return { status: reply.status, text: async () => text };
            });
            await attempt('models', () => fetch(P + '/v1/models'));
            await attempt('trace', async () => ({ status: 'id', text: async () => (await fetch(P + '/v1/models')).headers.get('x-trace-id') }));
            """);

        var page = await BrowseAsync($"{site.Url}/page");

        Assert.Contains("json: 200", page, StringComparison.Ordinal);
        Assert.Contains("the answer", page, StringComparison.Ordinal);
        Assert.True(page.Contains("stream: 200", StringComparison.Ordinal), page);
        Assert.Contains("[DONE]", page, StringComparison.Ordinal);
        Assert.Contains("secret-model", page, StringComparison.Ordinal);
        Assert.Matches("trace: id [0-9A-Z]{26}", page);
        Assert.Equal(2, host.Calls.Count);
    }

    private string Config(string server) => $"""
        default_backend = "host"
        {FrontDoor.Server(server)}
        [log]
        format = "json"
        [[backends]]
        name = "host"
        url = "{host.Url}"
        dialects = ["openai"]
        models = ["m", "secret-model"]
        """;

    private void Page(Uri proxy, string script) => site.Pages["/page"] = $$"""
        <!doctype html><title>page</title><body><script type="module">
        const P = '{{proxy.GetLeftPart(UriPartial.Authority)}}', B = '{"model":"m","messages":[{"role":"user","content":"hello"}]}';
        const report = document.createElement('pre'); document.body.append(report);
        async function attempt(name, call) {
          try { const reply = await call(); report.append(`${name}: ${reply.status} ${await reply.text()}\n`); }
          catch (error) { report.append(`${name}: blocked ${error}\n`); }
        }
        {{script}}
        report.append('all attempts made');
        </script></body>
        """;

    /// <summary>What the page holds once its script has run.</summary>
    private static async Task<string> BrowseAsync(string url, params string[] more)
    {
        var chromium = new[] { "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome" }.FirstOrDefault(File.Exists);
        Assert.SkipWhen(chromium is null, "no Chromium on this machine (Debian: apt-get install chromium)");
        var profile = Directory.CreateTempSubdirectory("proxy-browser-");
        using var process = new Process
        {
            StartInfo = new ProcessStartInfo(chromium!, [
                "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
                "--no-proxy-server", $"--user-data-dir={profile.FullName}", "--timeout=20000", "--virtual-time-budget=15000", "--dump-dom", .. more, url])
            { RedirectStandardOutput = true, RedirectStandardError = true },
        };
        process.Start();
        try
        {
            var output = process.StandardOutput.ReadToEndAsync();
            var errors = process.StandardError.ReadToEndAsync();
            await Patience.For(process.WaitForExitAsync(), "the browser's end", TimeSpan.FromSeconds(60));
            var page = WebUtility.HtmlDecode(await output);
            Assert.True(!Scripted().IsMatch(page) || page.Contains("all attempts made", StringComparison.Ordinal), page + await errors);
            return page;
        }
        finally
        {
            if (!process.HasExited)
                process.Kill(entireProcessTree: true);
            await process.WaitForExitAsync(CancellationToken.None);
            // The browser's children let go of their files a moment after it has ended.
            await Patience.Until(() => Task.FromResult(Deleted(profile)), "the browser's files are gone");
        }
    }

    private static bool Deleted(DirectoryInfo folder)
    {
        try
        {
            folder.Delete(recursive: true);
            return true;
        }
        catch (IOException)
        {
            return false;
        }
    }

    [GeneratedRegex("<title>page</title>")]
    private static partial Regex Scripted();
}
