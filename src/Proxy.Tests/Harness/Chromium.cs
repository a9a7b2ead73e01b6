using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Net.WebSockets;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Proxy.Tests.Harness;

/// <summary>A headless Chromium with a profile of its own, driven by its DevTools protocol. Disposing it ends it with all its children.</summary>
internal sealed class Chromium : IAsyncDisposable
{
    private readonly Process process;
    private readonly DirectoryInfo profile;
    private readonly ClientWebSocket socket = new();
    private readonly SemaphoreSlim sending = new(1, 1);
    private readonly ConcurrentDictionary<int, TaskCompletionSource<JsonObject>> asked = new();
    private readonly ConcurrentDictionary<string, ChromiumPage> pages = new();
    private readonly CancellationTokenSource ending = new();
    private Task reading = Task.CompletedTask;
    private int last;

    private Chromium(Process process, DirectoryInfo profile)
    {
        this.process = process;
        this.profile = profile;
    }

    public static async Task<Chromium> StartAsync()
    {
        var program = new[] { "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome" }.FirstOrDefault(File.Exists);
        Assert.SkipWhen(program is null, "needs Chromium: ./build.sh setup test");
        var profile = Directory.CreateTempSubdirectory("proxy-chromium-");
        var process = new Process
        {
            StartInfo = new ProcessStartInfo(program!, [
                "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync",
                "--disable-component-update", "--disable-dev-shm-usage", "--no-proxy-server", "--hide-scrollbars", "--font-render-hinting=none",
                "--remote-debugging-port=0", $"--user-data-dir={profile.FullName}", "about:blank"])
            { RedirectStandardOutput = true, RedirectStandardError = true },
        };
        var address = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        process.ErrorDataReceived += (_, line) =>
        {
            if (line.Data?.IndexOf("ws://", StringComparison.Ordinal) is { } at and >= 0) address.TrySetResult(line.Data[at..].Trim());
        };
        process.Start();
        process.BeginErrorReadLine();
        process.BeginOutputReadLine();
        var browser = new Chromium(process, profile);
        try
        {
            await browser.socket.ConnectAsync(new Uri(await Patience.For(address.Task, "Chromium's address")), CancellationToken.None);
            browser.reading = browser.ReadAsync();
            return browser;
        }
        catch
        {
            await browser.DisposeAsync();
            throw;
        }
    }

    /// <summary>Opens a page whose storage no other page shares.</summary>
    public async Task<ChromiumPage> OpenAsync()
    {
        var context = (string)(await SendAsync("Target.createBrowserContext", []))["browserContextId"]!;
        var target = (string)(await SendAsync("Target.createTarget", new() { ["url"] = "about:blank", ["browserContextId"] = context }))["targetId"]!;
        var session = (string)(await SendAsync("Target.attachToTarget", new() { ["targetId"] = target, ["flatten"] = true }))["sessionId"]!;
        var page = pages[session] = new ChromiumPage(this, session, context);
        foreach (var domain in new[] { "Page", "Runtime", "Log", "Audits" }) await page.SendAsync($"{domain}.enable");
        await page.SizeAsync(1280, 800);
        return page;
    }

    public async Task<JsonObject> SendAsync(string method, JsonObject parameters, string? session = null)
    {
        var id = Interlocked.Increment(ref last);
        var answer = asked[id] = new(TaskCreationOptions.RunContinuationsAsynchronously);
        var message = new JsonObject { ["id"] = id, ["method"] = method, ["params"] = parameters };
        if (session is not null) message["sessionId"] = session;
        var bytes = Encoding.UTF8.GetBytes(message.ToJsonString());
        await sending.WaitAsync();
        try
        {
            await socket.SendAsync(bytes, WebSocketMessageType.Text, endOfMessage: true, ending.Token);
        }
        finally
        {
            sending.Release();
        }

        return await Patience.For(answer.Task, $"Chromium's answer to {method}");
    }

    public async ValueTask DisposeAsync()
    {
        await ending.CancelAsync();
        if (!process.HasExited) process.Kill(entireProcessTree: true);
        await process.WaitForExitAsync();
        await reading.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        process.Dispose();
        socket.Dispose();
        sending.Dispose();
        ending.Dispose();
        try
        {
            profile.Delete(recursive: true);
        }
        catch (IOException)
        {
            // A child process that is still ending writes its last file; the folder is temporary.
        }
    }

    private async Task ReadAsync()
    {
        var buffer = new byte[64 << 10];
        using var message = new MemoryStream();
        while (true)
        {
            var read = await socket.ReceiveAsync(buffer.AsMemory(), ending.Token);
            message.Write(buffer, 0, read.Count);
            if (!read.EndOfMessage) continue;
            var said = JsonNode.Parse(message.ToArray())!.AsObject();
            message.SetLength(0);
            if (said["id"] is { } id && asked.TryRemove((int)id, out var answer))
            {
                if (said["error"] is { } error) answer.TrySetException(new InvalidOperationException(error.ToJsonString()));
                else answer.TrySetResult(said["result"]!.AsObject());
            }
            else if (said["method"] is { } method && said["sessionId"] is { } session && pages.TryGetValue((string)session!, out var page))
            {
                page.Happened((string)method!, said["params"]!.AsObject());
            }
        }
    }
}

/// <summary>A page of a Chromium.</summary>
internal sealed class ChromiumPage(Chromium browser, string session, string context) : IAsyncDisposable
{
    private readonly ConcurrentQueue<string> faults = new();
    private readonly ConcurrentDictionary<string, string> fixedAnswers = new();
    private TaskCompletionSource loaded = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>What went wrong in the page so far: exceptions, errors on its console, breaches of its content security policy, messages of dialogs.</summary>
    public IReadOnlyCollection<string> Faults => faults;

    public Task<JsonObject> SendAsync(string method, JsonObject? parameters = null) => browser.SendAsync(method, parameters ?? [], session);

    /// <summary>Goes to an address and waits until it is loaded.</summary>
    public async Task GoAsync(string url)
    {
        loaded = new(TaskCreationOptions.RunContinuationsAsynchronously);
        await SendAsync("Page.navigate", new() { ["url"] = url });
        await Patience.For(loaded.Task, $"the page {url}");
    }

    /// <summary>Evaluates an expression in the page; of a promise, its value.</summary>
    public async Task<JsonNode?> EvalAsync(string expression)
    {
        var answer = await SendAsync("Runtime.evaluate", new()
        {
            ["expression"] = expression, ["awaitPromise"] = true, ["returnByValue"] = true, ["userGesture"] = true,
        });
        if (answer["exceptionDetails"] is { } problem) throw new InvalidOperationException($"{expression}: {problem.ToJsonString()}");
        return answer["result"]!["value"];
    }

    /// <summary>The text of the first element that matches a selector.</summary>
    public async Task<string> TextAsync(string selector) =>
        (string?)await EvalAsync($"document.querySelector({JsonSerializer.Serialize(selector)})?.innerText ?? ''") ?? "";

    /// <summary>Waits until an expression is true in the page.</summary>
    public async Task UntilAsync(string condition, string what)
    {
        var seen = await EvalAsync($$"""
            new Promise(done => {
              const end = Date.now() + {{(int)Patience.Long.TotalMilliseconds - 5000}};
              const look = () => {
                let is = false;
                try { is = Boolean({{condition}}); } catch { /* not yet */ }
                if (is || Date.now() > end) done(is); else setTimeout(look, 10);
              };
              look();
            })
            """);
        Assert.True((bool)seen!, $"{what}. The page shows:\n{await TextAsync("body")}\n{string.Join('\n', faults)}");
    }

    /// <summary>Waits until the page shows a text somewhere below a selector.</summary>
    public Task ShowsAsync(string selector, string text) => UntilAsync(
        $"[...document.querySelectorAll({JsonSerializer.Serialize(selector)})].some(one => one.innerText.includes({JsonSerializer.Serialize(text)}))",
        $"'{selector}' does not show '{text}'");

    /// <summary>Clicks the middle of an element.</summary>
    public async Task ClickAsync(string selector)
    {
        await UntilAsync($"document.querySelector({JsonSerializer.Serialize(selector)})?.checkVisibility()", $"there is no '{selector}'");
        var place = await EvalAsync($$"""
            (() => {
              const one = document.querySelector({{JsonSerializer.Serialize(selector)}});
              one.scrollIntoView({ block: 'center' });
              const box = one.getBoundingClientRect();
              return [box.x + box.width / 2, box.y + box.height / 2];
            })()
            """);
        foreach (var type in new[] { "mousePressed", "mouseReleased" })
        {
            await SendAsync("Input.dispatchMouseEvent", new()
            {
                ["type"] = type, ["x"] = (double)place![0]!, ["y"] = (double)place[1]!, ["button"] = "left", ["clickCount"] = 1,
            });
        }
    }

    /// <summary>Presses a key, by its name in the DOM.</summary>
    public async Task KeyAsync(string key, bool control = false)
    {
        var (code, number) = key switch
        {
            "Enter" => ("Enter", 13),
            "Escape" => ("Escape", 27),
            "Tab" => ("Tab", 9),
            _ => ("", (int)char.ToUpper(key[0], CultureInfo.InvariantCulture)),
        };
        var text = control ? null : key switch { "Enter" => "\r", { Length: 1 } => key, _ => null };
        foreach (var type in new[] { text is null ? "rawKeyDown" : "keyDown", "keyUp" })
        {
            var press = new JsonObject
            {
                ["type"] = type, ["key"] = key, ["code"] = code, ["windowsVirtualKeyCode"] = number, ["modifiers"] = control ? 2 : 0,
            };
            if (type == "keyDown") press["text"] = text;
            await SendAsync("Input.dispatchKeyEvent", press);
        }
    }

    /// <summary>Writes into the element that has the focus.</summary>
    public Task TypeAsync(string text) => SendAsync("Input.insertText", new() { ["text"] = text });

    public Task SizeAsync(int width, int height) => SendAsync("Emulation.setDeviceMetricsOverride", new()
    {
        ["width"] = width, ["height"] = height, ["deviceScaleFactor"] = 1, ["mobile"] = false,
    });

    /// <summary>Sets the colours that the system prefers: <c>light</c> or <c>dark</c>.</summary>
    public Task SchemeAsync(string scheme) => SendAsync("Emulation.setEmulatedMedia", new()
    {
        ["features"] = new JsonArray(
            new JsonObject { ["name"] = "prefers-color-scheme", ["value"] = scheme },
            new JsonObject { ["name"] = "prefers-reduced-motion", ["value"] = "reduce" }),
    });

    /// <summary>A picture of what the page shows, as PNG.</summary>
    public async Task<byte[]> PictureAsync() =>
        Convert.FromBase64String((string)(await SendAsync("Page.captureScreenshot", new() { ["format"] = "png" }))["data"]!);

    /// <summary>From now on, requests whose URL has this part get this answer and do not reach the server.</summary>
    public async Task AnswerAsync(string part, string answer)
    {
        fixedAnswers[part] = answer;
        var patterns = fixedAnswers.Keys.Select(static one => new JsonObject { ["urlPattern"] = $"*{one}*" });
        await SendAsync("Fetch.enable", new() { ["patterns"] = new JsonArray([.. patterns]) });
    }

    public async ValueTask DisposeAsync() => await browser.SendAsync("Target.disposeBrowserContext", new() { ["browserContextId"] = context });

    /// <summary>Takes an event of the page.</summary>
    public void Happened(string method, JsonObject what)
    {
        switch (method)
        {
            case "Page.loadEventFired":
                loaded.TrySetResult();
                break;
            case "Page.javascriptDialogOpening":
                faults.Enqueue($"a dialog: {what["message"]}");
                _ = SendAsync("Page.handleJavaScriptDialog", new() { ["accept"] = true });
                break;
            case "Runtime.exceptionThrown":
                faults.Enqueue($"an exception: {what.ToJsonString()}");
                break;
            case "Runtime.consoleAPICalled" when (string?)what["type"] is "error" or "assert":
                faults.Enqueue($"on the console: {what["args"]!.ToJsonString()}");
                break;
            case "Log.entryAdded" when (string?)what["entry"]!["source"] is "security" or "javascript" or "violation":
                faults.Enqueue($"in the log: {what["entry"]!.ToJsonString()}");
                break;
            case "Audits.issueAdded" when (string?)what["issue"]!["code"] is "ContentSecurityPolicyIssue":
                faults.Enqueue($"a breach of the policy: {what["issue"]!.ToJsonString()}");
                break;
            case "Fetch.requestPaused":
                _ = AnswerAsync(what);
                break;
        }
    }

    private Task<JsonObject> AnswerAsync(JsonObject paused)
    {
        var url = (string)paused["request"]!["url"]!;
        var (part, answer) = fixedAnswers.First(one => url.Contains(one.Key, StringComparison.Ordinal));
        return SendAsync("Fetch.fulfillRequest", new()
        {
            ["requestId"] = (string)paused["requestId"]!, ["responseCode"] = 200, ["body"] = Convert.ToBase64String(Encoding.UTF8.GetBytes(answer)),
            ["responseHeaders"] = new JsonArray(new JsonObject
            {
                ["name"] = "content-type", ["value"] = part.EndsWith("events", StringComparison.Ordinal) ? "text/event-stream" : "application/json",
            }),
        });
    }
}
