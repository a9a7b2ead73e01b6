using System.Security.Cryptography;
using System.Text;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>What still runs in a process that handed over is reached through the one that took over.</summary>
public sealed class HandoffForwardingTests(HandoffForwardingTests.Pair pair) : IClassFixture<HandoffForwardingTests.Pair>
{
    private const string Ann = "authorization: Bearer ann", Bob = "authorization: Bearer bob";

    /// <summary>A process that took over, and the one before it, in which the streams of the tests run.</summary>
    public sealed class Pair : IAsyncLifetime
    {
        private readonly Dictionary<string, RawClient> streams = [];

        internal HandoffHouse House { get; private set; } = null!;

        internal RawClient Stream(string name) => streams[name];

        internal string IdOf(string name) =>
            streams[name].Headers.First(static header => header.Name.Equals("x-trace-id", StringComparison.OrdinalIgnoreCase)).Value;

        public async ValueTask InitializeAsync()
        {
            House = await HandoffHouse.StartAsync(sections: string.Concat(((string[])["ann", "bob"]).Select(static name => $"""

                [[auth.keys]]
                name = "{name}"
                sha256 = "{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(name)))}"

                """)));
            await BeginAsync("resumed", "x-resume: 1");
            await BeginAsync("cancelled", "x-resume: 1");
            await BeginAsync("plain");
            await BeginAsync("keyed", "Idempotency-Key: \"k1\"");
            await BeginAsync("talk", "X-Conversation-Id: c1");
            await House.HandoffAsync();

            async Task BeginAsync(string name, params string[] headers) => streams[name] = await House.StreamAsync("many", name, [Ann, .. headers]);
        }

        public ValueTask DisposeAsync() => House.DisposeAsync();
    }

    [Fact]
    public async Task Resumed_Every_byte_is_there_and_for_its_owner_only()
    {
        var path = $"/v1/streams/{pair.IdOf("resumed")}";
        var foreign = await pair.House.GetAsync(path, Bob);
        var (listed, others) = (await pair.House.GetAsync("/v1/streams", Ann), await pair.House.GetAsync("/v1/streams", Bob));
        var resumed = await RawClient.ConnectAsync(pair.House.Address);
        await resumed.RequestAsync("GET", $"{path}?after=2", null, Ann);
        await resumed.ReadHeadAsync();
        await resumed.ReadUntilAsync("resumed-3\"");
        await pair.Stream("resumed").DisposeAsync(); // the first client leaves, the other reads on
        pair.House.End("resumed");
        var rest = await resumed.ReadRestAsync();
        var unknown = await pair.House.GetAsync("/v1/streams/0123456789", Ann);

        Assert.Equal(404, foreign.Status);
        Assert.Contains(pair.IdOf("resumed"), listed.Text, StringComparison.Ordinal);
        Assert.Equal(0, others.Json.GetProperty("data").GetArrayLength());
        Assert.True(rest.Whole);
        Assert.StartsWith($"id: {pair.IdOf("resumed")}/3\n", rest.Text, StringComparison.Ordinal);
        Assert.EndsWith(OpenAi.Done, rest.Text, StringComparison.Ordinal);
        Assert.Equal((404, "stream_not_found"), (unknown.Status, unknown.ErrorCode));
    }

    [Fact]
    public async Task Cancelled_The_stream_ends_with_an_error_and_a_foreign_key_cannot_do_it()
    {
        foreach (var name in (string[])["cancelled", "plain"])
        {
            var path = $"/v1/streams/{pair.IdOf(name)}";
            Assert.Equal(404, (await pair.House.DeleteAsync(path, Bob)).Status);
            var deleted = await pair.House.DeleteAsync(path, Ann);

            Assert.True(deleted.Status == 200 && deleted.Json.GetProperty("cancelled").GetBoolean(), deleted.Text);
            var rest = await Patience.For(pair.Stream(name).ReadRestAsync(), "the stream's end");
            Assert.Contains("cancelled by DELETE", OpenAi.ReadError(rest).GetProperty("message").GetString()!, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Key_is_sent_again_The_call_joins_the_stream()
    {
        var body = Encoding.UTF8.GetBytes(OpenAi.Request("many", stream: true, text: "slow keyed"));
        var calls = pair.House.Host.Calls.Count;
        var joined = await RawClient.ConnectAsync(pair.House.Address);
        await joined.RequestAsync("POST", HandoffHouse.Chat, body, Ann, "Idempotency-Key: \"k1\"");
        await joined.ReadHeadAsync();
        await joined.ReadUntilAsync("keyed-3\"");
        var reused = await pair.House.PostAsync(HandoffHouse.Chat, OpenAi.Request("many", text: "another"), Ann, "Idempotency-Key: \"k1\"");
        var foreign = await pair.House.PostAsync(HandoffHouse.Chat, OpenAi.Request("many", text: "another"), Bob, "Idempotency-Key: \"k1\"");
        pair.House.End("keyed");
        var rest = await joined.ReadRestAsync();

        Assert.Equal(pair.IdOf("keyed"), rest.Header("x-joined-trace-id"));
        HandoffHouse.AssertWhole("keyed", rest);
        Assert.Equal((422, "idempotency_key_reused"), (reused.Status, reused.ErrorCode));
        Assert.Equal(200, foreign.Status); // another owner's key is another key
        Assert.Equal(calls + 1, pair.House.Host.Calls.Count); // the foreign one
    }

    [Fact]
    public async Task Conversation_is_read_again_looked_up_and_cancelled()
    {
        var lookup = await pair.House.PostAsync("/v1/streams/lookup", """{"conversation_ids":["c1"]}""", Ann);
        var foreign = await pair.House.GetAsync("/v1/stream?conv_id=c1", Bob);
        var client = await RawClient.ConnectAsync(pair.House.Address);
        await client.RequestAsync("GET", "/v1/stream?conv_id=c1", null, Ann);
        await client.ReadHeadAsync();
        await client.ReadUntilAsync("talk-4\"");
        var cancelled = await pair.House.DeleteAsync("/v1/stream?conv_id=c1", Ann);
        var end = await Patience.For(client.ReadRestAsync(), "the stream's end");

        Assert.Equal("c1", lookup.Json[0].GetProperty("conversation_id").GetString());
        Assert.Equal(404, foreign.Status);
        Assert.Equal(204, cancelled.Status);
        Assert.Contains("cancelled by DELETE", end.Text, StringComparison.Ordinal);
    }
}
