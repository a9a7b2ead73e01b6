using System.Text;
using System.Text.Json;
using NATS.Client.Core;
using Proxy.Chat;
using Proxy.Tests.Harness;
using Proxy.Workflows;

namespace Proxy.Tests.Nats;

/// <summary>Events of jobs over a real NATS server: in order, each once, over lost connections; without JetStream a loss is an error.</summary>
public sealed class WorkflowBusTests
{
    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(ServerTree.Oldest)]
    [InlineData(ServerTree.Usual)]
    [InlineData(ServerTree.Newest)]
    public async Task Connection_is_lost_Events_continue_where_they_stopped_each_once(string release)
    {
        await using var house = await BusHouse.StartAsync(await NatsServer.StartAsync(release));
        var trace = BusHouse.Trace();
        var subject = house.Bus.EventSubject(trace);
        await using var feed = await house.Bus.FollowAsync(trace, Stop);
        await using var events = feed.ReadAsync(Stop).GetAsyncEnumerator(Stop);
        var others = house.PublishAsync(house.Bus.EventSubject(BusHouse.Trace()), 1, 100); // another job's lie between

        await house.PublishAsync(subject, 1, 50);
        await house.PublishAsync(subject, 40, 50); // a worker that has not heard the acknowledgement: the server drops them
        var before = await BusHouse.ReadAsync(events, 30);
        await house.CutAsync();
        await house.PublishAsync(subject, 51, 220); // more than one batch of history
        await house.MendAsync();
        var after = await BusHouse.ReadAsync(events, 190); // without anything published after it
        await house.PublishAsync(subject, 221, 230);
        var last = await BusHouse.ReadAsync(events, 10);

        await others;
        Assert.Equal("evt.chat." + trace, subject);
        Assert.Equal(Enumerable.Range(1, 230), [.. before, .. after, .. last]);
        var config = (await house.AskAsync("STREAM.INFO.PROXY_EVENTS")).GetProperty("config");
        Assert.Equal(("evt.chat.*", "live.evt.chat.{{wildcard(1)}}"),
            (config.GetProperty("republish").GetProperty("src").GetString(), config.GetProperty("republish").GetProperty("dest").GetString()));
    }

    [Theory]
    [InlineData(ServerTree.Oldest)]
    [InlineData(ServerTree.Usual)]
    [InlineData(ServerTree.Newest)]
    public async Task Server_is_killed_and_returns_Events_continue_where_they_stopped(string release)
    {
        await using var house = await BusHouse.StartAsync(await NatsServer.StartAsync(release), prefix: "team.one");
        var trace = BusHouse.Trace();
        await using var feed = await house.Bus.FollowAsync(trace, Stop);
        await using var events = feed.ReadAsync(Stop).GetAsyncEnumerator(Stop);
        await house.PublishAsync(house.Bus.EventSubject(trace), 1, 20);
        var before = await BusHouse.ReadAsync(events, 10);

        await house.Server.KillAsync();
        await Patience.Until(() => Task.FromResult(house.Bus.Absent is not null), "the loss is noticed");
        await house.Server.StartAgainAsync();
        await Patience.Until(async () => await NatsOutageTests.CountAsync(house.Server, "PROXY_EVENTS_team_one") >= 0, "JetStream is back");
        await house.PublishAsync(house.Bus.EventSubject(trace), 21, 40);

        Assert.Equal(Enumerable.Range(1, 40), [.. before, .. await BusHouse.ReadAsync(events, 30)]);
        Assert.Equal($"team.one.evt.chat.{trace}", house.Bus.EventSubject(trace));
    }

    [Fact]
    public async Task Reader_is_slow_What_found_no_room_is_read_from_the_stream()
    {
        await using var house = await BusHouse.StartAsync(await NatsServer.StartAsync());
        var trace = BusHouse.Trace();
        await using var feed = await house.Bus.FollowAsync(trace, Stop);
        await using var other = await house.Bus.FollowAsync(BusHouse.Trace(), Stop); // is not held up by it

        for (var seq = 1; seq <= 3000; seq++) await house.Worker.PublishAsync(house.Bus.EventSubject(trace), BusHouse.Event(seq), cancellationToken: Stop);
        await Patience.Until(async () => await NatsOutageTests.CountAsync(house.Server, "PROXY_EVENTS") == 3000, "all are stored");
        await house.Parts.Link.Connection.PingAsync(Stop); // all were delivered, or dropped

        await using var events = feed.ReadAsync(Stop).GetAsyncEnumerator(Stop);
        Assert.Equal(Enumerable.Range(1, 3000), await BusHouse.ReadAsync(events, 3000));
    }

    [Fact]
    public async Task No_jetstream_Connection_is_lost_The_reader_gets_what_came_before_and_then_the_reason()
    {
        await using var house = await BusHouse.StartAsync(await NatsServer.StartAsync(jetStream: false));

        var lost = await LosesAsync(house);

        Assert.Contains("the connection to NATS was lost", lost.Message, StringComparison.Ordinal);
        Assert.Contains("may have been missed", lost.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task No_jetstream_Reader_is_slow_It_is_told_after_what_it_can_have_in_order()
    {
        await using var house = await BusHouse.StartAsync(await NatsServer.StartAsync(jetStream: false));
        var trace = BusHouse.Trace();
        await using var feed = await house.Bus.FollowAsync(trace, Stop);

        for (var seq = 1; seq <= 20_000; seq++) await house.Worker.PublishAsync(house.Bus.EventSubject(trace), BusHouse.Event(seq), cancellationToken: Stop);
        await house.Worker.PingAsync(Stop);
        await house.Parts.Link.Connection.PingAsync(Stop);

        await using var events = feed.ReadAsync(Stop).GetAsyncEnumerator(Stop);
        Assert.Equal(Enumerable.Range(1, 20_000), await BusHouse.ReadAsync(events, 20_000));
    }

    [Fact]
    public async Task Stream_of_an_older_version_It_is_followed_like_a_server_without_jetstream()
    {
        var server = await NatsServer.StartAsync();
        await NatsOutageTests.AskAsync(server, "STREAM.CREATE.PROXY_EVENTS", """
            {"name":"PROXY_EVENTS","subjects":["evt.chat.*"],"storage":"file","retention":"limits","discard":"old","max_age":3600000000000,
            "max_bytes":1073741824,"duplicate_window":10000000000,"num_replicas":1,"allow_direct":true}
            """);
        await using var house = await BusHouse.StartAsync(server);

        var lost = await LosesAsync(house);

        Assert.Contains("no JetStream stream keeps them", lost.Message, StringComparison.Ordinal);
        Assert.False((await house.AskAsync("STREAM.INFO.PROXY_EVENTS")).GetProperty("config").TryGetProperty("republish", out _)); // left as it was
    }

    [Fact]
    public async Task Stream_is_deleted_while_the_proxy_is_away_The_reader_is_told()
    {
        await using var house = await BusHouse.StartAsync(await NatsServer.StartAsync());
        var trace = BusHouse.Trace();
        await house.PublishAsync(house.Bus.EventSubject(BusHouse.Trace()), 1, 50); // so that the new stream's numbers are below the old one's
        await using var feed = await house.Bus.FollowAsync(trace, Stop);
        await using var events = feed.ReadAsync(Stop).GetAsyncEnumerator(Stop);
        await house.PublishAsync(house.Bus.EventSubject(trace), 1, 5);
        await BusHouse.ReadAsync(events, 5);

        await house.CutAsync();
        await house.AskAsync("STREAM.DELETE.PROXY_EVENTS");
        await house.MendAsync();
        await Patience.Until(async () => await NatsOutageTests.CountAsync(house.Server, "PROXY_EVENTS") == 0, "the proxy has made it again");
        await house.PublishAsync(house.Bus.EventSubject(trace), 6, 7);

        var lost = await Assert.ThrowsAsync<FeedLostException>(() => Patience.For(events.MoveNextAsync().AsTask(), "the end of the feed"));
        Assert.Contains("PROXY_EVENTS was deleted", lost.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Feed_is_disposed_while_there_is_no_connection_It_does_not_wait_for_one(bool jetStream)
    {
        await using var house = await BusHouse.StartAsync(await NatsServer.StartAsync(jetStream: jetStream));
        var feed = await house.Bus.FollowAsync(BusHouse.Trace(), Stop);

        await house.CutAsync();

        await Patience.For(feed.DisposeAsync().AsTask(), "the end of the feed");
        var refused = await Assert.ThrowsAsync<LaunchException>(() => house.Bus.FollowAsync(BusHouse.Trace(), Stop).AsTask());
        Assert.Equal(ProxyErrorKind.NoBackend, refused.Error.Kind);
        Assert.StartsWith("there is no connection to NATS at nats://127.0.0.1:", refused.Message, StringComparison.Ordinal);
        await Patience.For(house.Bus.CancelAsync(BusHouse.Trace(), "gone").AsTask(), "a cancellation that reaches nobody");
    }

    [Fact]
    public async Task Cancel_Workers_get_it_and_other_proxies_do_not_take_it_for_a_question_of_theirs()
    {
        await using var house = await BusHouse.StartAsync(await NatsServer.StartAsync(), sharesJournals: true);
        var asked = 0;
        house.Parts.Journals!.Asked = (_, _, _) => Interlocked.Increment(ref asked) > 0;
        using var stop = new CancellationTokenSource();
        var listening = house.Parts.Journals.ListenAsync(stop.Token);
        var trace = BusHouse.Trace();
        await using var worker = await house.Worker.SubscribeCoreAsync<byte[]>(house.Bus.ControlSubject(trace), cancellationToken: Stop);
        await house.Worker.PingAsync(Stop);

        await house.Bus.CancelAsync(trace, "the \"client\" left");
        var heard = await Patience.For(worker.Msgs.ReadAsync(Stop).AsTask(), "the command");

        var said = JsonElement.Parse(heard.Data);
        Assert.Equal(("ctl.chat." + trace, "cancel", trace, "the \"client\" left"), (heard.Subject, said.GetProperty("type").GetString(),
            said.GetProperty("trace_id").GetString(), said.GetProperty("reason").GetString()));
        Assert.False(heard.Headers?.ContainsKey("Proxy-Do") ?? false);
        // A question of a proxy still gets through, after it, and is the only one.
        await Patience.Until(() => house.Parts.Journals.AskOwnerAsync(trace, "ann", Proxy.Streams.OwnerAsk.Cancel, Stop), "the other proxy answers");
        Assert.Equal(1, asked);
        await stop.CancelAsync();
        await listening;
    }

    [Fact]
    public async Task Several_events_in_one_message_Arrive_as_they_were_published()
    {
        await using var house = await BusHouse.StartAsync(await NatsServer.StartAsync());
        var trace = BusHouse.Trace();
        await using var feed = await house.Bus.FollowAsync(trace, Stop);
        const string Lines = "{\"type\":\"token\",\"text\":\"a\"}\n{\"type\":\"finished\"}\n";

        await house.Worker.PublishAsync(house.Bus.EventSubject(trace), Encoding.UTF8.GetBytes(Lines), cancellationToken: Stop);

        await using var events = feed.ReadAsync(Stop).GetAsyncEnumerator(Stop);
        Assert.True(await Patience.For(events.MoveNextAsync().AsTask(), "the message"));
        Assert.Equal(Lines, Encoding.UTF8.GetString(events.Current.Span));
    }

    /// <summary>Follows a job whose events nothing keeps, cuts the connection, and returns what the reader is told.</summary>
    private static async Task<FeedLostException> LosesAsync(BusHouse house)
    {
        var trace = BusHouse.Trace();
        await using var feed = await house.Bus.FollowAsync(trace, Stop);
        await using var events = feed.ReadAsync(Stop).GetAsyncEnumerator(Stop);
        for (var seq = 1; seq <= 20; seq++) await house.Worker.PublishAsync(house.Bus.EventSubject(trace), BusHouse.Event(seq), cancellationToken: Stop);
        await house.Worker.PingAsync(Stop);
        await house.Parts.Link.Connection.PingAsync(Stop); // all have arrived
        var first = await BusHouse.ReadAsync(events, 5);

        await house.CutAsync();
        await house.Worker.PublishAsync(house.Bus.EventSubject(trace), BusHouse.Event(21), cancellationToken: Stop);
        await house.MendAsync();
        await house.Worker.PublishAsync(house.Bus.EventSubject(trace), BusHouse.Event(22), cancellationToken: Stop);
        await house.Worker.PingAsync(Stop);
        await house.Parts.Link.Connection.PingAsync(Stop);

        var rest = await BusHouse.ReadAsync(events, 15);
        Assert.Equal(Enumerable.Range(1, 20), [.. first, .. rest]);
        return await Assert.ThrowsAsync<FeedLostException>(() => Patience.For(events.MoveNextAsync().AsTask(), "the end of the feed"));
    }
}
