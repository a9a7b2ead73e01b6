using System.Text;
using Proxy.Backends;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Config;
using Proxy.Dialects.OpenAiChat;
using Proxy.Transport;

namespace Proxy.Tests.Backends;

/// <summary>The failures of a host and what they mean for the call. In every case the slot is freed and the exchange is disposed exactly once.</summary>
public sealed class FailoverTests : IDisposable
{
    private const string Role = """data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}""" + "\n\n";
    private const string Hello = """data: {"choices":[{"index":0,"delta":{"content":"hello"}}]}""" + "\n\n";
    private const string Done = "data: [DONE]\n\n";
    private const string Answer = """{"choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}]}""";

    private readonly House house = new(House.At("a", "m") with { Slots = 1 }, House.At("b", "m") with { Slots = 1 }, House.At("c", "m") with { Slots = 1 });

    public void Dispose() => house.Dispose();

    /// <summary>A call for model m, streamed or whole. A test may replace its preparation.</summary>
    private sealed class Call(bool streams) : IDispatchable
    {
        public CallInfo Info { get; init; } = new("TRACE", "CORR", "anonymous");
        public IReadOnlyList<KeyValuePair<string, string>> Headers { get; init; } = [];
        public Func<Backend, ProxyError?> Refuses { get; init; } = static _ => null;
        public BackendDialect? Dialect { get; init; } = new OpenAiChatBackendDialect();
        public List<PooledBody> Bodies { get; } = [];

        public ProxyError? Prepare(Backend backend, string served, out OutgoingCall outgoing)
        {
            outgoing = default;
            if (Refuses(backend) is { } refusal) return refusal;
            var body = new PooledBody();
            body.Write(Encoding.UTF8.GetBytes($"for {backend.Name}"));
            Bodies.Add(body);
            outgoing = new("POST", "/v1/chat/completions", new(body.Memory), "application/json", Dialect, new OpenAiChatBackendDialect(), streams, body);
            return null;
        }
    }

    private ValueTask<DispatchResult> SendAsync(Call call, CancellationToken cancellation = default)
        => new(house.Dispatcher.SendAsync(call, "m", house.Directory.Table.Resolve("m")!, cancellation).AsTask()
            .WaitAsync(TimeSpan.FromSeconds(30), CancellationToken.None));

    /// <summary>The backend and all bytes of the answer, or the error as status, kind and message.</summary>
    private async Task<string> OutcomeAsync(DispatchResult result)
    {
        switch (result)
        {
            case DispatchResult.Failed { Error: var error }:
                AllReturned();
                return $"{error.Status} {error.Kind}{(error.RetryAfter is { } wait ? $" again in {wait.TotalSeconds}" : "")}: {error.Message}";
            case DispatchResult.Answered { Reply: var reply }:
                var text = Encoding.UTF8.GetString(reply.Held.Span);
                while (!reply.Complete && await reply.Body.ReadAsync() is { Kind: ReplyReadKind.Data } read) text += Encoding.UTF8.GetString(read.Bytes.Span);
                Assert.Equal(1, house[reply.Backend].State.InFlight);
                reply.Dispose();
                reply.Dispose();
                AllReturned();
                return $"{reply.Status} from {reply.Backend}: {text}";
            default:
                throw new InvalidOperationException();
        }
    }

    private void AllReturned()
    {
        Assert.All(house.Directory.Table.All, b => Assert.Equal(0, b.State.InFlight));
        Assert.All(house.Hosts.Values.SelectMany(h => h.Exchanges), e => Assert.Equal(1, e.Disposals));
        Assert.Equal(0, house.Slots.Waiting);
    }

    private string[] Asked => [.. house.Hosts.SelectMany(h => h.Value.Exchanges.Select(e => (h.Key, e.Sent))).Select(e => e.Key)];

    public static TheoryData<string, bool> BadStarts() => new()
    {
        { "refused", true }, { "connect timeout", true }, { "broken", true }, { "not http", true }, { "timeout", true },
        { "503", true }, { "429", true }, { "401", true }, { "403", true }, { "500", true }, { "502", false },
        { "error inside", true }, { "401 inside", true }, { "429 inside", true }, { "empty stream", true }, { "broke in the preamble", true },
        { "silent after the preamble", true }, { "no json", true },
        { "error inside", false }, { "not whole", false }, { "cut document", false }, { "silent document", false }, { "refused", false }, { "html", false },
    };

    private static Script Bad(string how, bool streams) => how switch
    {
        "refused" => Script.None(UpstreamOutcome.ConnectFailed, "connection refused"),
        "connect timeout" => Script.None(UpstreamOutcome.ConnectTimedOut),
        "broken" => Script.None(UpstreamOutcome.Broken),
        "not http" => Script.None(UpstreamOutcome.NotHttp, "SSH-2.0"),
        "timeout" => Script.None(UpstreamOutcome.TimedOut),
        "error inside" when streams => Script.Stream(Role, """data: {"error":{"message":"CUDA out of memory","type":"server_error"}}""" + "\n\n"),
        "401 inside" => Script.Stream("""data: {"error":{"message":"bad key","code":401}}""" + "\n\n"),
        "429 inside" => Script.Stream("""data: {"error":{"message":"busy","code":429}}""" + "\n\n"),
        "empty stream" => Script.Stream(Role, Step.End),
        "broke in the preamble" => Script.Stream(Role, Step.Quiet, Step.Failed),
        "silent after the preamble" => Script.Stream(Role, Step.TimedOut),
        "no json" => Script.Stream("data: Traceback (most recent call last)\n\n"),
        "error inside" => Script.Json("""{"error":{"message":"CUDA out of memory"}}"""),
        "not whole" => Script.Json("""{"id":"x"}"""),
        "cut document" => Script.Answer(200, "application/json", Answer[..20], Step.Failed),
        "silent document" => Script.Answer(200, "application/json", Answer[..20], Step.TimedOut),
        "html" => Script.Answer(200, "text/html", "<h1>It works!</h1>", Step.End),
        _ => Script.Json("""{"error":{"message":"said the host"}}""", int.Parse(how, System.Globalization.CultureInfo.InvariantCulture)),
    };

    [Theory]
    [MemberData(nameof(BadStarts))]
    public async Task Host_starts_badly_The_next_one_answers(string how, bool streams)
    {
        house.Plays("a", Bad(how, streams)).Plays("b", streams ? Script.Stream(Role, Hello, Done, Step.End) : Script.Json(Answer));

        var outcome = await OutcomeAsync(await SendAsync(new Call(streams)));

        Assert.Equal($"200 from b: {(streams ? Role + Hello + Done : Answer)}", outcome);
        Assert.Equal(["a", "b"], Asked);
    }

    [Theory]
    [InlineData("refused", "502 HostFailed: backend 'c': it cannot be reached: connection refused")]
    [InlineData("connect timeout", "504 HostTimedOut: backend 'c': no connection within 5 s")]
    [InlineData("timeout", "504 HostTimedOut: backend 'c': no first token within 300 s")]
    [InlineData("503", "503 HostRefused again in 1: said the host")]
    [InlineData("429", "429 HostRefused again in 1: said the host")]
    [InlineData("401", "502 HostUnauthorized: backend 'c' does not accept this proxy's credentials; its operator has to set the backend's key")]
    public async Task All_hosts_start_badly_The_last_ones_reason_is_told(string how, string expected)
    {
        foreach (var host in (string[])["a", "b", "c"]) house.Plays(host, Bad(how, streams: true));

        Assert.Equal(expected, await OutcomeAsync(await SendAsync(new Call(streams: true))));
        Assert.Equal(["a", "b", "c"], Asked);
    }

    [Fact]
    public async Task Two_hosts_say_500_The_third_is_not_asked_and_nobody_is_blamed()
    {
        for (var i = 0; i < 5; i++)
        {
            house.Plays("a", Bad("500", true)).Plays("b", Bad("500", true)).Plays("c", Bad("500", true));
            Assert.StartsWith("502 HostFailed: backend '", await OutcomeAsync(await SendAsync(new Call(streams: true))), StringComparison.Ordinal);
            Assert.Equal((i + 1) * 2, Asked.Length);
        }

        Assert.All(house.Directory.Table.All, b => Assert.True(b.State.Available));
    }

    [Fact]
    public async Task One_host_says_500_to_what_another_answers_It_is_blamed()
    {
        using var pair = new House(House.At("a", "m") with { Weight = 1000 }, House.At("b", "m"));
        for (var i = 0; i < BackendState.Tolerance; i++)
        {
            pair.Plays("a", Bad("500", false)).Plays("b", Script.Json(Answer));
            Assert.True(pair["a"].State.Available);
            var result = await pair.Dispatcher.SendAsync(new Call(streams: false), "m", pair.Directory.Table.Resolve("m")!, default);
            Assert.IsType<DispatchResult.Answered>(result).Reply.Dispose();
        }

        Assert.False(pair["a"].State.Available);
        Assert.Single(pair.Log.All, line => line.StartsWith("backend_down: Backend a", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(400)]
    [InlineData(404)]
    [InlineData(413)]
    [InlineData(422)]
    public async Task Host_refuses_the_call_itself_Its_words_are_the_answer(int status)
    {
        house.Plays("a", Script.Json("""{"error":{"message":"too long","code":"context_length_exceeded"}}""", status));

        Assert.Equal($$$"""{{{status}}} from a: {"error":{"message":"too long","code":"context_length_exceeded"}}""",
            await OutcomeAsync(await SendAsync(new Call(streams: true))));
        Assert.Equal(["a"], Asked);
    }

    [Theory]
    [InlineData("""{"error":{"message":"The model `m` does not exist.","type":"NotFoundError","code":404}}""")] // vLLM
    [InlineData("""{"error":"model 'm' not found"}""")]
    [InlineData("""{"error":{"message":"no such thing","code":"model_not_found"}}""")]
    public async Task Host_does_not_have_the_model_Another_one_is_asked(string said)
    {
        house.Plays("a", Script.Json(said, 404)).Plays("b", Script.Json(Answer));

        Assert.Equal($"200 from b: {Answer}", await OutcomeAsync(await SendAsync(new Call(streams: false))));
        Assert.Equal(["a", "b"], Asked);
        Assert.True(house["a"].State.Available);
    }

    [Fact]
    public async Task Two_hosts_do_not_have_the_model_The_second_ones_words_are_the_answer()
    {
        foreach (var host in (string[])["a", "b", "c"]) house.Plays(host, Script.Json($$"""{"error":"model 'm' not found at {{host}}"}""", 404));

        Assert.Equal("""404 from b: {"error":"model 'm' not found at b"}""", await OutcomeAsync(await SendAsync(new Call(streams: true))));
        Assert.Equal(["a", "b"], Asked);
    }

    [Fact]
    public async Task No_other_host_is_up_The_404_is_the_answer()
    {
        house["b"].State.MarkDown("gone");
        house["c"].State.MarkDown("gone");
        house.Plays("a", Script.Json("""{"error":"model 'm' not found"}""", 404));

        Assert.Equal("""404 from a: {"error":"model 'm' not found"}""", await OutcomeAsync(await SendAsync(new Call(streams: true))));
    }

    [Fact]
    public async Task Host_says_when_to_come_again_Others_serve_until_then()
    {
        house.Plays("a", [Overloaded(429, "20"), .. Enumerable.Repeat(Script.Json(Answer), 9)]).Plays("b", [.. Enumerable.Repeat(Script.Json(Answer), 9)])
            .Plays("c", [.. Enumerable.Repeat(Script.Json(Answer), 9)]);

        for (var i = 0; i < 5; i++) Assert.StartsWith("200", await OutcomeAsync(await SendAsync(new Call(streams: false))), StringComparison.Ordinal);
        Assert.Single(house.Hosts["a"].Exchanges);
        Assert.True(house["a"].State.Available);

        house.Time.Advance(TimeSpan.FromSeconds(21));
        for (var i = 0; i < 3; i++) await OutcomeAsync(await SendAsync(new Call(streams: false)));
        Assert.InRange(house.Hosts["a"].Exchanges.Count, 2, 4);
    }

    [Fact]
    public async Task Host_wants_to_be_left_alone_for_an_hour_It_is_asked_again_after_a_minute()
    {
        house.Plays("a", [Overloaded(503, "3600"), .. Enumerable.Repeat(Script.Json(Answer), 9)]).Plays("b", [.. Enumerable.Repeat(Script.Json(Answer), 9)])
            .Plays("c", [.. Enumerable.Repeat(Script.Json(Answer), 9)]);
        await OutcomeAsync(await SendAsync(new Call(streams: false)));
        house.Time.Advance(TimeSpan.FromSeconds(59));
        for (var i = 0; i < 3; i++) await OutcomeAsync(await SendAsync(new Call(streams: false)));
        Assert.Single(house.Hosts["a"].Exchanges);

        house.Time.Advance(TimeSpan.FromSeconds(2));
        for (var i = 0; i < 3; i++) await OutcomeAsync(await SendAsync(new Call(streams: false)));

        Assert.InRange(house.Hosts["a"].Exchanges.Count, 2, 4);
    }

    [Fact]
    public async Task Only_host_said_when_to_come_again_It_is_asked_all_the_same()
    {
        using var alone = new House(House.At("a", "m"));
        alone.Plays("a", Overloaded(503, "20"), Script.Json(Answer));
        var resolution = alone.Directory.Table.Resolve("m")!;
        Assert.IsType<DispatchResult.Failed>(await alone.Dispatcher.SendAsync(new Call(streams: false), "m", resolution, default));

        using var reply = Assert.IsType<DispatchResult.Answered>(await alone.Dispatcher.SendAsync(new Call(streams: false), "m", resolution, default)).Reply;

        Assert.Equal(200, reply.Status);
    }

    [Fact]
    public async Task Other_host_is_busy_A_call_waits_for_it_until_the_first_may_be_asked_again()
    {
        using var pair = new House(House.At("a", "m") with { Slots = 1 }, House.At("b", "m") with { Slots = 1 });
        var candidates = pair.Directory.Table.Resolve("m")!.Candidates;
        pair.Plays("a", Overloaded(429, "20"), Script.Json(Answer)).Plays("b", Script.Json(Answer));
        (await SendAsync(pair)).Dispose();
        using var held = (await pair.Slots.TakeAsync("m", [pair["b"]], 9, TimeSpan.FromHours(1), default)).Lease!;

        var waiting = pair.Slots.TakeAsync("m", candidates, 9, TimeSpan.FromHours(1), default).AsTask();
        Assert.False(waiting.IsCompleted);
        pair.Time.Advance(TimeSpan.FromSeconds(21));

        Assert.Equal("a", (await waiting.WaitAsync(TimeSpan.FromSeconds(10))).Lease!.Backend.Name);

        static async Task<BackendReply> SendAsync(House house)
            => ((DispatchResult.Answered)await house.Dispatcher.SendAsync(new Call(streams: false), "m", house.Directory.Table.Resolve("m")!, default)).Reply;
    }

    [Fact]
    public async Task All_hosts_say_when_to_come_again_The_shortest_wait_is_told()
    {
        house.Plays("a", Overloaded(429, "30")).Plays("b", Overloaded(503, "7")).Plays("c", Overloaded(429, "45"));

        Assert.Equal("503 HostRefused again in 7: said the host", await OutcomeAsync(await SendAsync(new Call(streams: false))));
    }

    private static Script Overloaded(int status, string wait)
        => Script.Json("""{"error":{"message":"said the host"}}""",
            status) with { Head = new(UpstreamOutcome.Answered, status) { ContentType = "application/json", Headers = [new("retry-after", wait)] } };

    [Fact]
    public async Task Host_refuses_inside_a_200_Its_status_and_words_are_kept()
    {
        house.Plays("a", Script.Stream("""data: {"error":{"message":"too long","type":"invalid_request_error","code":400}}""" + "\n\n"));

        Assert.Equal("400 HostRefused: too long", await OutcomeAsync(await SendAsync(new Call(streams: true))));
        Assert.Equal(["a"], Asked);
    }

    [Theory]
    [InlineData(301)]
    [InlineData(204 + 100)]
    public async Task Host_answers_with_a_redirect_Its_url_is_doubted(int status)
    {
        house.Plays("a", Script.Answer(status, "text/html", "moved", Step.End));

        Assert.StartsWith("502 HostFailed: backend 'a' answered with status", await OutcomeAsync(await SendAsync(new Call(streams: false))),
            StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("7", 7)]
    [InlineData("-7", 1)]
    [InlineData("Wed, 21 Oct 2026 07:28:00 GMT", 1)]
    [InlineData("soon", 1)]
    public async Task Host_says_when_to_come_again_The_client_is_told(string said, int expected)
    {
        foreach (var host in (string[])["a", "b", "c"])
            house.Plays(host, Script.Json("{}", 503) with { Head = new(UpstreamOutcome.Answered, 503) { Headers = [new("Retry-After", said)] } });

        Assert.Contains($" again in {expected}:", await OutcomeAsync(await SendAsync(new Call(streams: false))), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Refusal_never_ends_It_is_cut_off_by_the_idle_limit()
    {
        house.Plays("a", Script.Answer(500, "text/plain", "part", Step.TimedOut)).Plays("b", Script.Json(Answer));

        Assert.StartsWith("200 from b", await OutcomeAsync(await SendAsync(new Call(streams: false))), StringComparison.Ordinal);
        Assert.Equal([ReplyBody.Never, 60_000, 60_000], house.Hosts["a"].Exchanges[0].Deadlines);
    }

    [Fact]
    public async Task Preamble_is_longer_than_256_KiB_It_is_passed_on_as_it_is()
    {
        var comment = ": " + new string('x', 40_000) + "\n\n";
        house.Plays("a", Script.Stream([.. Enumerable.Repeat((Step)comment, 7), Step.Failed]));

        Assert.Equal($"200 from a: {string.Concat(Enumerable.Repeat(comment, 7))}", await OutcomeAsync(await SendAsync(new Call(streams: true))));
    }

    [Fact]
    public async Task First_content_is_here_A_later_failure_is_the_readers()
    {
        house.Plays("a", Script.Stream(Role + Hello[..10], Hello[10..], "more", Step.Failed));

        Assert.Equal($"200 from a: {Role}{Hello}more", await OutcomeAsync(await SendAsync(new Call(streams: true))));
    }

    [Fact]
    public async Task Last_frame_has_no_terminator_It_counts_when_the_stream_ends()
    {
        house.Plays("a", Script.Stream(Hello.TrimEnd(), Step.End));
        Assert.Equal($"200 from a: {Hello.TrimEnd()}", await OutcomeAsync(await SendAsync(new Call(streams: true))));

        house.Plays("a", Script.Stream("""data: {"error":{"message":"late","code":400}}""", Step.End));
        house.Plays("b", Script.Stream("""data: {"error":{"message":"late","code":400}}""", Step.End));
        Assert.Equal("400 HostRefused: late", await OutcomeAsync(await SendAsync(new Call(streams: true))));
    }

    [Fact]
    public async Task Host_ignores_stream_The_document_is_the_answer()
    {
        house.Plays("a", Script.Json(Answer));

        var result = Assert.IsType<DispatchResult.Answered>(await SendAsync(new Call(streams: true)));

        Assert.Equal((false, true), (result.Reply.Streams, result.Reply.Complete));
        Assert.Equal($"200 from a: {Answer}", await OutcomeAsync(result));
    }

    [Fact]
    public async Task Answer_is_only_passed_on_Nothing_of_it_is_read_first()
    {
        house.Plays("a", Script.Answer(200, "application/octet-stream", "bytes", Step.End));

        var result = Assert.IsType<DispatchResult.Answered>(await SendAsync(new Call(streams: false) { Dialect = null }));

        Assert.Equal(0, result.Reply.Held.Length);
        Assert.Equal("200 from a: bytes", await OutcomeAsync(result));
    }

    [Theory]
    [InlineData("before the head")]
    [InlineData("before the first content")]
    [InlineData("in a refusal")]
    [InlineData("in a document")]
    public async Task Client_leaves_The_exchange_is_cancelled_and_nobody_else_is_asked(string when)
    {
        var streams = when != "in a document";
        house.Plays("a", when switch
        {
            "before the head" => Script.NoHead,
            "in a refusal" => Script.Answer(500, "text/plain", "part", Step.Silence),
            "in a document" => Script.Answer(200, "application/json", "{", Step.Silence),
            _ => Script.Stream(Role, Step.Silence),
        });
        using var leaving = new CancellationTokenSource();
        var sending = SendAsync(new Call(streams), leaving.Token).AsTask();
        await house.Hosts["a"].Exchanges[0].Waiting;

        await leaving.CancelAsync();

        Assert.Equal("499 ClientLeft: the client left", await OutcomeAsync(await sending));
        Assert.Equal(["a"], Asked);
        Assert.True(house["a"].State.Available);
    }

    [Fact]
    public async Task Client_leaves_a_running_answer_The_exchange_is_cancelled()
    {
        house.Plays("a", Script.Stream(Hello, Step.Silence));
        using var leaving = new CancellationTokenSource();
        var reply = Assert.IsType<DispatchResult.Answered>(await SendAsync(new Call(streams: true), leaving.Token)).Reply;

        await leaving.CancelAsync();

        Assert.Equal(ReplyReadKind.Cancelled, (await reply.Body.ReadAsync()).Kind);
        reply.Dispose();
        AllReturned();
    }

    [Fact]
    public async Task Answer_is_over_The_clients_leaving_cancels_nothing_any_more()
    {
        house.Plays("a", Script.Json(Answer));
        using var leaving = new CancellationTokenSource();
        await OutcomeAsync(await SendAsync(new Call(streams: false), leaving.Token));

        await leaving.CancelAsync();

        Assert.False(house.Hosts["a"].Exchanges[0].WasCancelled); // its connection may already serve another call
    }

    [Fact]
    public async Task Client_leaves_the_line_Nobody_is_asked()
    {
        using var one = new House(House.At("a", "m") with { Slots = 0 + 1 });
        one.Plays("a", Script.Stream(Hello, Step.Silence));
        var first = Assert.IsType<DispatchResult.Answered>(await one.Dispatcher.SendAsync(new Call(true), "m", one.Directory.Table.Resolve("m")!,
            default)).Reply;
        using var leaving = new CancellationTokenSource();
        var second = one.Dispatcher.SendAsync(new Call(true), "m", one.Directory.Table.Resolve("m")!, leaving.Token).AsTask();

        await leaving.CancelAsync();

        Assert.Equal("the client left", Assert.IsType<DispatchResult.Failed>(await second).Error.Message);
        first.Dispose();
        Assert.Single(one.Hosts["a"].Exchanges);
        Assert.Equal(0, one["a"].State.InFlight);
    }

    [Fact]
    public async Task All_are_busy_The_line_has_an_end_and_a_deadline()
    {
        using var one = new House(new ProxyConfig { Server = new ServerConfig { Queue = 1 },
            Backends = [House.At("a", "m") with { Slots = 1, FirstToken = TimeSpan.FromSeconds(30) }] });
        one.Plays("a", Script.Stream(Hello, Step.Silence));
        ValueTask<DispatchResult> Send() => one.Dispatcher.SendAsync(new Call(true), "m", one.Directory.Table.Resolve("m")!, default);
        using var first = Assert.IsType<DispatchResult.Answered>(await Send()).Reply;
        var waiting = Send().AsTask();

        var full = Assert.IsType<DispatchResult.Failed>(await Send()).Error;
        one.Time.Advance(TimeSpan.FromSeconds(30));
        var late = Assert.IsType<DispatchResult.Failed>(await waiting).Error;

        Assert.Equal((503, ProxyErrorKind.QueueFull, true), (full.Status, full.Kind, full.RetryAfter > TimeSpan.Zero));
        Assert.Equal((503, ProxyErrorKind.QueueFull, true), (late.Status, late.Kind, late.RetryAfter > TimeSpan.Zero));
    }

    [Theory]
    [InlineData(UpstreamOutcome.TimedOut, false, BreakerState.Open)]
    [InlineData(UpstreamOutcome.TimedOut, true, BreakerState.Closed)]
    [InlineData(UpstreamOutcome.Broken, true, BreakerState.Closed)]
    [InlineData(UpstreamOutcome.ConnectFailed, true, BreakerState.Open)]
    internal async Task Proxy_behind_cannot_answer_for_one_of_its_hosts_Only_what_keeps_us_from_reaching_it_counts(UpstreamOutcome outcome, bool isProxy,
        BreakerState breaker)
    {
        using var one = new House(House.At("a", "m"));
        if (isProxy) one["a"].State.Report = new([DialectFamily.OpenAi], [], null, HostReport.ProxyKind) { ProxyId = "proxy-0123456789abcdef" };
        one.Directory.Refresh();
        for (var i = 0; i < BackendState.Tolerance; i++)
        {
            one.Plays("a", Script.None(outcome));
            Assert.IsType<DispatchResult.Failed>(await one.Dispatcher.SendAsync(new Call(true), "m", one.Directory.Table.Resolve("m")!, default));
        }

        Assert.Equal(breaker, one["a"].State.Breaker);
    }

    [Fact]
    public async Task First_backend_takes_all_its_time_The_next_one_has_its_own()
    {
        var patience = TimeSpan.FromSeconds(30);
        using var two = new House(House.At("a", "m") with { FirstToken = patience }, House.At("b", "m") with { FirstToken = patience });
        two.Plays("a", Script.None(UpstreamOutcome.TimedOut)).Plays("b", Script.Stream(Hello, Step.End));
        var call = new Call(true)
        {
            Refuses = backend =>
            {
                if (backend.Name == "a") two.Time.Advance(patience);
                return null;
            },
        };

        using var reply = Assert.IsType<DispatchResult.Answered>(await two.Dispatcher.SendAsync(call, "m", two.Directory.Table.Resolve("m")!, default)).Reply;

        Assert.Equal("b", reply.Backend);
        var asked = two.Hosts["b"].Exchanges[0];
        Assert.Equal(patience.TotalMilliseconds, asked.Deadlines[0] - asked.Now);
    }

    [Fact]
    public async Task All_are_down_503_names_them_and_why()
    {
        foreach (var backend in house.Directory.Table.All)
        {
            for (var i = 0; i < BackendState.Tolerance; i++) backend.State.MarkFailed("no route", connection: false);
        }

        Assert.Equal("503 NoBackend again in 1: no backend for 'm' is up: 'a' is down (no route); 'b' is down (no route); 'c' is down (no route)",
            await OutcomeAsync(await SendAsync(new Call(true))));
    }

    [Fact]
    public async Task Backend_cannot_say_it_Another_one_is_asked()
    {
        house.Plays("b", Script.Json(Answer));

        var outcome = await OutcomeAsync(await SendAsync(new Call(streams: false) { Refuses = b => b.Name == "a"
            ? new(ProxyErrorKind.NotImplemented, "no chat")
            : null }));

        Assert.Equal($"200 from b: {Answer}", outcome);
        Assert.Equal(["b"], Asked);
    }

    [Fact]
    public async Task No_backend_can_say_it_The_reason_is_told()
    {
        Assert.Equal("400 InvalidRequest: an image",
            await OutcomeAsync(await SendAsync(new Call(true) { Refuses = static _ => new(ProxyErrorKind.InvalidRequest, "an image") })));
        Assert.Empty(Asked);
    }

    [Fact]
    public async Task Preparing_throws_The_slot_comes_back_all_the_same()
    {
        await Assert.ThrowsAsync<InvalidCastException>(async () => await SendAsync(new Call(true) { Refuses = static _ => throw new InvalidCastException() }));

        AllReturned();
    }

    [Fact]
    public async Task A_call_waited_in_our_line_The_host_is_not_blamed_for_the_time_that_is_left()
    {
        using var one = new House(House.At("a", "m") with { Slots = 1 });
        for (var i = 0; i < BackendState.Tolerance + 1; i++)
        {
            one.Plays("a", Script.Stream(Role, Step.TimedOut));
            // The test takes the slot itself, because a served call would reset the count of failures.
            var held = (await one.Slots.TakeAsync("m", [one["a"]], 9, TimeSpan.FromHours(1), default)).Lease!;
            var waiting = one.Dispatcher.SendAsync(new Call(true), "m", one.Directory.Table.Resolve("m")!, default).AsTask();
            one.Time.Advance(TimeSpan.FromSeconds(299));
            held.Dispose();

            Assert.Equal(ProxyErrorKind.HostTimedOut, Assert.IsType<DispatchResult.Failed>(await waiting).Error.Kind);
            Assert.Equal(1000, one.Hosts["a"].Exchanges[^1].Deadlines[0]); // the rest of its 300 s
        }

        Assert.True(one["a"].State.Available);
    }

    [Fact]
    public async Task Hosts_time_out_with_all_their_time_They_go_down()
    {
        using var one = new House(House.At("a", "m"));
        for (var i = 0; i < BackendState.Tolerance; i++)
        {
            one.Plays("a", Script.Stream(Role, Step.TimedOut));
            await one.Dispatcher.SendAsync(new Call(true), "m", one.Directory.Table.Resolve("m")!, default);
        }

        Assert.False(one["a"].State.Available);
    }

    [Theory]
    [InlineData(true, null, 300_000)]
    [InlineData(true, 20, 20_000)]
    [InlineData(false, null, long.MaxValue)] // without streaming, only the total limit applies, which is off
    [InlineData(false, 20, 20_000)]
    public async Task Times_allowed_Are_those_of_the_file(bool streams, int? total, long expected)
    {
        using var one = new House(House.At("a", "m") with { Total = total is { } limit ? TimeSpan.FromSeconds(limit) : null });
        one.Plays("a", streams ? Script.Stream(Hello) : Script.Json(Answer));
        using var reply = Assert.IsType<DispatchResult.Answered>(await one.Dispatcher.SendAsync(new Call(streams), "m", one.Directory.Table.Resolve("m")!,
            default)).Reply;

        Assert.Equal(expected, one.Hosts["a"].Exchanges[0].Deadlines[0]);
        Assert.Equal(Math.Min(60_005, total * 1000 ?? long.MaxValue), Math.Min(reply.Total, 5 + (long)reply.Idle.TotalMilliseconds));
    }

    [Fact]
    public async Task Headers_Say_who_is_calling_and_what_the_client_said()
    {
        house.Plays("a", Script.Json(Answer));
        var call = new Call(streams: false)
        {
            Info = new("TRACE", "CORR", "me") { RequestId = "REQ", TraceParent = "00-1-2-01", TraceState = "x=y" },
            Headers = [new("accept", "*/*")],
        };

        await OutcomeAsync(await SendAsync(call));

        Assert.Equal(
            [new("accept", "*/*"), new("x-trace-id", "TRACE"), new("x-correlation-id", "CORR"), new("x-request-id", "REQ"), new("traceparent", "00-1-2-01"),
                new("tracestate", "x=y")],
            house.Hosts["a"].Exchanges[0].Request.Headers);
        Assert.Equal("for a", house.Hosts["a"].Exchanges[0].Sent);
        Assert.All(call.Bodies, body => Assert.Throws<ObjectDisposedException>(() => body.GetSpan())); // the bodies written for each host have been disposed
    }
}
