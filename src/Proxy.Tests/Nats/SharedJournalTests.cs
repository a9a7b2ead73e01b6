using Proxy.Tests.EndToEnd;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Nats;

/// <summary>Two proxies on one NATS continue each other's answers.</summary>
[Trait("Category", "Slow")]
public sealed class SharedJournalTests
{
    private static readonly string[] Answer =
    [
        OpenAi.Role(), OpenAi.Token("One"), OpenAi.Token(" two"), OpenAi.Token(" three"), OpenAi.Token(" four"), OpenAi.Token(" five"),
        OpenAi.Stop(), OpenAi.Done,
    ];

    private static readonly Dictionary<string, (string Path, string Body)> Clients = new()
    {
        ["openai"] = (StreamHouse.Chat, OpenAi.Request("served", stream: true)),
        ["anthropic"] = ("/v1/messages", """{"model":"served","max_tokens":100,"stream":true,"messages":[{"role":"user","content":"hello"}]}"""),
        ["responses"] = ("/v1/responses", """{"model":"served","stream":true,"input":"hello","metadata":{"a":"b"}}"""),
    };

    [Theory]
    [InlineData("openai", ServerTree.Usual)]
    [InlineData("openai", ServerTree.Oldest)]
    [InlineData("openai", ServerTree.Newest)]
    [InlineData("anthropic", ServerTree.Usual)]
    [InlineData("responses", ServerTree.Usual)]
    public async Task Begun_on_one_proxy_Continued_on_the_other_every_byte_is_the_same(string dialect, string release)
    {
        await using var house = await JournalHouse.StartAsync(release);
        var (location, begun, answer) = await BeginAsync(house, dialect);
        var id = begun.Split("\nid: ").Last().Split('\n')[0];
        await using var rest = await RawClient.ConnectAsync(house.B.Address);
        await rest.RequestAsync("GET", location, null, JournalHouse.Ann, $"Last-Event-ID: {id}");
        answer.Send(Answer[3]);
        await rest.ReadHeadAsync();
        await rest.ReadUntilAsync("three");
        await using var second = await RawClient.ConnectAsync(house.B.Address);
        await second.RequestAsync("GET", location, null, JournalHouse.Ann);
        await second.ReadHeadAsync();
        await second.ReadUntilAsync("three");
        answer.End(Answer[4..]);

        var ended = await rest.ReadRestAsync();
        var whole = await JournalHouse.GetAsync(house.A, location);
        Assert.Equal(whole.Text, begun + ended.Text);
        Assert.Equal(whole.Text, (await second.ReadRestAsync()).Text);
        Assert.Equal(whole.Text, (await JournalHouse.GetAsync(house.B, location)).Text);
        Assert.Contains("five", ended.Text, StringComparison.Ordinal);
        foreach (var other in (string[])["openai", "responses", "anthropic", "ollama", "events"])
        {
            var there = await JournalHouse.GetAsync(house.A, $"{location}?as={other}");
            Assert.Equal((200, there.Text), (there.Status, (await JournalHouse.GetAsync(house.B, $"{location}?as={other}")).Text));
        }

        Assert.Single(house.Host.Calls);
    }

    [Fact]
    public async Task Client_has_more_than_was_journaled_The_other_proxy_waits_for_the_rest()
    {
        await using var house = await JournalHouse.StartAsync();
        var (location, _, answer) = await BeginAsync(house);
        var rest = JournalHouse.GetAsync(house.B, $"{location}?after=5");
        answer.End(Answer[3..]);

        var text = (await rest).Text;
        Assert.DoesNotContain("four", text, StringComparison.Ordinal);
        Assert.Contains("five", text, StringComparison.Ordinal);
        Assert.Equal(400, (await JournalHouse.GetAsync(house.B, $"{location}?after=50")).Status);
    }

    [Fact]
    public async Task Reader_on_the_other_proxy_Keeps_the_generation_going()
    {
        await using var house = await JournalHouse.StartAsync(streams: "linger = \"4s\"");
        var (location, _, answer) = await BeginAsync(house);
        var reading = JournalHouse.GetAsync(house.B, location);
        await Task.WhenAny(answer.GoneAsync(), Task.Delay(TimeSpan.FromSeconds(8))); // nothing must happen for longer than the generation lingers
        Assert.False(answer.IsGone);
        answer.End(Answer[3..]);

        Assert.EndsWith(OpenAi.Done, (await reading).Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("openai", "\"error\"")]
    [InlineData("anthropic", "event: error")]
    public async Task Proxy_is_killed_The_other_one_gives_what_was_journaled_and_then_an_error(string dialect, string error)
    {
        await using var house = await JournalHouse.StartAsync();
        var (location, _, _) = await BeginAsync(house, dialect);
        await using var before = await RawClient.ConnectAsync(house.B.Address);
        await before.RequestAsync("GET", location, null, JournalHouse.Ann);
        await before.ReadHeadAsync();
        await before.ReadUntilAsync("two");
        await house.A.KillAsync();

        var after = await JournalHouse.GetAsync(house.B, location);
        var live = await before.ReadRestAsync();

        Assert.Contains("two", after.Text, StringComparison.Ordinal);
        Assert.Contains(error, after.Text, StringComparison.Ordinal);
        Assert.Equal(after.Text, live.Text);
        Assert.Equal(1, after.Text.Split(error).Length - 1);
        var ahead = await JournalHouse.GetAsync(house.B, $"{location}?after=4"); // this client had more than was journaled
        Assert.Contains("\"error\"", ahead.Text, StringComparison.Ordinal);
        Assert.DoesNotContain("two", ahead.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Proxy_starts_again_It_serves_what_it_finished_before()
    {
        await using var house = await JournalHouse.StartAsync();
        var (path, body) = Clients["openai"];
        house.Expect().End(Answer);
        var first = await JournalHouse.PostAsync(house.A, path, body, JournalHouse.Resume);
        await house.A.KillAsync(); // at the end that the client got, everything was stored
        await house.StartAgainAsync();

        var again = await JournalHouse.GetAsync(house.A, first.Header("location")!);

        Assert.Equal((200, first.Text), (again.Status, again.Text));
    }

    [Fact]
    public async Task Whole_document_Is_read_on_the_other_proxy()
    {
        await using var house = await JournalHouse.StartAsync();
        house.Expect("application/json").End(OpenAi.Whole(new string('x', 3 << 20))); // more than one message holds
        var first = await JournalHouse.PostAsync(house.A, StreamHouse.Chat, OpenAi.Request("served"), JournalHouse.Resume);

        var other = await JournalHouse.GetAsync(house.B, first.Header("location")!);

        Assert.Equal((200, first.Text), (other.Status, other.Text));
        Assert.Equal("application/json", other.ContentType);
    }

    [Fact]
    public async Task Another_owner_Finds_nothing()
    {
        await using var house = await JournalHouse.StartAsync();
        var (location, _, answer) = await BeginAsync(house);

        var read = await JournalHouse.GetAsync(house.B, location, JournalHouse.Bob);
        var deleted = await JournalHouse.DeleteAsync(house.B, location, JournalHouse.Bob);
        var unknown = await JournalHouse.GetAsync(house.B, "/v1/streams/01ARZ3NDEKTSV4RRFFQ69G5FAV");

        Assert.Equal((404, 404, 404), (read.Status, deleted.Status, unknown.Status));
        Assert.False(answer.IsGone);
        answer.End(Answer[3..]);
        Assert.Equal(200, (await JournalHouse.GetAsync(house.B, location)).Status);
        Assert.Equal(404, (await JournalHouse.GetAsync(house.B, location, JournalHouse.Bob)).Status);
    }

    [Fact]
    public async Task Deleted_on_the_other_proxy_The_host_is_free_and_the_answer_gone_everywhere()
    {
        await using var house = await JournalHouse.StartAsync();
        var (location, _, answer) = await BeginAsync(house);

        RawReply? deleted = null; // the answer's first frames reach its shared journal a moment after its client
        await Patience.Until(async () => (deleted = await JournalHouse.DeleteAsync(house.B, location)).Status != 404, "the other proxy knows the answer");

        Assert.True(deleted!.Json.GetProperty("cancelled").GetBoolean());
        await answer.GoneAsync();
        await Patience.Until(async () => (await JournalHouse.GetAsync(house.A, location)).Status == 404, "the answer is gone where it was generated");
        Assert.Equal(404, (await JournalHouse.GetAsync(house.B, location)).Status);
        Assert.Equal(404, (await JournalHouse.DeleteAsync(house.B, location)).Status);
    }

    [Fact]
    public async Task Nats_is_killed_and_comes_back_during_a_stream_Nothing_is_lost()
    {
        await using var house = await JournalHouse.StartAsync();
        var answer = house.Expect();
        var (path, body) = Clients["openai"];
        await using var client = await JournalHouse.CallAsync(house.A, path, body, JournalHouse.Resume);
        answer.Send(OpenAi.Role() + OpenAi.Token("w0;"));
        await client.ReadHeadAsync();
        await client.ReadUntilAsync("w0;");
        var location = client.Headers.First(static header => header.Name == "Location").Value;
        await using var other = await RawClient.ConnectAsync(house.B.Address);
        await other.RequestAsync("GET", location, null, JournalHouse.Ann);
        await other.ReadHeadAsync();
        await other.ReadUntilAsync("w0;");
        for (var i = 1; i < 200; i++)
        {
            answer.Send(OpenAi.Token($"w{i};"));
            if (i % 50 == 10) await house.Server.KillAsync();
            if (i % 50 == 30) await house.Server.StartAgainAsync();
            await client.ReadUntilAsync($"w{i};"); // the client waits for nothing
        }

        await other.ReadUntilAsync("w199;");
        answer.End(OpenAi.Stop(), OpenAi.Done);

        var direct = await client.ReadRestAsync();
        Assert.Equal(direct.Text, (await other.ReadRestAsync()).Text);
        Assert.EndsWith(OpenAi.Done, direct.Text, StringComparison.Ordinal);
        Assert.Equal(direct.Text, (await JournalHouse.GetAsync(house.B, location)).Text);
    }

    [Fact]
    public async Task Streams_are_cut_at_random_places_Half_are_resumed_on_the_other_proxy_Every_byte_is_the_same()
    {
        const int Streams = 40, Words = 60;
        await using var house = await JournalHouse.StartAsync();
        house.Host.Answer(static async exchange =>
        {
            await exchange.HeadAsync(OpenAi.Sse);
            foreach (var frame in OpenAi.Stream([.. Enumerable.Range(0, Words).Select(static i => $"w{i};")]))
            {
                await exchange.ChunkAsync(frame);
                await Task.Delay(10); // a token takes time
            }

            await exchange.EndAsync();
        });
        var random = new Random(20261130);
        var cuts = Enumerable.Range(0, Streams).Select(_ => Enumerable.Range(0, random.Next(1, 6)).Select(_ => random.Next(Words)).Order().ToArray()).ToArray();

        var answers = await Task.WhenAll(Enumerable.Range(0, Streams).Select(i => RunAsync(i, cuts[i])));

        Assert.Equal(Streams, house.Host.Calls.Count);
        foreach (var (location, text) in answers) Assert.Equal((await JournalHouse.GetAsync(house.A, location)).Text, text);
        foreach (var (location, text) in answers) Assert.Equal((await JournalHouse.GetAsync(house.B, location)).Text, text);

        async Task<(string Location, string Text)> RunAsync(int number, int[] places)
        {
            var (path, body) = Clients[number % 3 == 0 ? "anthropic" : "openai"];
            var client = await JournalHouse.CallAsync(house.A, path, body, JournalHouse.Resume, "anthropic-version: 2023-06-01");
            var (text, location) = ("", "");
            foreach (var place in places)
            {
                await client.ReadHeadAsync();
                if (location.Length == 0) location = client.Headers.First(static header => header.Name == "Location").Value;
                if (!text.Contains($"w{place};", StringComparison.Ordinal)) await client.ReadUntilAsync($"w{place};");
                var whole = client.BodySoFar.LastIndexOf("\n\n", StringComparison.Ordinal);
                if (whole >= 0) text += client.BodySoFar[..(whole + 2)];
                await client.DisposeAsync();
                var id = text.Contains("id: ", StringComparison.Ordinal) ? text.Split("id: ").Last().Split('\n')[0] : "0";
                client = await RawClient.ConnectAsync((random.Next(2) == 0 ? house.A : house.B).Address);
                await client.RequestAsync("GET", location, null, JournalHouse.Ann, $"Last-Event-ID: {id}");
            }

            var rest = await client.ReadReplyAsync();
            await client.DisposeAsync();
            return (location, text + rest.Text);
        }
    }

    [Fact]
    public async Task Proxy_stops_in_an_orderly_way_Readers_elsewhere_are_told_at_once()
    {
        await using var house = await JournalHouse.StartAsync();
        var (location, _, _) = await BeginAsync(house);
        await using var reader = await RawClient.ConnectAsync(house.B.Address);
        await reader.RequestAsync("GET", location, null, JournalHouse.Ann);
        await reader.ReadHeadAsync();
        await reader.ReadUntilAsync("two");
        house.A.Signal(System.Runtime.InteropServices.PosixSignal.SIGTERM);
        await house.A.Log.EventAsync("stopping");
        house.A.Signal(System.Runtime.InteropServices.PosixSignal.SIGTERM); // a second one ends the drain

        var rest = await Patience.For(reader.ReadRestAsync(), "the end of the answer");
        Assert.Contains("the generation was cancelled before its answer was complete", rest.Text, StringComparison.Ordinal); // not that the proxy is silent
    }

    [Fact]
    public async Task Message_of_a_newer_version_Is_skipped()
    {
        await using var house = await JournalHouse.StartAsync();
        house.Expect().End(Answer);
        var first = await JournalHouse.PostAsync(house.A, StreamHouse.Chat, Clients["openai"].Body, JournalHouse.Resume);
        await using var connection = new NATS.Client.Core.NatsConnection(new() { Url = house.Server.Url });
        var id = Newer(first.TraceId);
        var last = 0UL;
        foreach (var (kind, text) in await MessagesAsync(house, first.TraceId))
        {
            await AppendAsync("hint", "{}");
            await AppendAsync(kind, kind is "frames" or "alive" ? text : text.Replace(first.TraceId, id, StringComparison.Ordinal)
                .Replace("{\"", "{\"newer\":[{}],\"", StringComparison.Ordinal));
        }

        Assert.Equal(first.Text.Replace(first.TraceId, id, StringComparison.Ordinal), (await JournalHouse.GetAsync(house.B, $"/v1/streams/{id}")).Text);

        async Task AppendAsync(string kind, string text)
        {
            if (last == 0 && kind == "hint") return;
            var reply = await connection.RequestAsync<byte[], byte[]>(
                $"p1.jrn.chat.{id}", System.Text.Encoding.UTF8.GetBytes(text), new() { ["Proxy-Kind"] = kind, ["Proxy-Newer"] = "1" });
            last = System.Text.Json.JsonElement.Parse(reply.Data!).GetProperty("seq").GetUInt64();
        }
    }

    [Fact]
    public async Task Nats_is_gone_The_end_waits_a_while_and_is_sent()
    {
        await using var house = await JournalHouse.StartAsync();
        var (path, body) = Clients["openai"];
        await house.Server.StopAsync();
        house.Expect().End(Answer);

        var reply = await JournalHouse.PostAsync(house.A, path, body, JournalHouse.Resume);

        Assert.EndsWith(OpenAi.Done, reply.Text, StringComparison.Ordinal);
        await house.A.Log.EventAsync("journal_away");
        await house.A.Log.EventAsync("journal_end_not_stored");
        Assert.Equal(503, (await JournalHouse.GetAsync(house.B, reply.Header("location")!)).Status);
        await house.Server.StartAgainAsync();
        await house.A.Log.EventAsync("journal_back");
        await Patience.Until(
            async () => (await JournalHouse.GetAsync(house.B, reply.Header("location")!)).Text == reply.Text, "what waited arrives");
    }

    [Fact]
    public async Task Server_has_no_jetstream_It_is_said_and_the_memory_serves()
    {
        await using var house = await JournalHouse.StartAsync(jetStream: false);
        Assert.Contains("answers stay in this process's memory", (await house.A.Log.EventAsync("nats_no_journal")).GetRawText(), StringComparison.Ordinal);
        await house.B.Log.EventAsync("nats_no_journal");
        var (path, body) = Clients["openai"];
        house.Expect().End(Answer);
        var first = await JournalHouse.PostAsync(house.A, path, body, JournalHouse.Resume, "Idempotency-Key: k");

        Assert.Equal(first.Text, (await JournalHouse.GetAsync(house.A, first.Header("location")!)).Text);
        Assert.Equal("true", (await JournalHouse.PostAsync(house.A, path, body, JournalHouse.Resume, "Idempotency-Key: k")).Header("idempotent-replayed"));
        Assert.Equal(404, (await JournalHouse.GetAsync(house.B, first.Header("location")!)).Status);
    }

    private static string Newer(string id) => id[..^1] + (id[^1] == '0' ? '1' : '0');

    /// <summary>The kinds and texts of the messages of a journal.</summary>
    private static async Task<List<(string Kind, string Text)>> MessagesAsync(JournalHouse house, string traceId)
    {
        var found = new List<(string, string)>();
        for (var from = 1UL; ; from++)
        {
            var said = await NatsOutageTests.AskAsync(
                house.Server, "STREAM.MSG.GET.PROXY_JOURNAL_p1", $$"""{"seq":{{from}},"next_by_subj":"p1.jrn.chat.{{traceId}}"}""");
            if (!said.TryGetProperty("message", out var message)) return found;
            from = message.GetProperty("seq").GetUInt64();
            var headers = System.Text.Encoding.UTF8.GetString(message.GetProperty("hdrs").GetBytesFromBase64());
            var kind = headers.Split("Proxy-Kind: ")[1].Split("\r\n")[0];
            found.Add((kind, message.TryGetProperty("data", out var data) ? System.Text.Encoding.UTF8.GetString(data.GetBytesFromBase64()) : ""));
        }
    }

    private static async Task<(string Location, string Begun, ScriptedAnswer Answer)> BeginAsync(JournalHouse house, string dialect = "openai")
    {
        var (path, body) = Clients[dialect];
        var answer = house.Expect();
        var client = await JournalHouse.CallAsync(house.A, path, body, JournalHouse.Resume, "anthropic-version: 2023-06-01");
        foreach (var piece in Answer[..3]) answer.Send(piece);
        await client.ReadHeadAsync();
        Assert.True(client.Status == 200, client.BodySoFar);
        await client.ReadUntilAsync("two");
        await client.ReadUntilAsync("\n\n");
        var begun = client.BodySoFar[..(client.BodySoFar.LastIndexOf("\n\n", StringComparison.Ordinal) + 2)];
        await client.DisposeAsync();
        return (client.Headers.First(static header => header.Name == "Location").Value, begun, answer);
    }
}
