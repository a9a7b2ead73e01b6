using Proxy.Chat;
using Proxy.Dialects;

namespace Proxy.Tests.Dialects;

/// <summary>
/// Tool calls of OpenAI hosts that stream them in unusual forms. The client gets exactly these calls, with their names and the host's ids, in every dialect and
/// wherever the network cuts.
/// </summary>
public sealed class ToolCallTests
{
    private static readonly BackendDialect Backend = DialectTable.Backend(DialectName.OpenAiChat)!;

    /// <summary>The case · the entries of each delta's <c>tool_calls</c> · the calls.</summary>
    private static readonly (string What, string[] Deltas, TrueCall[] Calls)[] Samples =
    [
        ("name empty, then late",
            ["""{"index":0,"id":"a","function":{"name":"","arguments":""}}""", """{"index":0,"function":{"name":"get_weather","arguments":""}}""",
                """{"index":0,"function":{"arguments":"{\"x\":1}"}}"""],
            [new("a", "get_weather", """{"x":1}""")]),
        ("name after the arguments began",
            ["""{"index":0,"id":"a","function":{"name":"","arguments":"{\"x\""}}""", """{"index":0,"function":{"name":"get_weather","arguments":":1"}}""",
                """{"index":0,"function":{"arguments":"}"}}"""],
            [new("a", "get_weather", """{"x":1}""")]),
        ("name at the very end",
            ["""{"index":0,"id":"a","function":{"arguments":"{\"x\":"}}""", """{"index":0,"function":{"arguments":"1}"}}""",
                """{"index":0,"function":{"name":"get_weather"}}"""],
            [new("a", "get_weather", """{"x":1}""")]),
        ("name in two pieces",
            ["""{"index":0,"id":"a","function":{"name":"get_","arguments":""}}""", """{"index":0,"function":{"name":"weather","arguments":""}}""",
                """{"index":0,"function":{"arguments":"{}"}}"""],
            [new("a", "get_weather", "{}")]),
        ("name in two pieces, the second with the arguments",
            ["""{"index":0,"id":"a","function":{"name":"get_"}}""", """{"index":0,"function":{"name":"weather","arguments":"{}"}}"""],
            [new("a", "get_weather", "{}")]),
        ("name in pieces, each sent twice",
            ["""{"index":0,"id":"a","function":{"name":"get_"}}""", """{"index":0,"function":{"name":"get_"}}""",
                """{"index":0,"function":{"name":"weather"}}""", """{"index":0,"function":{"name":"get_weather","arguments":"{}"}}"""],
            [new("a", "get_weather", "{}")]),
        ("name in every piece",
            ["""{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\""}}""", """{"index":0,"id":"a","function":{"name":"f","arguments":":1}"}}""",
                """{"index":0,"id":"a","function":{"name":"f","arguments":""}}"""],
            [new("a", "f", """{"x":1}""")]),
        ("name in every piece, without an id",
            ["""{"index":0,"function":{"name":"f","arguments":"{\"x\""}}""", """{"index":0,"function":{"name":"f","arguments":":1}"}}""",
                """{"index":0,"function":{"name":"f","arguments":""}}"""],
            [new(null, "f", """{"x":1}""")]),
        ("names in pieces that take turns",
            ["""{"index":0,"id":"a","function":{"name":"get_"}},{"index":1,"id":"b","function":{"name":"get_"}}""",
                """{"index":0,"function":{"name":"weather"}},{"index":1,"function":{"name":"time"}}""",
                """{"index":1,"function":{"arguments":"{\"b\":1}"}},{"index":0,"function":{"arguments":"{\"a\":1}"}}"""],
            [new("a", "get_weather", """{"a":1}"""), new("b", "get_time", """{"b":1}""")]),
        ("another id in every piece",
            ["""{"index":0,"id":"a","function":{"name":"f","arguments":""}}""", """{"index":0,"id":"b","function":{"arguments":"{\"x\""}}""",
                """{"index":0,"id":"c","function":{"name":null,"arguments":":1}"}}"""],
            [new("a", "f", """{"x":1}""")]),
        ("another id in every piece, two calls of one index",
            ["""{"index":0,"id":"a","function":{"name":"f","arguments":""}}""", """{"index":0,"id":"b","function":{"arguments":"{\"x\":1}"}}""",
                """{"index":0,"id":"c","function":{"name":"g","arguments":""}}""", """{"index":0,"id":"d","function":{"arguments":"{}"}}"""],
            [new("a", "f", """{"x":1}"""), new("c", "g", "{}")]),
        ("id in the second piece",
            ["""{"index":0,"function":{"name":"f","arguments":""}}""", """{"index":0,"id":"a","function":{"arguments":"{}"}}"""],
            [new("a", "f", "{}")]),
        ("id in a delta without function, before the name",
            ["""{"index":0,"id":"a","type":"function"}""", """{"index":0,"function":{"name":"f","arguments":"{}"}}"""],
            [new("a", "f", "{}")]),
        ("id in a delta without function, after the name",
            ["""{"index":0,"function":{"name":"f"}}""", """{"index":0,"id":"a"}""", """{"index":0,"function":{"arguments":"{}"}}"""],
            [new("a", "f", "{}")]),
        ("id in a delta without function, a second call of the same index",
            ["""{"index":0,"id":"a"}""", """{"index":0,"function":{"name":"f","arguments":"{}"}}""", """{"index":0,"id":"b"}""",
                """{"index":0,"function":{"name":"g","arguments":"{\"x\":1}"}}"""],
            [new("a", "f", "{}"), new("b", "g", """{"x":1}""")]),
        ("the same index, other ids and names",
            ["""{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}""", """{"index":0,"id":"b","function":{"name":"g","arguments":"{}"}}"""],
            [new("a", "f", "{}"), new("b", "g", "{}")]),
        ("the same index, in one list",
            ["""{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}},{"index":0,"id":"b","function":{"name":"f","arguments":"{}"}}"""],
            [new("a", "f", "{}"), new("b", "f", "{}")]),
        ("the same index, taking turns by id",
            ["""{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":"}}""", """{"index":0,"id":"b","function":{"name":"g","arguments":"{\"y\":"}}""",
                """{"index":0,"id":"a","function":{"arguments":"1}"}}""", """{"index":0,"id":"b","function":{"arguments":"2}"}}"""],
            [new("a", "f", """{"x":1}"""), new("b", "g", """{"y":2}""")]),
        ("no index, taking turns by id",
            ["""{"id":"a","function":{"name":"f","arguments":"{\"x\":"}}""", """{"id":"b","function":{"name":"f","arguments":"{\"y\":"}}""",
                """{"id":"a","function":{"arguments":"1}"}}""", """{"id":"b","function":{"arguments":"2}"}}"""],
            [new("a", "f", """{"x":1}"""), new("b", "f", """{"y":2}""")]),
        ("neither index nor id, a call in pieces after another",
            ["""{"function":{"name":"f","arguments":"{\"x\":"}}""", """{"function":{"arguments":"1}"}}""", """{"function":{"name":"f","arguments":""}}""",
                """{"function":{"arguments":"{\"x\":2}"}}"""],
            [new(null, "f", """{"x":1}"""), new(null, "f", """{"x":2}""")]),
        ("neither index nor id, a name in pieces",
            ["""{"function":{"name":"get_"}}""", """{"function":{"name":"weather"}}""", """{"function":{"arguments":"{}"}}""",
                """{"function":{"name":"get_"}}""", """{"function":{"name":"time","arguments":"{}"}}"""],
            [new(null, "get_weather", "{}"), new(null, "get_time", "{}")]),
        ("one index and no id for all, whole calls",
            ["""{"index":0,"function":{"name":"f","arguments":"{\"x\":1}"}}""", """{"index":0,"function":{"name":"f","arguments":"{\"x\":2}"}}""",
                """{"index":0,"function":{"name":"g","arguments":"{}"}}"""],
            [new(null, "f", """{"x":1}"""), new(null, "f", """{"x":2}"""), new(null, "g", "{}")]),
        ("one id for all calls, with indexes",
            ["""{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":"}}""", """{"index":1,"id":"a","function":{"name":"g","arguments":"{"}}""",
                """{"index":0,"id":"a","function":{"arguments":"1}"}}""", """{"index":1,"id":"a","function":{"arguments":"}"}}"""],
            [new("a", "f", """{"x":1}"""), new(null, "g", "{}")]),
        ("the index only at the beginning",
            ["""{"index":0,"id":"a","function":{"name":"f","arguments":"{"}}""", """{"function":{"arguments":"}"}}"""],
            [new("a", "f", "{}")]),
        ("the index only behind the beginning",
            ["""{"id":"a","function":{"name":"f","arguments":"{"}}""", """{"index":0,"function":{"arguments":"}"}}"""],
            [new("a", "f", "{}")]),
        ("the whole call once more at the end",
            ["""{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":"}}""", """{"index":0,"function":{"arguments":"1}"}}""",
                """{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":1}"}}"""],
            [new("a", "f", """{"x":1}""")]),
        ("an empty entry before the call",
            ["""{"index":0}""", """{"index":0,"id":"","function":{"name":"","arguments":""}}""",
                """{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}"""],
            [new("a", "f", "{}")]),
        ("a call without arguments among others",
            ["""{"index":0,"id":"a","function":{"name":"f","arguments":""}}""", """{"index":1,"id":"b","function":{"name":"g","arguments":"{\"x\":1}"}}"""],
            [new("a", "f", ""), new("b", "g", """{"x":1}""")]),
    ];

    public static TheoryData<string> All => [.. Samples.Select(sample => sample.What)];

    [Theory]
    [MemberData(nameof(All))]
    public void Host_streams_its_calls_in_its_own_form_Every_client_gets_each_call(string what)
    {
        var sample = Array.Find(Samples, sample => sample.What == what);

        var events = Wire.Read(Backend, Stream(sample.Deltas));

        ClientCalls.AssertSame(sample.Calls, Calls(events), what);
        Assert.Equal(FinishReason.ToolCalls, Assert.IsType<ChatEvent.Finished>(events[^1]).Reason);
        Assert.All(events.OfType<ChatEvent.ToolCall>().GroupBy(piece => piece.Index), pieces => Assert.False(string.IsNullOrEmpty(pieces.First().Name)));
        ClientCalls.AssertEveryClientGets(sample.Calls, events, what);
    }

    [Theory]
    [MemberData(nameof(All))]
    public void Stream_of_calls_cut_at_every_byte_Gives_the_same_events(string what)
    {
        var bytes = Wire.Bytes(Stream(Array.Find(Samples, sample => sample.What == what).Deltas));
        var expected = Wire.Lines(Wire.Read(Backend, out _, bytes));

        for (var cut = 0; cut <= bytes.Length; cut++) Assert.Equal(expected, Wire.Lines(Wire.Read(Backend, out _, bytes[..cut], bytes[cut..])));
    }

    [Theory]
    [MemberData(nameof(All))]
    public void Calls_of_a_second_choice_Do_not_mix_with_those_of_the_first(string what)
    {
        var sample = Array.Find(Samples, sample => sample.What == what);
        var both = sample.Deltas.SelectMany(delta => new[] { Chunk(delta, 0), Chunk(delta.Replace("\"a\"", "\"z\"", StringComparison.Ordinal), 1) });

        var events = Wire.Read(Backend, string.Concat(both) + "data: [DONE]\n\n");

        ClientCalls.AssertSame(sample.Calls, Calls(events), what);
        ClientCalls.AssertSame([.. sample.Calls.Select(call => call.Id == "a" ? call with { Id = "z" } : call)], Calls(events, 1), what);
    }

    /// <summary>Calls generated from a seed, which a failure reports.</summary>
    [Fact]
    public void Made_up_calls_in_made_up_forms_Are_the_calls_that_were_cut()
    {
        for (var seed = 1; seed <= 1000; seed++)
        {
            var forms = new ToolCallForms(seed);
            var deltas = forms.Make(out var calls);
            var why = $"{forms.Form}\n{string.Join('\n', deltas)}";

            var events = Wire.Read(Backend, Stream(deltas));

            ClientCalls.AssertSame(calls, Calls(events), why);
            ClientCalls.AssertEveryClientGets(calls, events, why);
        }
    }

    [Fact]
    public void Made_up_calls_of_two_choices_Do_not_mix()
    {
        for (var seed = 1; seed <= 300; seed++)
        {
            ToolCallForms one = new(seed), other = new(seed + 10_000);
            var first = one.Make(out var calls).Select(delta => Chunk(delta, 0)).ToList();
            var second = other.Make(out var others).Select(delta => Chunk(delta, 1)).ToList();
            var frames = Enumerable.Range(0, Math.Max(first.Count, second.Count)).SelectMany(i => first.Skip(i).Take(1).Concat(second.Skip(i).Take(1)));

            var events = Wire.Read(Backend, string.Concat(frames) + "data: [DONE]\n\n");

            ClientCalls.AssertSame(calls, Calls(events), one.Form);
            ClientCalls.AssertSame(others, Calls(events, 1), other.Form);
        }
    }

    [Fact]
    public void Made_up_stream_cut_at_every_byte_Gives_the_same_events()
    {
        for (var seed = 1; seed <= 8; seed++)
        {
            var bytes = Wire.Bytes(Stream(new ToolCallForms(seed).Make(out _)));
            var expected = Wire.Lines(Wire.Read(Backend, out _, bytes));
            for (var cut = 0; cut <= bytes.Length; cut++) Assert.Equal(expected, Wire.Lines(Wire.Read(Backend, out _, bytes[..cut], bytes[cut..])));
        }
    }

    [Fact]
    public void Id_that_comes_after_the_arguments_began_Is_kept_in_whole_answers()
    {
        var events = Wire.Read(Backend, Stream("""{"index":0,"function":{"name":"f","arguments":"{\"x\":"}}""", """{"index":0,"id":"a"}""",
            """{"index":0,"function":{"arguments":"1}"}}"""));

        ClientCalls.AssertSame([new("a", "f", """{"x":1}""")], Calls(events), "late id");
    }

    [Fact]
    public void Call_whose_name_never_comes_Is_told_all_the_same()
    {
        var events = Wire.Read(Backend, Stream("""{"index":0,"id":"a","function":{"name":"","arguments":"{}"}}"""));

        Assert.Equal(new ChatEvent.ToolCall(0, "a", null, "{}"), Assert.Single(events.OfType<ChatEvent.ToolCall>()));
        foreach (var name in new[] { DialectName.Anthropic, DialectName.OpenAiResponses, DialectName.OllamaChat, DialectName.OpenAiChat })
            Assert.Contains("\"a\"", Wire.Write(DialectTable.Client(name)!, events, Wire.Stamp), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"choices":[{"index":0,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":""}},{"id":"b","type":"function","function":{"name":"g","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}""", "a f ;b g {}")]
    [InlineData("""{"choices":[{"index":0,"message":{"role":"assistant","content":null,"tool_calls":[{"function":{"name":"f","arguments":{"x":1}}},{"function":{"name":"f","arguments":{"x":1}}}]},"finish_reason":"stop"}]}""", """ f {"x":1}; f {"x":1}""")]
    [InlineData("""{"choices":[{"index":0,"message":{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{\"x\":1}"}},"finish_reason":"function_call"}]}""", """ f {"x":1}""")]
    [InlineData("""{"choices":[{"index":0,"message":{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{}"},"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}""", "a f {}")]
    public void Calls_of_a_whole_answer_Are_read_in_their_order(string body, string calls)
    {
        var events = new List<ChatEvent>();

        Assert.True(Backend.TryReadWhole(Wire.Bytes(body), events));

        Assert.Equal(calls, string.Join(';', Calls(events)));
        Assert.Equal(FinishReason.ToolCalls, WholeAnswer.Of(events).Choices[0].Reason);
    }

    [Theory]
    [InlineData("""{"function_call":{"name":"f","arguments":""}}""", """{"function_call":{"arguments":"{\"x\":"}}""",
        """{"function_call":{"arguments":"1}"}}""")]
    [InlineData("""{"function_call":{"name":"f"}}""", """{"function_call":{"name":"f","arguments":"{\"x\":"}}""",
        """{"function_call":{"name":"f","arguments":"1}"}}""")]
    [InlineData("""{"content":null,"function_call":{"name":"f","arguments":"{\"x\":1}"}}""", """{"function_call":null}""", """{}""")]
    public void Legacy_function_call_Is_a_call(string first, string second, string third)
    {
        var events = Wire.Read(Backend,
            string.Concat(new[] { first, second, third }.Select(delta => Delta(delta, 0))) + Delta("{}", 0, "\"function_call\"") + "data: [DONE]\n\n");

        ClientCalls.AssertEveryClientGets([new(null, "f", """{"x":1}""")], events, first);
    }

    [Fact]
    public void Text_between_the_pieces_of_a_call_Does_not_tear_it()
    {
        List<ChatEvent> events =
        [
            new ChatEvent.ToolCall(0, "a", "f", "{\"x\":"), new ChatEvent.Token("so "), new ChatEvent.ToolCall(0, null, null, "1}"),
            new ChatEvent.Token("then"), new ChatEvent.ToolCall(1, "b", "g", "{}"), new ChatEvent.Finished(FinishReason.ToolCalls),
        ];

        ClientCalls.AssertEveryClientGets([new("a", "f", """{"x":1}"""), new("b", "g", "{}")], events, "text");

        Assert.Equal("so then", WholeAnswer.Of(Wire.Read(DialectTable.Backend(DialectName.Anthropic)!,
            Wire.Write(DialectTable.Client(DialectName.Anthropic)!, events, Wire.Stamp))).Choices[0].Answer);
    }

    [Fact]
    public void Published_call_whose_name_comes_late_Is_announced_with_it()
    {
        List<ChatEvent> events =
        [
            new ChatEvent.ToolCall(0, "a", null, "{\"x\":"), new ChatEvent.ToolCall(1, "b", "", null), new ChatEvent.ToolCall(0, null, "f", "1}"),
            new ChatEvent.ToolCall(1, null, "g", "{}"), new ChatEvent.Finished(FinishReason.Stop),
        ];

        ClientCalls.AssertEveryClientGets([new("a", "f", """{"x":1}"""), new("b", "g", "{}")], events, "published");
    }

    [Theory]
    [InlineData("tool_calls")]
    [InlineData("function_call")]
    public void Reason_of_a_call_without_a_call_Is_the_end_of_the_turn(string reason)
    {
        var events = Wire.Read(Backend, Delta("""{"content":"x"}""", 0) + Chunk("""{"index":0,"id":"","function":{"name":"","arguments":""}}""",
            0) + Delta("{}", 0, $"\"{reason}\"") + "data: [DONE]\n\n");

        ClientCalls.AssertEveryClientGets([], events, reason);
        Assert.Contains("\"stop_reason\":\"end_turn\"", Wire.Write(DialectTable.Client(DialectName.Anthropic)!, events, Wire.Stamp), StringComparison.Ordinal);
    }

    internal static List<TrueCall> Calls(IReadOnlyList<ChatEvent> events, int choice = 0) =>
        [.. (WholeAnswer.Of(events).Choices.Find(known => known.Number == choice)?.ToolCalls ?? [])
            .Select(call => new TrueCall(call.Id, call.Name!, call.Arguments))];

    internal static string Stream(params IEnumerable<string> deltas) =>
        string.Concat(deltas.Select(delta => Chunk(delta, 0))) + Delta("{}", 0, "\"tool_calls\"") + "data: [DONE]\n\n";

    internal static string Chunk(string entries, int choice) => Delta($$"""{"tool_calls":[{{entries}}]}""", choice);

    internal static string Delta(string delta, int choice, string reason = "null") =>
        $$"""data: {"id":"chatcmpl-7","choices":[{"index":{{choice}},"delta":{{delta}},"finish_reason":{{reason}}}]}""" + "\n\n";
}
