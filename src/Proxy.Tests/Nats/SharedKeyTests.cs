using Proxy.Tests.EndToEnd;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Nats;

/// <summary>Two proxies on one NATS answer an <c>Idempotency-Key</c> once.</summary>
[Trait("Category", "Slow")]
public sealed class SharedKeyTests
{
    private const string Key = "Idempotency-Key: order-17";

    private static readonly string Body = OpenAi.Request("served", stream: true);

    [Fact]
    public async Task Both_proxies_get_the_same_key_at_once_The_host_generates_once()
    {
        const int Pairs = 20;
        await using var house = await JournalHouse.StartAsync();
        var count = 0;
        house.Host.Answer(async exchange =>
        {
            var number = Interlocked.Increment(ref count);
            await exchange.HeadAsync(OpenAi.Sse);
            foreach (var frame in OpenAi.Stream([.. Enumerable.Range(0, 20).Select(i => $" {number}-{i}")]))
            {
                await exchange.ChunkAsync(frame);
                await Task.Delay(5); // a generation takes time
            }

            await exchange.EndAsync();
        });

        var replies = await Task.WhenAll(Enumerable.Range(0, Pairs).Select(i => Task.WhenAll(
            JournalHouse.PostAsync(house.A, StreamHouse.Chat, Body, $"Idempotency-Key: k{i}", "x-resume: 1"),
            JournalHouse.PostAsync(house.B, StreamHouse.Chat, Body, $"Idempotency-Key: k{i}", "x-resume: 1"))));

        Assert.All(replies, static pair =>
        {
            Assert.Equal((200, 200), (pair[0].Status, pair[1].Status));
            Assert.Equal(pair[0].Text, pair[1].Text);
            Assert.EndsWith(OpenAi.Done, pair[0].Text, StringComparison.Ordinal);
            Assert.Equal(pair[0].Header("location"), pair[1].Header("location"));
        });
        Assert.Equal(Pairs, house.Host.Calls.Count);
        Assert.Equal(Pairs, replies.Select(static pair => pair[0].Text).Distinct().Count());
    }

    [Fact]
    public async Task Key_was_answered_on_one_proxy_The_other_replays_it_and_refuses_another_body()
    {
        await using var house = await JournalHouse.StartAsync();
        house.Expect().End(OpenAi.Stream("One"));
        var first = await JournalHouse.PostAsync(house.A, StreamHouse.Chat, Body, Key);

        var same = await JournalHouse.PostAsync(house.B, StreamHouse.Chat, Body, Key);
        var other = await JournalHouse.PostAsync(house.B, StreamHouse.Chat, OpenAi.Request("served", stream: true, text: "else"), "Idempotency-Key: order-17");
        var fresh = JournalHouse.PostAsync(house.B, StreamHouse.Chat, Body, Key, JournalHouse.Bob);
        (await Patience.For(house.Host.NextCallAsync(), "another owner's key is another key")).ToString();
        house.Host.DropConnections();
        await fresh;

        Assert.Equal((200, first.Text), (same.Status, same.Text));
        Assert.Equal(first.TraceId, same.Header("x-joined-trace-id"));
        Assert.Equal((422, "false"), (other.Status, other.Header("x-should-retry")));
    }

    [Fact]
    public async Task First_generation_failed_The_key_is_free_on_the_other_proxy()
    {
        await using var house = await JournalHouse.StartAsync();
        var broken = house.Expect();
        var first = JournalHouse.PostAsync(house.A, StreamHouse.Chat, Body, Key);
        broken.Send(OpenAi.Role());
        broken.End(OpenAi.ErrorFrame("out of memory"));
        await first;
        house.Expect().End(OpenAi.Stream("One"));

        var second = await JournalHouse.PostAsync(house.B, StreamHouse.Chat, Body, Key);

        Assert.EndsWith(OpenAi.Done, second.Text, StringComparison.Ordinal);
        Assert.Equal(2, house.Host.Calls.Count);
        Assert.Equal(second.Text, (await JournalHouse.PostAsync(house.A, StreamHouse.Chat, Body, Key)).Text);
        Assert.Equal(2, house.Host.Calls.Count);
    }

    [Fact]
    public async Task Proxy_that_has_the_key_is_killed_The_other_takes_it_over()
    {
        await using var house = await JournalHouse.StartAsync();
        var lost = house.Expect();
        await using var first = await JournalHouse.CallAsync(house.A, StreamHouse.Chat, Body, Key);
        lost.Send(OpenAi.Role() + OpenAi.Token("One"));
        await first.ReadHeadAsync();
        await first.ReadUntilAsync("One");
        await using var joined = await JournalHouse.CallAsync(house.B, StreamHouse.Chat, Body, Key);
        await joined.ReadHeadAsync();
        await joined.ReadUntilAsync("One");
        await house.A.KillAsync();

        var cut = await joined.ReadRestAsync();
        house.Expect().End(OpenAi.Stream("Two"));
        var retry = await JournalHouse.PostAsync(house.B, StreamHouse.Chat, Body, Key);

        Assert.Contains("\"error\"", cut.Text, StringComparison.Ordinal);
        Assert.Equal(string.Concat(OpenAi.Stream("Two")), retry.Text);
        Assert.Equal(2, house.Host.Calls.Count);
    }

    [Fact]
    public async Task Proxy_hangs_and_its_key_is_taken_over_It_stops_its_generation()
    {
        await using var house = await JournalHouse.StartAsync();
        var old = house.Expect();
        await using var first = await JournalHouse.CallAsync(house.A, StreamHouse.Chat, Body, Key);
        old.Send(OpenAi.Role() + OpenAi.Token("One"));
        await first.ReadHeadAsync();
        await first.ReadUntilAsync("One");
        await using (var joined = await JournalHouse.CallAsync(house.B, StreamHouse.Chat, Body, Key))
        {
            await joined.ReadHeadAsync();
            await joined.ReadUntilAsync("One");
            Signal(house.A, 19);
            await joined.ReadRestAsync();
        }

        house.Expect().End(OpenAi.Stream("Two"));
        var retry = await JournalHouse.PostAsync(house.B, StreamHouse.Chat, Body, Key);
        Signal(house.A, 18);

        Assert.Equal(string.Concat(OpenAi.Stream("Two")), retry.Text);
        await old.GoneAsync();
        await house.A.Log.EventAsync("journal_lost");
        Assert.Contains("another proxy has taken over", (await first.ReadRestAsync()).Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Nats_is_gone_The_key_holds_on_one_proxy_and_that_is_said()
    {
        await using var house = await JournalHouse.StartAsync();
        await house.Server.StopAsync();
        await house.A.Log.EventAsync("nats_down");
        house.Expect().End(OpenAi.Stream("One"));

        var first = await JournalHouse.PostAsync(house.A, StreamHouse.Chat, Body, Key);
        var second = await JournalHouse.PostAsync(house.A, StreamHouse.Chat, Body, Key);

        Assert.Equal((200, first.Text), (second.Status, second.Text));
        Assert.Single(house.Host.Calls);
        await house.A.Log.EventAsync("key_not_shared");
    }

    private static void Signal(ProxyProcess proxy, int number) => Assert.Equal(0, ProxyProcess.Kill(proxy.Id, number));
}
