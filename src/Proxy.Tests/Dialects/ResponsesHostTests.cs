using System.Text.Json;
using Proxy.Chat;
using Proxy.Dialects;

namespace Proxy.Tests.Dialects;

/// <summary>Hosts of <c>/v1/responses</c> with unreliable ids: every text is emitted once, and every call is one call.</summary>
public sealed class ResponsesHostTests
{
    private static readonly BackendDialect Backend = DialectTable.Backend(DialectName.OpenAiResponses)!;

    private const string Created = """{"type":"response.created","response":{"id":"resp_1","model":"m","created_at":1795415603}}""";

    private static readonly Dictionary<string, (string[] Events, string Answer, string Reasoning, TrueCall[] Calls)> Samples = new()
    {
        ["ids rotate inside one item"] = (
            [
                Added(0, """{"type":"message","id":"m1","content":[]}"""), Text(0, "m2", "Hel"), Text(0, "m3", "lo"),
                """{"type":"response.output_text.done","output_index":0,"item_id":"m4","content_index":0,"text":"Hello"}""",
                Done(0, """{"type":"message","id":"m5","content":[{"type":"output_text","text":"Hello"}]}"""),
                Completed("""{"type":"message","id":"m6","content":[{"type":"output_text","text":"Hello"}]}"""),
            ], "Hello", "", []),
        ["closing snapshot with other ids, after a thought"] = (
            [
                Added(0, """{"type":"reasoning","id":"r1","summary":[]}"""),
                """{"type":"response.reasoning_text.delta","output_index":0,"item_id":"r2","content_index":0,"delta":"Hm."}""",
                Added(1, """{"type":"message","id":"m1","content":[]}"""), Text(1, "m2", "Hello"),
                Completed("""{"type":"reasoning","id":"r9","summary":[],"content":[{"type":"reasoning_text","text":"Hm."}]}""",
                    """{"type":"message","id":"m9","content":[{"type":"output_text","text":"Hello"}]}"""),
            ], "Hello", "Hm.", []),
        ["a call whose item has other ids in every event"] = (
            [
                Added(0, """{"type":"function_call","id":"f1","call_id":"a","name":"f","arguments":""}"""), Argument(0, "f2", "{\"x\":"),
                Argument(0, "f3", "1}"),
                """{"type":"response.function_call_arguments.done","output_index":0,"item_id":"f4","arguments":"{\"x\":1}"}""",
                Done(0, """{"type":"function_call","id":"f5","call_id":"a","name":"f","arguments":"{\"x\":1}"}"""),
                Completed("""{"type":"function_call","id":"f6","call_id":"a","name":"f","arguments":"{\"x\":1}"}"""),
            ], "", "", [new("a", "f", """{"x":1}""")]),
        ["the name only when the item is done"] = (
            [
                Added(0, """{"type":"function_call","id":"f1","call_id":"a","arguments":""}"""), Argument(0, "f1", "{\"x\":"), Argument(0, "f1", "1}"),
                Added(1, """{"type":"function_call","id":"f2","call_id":"b","name":"","arguments":""}"""), Argument(1, "f2", "{}"),
                Done(1, """{"type":"function_call","id":"f2","call_id":"b","name":"g","arguments":"{}"}"""),
                Done(0, """{"type":"function_call","id":"f1","call_id":"a","name":"f","arguments":"{\"x\":1}"}"""),
                Completed("""{"type":"function_call","id":"f1","call_id":"a","name":"f","arguments":"{\"x\":1}"}""",
                    """{"type":"function_call","id":"f2","call_id":"b","name":"g","arguments":"{}"}"""),
            ], "", "", [new("a", "f", """{"x":1}"""), new("b", "g", "{}")]),
        ["the name only in the whole response"] = (
            [Argument(0, "f1", "{\"x\":"), Argument(0, "f2", "1}"),
                Completed("""{"type":"function_call","id":"f6","call_id":"a","name":"f","arguments":"{\"x\":1}"}""")], "", "", [new("a", "f", """{"x":1}""")]),
        ["calls that take turns, with other ids in the snapshot"] = (
            [
                Added(0, """{"type":"function_call","id":"f1","call_id":"a","name":"f","arguments":""}"""),
                Added(1, """{"type":"function_call","id":"f2","call_id":"b","name":"f","arguments":""}"""),
                Argument(0, "x1", "{\"x\":"), Argument(1, "x2", "{\"y\":"), Argument(0, "x3", "1}"), Argument(1, "x4", "2}"),
                Completed("""{"type":"function_call","id":"f8","call_id":"a2","name":"f","arguments":"{\"x\":1}"}""",
                    """{"type":"function_call","id":"f9","call_id":"b2","name":"f","arguments":"{\"y\":2}"}"""),
            ], "", "", [new("a", "f", """{"x":1}"""), new("b", "f", """{"y":2}""")]),
        ["indexes that are all 0"] = (
            [
                Added(0, """{"type":"message","id":"m1","content":[]}"""), Text(0, "m1", "Hello"),
                Done(0, """{"type":"message","id":"m1","content":[{"type":"output_text","text":"Hello"}]}"""),
                Added(0, """{"type":"message","id":"m2","content":[]}"""), Text(0, "m2", " you"),
                Done(0, """{"type":"message","id":"m2","content":[{"type":"output_text","text":" you"}]}"""),
                Added(0, """{"type":"function_call","id":"f1","call_id":"a","name":"f","arguments":""}"""),
                Added(0, """{"type":"function_call","id":"f2","call_id":"b","name":"g","arguments":""}"""),
                Argument(0, "f1", "{\"x\":1}"), Argument(0, "f2", "{}"),
                Completed("""{"type":"message","id":"m1","content":[{"type":"output_text","text":"Hello"}]}""",
                    """{"type":"message","id":"m2","content":[{"type":"output_text","text":" you"}]}""",
                    """{"type":"function_call","id":"f1","call_id":"a","name":"f","arguments":"{\"x\":1}"}""",
                    """{"type":"function_call","id":"f2","call_id":"b","name":"g","arguments":"{}"}"""),
            ], "Hello you", "", [new("a", "f", """{"x":1}"""), new("b", "g", "{}")]),
        ["neither indexes nor constant ids"] = (
            [
                """{"type":"response.output_item.added","item":{"type":"message","id":"m1","content":[]}}""",
                """{"type":"response.output_text.delta","item_id":"m2","delta":"Hel"}""",
                """{"type":"response.output_text.delta","item_id":"m3","delta":"lo"}""",
                """{"type":"response.output_item.done","item":{"type":"message","id":"m4","content":[{"type":"output_text","text":"Hello"}]}}""",
                """{"type":"response.output_item.added","item":{"type":"function_call","id":"f1","call_id":"a","name":"f"}}""",
                """{"type":"response.function_call_arguments.delta","item_id":"f2","delta":"{}"}""",
                """{"type":"response.output_item.done","item":{"type":"function_call","id":"f3","call_id":"a","name":"f","arguments":"{}"}}""",
                Completed("""{"type":"message","id":"m5","content":[{"type":"output_text","text":"Hello"}]}""",
                    """{"type":"function_call","id":"f4","call_id":"a","name":"f","arguments":"{}"}"""),
            ], "Hello", "", [new("a", "f", "{}")]),
        ["gaps that only the snapshot fills"] = (
            [
                Added(0, """{"type":"message","id":"m1","content":[]}"""), Text(0, "m1", "Hello"),
                Added(2, """{"type":"function_call","id":"f1","call_id":"a","name":"f","arguments":""}"""), Argument(2, "f1", "{\"x\":"),
                Completed("""{"type":"message","id":"m1","content":[{"type":"output_text","text":"Hello"}]}""",
                    """{"type":"message","id":"m2","content":[{"type":"output_text","text":" you"}]}""",
                    """{"type":"function_call","id":"f1","call_id":"a","name":"f","arguments":"{\"x\":1}"}"""),
            ], "Hello you", "", [new("a", "f", """{"x":1}""")]),
        ["two parts, of which one has no deltas"] = (
            [Added(0, """{"type":"message","id":"m1","content":[]}"""), Text(0, "m1", "Hello"),
                Done(0, """{"type":"message","id":"m1","content":[{"type":"output_text","text":"Hello"},{"type":"output_text","text":" you"}]}""")],
                "Hello you", "", []),
        ["no deltas and an empty whole response"] = (
            [
                Added(0, """{"type":"message","id":"m1","content":[]}"""),
                """{"type":"response.output_text.done","output_index":0,"item_id":"m2","content_index":0,"text":"Hello"}""",
                """{"type":"response.output_text.done","output_index":1,"item_id":"m3","text":" you"}""",
                """{"type":"response.function_call_arguments.done","output_index":2,"item_id":"f1","call_id":"a","name":"f","arguments":"{}"}""", Completed(),
            ], "Hello you", "", [new("a", "f", "{}")]),
        ["nothing before the whole response"] = (
            [Completed("""{"type":"message","content":[{"type":"output_text","text":"Hello"}]}""",
                """{"type":"function_call","call_id":"a","name":"f","arguments":"{}"}""",
                """{"type":"function_call","call_id":"b","name":"f","arguments":"{}"}""")],
            "Hello", "", [new("a", "f", "{}"), new("b", "f", "{}")]),
    };

    public static TheoryData<string> All => [.. Samples.Keys];

    [Theory]
    [MemberData(nameof(All))]
    public void Host_gives_ids_as_it_likes_Nothing_is_told_twice(string what)
    {
        var (_, answer, reasoning, calls) = Samples[what];

        var events = Wire.Read(Backend, Stream(what));

        var said = WholeAnswer.Of(events).Choices[0];
        Assert.Equal((answer, reasoning), (said.Answer, said.Reasoning));
        ClientCalls.AssertSame(calls, ToolCallTests.Calls(events), what);
        Assert.Equal(calls.Length > 0 ? FinishReason.ToolCalls : FinishReason.Stop, said.Reason);
        ClientCalls.AssertEveryClientGets(calls, events, what);
    }

    [Theory]
    [MemberData(nameof(All))]
    public void Stream_cut_at_every_byte_Gives_the_same_events(string what)
    {
        var bytes = Wire.Bytes(Stream(what));
        var expected = Wire.Lines(Wire.Read(Backend, out _, bytes));

        for (var cut = 0; cut <= bytes.Length; cut++) Assert.Equal(expected, Wire.Lines(Wire.Read(Backend, out _, bytes[..cut], bytes[cut..])));
    }

    [Fact]
    public void Id_of_a_call_that_comes_when_its_item_is_done_Is_kept_in_whole_answers()
    {
        string[] data = [Created, Added(0, """{"type":"function_call","id":"f1","name":"f"}"""), Argument(0, "f1", "{}"),
            Done(0, """{"type":"function_call","id":"f2","call_id":"a","name":"f","arguments":"{}"}"""), Completed()];

        ClientCalls.AssertSame([new("a", "f", "{}")], ToolCallTests.Calls(Wire.Read(Backend, string.Concat(data.Select(Frame)))), "late id");
    }

    /// <summary>
    /// Responses generated from a seed, which a failure reports: various items, and a host that gives each event of an item another id, or no index, and omits
    /// events.
    /// </summary>
    [Fact]
    public void Made_up_responses_Are_told_once()
    {
        for (var seed = 1; seed <= 500; seed++)
        {
            var random = new Random(seed);
            bool rotates = random.Next(2) == 0, counts = rotates || random.Next(2) == 0, names = random.Next(2) == 0, ends = random.Next(2) == 0,
                snapshot = random.Next(3) > 0;
            List<string> frames = [Created], output = [];
            List<TrueCall> calls = [];
            var answer = "";
            for (var place = 0; place < random.Next(1, 5); place++)
            {
                var index = counts ? $"\"output_index\":{place}," : "";
                var number = 0;
                string Id() => rotates ? $"i{place}_{number++}" : $"i{place}";
                if (random.Next(2) == 0)
                {
                    var text = $"text {place}. ";
                    answer += text;
                    frames.Add($$$"""{"type":"response.output_item.added",{{{index}}}"item":{"type":"message","id":"{{{Id()}}}","content":[]}}""");
                    foreach (var piece in text.Chunk(random.Next(2, 8)))
                        frames.Add($$"""{"type":"response.output_text.delta",{{index}}"item_id":"{{Id()}}","content_index":0,"delta":{{JsonSerializer.Serialize(new string(piece))}}}""");
                    string Item() => $$"""{"type":"message","id":"{{Id()}}","content":[{"type":"output_text","text":"{{text}}"}]}""";
                    if (ends || !snapshot) frames.Add($$$"""{"type":"response.output_item.done",{{{index}}}"item":{{{Item()}}}}""");
                    output.Add(Item());
                }
                else
                {
                    var call = new TrueCall($"call_{place}", random.Next(2) == 0 ? "f" : "g", $$"""{"x":{{place}}}""");
                    calls.Add(call);
                    frames.Add($$$"""{"type":"response.output_item.added",{{{index}}}"item":{"type":"function_call","id":"{{{Id()}}}","call_id":"{{{call.Id}}}"{{{(names ? $",\"name\":\"{call.Name}\"" : "")}}}}}""");
                    foreach (var piece in call.Arguments.Chunk(random.Next(2, 8)))
                        frames.Add($$"""{"type":"response.function_call_arguments.delta",{{index}}"item_id":"{{Id()}}","delta":{{JsonSerializer.Serialize(new string(piece))}}}""");
                    string Item() =>
                        $$"""{"type":"function_call","id":"{{Id()}}","call_id":"{{call.Id}}","name":"{{call.Name}}","arguments":{{JsonSerializer.Serialize(call.Arguments)}}}""";
                    if (ends || !snapshot) frames.Add($$$"""{"type":"response.output_item.done",{{{index}}}"item":{{{Item()}}}}""");
                    output.Add(Item());
                }
            }

            frames.Add(Completed(snapshot ? [.. output] : []));
            var why = $"seed {seed}\n{string.Join('\n', frames)}";

            var events = Wire.Read(Backend, string.Concat(frames.Select(Frame)));

            Assert.True(WholeAnswer.Of(events).Choices[0].Answer == answer, why);
            ClientCalls.AssertSame(calls, ToolCallTests.Calls(events), why);
            ClientCalls.AssertEveryClientGets(calls, events, why);
        }
    }

    private static string Stream(string what) =>
        Frame(Created) + string.Concat(Samples[what].Events.Select(Frame))
            + (Samples[what].Events[^1].Contains("response.completed", StringComparison.Ordinal) ? "" : Frame(Completed()));

    private static string Frame(string data) => $"data: {data}\n\n";

    private static string Added(int place, string item) => $$"""{"type":"response.output_item.added","output_index":{{place}},"item":{{item}}}""";

    private static string Done(int place, string item) => $$"""{"type":"response.output_item.done","output_index":{{place}},"item":{{item}}}""";

    private static string Text(int place, string id, string text) =>
        $$"""{"type":"response.output_text.delta","output_index":{{place}},"item_id":"{{id}}","content_index":0,"delta":"{{text}}"}""";

    private static string Argument(int place, string id, string piece) =>
        $$"""{"type":"response.function_call_arguments.delta","output_index":{{place}},"item_id":"{{id}}","delta":{{JsonSerializer.Serialize(piece)}}}""";

    private static string Completed(params string[] output) =>
        $$$"""{"type":"response.completed","response":{"id":"resp_1","status":"completed","output":[{{{string.Join(',', output)}}}]}}""";
}
