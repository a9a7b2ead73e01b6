using System.Collections.Concurrent;
using System.Text;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>Slots, the queue for them, and the choice of the least busy backend.</summary>
public sealed class SlotTests(SlotTests.Door door) : IClassFixture<SlotTests.Door>
{
    public sealed class Door : FrontDoor
    {
        private readonly List<FakeBackend> hosts = [];
        private int taken;

        /// <summary>
        /// Long, because the relay also checks for a host that has sent its last frame when a keep-alive is due. So only the last frame itself can free the
        /// slot.
        /// </summary>
        protected override string ServerSettings => "queue = 2\nkeepalive_after = \"10m\"";

        /// <summary>A host with one slot, or two with two and one.</summary>
        internal (FakeBackend[] Hosts, string Model) TakeSlots(bool pair = false)
        {
            var number = Interlocked.Increment(ref taken) - 1;
            return pair ? ([hosts[(3 * number) + 1], hosts[(3 * number) + 2]], $"pair{number}") : ([hosts[3 * number]], $"one{number}");
        }

        protected override string Sections()
        {
            var sections = new StringBuilder();
            for (var number = 0; number < 10; number++)
            {
                Add($"one{number}", $"one{number}", 1, "300s");
                Add($"two{number}", $"pair{number}", 2, "300s");
                Add($"three{number}", $"pair{number}", 1, "300s");
            }

            Add("hasty", "hasty", 1, "700ms");
            return sections.ToString();

            void Add(string name, string model, int slots, string patience)
            {
                var host = Host();
                hosts.Add(host);
                sections.AppendLine($"""
                    [[backends]]
                    name = "{name}"
                    url = "{host.Url}"
                    dialects = ["openai"]
                    models = ["{model}"]
                    slots = {slots}
                    first_token = "{patience}"
                    """);
            }
        }

        internal FakeBackend Hasty => hosts[^1];
    }

    [Fact]
    public async Task Slot_is_taken_Calls_wait_in_line_and_are_served_in_order()
    {
        var (hosts, model) = door.TakeSlots();
        var host = hosts[0];
        var go = new SemaphoreSlim(0);
        host.Answer(async exchange =>
        {
            await go.WaitAsync();
            await exchange.JsonAsync(OpenAi.Whole("fine"));
        });
        var arrival = host.NextCallAsync();
        var first = PostAsync(model, "first");
        await arrival;
        var second = PostAsync(model, "second");
        await WaitAsync(1);
        var third = PostAsync(model, "third");
        await WaitAsync(2);

        Assert.Single(host.Calls);
        go.Release(3);
        foreach (var call in new[] { first, second, third })
            Assert.Equal(200, (await call).Status);

        Assert.Equal(["first", "second", "third"], host.Calls.Select(Text));
    }

    [Fact]
    public async Task Host_has_said_its_last_word_and_stays_The_slot_is_free()
    {
        var (hosts, model) = door.TakeSlots();
        hosts[0].Answer(exchange => exchange.JsonAsync(OpenAi.Whole("fine")));
        hosts[0].Once(async exchange =>
        {
            await exchange.HeadAsync(OpenAi.Sse);
            foreach (var frame in OpenAi.Stream("one")) await exchange.ChunkAsync(frame);
            await exchange.StallAsync(); // the body never ends
        });
        var arrival = hosts[0].NextCallAsync();
        var first = door.PostAsync("/v1/chat/completions", OpenAi.Request(model, stream: true));
        await arrival;

        var second = await PostAsync(model, "second");

        Assert.Equal(200, second.Status);
        Assert.False(first.IsCompleted);
    }

    [Fact]
    public async Task Line_is_full_Client_gets_503_at_once()
    {
        var (hosts, model) = door.TakeSlots();
        var host = hosts[0];
        var go = new SemaphoreSlim(0);
        host.Answer(async exchange =>
        {
            await go.WaitAsync();
            await exchange.JsonAsync(OpenAi.Whole("fine"));
        });
        var arrival = host.NextCallAsync();
        var served = new List<Task<RawReply>> { PostAsync(model, "first") };
        await arrival;
        served.Add(PostAsync(model, "second"));
        await WaitAsync(1);
        served.Add(PostAsync(model, "third"));
        await WaitAsync(2);

        var (reply, line) = await door.ChatAsync(model, stream: true);

        Assert.Equal(503, reply.Status);
        Assert.Equal("queue_full", reply.ErrorCode);
        Assert.InRange(int.Parse(reply.Header("retry-after")!, System.Globalization.CultureInfo.InvariantCulture), 1, 60);
        Assert.Equal("refused", line.Outcome);
        Assert.Equal("503", line.Status);
        go.Release(3);
        foreach (var call in served)
            Assert.Equal(200, (await call).Status);
    }

    [Fact]
    public async Task Call_waits_longer_than_the_first_token_may_take_It_is_given_up()
    {
        door.Hasty.Answer(async exchange =>
        {
            await exchange.HeadAsync(OpenAi.Sse);
            await exchange.ChunkAsync(OpenAi.Role() + OpenAi.Token("busy"));
            await exchange.StallAsync();
        });
        var arrival = door.Hasty.NextCallAsync();
        await using var holder = await RawClient.ConnectAsync(door.Address);
        await holder.RequestAsync("POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(OpenAi.Request("hasty", stream: true)));
        await arrival;

        var (reply, _) = await door.ChatAsync("hasty", stream: true);

        Assert.True(reply.Status is 503 or 504, $"{reply.Status} {reply.Text}");
        Assert.Single(door.Hasty.Calls);
    }

    [Fact]
    public async Task Two_hosts_serve_a_model_Each_call_goes_where_most_slots_are_free()
    {
        var (hosts, model) = door.TakeSlots(pair: true);
        var go = new SemaphoreSlim(0);
        var order = new ConcurrentQueue<int>();
        for (var i = 0; i < hosts.Length; i++)
        {
            var number = i;
            hosts[i].Answer(async exchange =>
            {
                order.Enqueue(number);
                await go.WaitAsync();
                await exchange.JsonAsync(OpenAi.Whole("fine"));
            });
        }

        var calls = new List<Task<RawReply>>();
        for (var i = 0; i < 3; i++)
        {
            calls.Add(PostAsync(model, $"{i}"));
            var expected = i + 1;
            await Patience.Until(() => Task.FromResult(order.Count == expected), "the call has reached a host");
        }

        Assert.Equal(0, order.First());
        Assert.Equal([0, 0, 1], order.Order());
        go.Release(3);
        foreach (var call in calls)
            Assert.Equal(200, (await call).Status);
    }

    [Fact]
    public async Task Many_calls_at_once_A_host_never_runs_more_than_its_slots()
    {
        var (hosts, model) = door.TakeSlots();
        var host = hosts[0];
        var now = 0;
        var most = 0;
        host.Answer(async exchange =>
        {
            var running = Interlocked.Increment(ref now);
            most = Math.Max(most, running);
            await Task.Delay(5);
            Interlocked.Decrement(ref now);
            await exchange.JsonAsync(OpenAi.Whole("fine"));
        });

        var replies = new ConcurrentBag<int>();
        await Task.WhenAll(Enumerable.Range(0, 2).Select(async _ =>
        {
            for (var i = 0; i < 20; i++)
                replies.Add((await PostAsync(model, "x")).Status);
        }));

        Assert.Equal(1, most);
        Assert.All(replies, status => Assert.Equal(200, status));
    }

    private Task<RawReply> PostAsync(string model, string text) => door.PostAsync("/v1/chat/completions", OpenAi.Request(model, text: text));

    private static string Text(FakeRequest request) => request.Json.GetProperty("messages")[0].GetProperty("content").GetString()!;

    /// <summary>Waits until the metrics show this many waiting calls; the tests of a class run one after the other.</summary>
    private Task WaitAsync(int count) => Patience.Until(
        async () => (await door.GetAsync("/metrics")).Text.Split('\n').Contains($"proxy_queue_waiting {count}"),
        $"{count} calls wait in line");
}
