using System.Diagnostics;
using System.Net;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>
/// A page of another origin in a real Chromium: without <c>origins</c> it can neither read an answer nor make a host work; with <c>origins</c> it can.
/// </summary>
[Trait("Category", "Sdk")]
public sealed class BrowserTests : IAsyncLifetime
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
        // One request of each kind that a page can make: with a preflight, without one, and without access to the answer.
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

        var page = await VisitAsync();

        Assert.Contains("json: blocked", page, StringComparison.Ordinal);
        Assert.Contains("plain: blocked", page, StringComparison.Ordinal);
        Assert.Contains("models: blocked", page, StringComparison.Ordinal);
        Assert.DoesNotContain("the answer", page, StringComparison.Ordinal);
        Assert.DoesNotContain("secret-model", page, StringComparison.Ordinal);
        // The attempts reached the proxy, which refused them.
        Assert.Contains(proxy.Log.Lines, line => ProxyLog.Text(line, "status") == "403");
        Assert.Empty(host.Calls);
    }

    [Fact]
    public async Task Strangers_name_points_to_this_machine_The_page_reads_nothing()
    {
        await using var proxy = await ProxyProcess.StartAsync(Config(""));

        using var browser = new Browser(
            "--host-resolver-rules=MAP evil.example 127.0.0.1", "--dump-dom", $"http://evil.example:{proxy.Address.Port}/v1/models");
        var page = await browser.PrintedAsync();

        Assert.DoesNotContain("secret-model", page, StringComparison.Ordinal);
        Assert.Contains("error", page, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Allowed_page_calls_It_reads_whole_and_streamed_answers()
    {
        await using var proxy = await ProxyProcess.StartAsync(Config($"origins = [\"{site.Url}\"]"));
        Page(proxy.Address, """
            const H = { 'content-type': 'application/json', 'authorization': 'Bearer sk-x', 'x-stainless-lang': 'js' };
            await attempt('json', () => fetch(P + '/v1/chat/completions', { method: 'POST', headers: H, body: B }));
            await attempt('stream', async () => {
              const reply = await fetch(P + '/v1/chat/completions',
                { method: 'POST', headers: { 'content-type': 'application/json' }, body: B.replace('"m"', '"m","stream":true') });
              const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
              let text = '';
              for (let piece = await reader.read(); !piece.done; piece = await reader.read()) text += piece.value;
              return { status: reply.status, text: async () => text };
            });
            await attempt('models', () => fetch(P + '/v1/models'));
            await attempt('trace', async () => ({ status: 'id', text: async () => (await fetch(P + '/v1/models')).headers.get('x-trace-id') }));
            """);

        var page = await VisitAsync();

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
        let report = '';
        async function attempt(name, call) {
          try { const reply = await call(); report += `${name}: ${reply.status} ${await reply.text()}\n`; }
          catch (error) { report += `${name}: blocked ${error}\n`; }
        }
        {{script}}
        await fetch('/report', { method: 'POST', body: report });
        </script></body>
        """;

    /// <summary>Opens the page and returns its script's report.</summary>
    private async Task<string> VisitAsync()
    {
        site.Answer(exchange => exchange.WholeAsync(200, "text/plain", "thanks"));
        var report = site.NextCallAsync();
        using var browser = new Browser("--remote-debugging-port=0", $"{site.Url}/page");
        return (await report).Request.Text;
    }

    /// <summary>A Chromium with a profile of its own; disposing it ends it with all its children.</summary>
    private sealed class Browser : IDisposable
    {
        private readonly Process process;
        private readonly DirectoryInfo profile;
        private readonly Task<string> printed;

        public Browser(params string[] arguments)
        {
            var chromium = new[] { "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome" }.FirstOrDefault(File.Exists);
            Assert.SkipWhen(chromium is null, "needs Chromium: ./build.sh setup test");
            profile = Directory.CreateTempSubdirectory("proxy-browser-");
            process = new Process
            {
                StartInfo = new ProcessStartInfo(chromium!, [
                    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
                    "--disable-component-update", "--disable-sync",
                    "--disable-dev-shm-usage", "--no-proxy-server", $"--user-data-dir={profile.FullName}", .. arguments])
                { RedirectStandardOutput = true, RedirectStandardError = true },
            };
            process.Start();
            printed = process.StandardOutput.ReadToEndAsync();
            process.BeginErrorReadLine();
        }

        public async Task<string> PrintedAsync() => WebUtility.HtmlDecode(await Patience.For(printed, "the browser's page"));

        public void Dispose()
        {
            if (!process.HasExited)
                process.Kill(entireProcessTree: true);
            process.WaitForExit();
            process.Dispose();
            try
            {
                profile.Delete(recursive: true);
            }
            catch (IOException)
            {
                // A child process that is still ending writes its last file; the folder is temporary.
            }
        }
    }
}
