using System.Text;
using System.Text.RegularExpressions;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>The calls of a soak: each makes one of every kind of call, and returns what was wrong with the answer; null: nothing.</summary>
internal sealed class SoakCalls(SoakHouse house)
{
    private long marks;

    /// <summary>Each kind of call by its name, and how often it is made.</summary>
    public IReadOnlyList<(string Name, int Weight, Func<SoakCalls, Task<string?>> Make)> Kinds { get; } =
    [
        ("stream", 20, static calls => calls.ChatAsync("/v1/chat/completions", static (mark, model) => OpenAi.Request(model, stream: true, text: mark))),
        ("whole", 15, static calls => calls.ChatAsync("/v1/chat/completions", static (mark, model) => OpenAi.Request(model, text: mark))),
        ("ollama stream", 10, static calls => calls.ChatAsync("/api/chat", static (mark, model) => Ollama.Request(model, true, text: mark))),
        ("ollama whole", 5, static calls => calls.ChatAsync("/api/chat", static (mark, model) => Ollama.Request(model, false, text: mark))),
        ("anthropic stream", 8, static calls => calls.ChatAsync("/v1/messages", static (mark, model) => Anthropic.Request(model, stream: true, text: mark),
            "anthropic-version: 2023-06-01")),
        ("responses", 6, static calls => calls.ChatAsync("/v1/responses", static (mark, model) =>
            $$"""{"model":"{{model}}","input":"{{mark}}","stream":true,"store":false}""")),
        ("small key", 4, static calls => calls.SmallKeyAsync()),
        ("wrong key", 2, static calls => calls.WrongKeyAsync()),
        ("cached", 5, static calls => calls.ChatAsync("/v1/chat/completions", static (mark, _) =>
            OpenAi.Request("pair", text: mark), ["x-cache: use"], marks: 40)),
        ("documents", 4, static calls => calls.ChatAsync("/v1/chat/completions", static (mark, model) => OpenAi.Request(model, true, text: "bulbs " + mark),
            "x-workspace: garden")),
        ("vectors of a host", 5, static calls => calls.VectorsAsync("vec")),
        ("vectors of the process", 2, static calls => calls.VectorsAsync("all-minilm-q4")),
        ("job", 2, static calls => calls.ChatAsync("/v1/chat/completions", static (mark, _) => OpenAi.Request("pipeline/job", true, text: mark))),
        ("resume", 6, static calls => calls.ResumeAsync()),
        ("same key twice", 4, static calls => calls.TwiceAsync()),
        ("leaving", 10, static calls => calls.LeaveAsync()),
        ("listing", 2, static calls => calls.ListAsync()),
    ];

    private string NewMark(int? most = null) => $"n-{Interlocked.Increment(ref marks) % (most ?? long.MaxValue)}-n";

    /// <summary>Hosts of both dialects, so that half of the calls are translated.</summary>
    private static string Model() => Random.Shared.Next(3) == 0 ? "lama" : "pair";

    private Task<string?> ChatAsync(string path, Func<string, string, string> body, params string[] headers) => ChatAsync(path, body, headers, null);

    private async Task<string?> ChatAsync(string path, Func<string, string, string> body, string[] headers, int? marks)
    {
        var mark = NewMark(marks);
        return Problem(await house.PostAsync(path, body(mark, Model()), headers), mark);
    }

    private async Task<string?> SmallKeyAsync()
    {
        var mark = NewMark();
        var reply = await RawClient.SendAsync(house.Proxy.Address, "POST", "/v1/chat/completions",
            Encoding.UTF8.GetBytes(OpenAi.Request(Model(), stream: true, text: mark)), $"Authorization: Bearer {SoakHouse.SmallKey}");
        return reply.Status is 429 ? null : Problem(reply, mark);
    }

    private async Task<string?> WrongKeyAsync()
    {
        var reply = await RawClient.SendAsync(house.Proxy.Address, "POST", "/v1/chat/completions",
            Encoding.UTF8.GetBytes(OpenAi.Request("pair")), "Authorization: Bearer sk-wrong");
        return reply.Status is 401 ? null : $"status {reply.Status} for a wrong key";
    }

    private async Task<string?> VectorsAsync(string model)
    {
        var reply = await house.PostAsync("/v1/embeddings", $$"""{"model":"{{model}}","input":["a soak","{{NewMark()}}"]}""");
        if (reply.Status is 502 or 503 or 504 && reply.Json.TryGetProperty("error", out _)) return null;
        return reply.Status is 200 && reply.Json.GetProperty("data").GetArrayLength() == 2 ? null : $"vectors: {reply.Status} {reply.Text}";
    }

    /// <summary>Reads the beginning of an answer, breaks the connection, and reads the whole answer again.</summary>
    private async Task<string?> ResumeAsync()
    {
        var mark = NewMark();
        string trace;
        await using (var client = await RawClient.ConnectAsync(house.Proxy.Address))
        {
            await RequestAsync(client, OpenAi.Request(Model(), stream: true, text: mark), "x-resume: 1");
            await client.ReadHeadAsync();
            if (client.Status is not 200) return null;
            trace = client.Headers.First(static header => header.Name.Equals("x-trace-id", StringComparison.OrdinalIgnoreCase)).Value;
            await client.ReadPieceAsync();
            client.Reset();
        }

        return Problem(await house.GetAsync($"/v1/streams/{trace}"), mark);
    }

    /// <summary>Two calls with one Idempotency-Key at the same time.</summary>
    private async Task<string?> TwiceAsync()
    {
        var mark = NewMark();
        var body = OpenAi.Request("pair", text: mark);
        var replies = await Task.WhenAll(Enumerable.Range(0, 2).Select(_ => house.PostAsync("/v1/chat/completions", body, $"Idempotency-Key: {mark}")));
        return Problem(replies[0], mark) ?? Problem(replies[1], mark);
    }

    private async Task<string?> LeaveAsync()
    {
        await using var client = await RawClient.ConnectAsync(house.Proxy.Address);
        await RequestAsync(client, OpenAi.Request(Model(), stream: true, text: NewMark()));
        await Task.Delay(Random.Shared.Next(30));
        client.Reset();
        return null;
    }

    private async Task<string?> ListAsync()
    {
        var (models, metrics) = (await house.GetAsync("/v1/models"), await house.GetAsync("/metrics"));
        return (models.Status, metrics.Status) is (200, 200) ? null : $"listings: {models.Status} and {metrics.Status}";
    }

    private static Task RequestAsync(RawClient client, string body, params string[] headers) => client.RequestAsync(
        "POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(body), [.. headers, $"Authorization: Bearer {SoakHouse.Key}"]);

    private static string? Problem(RawReply reply, string mark)
    {
        if (!reply.Whole) return $"broken off: {reply.Status} {reply.Text}";
        if (SoakHouse.Mark().Matches(reply.Text).FirstOrDefault(found => found.Value != mark) is { } other) return $"{mark} got the answer of {other.Value}";
        if (reply.Text.Contains(mark, StringComparison.Ordinal) && reply.Status is 200) return IsEnded(reply) ? null : $"no end: {reply.Text}";
        // Hosts fail: an error of a known form, as status or in the stream.
        return reply.Status is 200 or 500 or 502 or 503 or 504 or 529 && reply.Text.Contains("\"error\"", StringComparison.Ordinal) ? null
            : $"neither an answer nor an error: {reply.Status} {reply.Text}";
    }

    /// <summary>The answer says that it is complete, or that it failed.</summary>
    private static bool IsEnded(RawReply reply) => Regex.IsMatch(reply.Text, "\"error\"|\\[DONE\\]|\"done\":true|message_stop|"
        + "response\\.(completed|failed|incomplete)|\"finish_reason\":\"stop\"|\"status\":\"completed\"");
}
