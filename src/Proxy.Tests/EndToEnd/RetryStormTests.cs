using System.Text;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>Many retries of many calls at once: the host generates once for each call, and every retry gets its own call's answer.</summary>
public sealed class RetryStormTests
{
    private const int Calls = 50, Retries = 10;

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Fifty_calls_are_retried_five_hundred_times_There_are_fifty_generations(bool streams)
    {
        await using var house = await StreamHouse.StartAsync();
        var go = new TaskCompletionSource();
        house.Host.Answer(async exchange =>
        {
            var prompt = exchange.Request.Json.GetProperty("messages")[0].GetProperty("content").GetString()!;
            await go.Task;
            if (streams) await exchange.StreamAsync(OpenAi.Sse, OpenAi.Stream("answer ", "to ", prompt));
            else await exchange.JsonAsync(OpenAi.Whole($"answer to {prompt}"));
        });
        var firsts = Enumerable.Range(0, Calls).Select(call => PostAsync(call)).ToArray();
        await Patience.Until(() => Task.FromResult(house.Host.Calls.Count == Calls), "all calls are at the host");

        var retries = Enumerable.Range(0, Calls * Retries).Select(number => PostAsync(number % Calls, "x-stainless-retry-count: 1")).ToArray();
        await Patience.Until(() => Task.FromResult(house.Proxy.Calls.Snapshot().Count(static call => call.Record.Joined is not null) == Calls * Retries),
            "all retries have joined");
        go.SetResult();
        var answers = await Task.WhenAll(firsts);
        var joined = await Task.WhenAll(retries);

        Assert.Equal(Calls, house.Host.Calls.Count);
        for (var number = 0; number < joined.Length; number++)
        {
            var first = answers[number % Calls];
            Assert.Equal((200, first.Text), (joined[number].Status, joined[number].Text));
            Assert.Equal(first.TraceId, joined[number].Header("x-joined-trace-id"));
            Assert.Contains($"question {number % Calls}\"", joined[number].Text, StringComparison.Ordinal);
        }

        Task<RawReply> PostAsync(int call, params string[] headers) => RawClient.SendAsync(
            house.Address, "POST", StreamHouse.Chat, Encoding.UTF8.GetBytes(OpenAi.Request("served", streams, text: $"question {call}")), headers);
    }
}
