using System.Text;
using System.Text.Json;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>The operator follows and cancels answers from a terminal.</summary>
public sealed class StreamCommandProcessTests
{
    [Fact]
    public async Task Operator_lists_follows_and_cancels_anybodys_answers()
    {
        var host = FakeBackend.Start();
        await using var hosting = host;
        var go = new TaskCompletionSource();
        host.Once(async exchange =>
        {
            await exchange.HeadAsync(OpenAi.Sse);
            await exchange.ChunkAsync(OpenAi.Role() + OpenAi.Token("half "));
            await go.Task;
            await exchange.ChunkAsync(OpenAi.Token("and half") + OpenAi.Stop() + OpenAi.Done);
            await exchange.EndAsync();
        });
        await using var proxy = await ProxyProcess.StartAsync($"""
            {FrontDoor.Server()}
            [log]
            format = "json"
            [inference]
            bundled = false
            [[auth.keys]]
            name = "ann"
            sha256 = "{Proxy.Config.ApiKeyConfig.Digest("ann-secret")}"
            [[backends]]
            name = "a"
            url = "{host.Url}"
            dialects = ["openai"]
            models = ["served"]
            """);
        await using var client = await CallAsync();
        var id = client.Headers.First(static header => header.Name == "x-trace-id").Value;

        var (listed, list) = await proxy.CommandAsync("streams", "--json");
        var following = proxy.CommandAsync("stream", id);
        await Patience.Until(async () => (await proxy.CommandAsync("calls")).Output.Contains("/streams", StringComparison.Ordinal), "the answer is followed");
        go.SetResult();

        Assert.Equal((0, "half and half\n"), await following);
        var row = JsonDocument.Parse(list).RootElement.GetProperty("streams")[0];
        Assert.Equal((0, id, "ann", "running"),
            (listed, row.GetProperty("id").GetString(), row.GetProperty("owner").GetString(), row.GetProperty("status").GetString()));
        Assert.Equal((0, "and half\n"), await proxy.CommandAsync("stream", id, "--after", "3"));
        var (_, events) = await proxy.CommandAsync("stream", id, "--json");
        Assert.Contains("{\"type\":\"token\",\"text\":\"half \"}\n", events, StringComparison.Ordinal);
        Assert.Equal((0, "forgotten; it had already ended\n"), await proxy.CommandAsync("stream", id, "--cancel"));
        Assert.Equal(1, (await proxy.CommandAsync("stream", id)).ExitCode);

        var held = new TaskCompletionSource<FakeExchange>();
        host.Once(async exchange =>
        {
            await exchange.HeadAsync(OpenAi.Sse);
            await exchange.ChunkAsync(OpenAi.Role() + OpenAi.Token("half "));
            held.SetResult(exchange);
            await exchange.Gone;
        });
        await using var second = await CallAsync();
        var other = second.Headers.First(static header => header.Name == "x-trace-id").Value;
        Assert.Equal((0, "cancelled\n"), await proxy.CommandAsync("stream", other, "--cancel"));
        await Patience.For((await held.Task).Gone, "the host is cancelled");
        Assert.Equal("cancelled", OpenAi.ReadError(await second.ReadRestAsync()).GetProperty("code").GetString());

        async Task<RawClient> CallAsync()
        {
            var calling = await RawClient.ConnectAsync(proxy.Address);
            await calling.RequestAsync("POST", StreamHouse.Chat, Encoding.UTF8.GetBytes(OpenAi.Request("served", stream: true)), "x-resume: 1",
                "Authorization: Bearer ann-secret");
            await calling.ReadHeadAsync();
            await calling.ReadUntilAsync("half ");
            return calling;
        }
    }
}
