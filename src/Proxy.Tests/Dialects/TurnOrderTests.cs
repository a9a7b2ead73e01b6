using System.Text.Json.Nodes;
using Proxy.Chat;

namespace Proxy.Tests.Dialects;

/// <summary>
/// Whatever order a client's dialect allows, a host of another dialect gets messages in an order that its model's template accepts, and a growing conversation
/// always keeps the same beginning.
/// </summary>
public sealed class TurnOrderTests
{
    private static readonly DialectName[] Chats = [DialectName.OpenAiChat, DialectName.OpenAiResponses, DialectName.OllamaChat, DialectName.Anthropic];

    public static TheoryData<string, string> Pairs =>
        [.. Chats.SelectMany(client => Chats.Where(host => host != client).Select(host => (client.ToString(), host.ToString())))];

    [Theory]
    [InlineData("""[{"role":"system","content":"s"},{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"system","content":"now"},{"role":"user","content":"c"}]""",
        """[{"role":"system","content":"s"},{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":"now\n\nc"}]""")]
    [InlineData("""[{"role":"user","content":"a"},{"role":"developer","content":"now"},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]""",
        """[{"role":"user","content":"a\n\nnow"},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]""")]
    [InlineData("""[{"role":"user","content":"a"},{"role":"system","content":"1"},{"role":"system","content":"2"},{"role":"user","content":"b"}]""",
        """[{"role":"user","content":"a"},{"role":"user","content":"1\n\n2\n\nb"}]""")]
    [InlineData("""[{"role":"developer","content":"1"},{"role":"system","content":"2"},{"role":"assistant","content":"b"},{"role":"system","content":"3"}]""",
        """[{"role":"system","content":"1\n\n2"},{"role":"assistant","content":"b"},{"role":"user","content":"3"}]""")]
    [InlineData("""[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]},{"role":"system","content":"now"}]""",
        """[{"role":"user","content":"a\nnow","images":["AAAA"]}]""")]
    public void System_that_speaks_late_Is_part_of_the_users_turn(string messages, string host)
    {
        var request = RequestTests.Read(DialectName.OpenAiChat, $$"""{"model":"m","messages":{{messages}}}""");

        var written = JsonNode.Parse(RequestTests.Write(DialectName.OllamaChat, request, out var lost))!["messages"]!;

        Assert.True(JsonNode.DeepEquals(JsonNode.Parse(host), written), written.ToJsonString());
        Assert.Empty(lost);
    }

    [Theory]
    [InlineData("developer")]
    [InlineData("user")]
    public void Message_between_a_call_and_its_result_Comes_behind_the_results(string role)
    {
        var request = RequestTests.Read(DialectName.OpenAiResponses, """
            {"model":"m","input":[{"role":"user","content":"go"},{"type":"function_call","call_id":"a","name":"f","arguments":"{}"},{"type":"function_call","call_id":"b","name":"g","arguments":"{}"},
             {"type":"function_call_output","call_id":"b","output":"2"},{"role":"ROLE","content":"note"},{"type":"function_call_output","call_id":"a","output":"1"}]}
            """.Replace("ROLE", role, StringComparison.Ordinal));

        Is("""
            [{"role":"user","content":"go"},
             {"role":"assistant","content":"","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"b","type":"function","function":{"name":"g","arguments":"{}"}}]},
             {"role":"tool","content":"2","tool_call_id":"b"},{"role":"tool","content":"1","tool_call_id":"a"},{"role":"user","content":"note"}]
            """, DialectName.OpenAiChat, request);
        Is("""
            [{"role":"user","content":"go"},{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{}},{"type":"tool_use","id":"b","name":"g","input":{}}]},
             {"role":"user","content":[{"type":"tool_result","tool_use_id":"b","content":"2"},{"type":"tool_result","tool_use_id":"a","content":"1"},{"type":"text","text":"note"}]}]
            """, DialectName.Anthropic, request);
    }

    [Fact]
    public void Calls_that_thoughts_or_words_separate_Stand_in_one_message()
    {
        var request = RequestTests.Read(DialectName.OpenAiResponses, """
            {"model":"m","input":[{"type":"reasoning","id":"r","summary":[{"type":"summary_text","text":"one"}]},{"type":"reasoning","id":"s","summary":[{"type":"summary_text","text":"two"}]},
             {"type":"function_call","call_id":"a","name":"f","arguments":"{}"},{"type":"reasoning","id":"t","summary":[{"type":"summary_text","text":"three"}]},{"role":"assistant","content":"I go on."},
             {"type":"function_call","call_id":"b","name":"g","arguments":"{}"},{"type":"function_call_output","call_id":"a","output":"1"},{"type":"function_call_output","call_id":"b","output":"2"}]}
            """);

        Is("""
            [{"role":"assistant","content":"I go on.","thinking":"one\n\ntwo\n\nthree","tool_calls":[{"id":"a","function":{"name":"f","arguments":{}}},{"id":"b","function":{"name":"g","arguments":{}}}]},
             {"role":"tool","content":"1","tool_name":"f","tool_call_id":"a"},{"role":"tool","content":"2","tool_name":"g","tool_call_id":"b"}]
            """, DialectName.OllamaChat, request);
    }

    [Fact]
    public void Text_before_a_tools_answer_Comes_behind_it()
    {
        var request = RequestTests.Read(DialectName.Anthropic, """
            {"model":"m","max_tokens":1,"messages":[{"role":"user","content":"go"},{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{}}]},{"role":"assistant","content":"Wait."},
             {"role":"user","content":[{"type":"text","text":"here:"},{"type":"tool_result","tool_use_id":"a","content":"1"}]},{"role":"system","content":"remember"}]}
            """);

        Is("""
            [{"role":"user","content":"go"},{"role":"assistant","content":"Wait.","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]},
             {"role":"tool","content":"1","tool_call_id":"a"},{"role":"user","content":"here:\n\nremember"}]
            """, DialectName.OpenAiChat, request);
    }

    [Theory]
    [MemberData(nameof(Pairs))]
    public void Any_conversation_Keeps_the_order_that_hosts_demand(string client, string host)
    {
        var (from, to) = (Enum.Parse<DialectName>(client), Enum.Parse<DialectName>(host));
        for (var i = 0; i < 150; i++)
        {
            var seed = Random.Shared.Next();
            var talk = new GeneratedTalk(seed);
            List<string>? before = null;
            foreach (var steps in talk.Asked)
            {
                var body = talk.Body(from, steps).ToJsonString();
                var written = RequestTests.Write(to, RequestTests.Read(from, body), out _);
                var messages = Told(JsonNode.Parse(written)!, to);
                string Why(string what) => $"seed {seed}, {steps} steps: {what}\n{body}\n{written}";

                Assert.True(messages.SkipWhile(message => message.System).All(message => !message.System), Why("a system speaks late"));
                for (var at = 0; at < messages.Count; at++)
                {
                    var calls = messages[at].Calls;
                    var results = messages.Skip(at + 1).TakeWhile(message => message.Result is not null).Select(message => message.Result!);
                    if (calls.Count > 0)
                        Assert.True(calls.Order(StringComparer.Ordinal).SequenceEqual(results.Order(StringComparer.Ordinal)),
                            Why($"the results of {string.Join(' ', calls)} are elsewhere"));
                    if (messages[at].Result is { } result)
                        Assert.True(at > 0 && (messages[at - 1].Result is not null || messages[at - 1].Calls.Contains(result)),
                            Why($"the result {result} has no call before it"));
                }

                var place = -1;
                foreach (var step in talk.Steps.Take(steps))
                {
                    var thought = step.What is GeneratedTalk.Kind.Thought;
                    var times = written.Split(step.Word).Length - 1;
                    Assert.True(thought ? times > 0 == (to is not DialectName.Anthropic) : times == 1, Why($"{step} stands there {times} times"));
                    if (step.What is not (GeneratedTalk.Kind.System or GeneratedTalk.Kind.User)) continue;
                    Assert.True(place < written.IndexOf(step.Word, StringComparison.Ordinal), Why($"{step} is said too early"));
                    place = written.IndexOf(step.Word, StringComparison.Ordinal);
                }

                var raw = messages.ConvertAll(message => message.Raw);
                Assert.True(before is null || before.SequenceEqual(raw.Take(before.Count)), Why("the beginning has changed"));
                before = raw;
            }
        }
    }

    [Theory]
    [InlineData(nameof(DialectName.OpenAiChat))]
    [InlineData(nameof(DialectName.OllamaChat))]
    [InlineData(nameof(DialectName.Anthropic))]
    public void Any_conversation_rewritten_in_its_own_dialect_Keeps_its_order(string name)
    {
        var dialect = Enum.Parse<DialectName>(name);
        for (var i = 0; i < 50; i++)
        {
            var seed = Random.Shared.Next();
            var talk = new GeneratedTalk(seed);
            var body = talk.Body(dialect, talk.Steps.Count);

            var written = JsonNode.Parse(RequestTests.Write(dialect, RequestTests.Read(dialect, body.ToJsonString()), out var lost))!;

            Assert.True(Roles(body).SequenceEqual(Roles(written)), $"seed {seed}\n{body.ToJsonString()}\n{written.ToJsonString()}");
            Assert.Empty(lost);
        }

        static IEnumerable<string> Roles(JsonNode body) => body["messages"]!.AsArray().Select(message => (string)message!["role"]!);
    }

    private static void Is(string messages, DialectName host, ChatRequest request)
    {
        var written = JsonNode.Parse(RequestTests.Write(host, request, out _))!["messages"]!;
        Assert.True(JsonNode.DeepEquals(JsonNode.Parse(messages), written), written.ToJsonString());
    }

    private sealed record Message(string Raw, bool System, List<string> Calls, string? Result);

    /// <summary>
    /// The messages or items that the host receives, each with the calls that it makes or the call that it answers. Anthropic's blocks of results each count as
    /// a message.
    /// </summary>
    private static List<Message> Told(JsonNode body, DialectName host)
    {
        var told = new List<Message>();
        if (host is DialectName.Anthropic && body["system"] is { } system) told.Add(new(system.ToJsonString(), true, [], null));
        foreach (var message in (body["messages"] ?? body["input"])!.AsArray())
        {
            var type = (string?)message!["type"];
            var role = (string?)message["role"];
            if (host is DialectName.Anthropic && message["content"] is JsonArray blocks)
            {
                foreach (var block in blocks.Where(block => (string?)block!["type"] == "tool_result"))
                    told.Add(new(block!.ToJsonString(), false, [], (string?)block["tool_use_id"]));
                Assert.All(blocks.SkipWhile(block => (string?)block!["type"] == "tool_result"),
                    block => Assert.NotEqual("tool_result", (string?)block!["type"]));
                told.Add(new(message.ToJsonString(), role == "system",
                    [.. blocks.Where(block => (string?)block!["type"] == "tool_use").Select(block => (string)block!["id"]!)], null));
            }
            else if (type is "function_call" && told is [.., { Calls.Count: > 0 } before])
            {
                told[^1] = new(before.Raw + message.ToJsonString(), false, [.. before.Calls, (string)message["call_id"]!], null);
            }
            else
            {
                var calls = type is "function_call"
                    ? [(string)message["call_id"]!]
                    : message["tool_calls"] is JsonArray made ? made.Select(call => (string)call!["id"]!).ToList() : [];
                told.Add(new(message.ToJsonString(), role is "system" or "developer", calls,
                    (string?)message["tool_call_id"] ?? (type is "function_call_output" ? (string?)message["call_id"] : null)));
            }
        }

        return told;
    }
}
