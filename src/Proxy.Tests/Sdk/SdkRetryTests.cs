using System.Collections.Concurrent;
using System.Diagnostics;
using System.Text;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Sdk;

/// <summary>
/// SDKs whose time-out is shorter than the host needs: they retry by themselves, their retries join the first call, and the host generates once.
/// </summary>
[Trait("Category", "Sdk")]
public sealed class SdkRetryTests : IAsyncLifetime
{
    private static readonly TimeSpan Late = TimeSpan.FromSeconds(3);

    private readonly FakeBackend host = FakeBackend.Start();
    private readonly ConcurrentDictionary<string, int> generations = new();
    private readonly ConcurrentDictionary<string, TimeSpan> left = new();
    private ProxyProcess? proxy;

    public async ValueTask InitializeAsync()
    {
        host.Answer(AnswerAsync);
        proxy = await ProxyProcess.StartAsync($"""
            {FrontDoor.Server()}
            [log]
            format = "json"
            [inference]
            bundled = false
            [[backends]]
            name = "a"
            url = "{host.Url}"
            dialects = ["openai"]
            models = ["served"]
            """);
        // A process that has just started is slow at its first call: it would see less of the client's second than there is.
        foreach (var (path, streams) in ((string, bool)[])[("/v1/chat/completions", true), ("/v1/chat/completions", false), ("/v1/messages", false)])
            await WarmUpAsync(path, streams);
        generations.Clear();
    }

    public async ValueTask DisposeAsync()
    {
        if (proxy is not null) await proxy.DisposeAsync();
        await host.DisposeAsync();
    }

    [Fact]
    public async Task Clients_for_JavaScript_retry_The_host_generates_once()
    {
        var worked = await Script.NodeAsync("retry.mjs", proxy!.Address);

        Assert.Equal(7, worked.Count);
        Assert.Equal(worked.Order(), generations.Keys.Order());
        Assert.True(generations.Remove("node time-out of the client", out var times));
        Assert.Equal(2, times); // the second is a retry, which all later ones join
        Assert.All(generations, static each => Assert.Equal((each.Key, 1), (each.Key, each.Value)));
        await Patience.Until(() => Task.FromResult(left.ContainsKey("node leaves early")), "the host is free when its client has left");
        Assert.True(left["node leaves early"] < TimeSpan.FromSeconds(2), $"the host was free after {left["node leaves early"]}");
    }

    [Fact]
    public async Task Chat_of_the_AI_SDK_resumes_by_the_route_in_the_docs()
    {
        Assert.Single(await Script.NodeAsync("resume.mjs", proxy!.Address));
        Assert.Equal(1, generations["node resumes"]);
    }

    [Fact]
    public async Task Clients_for_Python_retry_The_host_generates_once()
    {
        var worked = await Script.PythonAsync("retry_client.py", proxy!.Address);

        Assert.Equal(3, worked.Count);
        Assert.Equal(worked.Order(), generations.Keys.Order());
        Assert.All(generations, static each => Assert.Equal((each.Key, 1), (each.Key, each.Value)));
    }

    private async Task WarmUpAsync(string path, bool streams)
    {
        var body = $$"""{"model":"served","max_tokens":9,"stream":{{(streams ? "true" : "false")}},"messages":[{"role":"user","content":"at once"}]}""";
        Assert.Equal(200, (await RawClient.SendAsync(proxy!.Address, "POST", path, Encoding.UTF8.GetBytes(body))).Status);
    }

    private async Task AnswerAsync(FakeExchange exchange)
    {
        var prompt = exchange.Request.Json.GetProperty("messages").EnumerateArray().Last().GetProperty("content").GetString()!;
        generations.AddOrUpdate(prompt, 1, static (_, count) => count + 1);
        if (prompt is "node resumes")
        {
            await SlowlyAsync(exchange);
            return;
        }

        var asked = Stopwatch.GetTimestamp();
        if (prompt is not "at once" && await Task.WhenAny(exchange.Gone, Task.Delay(Late)) == exchange.Gone)
        {
            left[prompt] = Stopwatch.GetElapsedTime(asked);
            return;
        }

        var streams = exchange.Request.Json.TryGetProperty("stream", out var stream) && stream.GetBoolean();
        if (streams) await exchange.StreamAsync(OpenAi.Sse, OpenAi.Stream("late ", "but ", "here"));
        else await exchange.JsonAsync(OpenAi.Whole("late but here"));
    }

    private static async Task SlowlyAsync(FakeExchange exchange)
    {
        await exchange.HeadAsync(OpenAi.Sse);
        await exchange.ChunkAsync(OpenAi.Role() + OpenAi.Token("late "));
        await Task.Delay(TimeSpan.FromSeconds(1));
        await exchange.ChunkAsync(OpenAi.Token("but ") + OpenAi.Token("here") + OpenAi.Stop() + OpenAi.Done);
        await exchange.EndAsync();
    }
}
