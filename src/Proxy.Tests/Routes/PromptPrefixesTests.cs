using System.Text;
using Proxy.Chat;
using Proxy.Dialects;
using Proxy.Dialects.OpenAiChat;
using Proxy.Routes;
using Proxy.Telemetry;

namespace Proxy.Tests.Routes;

public sealed class PromptPrefixesTests
{
    private readonly ProxyMetrics metrics = new();
    private readonly PromptPrefixes prefixes;

    public PromptPrefixesTests() => prefixes = new(metrics);

    private static string Turn(char letter, int length = 10_000) => $$"""{"role":"user","content":"{{new string(letter, length)}}"}""";

    private (long All, long Shared) See(string owner, params string[] turns)
    {
        var body = Encoding.UTF8.GetBytes($$"""{"model":"m","messages":[{{string.Join(",", turns)}}]}""");
        Assert.Null(EnvelopePeek.Read(body, out var envelope));
        prefixes.See(new(new OpenAiChatClientDialect(), envelope!, new("trace", "correlation", owner), body));
        return (Value("proxy_prompt_bytes_total"), Value("proxy_prompt_shared_bytes_total"));
    }

    private long Value(string name) =>
        long.Parse(metrics.Expose().Split('\n').Single(line => line.StartsWith(name + " ", StringComparison.Ordinal)).Split(' ')[1],
            System.Globalization.CultureInfo.InvariantCulture);

    [Fact]
    public void Conversation_goes_on_All_that_was_said_before_is_shared()
    {
        var length = Turn('a').Length;

        Assert.Equal((length, 0), See("a", Turn('a')));
        Assert.Equal((3 * length, length), See("a", Turn('a'), Turn('b')));
        Assert.Equal((6 * length, 3 * length), See("a", Turn('a'), Turn('b'), Turn('c')));
    }

    [Fact]
    public void Beginning_changes_Nothing_is_shared()
    {
        See("a", Turn('a'), Turn('b'));

        Assert.Equal(0, See("a", Turn('x'), Turn('b')).Shared);
    }

    [Fact]
    public void Another_caller_Shares_nothing_and_short_prompts_do_not_count()
    {
        See("a", Turn('a'));

        Assert.Equal(0, See("b", Turn('a')).Shared);
        var before = See("a", Turn('z')).All;
        Assert.Equal(before, See("a", Turn('a', 100)).All);
    }
}
