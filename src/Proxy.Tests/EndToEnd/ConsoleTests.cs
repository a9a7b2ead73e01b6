using System.Runtime.InteropServices;
using System.Text.Json;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>The console in a real Chromium, in front of a proxy with hosts, keys, documents and a pipeline.</summary>
[Trait("Category", "Sdk")]
[Collection(ConsoleHouse.Shared)]
public sealed class ConsoleTests(ConsoleHouse house)
{
    [Fact]
    public async Task Key_is_asked_for_Only_an_operators_opens_the_console()
    {
        await using var page = await house.OpenAsync(key: null);
        await page.ShowsAsync("h1", "Operator");

        await EnterAsync(page, "sk-wrong");
        await page.ShowsAsync("#key-error", "the API key is not valid");
        await EnterAsync(page, ConsoleHouse.Worker);
        await page.ShowsAsync("#key-error", "the key 'worker' is not an operator's");
        await EnterAsync(page, ConsoleHouse.Boss);
        await page.ShowsAsync("td.host", "narrow");

        Assert.Equal(ConsoleHouse.Boss, (string?)await page.EvalAsync("sessionStorage.getItem('console-key')"));
        Assert.Equal("", (string?)await page.EvalAsync("document.cookie"));
        await page.ClickAsync("#leave");
        await page.ShowsAsync("h1", "Operator");
        Assert.Null(await page.EvalAsync("sessionStorage.getItem('console-key')"));
        Assert.Empty(page.Faults);
    }

    [Fact]
    public async Task Calls_run_They_are_shown_and_cancelled_with_the_keyboard_alone()
    {
        await using var page = await house.OpenAsync();
        await using var first = await house.WaitingChatAsync("small", ConsoleHouse.Worker);
        await first.ReadHeadAsync();
        await using var second = await house.WaitingChatAsync("small", ConsoleHouse.Boss);
        await page.ShowsAsync("tr[data-call]", "streaming");
        await page.ShowsAsync("tr[data-call]", "in line, place 1");
        await page.ShowsAsync("td.slots", "1 of 1");
        await page.ShowsAsync("tr[data-call]", "worker");

        await page.KeyAsync("1");
        await page.KeyAsync("/");
        await page.TypeAsync("worker");
        await page.UntilAsync("document.querySelectorAll('tr[data-call]').length === 1", "the filter leaves one call");
        await page.KeyAsync("Escape");
        await page.KeyAsync("j");
        await page.UntilAsync("document.activeElement.matches('tr[data-call]')", "the call is marked");
        await page.KeyAsync("f");
        await page.ShowsAsync("dialog", "x-resume: 1"); // why it cannot be followed
        await page.KeyAsync("Escape");
        await page.UntilAsync("!document.querySelector('dialog') && document.activeElement.matches('tr[data-call]')", "the window is closed");
        await page.KeyAsync("x");
        await page.ShowsAsync("dialog", "Cancel this call?");
        await page.KeyAsync("Enter");

        var cut = await first.ReadRestAsync();
        Assert.Contains("the operator cancelled the call", cut.Text, StringComparison.Ordinal);
        await page.UntilAsync("!document.querySelector('dialog')", "the window is closed");
        await page.UntilAsync("/worker.*small.*client left/s.test(document.querySelector('tr[data-done]').innerText)", "the call is among the finished ones");
        await page.EvalAsync("document.querySelector('tr[data-done]').focus()");
        await page.KeyAsync("Enter");
        await page.ShowsAsync("dialog .facts", "cancelled");
        await page.ShowsAsync("dialog .facts", "/v1/chat/completions");
        await page.KeyAsync("Escape");
        await second.ReadHeadAsync(); // it has the slot now
        house.Release();
        Assert.Contains("third", (await second.ReadRestAsync()).Text, StringComparison.Ordinal);
        Assert.Empty(page.Faults);
    }

    [Fact]
    public async Task Stream_is_journaled_It_is_followed_while_it_runs()
    {
        await using var page = await house.OpenAsync();
        await using var client = await house.WaitingChatAsync(ConsoleHouse.Roomy, ConsoleHouse.Worker, "x-resume: 1");
        await client.ReadHeadAsync();
        await page.ShowsAsync("tr[data-call]", "wide");

        await page.ClickAsync("tr[data-call] .follow-it");
        await page.ShowsAsync("dialog .answer", "first second");
        house.Release();
        await page.ShowsAsync("dialog .answer", "third");
        await page.ShowsAsync("dialog [role=status]", "finished (stop), 3 tokens");

        Assert.Contains("third", (await client.ReadRestAsync()).Text, StringComparison.Ordinal);
        Assert.Empty(page.Faults);
    }

    [Fact]
    public async Task Followed_stream_is_cancelled_from_its_window()
    {
        await using var page = await house.OpenAsync();
        await using var client = await house.WaitingChatAsync(ConsoleHouse.Roomy, ConsoleHouse.Worker, "x-resume: 1");
        await client.ReadHeadAsync();
        await page.ClickAsync("tr[data-call] .follow-it");
        await page.ShowsAsync("dialog .answer", "first second");

        await page.ClickAsync("dialog .danger");

        Assert.Contains("the operator cancelled the call", (await client.ReadRestAsync()).Text, StringComparison.Ordinal);
        await page.ShowsAsync("dialog [role=status]", "error");
        Assert.Empty(page.Faults);
    }

    [Fact]
    public async Task Names_and_answers_are_markup_The_pages_show_them_as_text()
    {
        await using var page = await house.OpenAsync("playground/chat");
        await page.UntilAsync(
            $"[...document.querySelectorAll('#chat-model option')].some(one => one.value === {Quoted(ConsoleHouse.Hostile)})", "the model is listed");
        await page.EvalAsync($"document.querySelector('#chat-model').value = {Quoted(ConsoleHouse.Hostile)}");
        await page.ClickAsync("#chat-text");
        await page.TypeAsync("<img src=x onerror=window.hacked=1>");
        await page.KeyAsync("Enter", control: true);
        await page.ShowsAsync(".turn.model .words", "<b>bold</b> <script>window.hacked=1</script> done");
        await page.ShowsAsync(".turn.user", "<img src=x");

        await page.KeyAsync("Escape");
        await page.KeyAsync("1");

        await page.ShowsAsync(".chip", ConsoleHouse.Hostile);
        await page.ShowsAsync("table[aria-label='Calls that finished'] td.name", ConsoleHouse.Hostile);
        Assert.Equal(0, (int)(await page.EvalAsync("document.querySelectorAll('main img, main script, main b b, .words *').length"))!);
        Assert.Null(await page.EvalAsync("window.hacked ?? null"));
        Assert.Empty(page.Faults);
    }

    [Fact]
    public async Task Chat_is_tried_It_streams_tells_its_times_and_stops()
    {
        await using var page = await house.OpenAsync("playground/chat");
        await page.UntilAsync($"document.querySelector('#chat-model option[value={ConsoleHouse.Roomy}]')", "the model is listed");
        await page.EvalAsync($"document.querySelector('#chat-model').value = '{ConsoleHouse.Roomy}'");
        await page.KeyAsync("/");
        await page.TypeAsync("wait");
        await page.ClickAsync("#chat-send");
        await page.ShowsAsync(".turn.model .words", "first second");
        await page.ShowsAsync(".facts", "first token");
        await page.ShowsAsync(".facts", "tokens/s");

        await page.ClickAsync("#chat-stop");

        await page.ShowsAsync(".facts", "stopped");
        await page.UntilAsync("document.querySelector('#chat-stop').disabled && !document.querySelector('#chat-send').disabled", "another can be sent");
        var command = (string?)await page.EvalAsync("document.querySelector('#part-chat .raw pre').textContent");
        Assert.Contains("/v1/chat/completions", command, StringComparison.Ordinal);
        Assert.Contains("$PROXY_KEY", command, StringComparison.Ordinal);
        Assert.DoesNotContain(ConsoleHouse.Boss, command, StringComparison.Ordinal);
        await page.KeyAsync("Escape");
        await page.KeyAsync("1");
        await page.ShowsAsync("table[aria-label='Calls that finished'] tr", "client left"); // the host was told
        Assert.Empty(page.Faults);
    }

    [Fact]
    public async Task Chat_is_tried_with_a_workspace_The_host_gets_its_passages_and_the_page_names_the_sources()
    {
        await using var page = await house.OpenAsync("playground/chat");
        await page.UntilAsync("document.querySelectorAll('#chat-workspace option').length === 2", "the workspace is offered");
        await page.UntilAsync($"document.querySelector('#chat-model option[value={ConsoleHouse.Roomy}]')", "the model is listed");
        await page.EvalAsync($"document.querySelector('#chat-model').value = '{ConsoleHouse.Roomy}'");
        await page.EvalAsync($"document.querySelector('#chat-workspace').value = '{house.Workspace}'");
        await page.ClickAsync("#chat-text");
        await page.TypeAsync("Where does the yellow cable go?");

        await page.KeyAsync("Enter", control: true);

        await page.ShowsAsync(".turn.model", "Sources: cable › Cables");
        Assert.Contains("third socket", house.LastCall.Text, StringComparison.Ordinal);
        Assert.Empty(page.Faults);
    }

    [Fact]
    public async Task Embeddings_are_tried_They_are_compared()
    {
        await using var page = await house.OpenAsync("playground/embeddings");
        await page.UntilAsync("document.querySelector('#embed-model option[value=embedder]')", "the model is listed");
        await page.EvalAsync("document.querySelector('#embed-model').value = 'embedder'");
        await page.ClickAsync("#embed-a");
        await page.TypeAsync("one");
        await page.ClickAsync("#embed-b");
        await page.TypeAsync("two");

        await page.ClickAsync("#embed-run");

        await page.ShowsAsync("#part-embeddings .tile", "0.9600\ncosine");
        await page.ShowsAsync("#part-embeddings .vector", "3.00000  4.00000  0.00000");
        Assert.Empty(page.Faults);
    }

    [Fact]
    public async Task Workspaces_and_pipelines_are_listed_and_lead_to_the_playground()
    {
        await using var page = await house.OpenAsync("workspaces");
        await page.ShowsAsync("td.progress", "1 read");
        await page.ClickAsync("td.actions a");
        await page.UntilAsync($"document.querySelector('#search-workspace')?.value === '{house.Workspace}'", "the workspace is chosen");
        await page.KeyAsync("/");
        await page.TypeAsync("yellow cable");

        await page.KeyAsync("Enter");

        await page.ShowsAsync(".hits li", "The yellow cable goes into the third socket.");
        await page.ShowsAsync(".stages", "in all");
        Assert.True((int)(await page.EvalAsync("document.querySelectorAll('.stages > span').length"))! > 2, "the stages are not shown");
        await page.KeyAsync("Escape");
        await page.KeyAsync("4");
        await page.ShowsAsync("td", "/bin/true");
        await page.ClickAsync("td.actions a");
        await page.UntilAsync("document.querySelector('#chat-model')?.value === 'pipeline/research'", "the pipeline is chosen");
        Assert.Empty(page.Faults);
    }

    [Fact]
    public async Task Keys_and_colours_are_reached_with_the_keyboard_and_remembered()
    {
        await using var page = await house.OpenAsync();
        await page.KeyAsync("?");
        await page.ShowsAsync("dialog", "cancel the call that is marked");
        await page.KeyAsync("Escape");
        foreach (var (key, view) in new[] { ("2", "Playground"), ("3", "Workspaces"), ("4", "Pipelines"), ("1", "Live") })
        {
            await page.KeyAsync(key);
            await page.UntilAsync(
                $"document.querySelector('[aria-current]').textContent === '{view}' && document.title.startsWith('{view}')", $"{view} is open");
        }

        await page.KeyAsync("t");
        await page.KeyAsync("t");
        await page.GoAsync($"{house.Url}?again");
        await page.UntilAsync("document.querySelector('.view')", "the console opens");

        Assert.Equal("dark", (string?)await page.EvalAsync("document.documentElement.dataset.theme"));
        Assert.Equal("rgb(14, 17, 22)", (string?)await page.EvalAsync("getComputedStyle(document.body).backgroundColor"));
        // Everything that can be used has a name, and the focus can be seen.
        Assert.Equal(0, (int)(await page.EvalAsync(
            "[...document.querySelectorAll('button, a, input, select, textarea')]"
                + ".filter(one => !(one.ariaLabel || one.innerText.trim() || one.labels?.length)).length"))!);
        await page.KeyAsync("Tab");
        Assert.Equal("2px", (string?)await page.EvalAsync("getComputedStyle(document.activeElement).outlineWidth"));
        Assert.Empty(page.Faults);
    }

    [Fact]
    public async Task Policy_is_strict_The_browser_runs_nothing_that_is_not_a_file_of_the_console()
    {
        await using var page = await house.OpenAsync();

        var made = (string?)await page.EvalAsync(
            "(() => { try { document.body.innerHTML = '<p>'; return 'markup'; } catch (problem) { return problem.name; } })()");
        await page.EvalAsync("document.head.append(Object.assign(document.createElement('style'), { textContent: 'body { opacity: 0.5 }' }))");
        await page.EvalAsync("fetch('http://127.0.0.1:9/').catch(() => 0)");

        Assert.Equal("TypeError", made);
        Assert.Equal("1", (string?)await page.EvalAsync("getComputedStyle(document.body).opacity"));
        Assert.True(page.Faults.Count >= 2, "the breaches were not reported");
        foreach (var path in new[] { "", "/main.js", "/api/state" })
        {
            var answer = await house.SendAsync("GET", "/console" + path, null, $"authorization: Bearer {ConsoleHouse.Boss}");
            Assert.Contains("frame-ancestors 'none'", answer.Header("content-security-policy"), StringComparison.Ordinal);
            Assert.DoesNotContain("unsafe", answer.Header("content-security-policy"), StringComparison.Ordinal);
            Assert.Equal("DENY", answer.Header("x-frame-options"));
        }
    }

    [Fact]
    public async Task State_Has_no_text_of_a_prompt_or_an_answer()
    {
        await using var client = await house.WaitingChatAsync(ConsoleHouse.Roomy, ConsoleHouse.Worker);
        await client.ReadHeadAsync();

        var state = await house.SendAsync("GET", "/console/api/state", null, $"authorization: Bearer {ConsoleHouse.Boss}");
        house.Release();
        await client.ReadRestAsync();

        Assert.Equal(200, state.Status);
        Assert.NotEqual(0, state.Json.GetProperty("calls").GetArrayLength());
        foreach (var text in new[] { "\"wait\"", "first ", "second ", ConsoleHouse.Boss }) Assert.DoesNotContain(text, state.Text, StringComparison.Ordinal);
        Assert.Equal(401, (await house.SendAsync("GET", "/console/api/state", null)).Status);
        Assert.Equal(403, (await house.SendAsync("GET", "/console/api/events", null, $"authorization: Bearer {ConsoleHouse.Worker}")).Status);
    }

    [Fact]
    public async Task Files_Are_compressed_and_not_sent_again()
    {
        var plain = await house.SendAsync("GET", "/console/main.js", null);
        var packed = await house.SendAsync("GET", "/console/main.js", null, "accept-encoding: gzip, br");
        var again = await house.SendAsync("GET", "/console/main.js", null, $"if-none-match: {plain.Header("etag")}");

        Assert.Equal((200, "br", 304), (plain.Status, packed.Header("content-encoding"), again.Status));
        Assert.True(packed.Body.Length < plain.Body.Length / 2, "it is not smaller");
        Assert.Empty(again.Body);
        Assert.Equal("no-cache", plain.Header("cache-control"));
        Assert.Equal(404, (await house.SendAsync("GET", "/console/nothing.js", null, $"authorization: Bearer {ConsoleHouse.Boss}")).Status);
    }

    [Fact]
    public async Task No_key_is_configured_The_console_opens_on_this_machine_and_ends_with_the_process()
    {
        await using var proxy = await ProxyProcess.StartAsync(FrontDoor.Server() + "\n[log]\nformat = \"json\"\n");
        await using var page = await house.Browser.OpenAsync();
        await page.GoAsync($"{proxy.Address.GetLeftPart(UriPartial.Authority)}/console");
        await page.ShowsAsync("td.host", "echo");
        await page.ShowsAsync(".link", "up");

        await using var script = await RawClient.ConnectAsync(proxy.Address);
        await script.RequestAsync("GET", "/console/api/events");
        await script.ReadHeadAsync();
        await script.ReadUntilAsync("\n\n");

        proxy.Signal(PosixSignal.SIGTERM);

        var rest = await script.ReadRestAsync();
        Assert.True(rest.Whole, "the stream was cut off");
        Assert.EndsWith("event: end\ndata: {}\n\n", rest.Text, StringComparison.Ordinal);
        Assert.Equal(0, await proxy.ExitAsync());
        await page.ShowsAsync(".link", "not connected");
        Assert.DoesNotContain(proxy.Log.Lines, line => ProxyLog.Text(line, "surface")?.Contains("console", StringComparison.Ordinal) == true);
    }

    private static string Quoted(string text) => JsonSerializer.Serialize(text);

    private static async Task EnterAsync(ChromiumPage page, string key)
    {
        await page.UntilAsync("document.activeElement.id === 'key' && document.activeElement.value === ''", "the key is asked for");
        await page.TypeAsync(key);
        await page.KeyAsync("Enter");
    }
}
