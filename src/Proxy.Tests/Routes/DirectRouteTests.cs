using System.Buffers;
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
        """{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"x"},"finish_reason":"stop"}]}""";

    /// <summary>Ollama's chat, that remembers which thread parsed a request.</summary>
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
        const string Whole = """{"id":"m","type":"message","role":"assistant","model":"m","content":[],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}""";
        using var house = new House(new ProxyConfig
        {
            Backends = [House.At("a", "m") with { Dialects = [family] }],
            Aliases = new Dictionary<string, string> { ["alias"] = "m" },
            Server = new() { PrefixHygiene = hygiene },
        }).Plays("a", Script.Json(family is DialectFamily.Anthropic ? Whole : Answer), Script.Json(family is DialectFamily.Anthropic ? Whole : Answer));
        var metrics = new ProxyMetrics();
        var route = new DirectRoute(house.Directory, house.Dispatcher, new RemoteImages(), new PromptPrefixes(metrics), house.Log, house.Time);
        const string Marks = "x-anthropic-billing-header: cc=2; cch=CHECK; <total_tokens>TOTAL tokens</total_tokens>";
        var body = $$"""{"system":"{{Marks}}","model":"{{(renamed ? "alias" : "m")}}","max_tokens":9,"messages":[{"role":"user","content":"{{new string('x', 9000)}}"}]}""";

        foreach (var (check, total) in new[] { ("fa690", "7654321"), ("0b1d2", "1234567") })
        {
            var bytes = System.Text.Encoding.UTF8.GetBytes(body.Replace("CHECK", check, StringComparison.Ordinal).Replace("TOTAL", total, StringComparison.Ordinal));
            byte[] before = [.. bytes];
            Assert.Null(EnvelopePeek.Read(bytes, out var envelope));
            var answer = await route.AnswerAsync(RouteTable.Split(new ChatCall(new AnthropicClientDialect(), envelope!, new CallInfo("T", "C", "me"), bytes)), CancellationToken.None);
            ((answer as ChatAnswer.Verbatim)?.Reply ?? ((ChatAnswer.Translated)answer).Reply).Dispose();
            Assert.Equal(before, bytes);
        }

        var expected = (hygiene ? body.Replace("CHECK", "00000", StringComparison.Ordinal).Replace("TOTAL", "0000000", StringComparison.Ordinal) : body).Replace("\"alias\"", "\"m\"", StringComparison.Ordinal);
        var sent = house.Hosts["a"].Exchanges.Select(exchange => exchange.Sent).ToArray();
        if (!hygiene) Assert.Equal([expected.Replace("CHECK", "fa690", StringComparison.Ordinal).Replace("TOTAL", "7654321", StringComparison.Ordinal), expected.Replace("CHECK", "0b1d2", StringComparison.Ordinal).Replace("TOTAL", "1234567", StringComparison.Ordinal)], sent);
        else if (family is DialectFamily.Anthropic) Assert.Equal([expected, expected], sent);
        else Assert.All(sent, request => Assert.Contains("cch=00000; <total_tokens>0000000 tokens", System.Text.RegularExpressions.Regex.Unescape(request), StringComparison.Ordinal));
        var shared = metrics.Expose().Split('\n').Single(line => line.StartsWith("proxy_prompt_shared_bytes_total ", StringComparison.Ordinal));
        Assert.Equal(hygiene, long.Parse(shared.Split(' ')[1], System.Globalization.CultureInfo.InvariantCulture) > 9000); // what the host's cache sees
    }

    /// <summary>Asks on a thread of its own, as a loop is one: whatever is done without waiting is done there.</summary>
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
