using System.Collections.Concurrent;
using System.Text;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>Many calls of every kind at once, with hosts and clients failing at random: nothing may leak, hang, get mixed up or end silently.</summary>
public sealed class SoakTests(SoakTests.Door door) : IClassFixture<SoakTests.Door>
{
    public sealed class Door : FrontDoor
    {
        protected override int Lanes => 1;

        protected override int OllamaLanes => 1;

        protected override string ServerSettings => "queue = 1000";

        // An Ollama client gets no keep-alive while one host after the other stalls before its first token, so both limits together must be below the test's.
        protected override string HostSettings => """
            slots = 8
            first_token = "8s"
            idle = "1s"
            """;
    }

    [Fact]
    [Trait("Category", "Slow")]
    public async Task Hosts_and_clients_break_at_random_Every_call_ends_as_it_must_and_nothing_is_left()
    {
        const int Calls = 1500;
        var openAi = door.Take();
        var ollama = door.TakeOllama();
        var dice = new Random(7);
        var faults = Enumerable.Range(0, 5000).Select(_ => dice.Next(100)).ToArray();
        var drawn = -1;
        foreach (var host in new[] { openAi.A, openAi.B })
            host.Answer(exchange => AnswerAsync(exchange, faults[Interlocked.Increment(ref drawn) % faults.Length], OpenAi.Sse, OpenAi.Stream("a", "b", "c"),
                OpenAi.Whole("abc"), OpenAi.ErrorFrame("broken")));
        foreach (var host in new[] { ollama.A, ollama.B })
            host.Answer(exchange => AnswerAsync(exchange, faults[Interlocked.Increment(ref drawn) % faults.Length], Ollama.Lines, Ollama.Stream("a", "b", "c"),
                Ollama.Last(text: "abc"), "{\"error\":\"broken\"}\n"));

        var wrong = new ConcurrentBag<string>();
        var correlations = new ConcurrentBag<string>();
        var next = -1;
        await Task.WhenAll(Enumerable.Range(0, 24).Select(async _ =>
        {
            for (var call = Interlocked.Increment(ref next); call < Calls; call = Interlocked.Increment(ref next))
            {
                var ollamaClient = call % 3 == 0;
                var stream = call % 4 != 0;
                var model = call % 2 == 0 ? openAi.Pair : ollama.Pair;
                var correlation = FrontDoor.Correlation();
                await using var client = await RawClient.ConnectAsync(door.Address);
                await client.RequestAsync("POST", ollamaClient ? "/api/chat" : "/v1/chat/completions",
                    Encoding.UTF8.GetBytes(ollamaClient ? Ollama.Request(model, stream) : OpenAi.Request(model, stream)), $"x-correlation-id: {correlation}");
                if (call % 7 == 0)
                {
                    // Leaves at a random moment.
                    await Task.Delay(call % 5);
                    client.Reset();
                    continue;
                }

                correlations.Add(correlation);
                RawReply reply;
                try
                {
                    reply = await client.ReadReplyAsync();
                }
                catch (TimeoutException late)
                {
                    wrong.Add($"{(ollamaClient ? "Ollama" : "OpenAI")} client, {(stream ? "stream" : "whole")}, {model}: {late.Message}; "
                        + $"the log ends so: {door.Proxy.Log.Tail}");
                    continue;
                }

                if (Problem(reply, ollamaClient, stream) is { } problem)
                    wrong.Add($"{problem}: {reply.Status} {reply.Text}");
            }
        }));

        Assert.Empty(wrong);
        foreach (var correlation in correlations)
        {
            var line = await door.Proxy.Log.CallAsync(correlation);
            Assert.True(line.Fault != "proxy", line.Line.GetRawText());
        }

        // A client that leaves at once may do so before its request was read; every request that was read has exactly one line.
        Assert.All(door.Proxy.Log.Lines.Where(line => ProxyLog.Text(line, "event") == "call")
            .CountBy(line => ProxyLog.Text(line, "correlation_id")!), calls => Assert.Equal(1, calls.Value));
        Assert.Empty(door.Proxy.Log.Strays);
        await Patience.Until(async () =>
        {
            var metrics = (await door.GetAsync("/metrics")).Text.Split('\n');
            return metrics.Where(line => line.StartsWith("proxy_backend_in_flight{", StringComparison.Ordinal))
                .All(line => line.EndsWith(" 0", StringComparison.Ordinal)) && metrics.Contains("proxy_queue_waiting 0");
        }, "every slot is free and nobody waits");
    }

    private static async Task AnswerAsync(FakeExchange exchange, int fault, string type, string[] frames, string whole, string error)
    {
        var stream = type == OpenAi.Sse
            ? exchange.Request.Text.Contains("\"stream\":true", StringComparison.Ordinal)
            : !exchange.Request.Text.Contains("\"stream\":false", StringComparison.Ordinal);
        switch (fault)
        {
            case < 4:
                exchange.Reset();
                return;
            case < 7:
                await exchange.JsonAsync(OpenAi.Error("slow down"), 503, "Retry-After: 1");
                return;
            case < 10:
                await exchange.SendAsync("garbage\r\n\r\n");
                exchange.Close();
                return;
        }

        if (!stream)
        {
            await exchange.JsonAsync(whole);
            return;
        }

        await exchange.HeadAsync(type);
        for (var i = 0; i < frames.Length; i++)
        {
            if (fault is >= 10 and < 14 && i == fault - 10)
            {
                exchange.Reset();
                return;
            }

            if (fault is >= 14 and < 18 && i == fault - 14)
            {
                await exchange.EndAsync();
                return;
            }

            if (fault is >= 18 and < 22 && i == fault - 18)
            {
                await exchange.ChunkAsync(error);
                await exchange.EndAsync();
                return;
            }

            if (fault is 22 or 23 && i == fault - 21)
            {
                await exchange.StallAsync();
                return;
            }

            await exchange.ChunkAsync(frames[i]);
            if (fault > 80)
                await Task.Delay(1);
        }

        await exchange.EndAsync();
    }

    private static string? Problem(RawReply reply, bool ollamaClient, bool stream)
    {
        if (!reply.Whole)
            return "broken off";
        if (reply.Status != 200)
            return reply.Status is 500 or 502 or 503 or 504 && reply.Json.TryGetProperty("error", out _) ? null : "a refusal of no known form";
        if (!stream)
            return reply.Text.Contains("abc", StringComparison.Ordinal) ? null : "an answer without its text";
        if (ollamaClient)
        {
            var last = reply.JsonLines[^1];
            return last.TryGetProperty("error", out _)
                ? null : last.GetProperty("done").GetBoolean() && Ollama.Read(reply) == "abc" ? null : "a stream without its end";
        }

        return reply.Text.Contains("\"error\"", StringComparison.Ordinal)
            ? null : reply.Events[^1] == "[DONE]" && OpenAi.Read(reply) == "abc" ? null : "a stream without its end";
    }
}
