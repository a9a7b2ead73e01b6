using System.Buffers;
using System.Text.RegularExpressions;
using Proxy.Chat;
using Proxy.Config;
using Proxy.Dialects;
using Proxy.Dialects.Anthropic;
using Proxy.Dialects.OllamaChat;
using Proxy.Routes;
using Proxy.Telemetry;
using Proxy.Tests.Backends;

namespace Proxy.Tests.Routes;

public sealed class DirectRouteTests
{
    private const string Answer =
        """{"id":"c","object":"chat.completion","created":1,"model":"m","choices":"""
        + """[{"index":0,"message":{"role":"assistant","content":"x"},"finish_reason":"stop"}]}""";

    /// <summary>Ollama's chat dialect, which records the thread that parsed a request.</summary>
    private sealed class Watched : ClientDialect
    {
        private readonly OllamaChatClientDialect real = new();

        public int? Parser { get; private set; }

        public override DialectName Name => real.Name;
        public override StreamFraming Framing => real.Framing;
        public override string StreamContentType => real.StreamContentType;
        public override string WholeContentType => real.WholeContentType;
        public override bool StreamsByDefault => real.StreamsByDefault;
        public override ReadOnlySpan<byte> KeepAlive => real.KeepAlive;

        public override ProxyError? ReadRequest(ReadOnlyMemory<byte> body, out ChatRequest? request)
        {
            Parser = Environment.CurrentManagedThreadId;
            return real.ReadRequest(body, out request);
        }

        public override EventWriter NewEventWriter(ReplyStamp stamp) => real.NewEventWriter(stamp);

        public override void WriteWhole(IReadOnlyList<ChatEvent> events, ReplyStamp stamp, IBufferWriter<byte> output) =>
            real.WriteWhole(events, stamp, output);

        public override void WriteError(ProxyError error, string traceId, IBufferWriter<byte> output) => real.WriteError(error, traceId, output);

        public override void WriteStreamError(ProxyError error, string traceId, IBufferWriter<byte> output) => real.WriteStreamError(error, traceId, output);
    }

    [Theory]
    [InlineData(100, true)]
    [InlineData(100_000, false)]
    public async Task Call_has_to_be_translated_Long_bodies_are_parsed_elsewhere(int length, bool here)
    {
        using var house = new House(House.At("a", "m"))
            .Plays("a", Script.Json(Answer));
        var (dialect, answer, caller) = await AskAsync(house,
            $$"""{"model":"m","stream":false,"messages":[{"role":"user","content":"{{new string('x', length)}}"}]}""");

        Assert.IsType<ChatAnswer.Translated>(answer).Reply.Dispose();
        Assert.Equal(here, dialect.Parser == caller);
        Assert.NotNull(dialect.Parser);
    }

    [Fact]
    public async Task Host_speaks_the_clients_dialect_Nothing_is_parsed()
    {
        using var house = new House(House.At("a", "m") with { Dialects = [DialectFamily.Ollama] })
            .Plays("a",
            Script.Json("""{"model":"m","created_at":"2026-11-23T06:33:23Z","message":{"role":"assistant","content":"x"},"done":true,"done_reason":"stop"}"""));
        var (dialect, answer, _) = await AskAsync(house,
            $$"""{"model":"m","stream":false,"messages":[{"role":"user","content":"{{new string('x', 100_000)}}"}]}""");

        Assert.IsType<ChatAnswer.Verbatim>(answer).Reply.Dispose();
        Assert.Null(dialect.Parser);
    }

    [Theory]
    [InlineData("anthropic", true, false)]
    [InlineData("anthropic", true, true)]
    [InlineData("openai", true, false)]
    [InlineData("anthropic", false, true)]
    public async Task Agent_marks_each_prompt_Hosts_get_edited_copies_and_the_clients_bytes_stay(string host, bool hygiene, bool renamed)
    {
        var family = host == "openai" ? DialectFamily.OpenAi : DialectFamily.Anthropic;
        const string Whole =
            """{"id":"m","type":"message","role":"assistant","model":"m","content":[],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}""";
        var script = Script.Json(family is DialectFamily.Anthropic ? Whole : Answer);
        using var house = new House(new ProxyConfig
        {
            Backends = [House.At("a", "m") with { Dialects = [family] }],
            Aliases = new Dictionary<string, string> { ["alias"] = "m" },
            Server = new() { PrefixHygiene = hygiene },
        }).Plays("a", script, script);
        var metrics = new ProxyMetrics();
        var route = new DirectRoute(house.Directory, house.Dispatcher, new RemoteImages(), new PromptPrefixes(metrics), house.Log, house.Time);

        await AskAsync("fa690", "7654321");
        await AskAsync("0b1d2", "1234567");

        var blanked = Body("00000", "0000000", "m");
        string[] expected = hygiene ? [blanked, blanked] : [Body("fa690", "7654321", "m"), Body("0b1d2", "1234567", "m")];
        var sent = house.Hosts["a"].Exchanges.Select(exchange => exchange.Sent).ToArray();
        if (family is DialectFamily.Anthropic) Assert.Equal(expected, sent);
        else Assert.All(sent, request => Assert.Contains("cch=00000; <total_tokens>0000000 tokens", Regex.Unescape(request), StringComparison.Ordinal));
        var shared = metrics.Expose().Split('\n').Single(line => line.StartsWith("proxy_prompt_shared_bytes_total ", StringComparison.Ordinal));
        // The count is of the edited prompt, as the host's prefix cache sees it.
        Assert.Equal(hygiene, long.Parse(shared.Split(' ')[1], System.Globalization.CultureInfo.InvariantCulture) > 9000);

        string Body(string check, string total, string model)
        {
            var marks = $"x-anthropic-billing-header: cc=2; cch={check}; <total_tokens>{total} tokens</total_tokens>";
            return $$"""{"system":"{{marks}}","model":"{{model}}","max_tokens":9,"messages":[{"role":"user","content":"{{new string('x', 9000)}}"}]}""";
        }

        async Task AskAsync(string check, string total)
        {
            var bytes = System.Text.Encoding.UTF8.GetBytes(Body(check, total, renamed ? "alias" : "m"));
            byte[] before = [.. bytes];
            Assert.Null(EnvelopePeek.Read(bytes, out var envelope));
            var call = new ChatCall(new AnthropicClientDialect(), envelope!, new CallInfo("T", "C", "me"), bytes);
            var answer = await route.AnswerAsync(RouteTable.Split(call), CancellationToken.None);
            ((answer as ChatAnswer.Verbatim)?.Reply ?? ((ChatAnswer.Translated)answer).Reply).Dispose();
            Assert.Equal(before, bytes);
        }
    }

    /// <summary>Asks on a thread of its own, like an event loop: all synchronous work runs on that thread.</summary>
    private static async Task<(Watched Dialect, ChatAnswer Answer, int Caller)> AskAsync(House house, string body)
    {
        var dialect = new Watched();
        var bytes = System.Text.Encoding.UTF8.GetBytes(body);
        Assert.Null(EnvelopePeek.Read(bytes, out var envelope));
        var call = new ChatCall(dialect, envelope!, new CallInfo("T", "C", "me"), bytes);
        var route = new DirectRoute(house.Directory, house.Dispatcher, new RemoteImages(), new PromptPrefixes(new Proxy.Telemetry.ProxyMetrics()), house.Log,
            house.Time);
        var begun = new TaskCompletionSource<Task<ChatAnswer>>(TaskCreationOptions.RunContinuationsAsynchronously);
        var thread = new Thread(() => begun.SetResult(route.AnswerAsync(RouteTable.Split(call), CancellationToken.None).AsTask()));
        thread.Start();

        var answer = await (await begun.Task);
        return (dialect, answer, thread.ManagedThreadId);
    }
}
