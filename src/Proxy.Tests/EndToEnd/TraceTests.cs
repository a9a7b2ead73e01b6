using System.Text.RegularExpressions;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>The ids of a call: the proxy's, the client's, and W3C's.</summary>
public sealed partial class TraceTests(TraceTests.Door door) : IClassFixture<TraceTests.Door>
{
    private const string ClientsTrace = "4bf92f3577b34da6a3ce929d0e0e4736";

    public sealed class Door : FrontDoor
    {
        protected override int Lanes => 15;
    }

    [Fact]
    public async Task Call_is_served_It_has_a_trace_id_of_ours_in_answer_log_and_host()
    {
        var lane = FineLane();

        var (reply, line) = await door.ChatAsync(lane.Solo, stream: false, "", "x-trace-id: 01ARZ3NDEKTSV4RRFFQ69G5FAV");

        Assert.Matches(TraceId(), reply.TraceId);
        Assert.NotEqual("01ARZ3NDEKTSV4RRFFQ69G5FAV", reply.TraceId);
        Assert.Equal(reply.TraceId, line["trace_id"]);
    }

    [Fact]
    public async Task Calls_follow_each_other_Their_trace_ids_are_in_order_and_differ()
    {
        var lane = FineLane();
        var ids = new List<string>();
        for (var i = 0; i < 20; i++)
            ids.Add((await lane.ChatAsync(lane.Solo, stream: false)).Reply.TraceId);

        Assert.Equal(ids.Distinct(StringComparer.Ordinal), ids);
        // The first ten characters are the time in milliseconds.
        Assert.Equal(ids.Select(id => id[..10]).Order(StringComparer.Ordinal), ids.Select(id => id[..10]));
    }

    [Fact]
    public async Task Client_sends_ids_They_are_logged_passed_on_and_returned()
    {
        var lane = FineLane();

        var reply = await door.PostAsync("/v1/chat/completions", OpenAi.Request(lane.Solo), "x-correlation-id: corr-1", "x-request-id: req-1",
            $"traceparent: 00-{ClientsTrace}-00f067aa0ba902b7-01", "tracestate: a=b");
        var line = await door.Proxy.Log.CallAsync("corr-1");

        var host = Assert.Single(lane.A.Calls);
        Assert.Equal("corr-1 req-1", $"{reply.Header("x-correlation-id")} {reply.Header("x-request-id")}");
        Assert.Equal("corr-1 req-1", $"{host.Header("x-correlation-id")} {host.Header("x-request-id")}");
        Assert.Matches(TraceParent(), host.Header("traceparent"));
        Assert.Equal(ClientsTrace, host.Header("traceparent")!.Split('-')[1]);
        Assert.Equal("a=b", host.Header("tracestate"));
        Assert.Equal(ClientsTrace, reply.Header("traceparent")!.Split('-')[1]);
        Assert.Equal(reply.TraceId, line["trace_id"]);
    }

    [Fact]
    public async Task Client_sends_no_ids_They_are_made_and_returned()
    {
        var lane = FineLane();

        var reply = await door.PostAsync("/v1/chat/completions", OpenAi.Request(lane.Solo));

        Assert.Equal(reply.TraceId, reply.Header("x-correlation-id"));
        Assert.NotEmpty(reply.Header("x-request-id")!);
        Assert.Matches(TraceParent(), lane.A.Calls[0].Header("traceparent"));
        Assert.Matches(TraceParent(), reply.Header("traceparent"));
    }

    [Theory]
    [InlineData("garbage")]
    [InlineData("00-00000000000000000000000000000000-00f067aa0ba902b7-01")]
    [InlineData("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01")]
    [InlineData("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01")]
    [InlineData("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")]
    public async Task Traceparent_is_invalid_A_new_one_is_made(string traceparent)
    {
        var lane = FineLane();

        var (reply, _) = await door.ChatAsync(lane.Solo, stream: false, "", $"traceparent: {traceparent}");

        Assert.Equal(200, reply.Status);
        Assert.Matches(TraceParent(), lane.A.Calls[0].Header("traceparent"));
        Assert.NotEqual(traceparent, lane.A.Calls[0].Header("traceparent"));
    }

    [Theory]
    [InlineData]
    [InlineData("traceparent: garbage")]
    [InlineData("traceparent: ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")]
    public async Task Traceparent_is_missing_or_invalid_Its_tracestate_goes_no_further(params string[] traceparent)
    {
        var lane = FineLane();

        var (reply, _) = await door.ChatAsync(lane.Solo, stream: false, "", [.. traceparent, "tracestate: a=b"]);

        Assert.Equal(200, reply.Status);
        var host = Assert.Single(lane.A.Calls);
        Assert.Matches(TraceParent(), host.Header("traceparent"));
        Assert.Null(host.Header("tracestate"));
    }

    [Fact]
    public async Task Clients_id_holds_what_could_break_a_log_It_does_not()
    {
        var lane = FineLane();

        var reply = await door.PostAsync("/v1/chat/completions", OpenAi.Request(lane.Solo), $"x-correlation-id: \"quoted\\ {new string('x', 3000)}");

        Assert.Equal(200, reply.Status);
        var line = await door.Proxy.Log.LineAsync(line => ProxyLog.Text(line, "trace_id") == reply.TraceId, "the call");
        Assert.InRange(ProxyLog.Text(line, "correlation_id")!.Length, 1, 300);
        Assert.Empty(door.Proxy.Log.Strays);
    }

    [Fact]
    public async Task Call_is_refused_Its_ids_come_back_too()
    {
        var (reply, line) = await door.ChatAsync("nobody-serves-this", stream: false);

        Assert.Equal(404, reply.Status);
        Assert.Matches(TraceId(), reply.TraceId);
        Assert.Equal(reply.TraceId, line["trace_id"]);
    }

    private Lane FineLane()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.JsonAsync(OpenAi.Whole("fine")));
        return lane;
    }

    [GeneratedRegex("^[0-7][0-9A-HJKMNP-TV-Z]{25}$")]
    private static partial Regex TraceId();

    [GeneratedRegex("^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$")]
    private static partial Regex TraceParent();
}
