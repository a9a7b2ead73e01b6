using System.Globalization;
using System.Net.Http.Json;
using System.Text.Json;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>
/// Small calls during a bulk of thousands of texts. The tests check the order of the answers, not times, because the bulk takes long on any machine.
/// </summary>
public sealed class BulkEmbeddingTests
{
    private const string Model = "all-minilm-q4";

    private const string Listen = """
        [server]
        listen = ["127.0.0.1:0"]
        [log]
        format = "json"
        """;

    [Fact]
    public async Task A_query_Overtakes_the_bulk_that_waits()
    {
        await using var proxy = await ProxyProcess.StartAsync(Listen);
        using var client = new HttpClient { BaseAddress = proxy.Address };
        using var leaving = new CancellationTokenSource();
        var bulk = Enumerable.Range(0, 3).Select(_ => PostBulkAsync(client, 1000, leaving.Token)).ToArray();
        await Patience.Until(async () => await WaitingAsync(client) > 2000, "the bulk in the line");

        for (var i = 0; i < 5; i++)
        {
            using var reply = await client.PostAsJsonAsync(
                "/v1/embeddings", new { model = Model, input = "who is served first?" }, TestContext.Current.CancellationToken);
            Assert.True(reply.IsSuccessStatusCode, await reply.Content.ReadAsStringAsync(TestContext.Current.CancellationToken));
        }

        Assert.InRange(await WaitingAsync(client), 1, 3000);
        Assert.All(bulk, static call => Assert.False(call.IsCompleted, "a query was answered only after the bulk"));
        await leaving.CancelAsync();
        foreach (var call in bulk) await Assert.ThrowsAnyAsync<OperationCanceledException>(() => call);
    }

    [Fact]
    public async Task A_client_that_leaves_Frees_its_work()
    {
        const int texts = 2000;
        await using var proxy = await ProxyProcess.StartAsync(Listen);
        using var client = new HttpClient { BaseAddress = proxy.Address };
        var each = await TokensAsync(client);
        using var leaving = new CancellationTokenSource();
        var bulk = PostBulkAsync(client, texts, leaving.Token);
        await Patience.Until(async () => await WaitingAsync(client) > texts / 2, "the bulk in the line");

        await leaving.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => bulk);
        await Patience.Until(async () => await WaitingAsync(client) == 0, "an empty line");
        using var reply = await client.PostAsJsonAsync(
            "/v1/embeddings", new { model = Model, input = "and who is next?" }, TestContext.Current.CancellationToken);
        Assert.True(reply.IsSuccessStatusCode);
        Assert.InRange(await GaugeAsync(client, "proxy_inference_tokens"), 1, texts * each / 2);
    }

    private static string Text(int number) =>
        string.Join(' ', Enumerable.Range(number, 100).Select(static word => word % 3 == 0 ? "tokens" : word % 3 == 1 ? "cross" : "the"));

    private static async Task PostBulkAsync(HttpClient client, int texts, CancellationToken cancellation)
    {
        using var reply = await client.PostAsJsonAsync("/v1/embeddings", new { model = Model, input = Enumerable.Range(0, texts).Select(Text) }, cancellation);
        Assert.True(reply.IsSuccessStatusCode, await reply.Content.ReadAsStringAsync(cancellation));
    }

    /// <summary>Number of tokens of each bulk text.</summary>
    private static async Task<int> TokensAsync(HttpClient client)
    {
        using var reply = await client.PostAsJsonAsync("/v1/embeddings", new { model = Model, input = Text(0) }, TestContext.Current.CancellationToken);
        var answer = await reply.Content.ReadFromJsonAsync<JsonElement>(TestContext.Current.CancellationToken);
        return answer.GetProperty("usage").GetProperty("prompt_tokens").GetInt32();
    }

    private static Task<long> WaitingAsync(HttpClient client) => GaugeAsync(client, "proxy_inference_waiting");

    private static async Task<long> GaugeAsync(HttpClient client, string name)
    {
        var metrics = await client.GetStringAsync("/metrics", TestContext.Current.CancellationToken);
        var line = metrics.Split('\n').Single(line => line.StartsWith($"{name}{{model=\"{Model}\"}} ", StringComparison.Ordinal));
        return long.Parse(line[(line.LastIndexOf(' ') + 1)..], CultureInfo.InvariantCulture);
    }
}
