using System.Globalization;
using System.Text.Json.Nodes;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>
/// The console with data that never change, in both colours and at two widths: nothing is cut off at the side. With PROXY_CONSOLE_PICTURES=FOLDER the pictures
/// are written there; those of docs/ are made so.
/// </summary>
[Trait("Category", "Sdk")]
[Collection(ConsoleHouse.Shared)]
public sealed class ConsolePictureTests(ConsoleHouse house)
{
    [Theory]
    [InlineData("live", 980)]
    [InlineData("workspaces", 480)]
    [InlineData("pipelines", 480)]
    [InlineData("playground/chat", 640)]
    [InlineData("playground/embeddings", 640)]
    [InlineData("playground/search", 480)]
    public async Task View_fits_its_window(string view, int height)
    {
        await using var page = await house.Browser.OpenAsync();
        await page.SendAsync("Emulation.setTimezoneOverride", new() { ["timezoneId"] = "UTC" });
        await page.AnswerAsync("/console/api/events", $"data: {State().ToJsonString()}\n\n");
        await page.AnswerAsync("/v1/models", Models);
        await page.AnswerAsync("/v1/chat/completions", Chat);
        await page.AnswerAsync("/search", Hits);
        await page.AnswerAsync("/v1/embeddings", Vectors);
        await page.GoAsync($"{house.Url}#{view}");
        await page.UntilAsync("document.querySelector('.view')", "the console opens");
        await page.EvalAsync("{ let now = 0; performance.now = () => now += 130; }"); // each look at the clock takes this long
        await UseAsync(page, view);

        foreach (var (width, colours) in new[] { (1280, "light"), (1280, "dark"), (800, "light"), (800, "dark") })
        {
            await page.SizeAsync(width, height);
            await page.SchemeAsync(colours);
            await page.EvalAsync("scrollTo(0, 0)");
            if (Environment.GetEnvironmentVariable("PROXY_CONSOLE_PICTURES") is { Length: > 0 } folder)
            {
                var file = Path.Combine(folder, $"{view.Replace('/', '-')}-{width}-{colours}.png");
                await File.WriteAllBytesAsync(file, await page.PictureAsync(), TestContext.Current.CancellationToken);
            }

            Assert.Equal(width, (int)(await page.EvalAsync("document.documentElement.scrollWidth"))!);
            // What is written in a cell or a button is not cut off at the bottom, nor does it lie over its neighbour.
            Assert.Equal(0, (int)(await page.EvalAsync("[...document.querySelectorAll('main button, main .state, main .tile')]"
                + ".filter(one => one.checkVisibility() && one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).display !== 'inline').length"))!);
            Assert.True((bool)(await page.EvalAsync("[...document.querySelectorAll('.timing')].every(one => one.clientHeight === 8 && one.clientWidth > 60)"))!,
                "the timing bars have no room");
        }

        Assert.Empty(page.Faults);
    }

    private static async Task UseAsync(ChromiumPage page, string view)
    {
        if (view == "playground/chat")
        {
            await page.EvalAsync("document.querySelector('#chat-text').value = 'Which socket does the yellow cable belong to?'");
            await page.ClickAsync("#chat-send");
            await page.ShowsAsync(".turn.model", "third socket");
        }
        else if (view == "playground/search")
        {
            await page.EvalAsync("document.querySelector('#search-query').value = 'yellow cable'");
            await page.ClickAsync("#search-run");
            await page.UntilAsync("document.querySelectorAll('.hits li').length === 3", "passages are shown");
        }
        else if (view == "playground/embeddings")
        {
            await page.EvalAsync("document.querySelector('#embed-a').value = 'a yellow cable'; document.querySelector('#embed-b').value = 'the third socket'");
            await page.ClickAsync("#embed-run");
            await page.ShowsAsync(".tile b", "0.9600");
        }
    }

    private const string Models = """
        {"object":"list","data":[{"id":"qwen3:8b","object":"model","capabilities":["completion","tools"]},
        {"id":"qwen3:32b","object":"model","capabilities":["completion"]},{"id":"nomic-embed-text","object":"model","capabilities":["embedding"]},
        {"id":"pipeline/research","object":"model"}]}
        """;

    private const string Chat = """
        data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"The yellow cable "}}]}

        data: {"choices":[{"index":0,"delta":{"content":"goes into the third socket [1]."}}]}

        data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":412,"completion_tokens":14},"x_proxy":{"sources":[{"id":"1","title":"cable.md"}]}}

        data: [DONE]


        """;

    private const string Hits = """
        {"object":"vector_store.search_results.page","data":[
        {"file_id":"file-1","filename":"cable.md","score":0.912,"content":[{"type":"text","text":"The yellow cable goes into the third socket, beside the fan."}]},
        {"file_id":"file-2","filename":"rack.md","score":0.644,"content":[{"type":"text","text":"Cables are labelled by colour: yellow is the storage network, blue the management network."}]},
        {"file_id":"file-3","filename":"spare-parts.md","score":0.403,"content":[{"type":"text","text":"Spare cables are in the drawer below the switch."}]}]}
        """;

    private const string Vectors = """
        {"object":"list","model":"nomic-embed-text","usage":{"prompt_tokens":8,"total_tokens":8},
        "data":[{"object":"embedding","index":0,"embedding":[3,4,0]},{"object":"embedding","index":1,"embedding":[4,3,0]}]}
        """;

    private static JsonObject State() => new()
    {
        ["version"] = "0.9.0", ["id"] = "fixed", ["uptime_s"] = 278_000, ["draining"] = false, ["keys"] = false, ["resumes_all"] = false,
        ["degraded"] = new JsonArray("12 records wait on this machine's disk for PostgreSQL: the server does not answer"),
        ["servers"] = new JsonArray(new JsonObject { ["name"] = "nats", ["up"] = true }),
        ["hosts"] = JsonNode.Parse("""
            [{"name":"gpu","url":"http://10.0.0.7:11434","kind":"ollama","version":"0.24.0","health":"up","breaker":"closed","avoided":false,"slots":4,"in_use":4,
            "waiting":2,"dialects":["ollama","openai"],"model_count":14,"models":[{"name":"qwen3:8b","loaded":true,"context":32768},{"name":"qwen3:32b","loaded":true},
            {"name":"llama3.3:70b","loaded":false},{"name":"gemma3:12b","loaded":false},{"name":"nomic-embed-text","loaded":true},{"name":"mistral-small:24b","loaded":false},
            {"name":"phi4:14b","loaded":false},{"name":"devstral:24b","loaded":false},{"name":"more","loaded":false}]},
            {"name":"desk","url":"http://10.0.0.9:8080","kind":"llama.cpp","version":"b6411","health":"up","breaker":"closed","avoided":false,"slots":2,"in_use":1,"waiting":0,
            "dialects":["openai","anthropic"],"model_count":1,"models":[{"name":"qwen3-coder-30b","loaded":true}]},
            {"name":"attic","url":"http://10.0.0.12:8000","kind":"vllm","version":"0.11.0","health":"failing","breaker":"open","avoided":false,"slots":16,"in_use":0,"waiting":0,
            "reason":"the connection was reset before the answer began","dialects":["openai"],"model_count":1,"models":[{"name":"llama3.3:70b"}]},
            {"name":"(this process)","kind":"ONNX Runtime","health":"up","breaker":"closed","models":[{"name":"all-minilm-q4"}]}]
            """),
        ["call_count"] = 6,
        ["calls"] = Calls(),
        ["finished"] = Finished(),
        ["last"] = 40,
        ["knowledge"] = JsonNode.Parse("""
            {"count":3,"files_read":1284,"files_failed":2,"chunks_stored":40871,"workspaces":[
            {"id":"vs_5d1f0c7a93e24b6f8a1d2c3b","name":"manuals","owner":"local","description":"manuals of the machine room","in_progress":212,"completed":655,"failed":2,
            "cancelled":0,"chunks":40871,"bytes":98304112,"active":"2026-05-04T12:00:00+00:00","embedders":["nomic-embed-text"],"reembeds":false},
            {"id":"vs_91b24f0e6a7c4d558e3f1a2b","name":"contracts","owner":"legal","in_progress":0,"completed":318,"failed":0,"cancelled":0,"chunks":9120,"bytes":21811200,
            "active":"2026-05-03T09:00:00+00:00","embedders":["all-minilm-q4"],"reembeds":true},
            {"id":"vs_0a4c9d2e7b6f41338d5e6f70","name":"","owner":"alice","in_progress":0,"completed":3,"failed":1,"cancelled":0,"chunks":44,"bytes":61440,
            "active":"2026-04-28T09:00:00+00:00","embedders":[],"reembeds":false}]}
            """),
        ["pipelines"] = JsonNode.Parse("""
            [{"name":"research","launcher":"process","runs":"/usr/local/bin/research","present":"first","timeout_s":600,"running":1},
            {"name":"nightly","launcher":"dagster","runs":"nightly_report","present":"winner","timeout_s":3600,"running":0},
            {"name":"batch","launcher":"systemd","runs":"research@{trace_id}.service","present":"task:answer","timeout_s":900,"running":0}]
            """),
    };

    private static string TraceId(int number) => $"01K5Q8ZP{number:D2}7RWX3V9M2D4EFGHJ";

    private static JsonArray Calls()
    {
        (string Key, string Model, string? Host, string Stage, int Age, int? First, int Frames, int? Place)[] rows =
        [
            ("alice", "qwen3:8b", "gpu", "answering", 12_400, 430, 642, null),
            ("editor", "qwen3-coder-30b", "desk", "answering", 3_120, 1_210, 58, null),
            ("bob", "pipeline/research", null, "answering", 41_000, 8_800, 0, null),
            ("alice", "qwen3:32b", "gpu", "waiting", 2_050, null, 0, null),
            ("nightly", "qwen3:8b", null, "queued", 1_480, null, 0, 1),
            ("bob", "qwen3:8b", null, "queued", 310, null, 0, 2),
        ];
        return [.. rows.Select((row, at) =>
        {
            var call = new JsonObject
            {
                ["trace_id"] = TraceId(at), ["key"] = row.Key,
                ["surface"] = "/v1/chat/completions", ["model"] = row.Model, ["stream"] = true, ["stage"] = row.Stage,
                ["age_ms"] = row.Age,
            };
            if (row.Host is { } host) call["backend"] = host;
            if (row.First is { } first) (call["first_token_ms"], call["answering_ms"]) = (first, row.Age - first);
            if (row.Frames > 0) (call["frames"], call["follow"]) = (row.Frames, TraceId(at));
            if (row.Place is { } place) call["place"] = place;
            return (JsonNode)call;
        })];
    }

    private static JsonArray Finished()
    {
        string[] keys = ["alice", "bob", "editor", "nightly"], models = ["qwen3:8b", "qwen3:32b", "qwen3-coder-30b", "nomic-embed-text"];
        return [.. Enumerable.Range(1, 40).Select(number =>
        {
            var which = number * 7 % 4;
            var isBad = number == 37;
            var (queue, first, flow) =
                (number % 5 == 0 ? 900 + (number * 37 % 800) : 0, 120 + (number * 97 % 640), which == 3 ? 0 : 900 + (number * 313 % 5200));
            var call = new JsonObject
            {
                ["number"] = number, ["trace_id"] = TraceId(number), ["key"] = keys[number % 4],
                ["surface"] = "/v1/chat/completions", ["model"] = models[which],
                ["backend"] = isBad ? "attic" : which == 2 ? "desk" : "gpu", ["stream"] = true, ["status"] = isBad ? 502 : 200,
                ["ended"] = new DateTime(2026, 5, 4, 12, 0, 0, DateTimeKind.Utc).AddSeconds(number * 11).ToString("O", CultureInfo.InvariantCulture),
                ["outcome"] = isBad ? "backend_error" : number == 33 ? "client_left" : "ok", ["queue_ms"] = queue,
                ["duration_ms"] = isBad ? 640 : queue + first + flow,
            };
            if (isBad) call["error"] = "backend_failed";
            else (call["first_token_ms"], call["generating_ms"], call["tokens_in"], call["tokens_out"]) =
                (queue + first, flow, 40 + (number * 71 % 3000), flow / 20);
            return (JsonNode)call;
        })];
    }
}
