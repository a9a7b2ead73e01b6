using System.Text.Json.Nodes;
using Proxy.Chat;
using Proxy.Dialects;
using Proxy.Dialects.OpenAiResponses;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Dialects;

/// <summary>
/// Codex's custom tools and namespaces with hosts that know only functions: they are offered as functions, their calls reach the client in the original form,
/// and the history is converted too.
/// </summary>
public sealed class CustomToolTests
{
    private const string Patch = "*** Begin Patch\n*** Update File: a.cs\n+\tvar s = \"x\\n\"; // 😀 é \u2028\n*** End Patch\n";

    private const string Asked =
        """
        {"model":"m","input":"x","stream":true,"tools":[
          {"type":"function","name":"exec_command","parameters":{"type":"object"},"strict":false},
          {"type":"custom","name":"apply_patch","description":"Edits files","format":{"type":"grammar","syntax":"lark","definition":"start: begin_patch"}},
          {"type":"custom","name":"note","format":{"type":"text"}},
          {"type":"namespace","name":"mcp__demo","description":"Demo.","tools":[{"type":"function","name":"add","description":"Adds","strict":true,"parameters":{"type":"object","properties":{"a":{"type":"number"}}}},{"type":"custom","name":"say"}]},
          {"type":"web_search"}]}
        """;

    private static readonly ClientDialect Client = DialectTable.Client(DialectName.OpenAiResponses)!;
    private static readonly ReplyStamp Stamp = Wire.Stamp with { Request = RequestTests.Read(DialectName.OpenAiResponses, Asked) };

    [Fact]
    public void Custom_tools_and_namespaces_Are_offered_as_functions()
    {
        var written = JsonNode.Parse(RequestTests.Write(DialectName.OpenAiChat, Stamp.Request!, out var lost))!;

        Assert.Equal(["exec_command", "apply_patch", "note", "mcp__demo__add", "mcp__demo__say"],
            written["tools"]!.AsArray().Select(tool => (string?)tool!["function"]!["name"]));
        Assert.All(written["tools"]!.AsArray(), tool => Assert.Equal("function", (string?)tool!["type"]));
        var patch = written["tools"]![1]!["function"]!;
        Assert.Equal("Edits files", (string?)patch["description"]);
        Assert.Equal("""["input"]""", patch["parameters"]!["required"]!.ToJsonString());
        Assert.Equal("string", (string?)patch["parameters"]!["properties"]!["input"]!["type"]);
        Assert.Contains("lark grammar:\nstart: begin_patch", (string?)patch["parameters"]!["properties"]!["input"]!["description"], StringComparison.Ordinal);
        Assert.Equal("""{"name":"mcp__demo__add","description":"Adds","parameters":{"type":"object","properties":{"a":{"type":"number"}}},"strict":true}""",
            written["tools"]![3]!["function"]!.ToJsonString());
        Assert.Equal(["tools[] of another type", "tools[].description of a namespace"], lost.Order(StringComparer.Ordinal));
    }

    [Theory]
    [InlineData("""{"type":"custom","name":"apply_patch"}""", "apply_patch")]
    [InlineData("""{"type":"function","name":"exec_command"}""", "exec_command")]
    [InlineData("""{"type":"function","namespace":"mcp__demo","name":"add"}""", "mcp__demo__add")]
    public void Tool_that_is_chosen_Is_chosen_of_the_host(string choice, string name)
    {
        var request = RequestTests.Read(DialectName.OpenAiResponses,
            Asked.Replace("\"input\":\"x\"", $"\"input\":\"x\",\"tool_choice\":{choice}", StringComparison.Ordinal));

        Assert.Equal(name, (string?)JsonNode.Parse(RequestTests.Write(DialectName.OpenAiChat, request, out _))!["tool_choice"]!["function"]!["name"]);
    }

    [Theory]
    [InlineData("""[{"type":"custom","name":"note"},{"type":"namespace","name":"mcp__demo"}]""", "note mcp__demo__add mcp__demo__say")]
    [InlineData("""[{"type":"function","namespace":"mcp__demo","name":"add"}]""", "mcp__demo__add")]
    public void Tools_that_are_allowed_Are_the_only_ones(string tools, string names)
    {
        var request = RequestTests.Read(DialectName.OpenAiResponses, Asked.Replace("\"input\":\"x\"",
            $$""" "input":"x","tool_choice":{"type":"allowed_tools","mode":"required","tools":{{tools}}} """, StringComparison.Ordinal));

        Assert.Equal(names.Split(' '), JsonNode.Parse(RequestTests.Write(DialectName.OpenAiChat, request, out _))!["tools"]!.AsArray()
            .Select(tool => (string)tool!["function"]!["name"]!));
    }

    [Fact]
    public void Call_of_a_custom_tool_Is_streamed_as_its_text_however_its_arguments_are_cut()
    {
        foreach (var arguments in new[] { CustomTool.Arguments(Patch), new JsonObject { ["input"] = Patch }.ToJsonString(),
            $$""" { "why" : {"a":["}",1]} , "input" :{{new JsonObject { ["x"] = Patch }["x"]!.ToJsonString()}}, "n":2} """ })
        {
            Is(Patch, [.. arguments.Select(c => c.ToString())]);
            for (var cut = 0; cut <= arguments.Length; cut++) Is(Patch, arguments[..cut], arguments[cut..]);
        }
    }

    [Fact]
    public void Any_text_in_any_spelling_and_any_pieces_Is_told_as_it_is()
    {
        for (var i = 0; i < 500; i++)
        {
            var seed = Random.Shared.Next();
            var random = new Random(seed);
            var text = string.Concat(Enumerable.Range(0, random.Next(40)).Select(_ => random.Next(8) switch
            {
                0 => "\"",
                1 => "\\",
                2 => "\n",
                3 => "\u0001",
                4 => "😀",
                5 => "é",
                6 => "{",
                _ => "a"
            }));
            var spelled = string.Concat(text.Select(c => c is '"' or '\\' or < ' ' || random.Next(3) == 0 ? $"\\u{(int)c:x4}" : c.ToString()));
            var other = new[] { "", "\"n\":[1,{\"input\":\"no\"}],", "\"input2\":\"no\\\"\", ", "\n" }[random.Next(4)];
            var arguments = $"{{{other}\"input\" : \"{spelled}\", \"z\":null}}";
            var cuts = Enumerable.Range(0, random.Next(6)).Select(_ => random.Next(arguments.Length + 1)).Append(0).Append(arguments.Length).Order().ToArray();
            var input = new CustomToolInput();

            var told = string.Concat(cuts.Zip(cuts.Skip(1), (from, to) => input.Add(arguments[from..to]))) + input.End();

            Assert.True(told == text, $"seed {seed}: {arguments} cut at {string.Join(' ', cuts)} is {told}");
        }
    }

    [Theory]
    [InlineData("", "")]
    [InlineData("*** Begin Patch\n{\"x\"", "*** Begin Patch\n{\"x\"")]
    [InlineData("\"as \\\"JSON\\\" text\"", "as \"JSON\" text")]
    [InlineData("{\"patch\":\"x\"}", "{\"patch\":\"x\"}")]
    [InlineData("{\"input\":{\"a\":1}}", "{\"input\":{\"a\":1}}")]
    [InlineData("{}", "{}")]
    [InlineData("{\"input\":\"cut o", "cut o")]
    [InlineData("{\"input\":\"cut \\u00", "cut ")]
    [InlineData("{\"input\":\"half \\ud83d\"}", "half \ufffd")]
    [InlineData("{\"input\":\"line\nline\"}", "line\nline")]
    [InlineData("{\"in\\u0070ut\":\"\\/\\b\\f\\r\\t\"}", "/\b\f\r\t")]
    [InlineData("{\"input\":\"a\",\"input\":\"b\"}", "a")]
    public void Arguments_that_are_not_as_they_should_be_Reach_the_tool(string arguments, string text)
    {
        Is(text, arguments);
        Is(text, [.. arguments.Select(c => c.ToString())]);
    }

    [Theory]
    [InlineData("mcp__demo__add", "function_call", "add", "arguments", """{"a":1}""")]
    [InlineData("mcp__demo__say", "custom_tool_call", "say", "input", "hi")]
    public void Tool_of_a_namespace_Is_called_by_its_own_name(string host, string type, string name, string member, string said)
    {
        var arguments = type == "function_call" ? said : CustomTool.Arguments(said);
        List<ChatEvent> events = [new ChatEvent.ToolCall(0, "call_a", host, arguments), new ChatEvent.Finished(FinishReason.ToolCalls)];

        foreach (var item in Items(events).Concat([Whole(events)["output"]![0]!]))
            Assert.Equal((type, "call_a", name, "mcp__demo", said),
                ((string?)item["type"], (string?)item["call_id"], (string?)item["name"], (string?)item["namespace"], (string?)item[member]));
    }

    [Fact]
    public void Calls_that_take_turns_Keep_their_kinds()
    {
        List<ChatEvent> events =
        [
            new ChatEvent.Token("why", TokenKind.Reasoning), new ChatEvent.ToolCall(0, "a", "apply_patch", "{\"inp"),
            new ChatEvent.ToolCall(1, "b", "exec_command", "{\"cmd\":"), new ChatEvent.ToolCall(0, null, null, "ut\":\"x\"}"),
            new ChatEvent.ToolCall(1, null, null, "1}"), new ChatEvent.Token("after"), new ChatEvent.Finished(FinishReason.ToolCalls),
        ];

        var items = Whole(events)["output"]!.AsArray();
        Assert.Equal(["reasoning", "message", "custom_tool_call", "function_call"], items.Select(item => (string)item!["type"]!));
        Assert.Equal(["custom_tool_call", "function_call"], Items(events).Select(item => (string)item["type"]!));
        Assert.Equal(("x", """{"cmd":1}"""), ((string?)Items(events)[0]["input"], (string?)Items(events)[1]["arguments"]));
    }

    [Fact]
    public void History_of_custom_tools_and_namespaces_Is_told_as_it_was_called()
    {
        var body = Asked.Replace("\"input\":\"x\"", """
            "input":[{"role":"user","content":"go"},
              {"type":"custom_tool_call","id":"ctc_1","status":"completed","call_id":"a","name":"apply_patch","input":"- \"x\""},{"type":"custom_tool_call_output","call_id":"a","output":"Done"},
              {"type":"function_call","call_id":"b","namespace":"mcp__demo","name":"add","arguments":"{\"a\":1}"},{"type":"function_call_output","call_id":"b","output":[{"type":"input_text","text":"1"}]}]
            """, StringComparison.Ordinal);
        var request = RequestTests.Read(DialectName.OpenAiResponses, body);

        var messages = JsonNode.Parse(RequestTests.Write(DialectName.OllamaChat, request, out _))!["messages"]!;

        Assert.True(JsonNode.DeepEquals(JsonNode.Parse("""
            [{"role":"user","content":"go"},
             {"role":"assistant","content":"","tool_calls":[{"id":"a","function":{"name":"apply_patch","arguments":{"input":"- \"x\""}}}]},{"role":"tool","content":"Done","tool_name":"apply_patch","tool_call_id":"a"},
             {"role":"assistant","content":"","tool_calls":[{"id":"b","function":{"name":"mcp__demo__add","arguments":{"a":1}}}]},{"role":"tool","content":"1","tool_name":"mcp__demo__add","tool_call_id":"b"}]
            """), messages), messages.ToJsonString());
        var own = JsonNode.Parse(RequestTests.Write(DialectName.OpenAiResponses, request, out var lost))!;
        Assert.Empty(lost);
        Assert.Equal(
            """[{"type":"custom_tool_call","call_id":"a","name":"apply_patch","input":"- \u0022x\u0022"},{"type":"custom_tool_call_output","call_id":"a","output":"Done"},{"type":"function_call","call_id":"b","name":"add","namespace":"mcp__demo","arguments":"{\u0022a\u0022:1}"},{"type":"function_call_output","call_id":"b","output":"1"}]""",
            new JsonArray([.. own["input"]!.AsArray().Skip(1).Select(item => item!.DeepClone())]).ToJsonString());
        Assert.True(JsonNode.DeepEquals(JsonNode.Parse(Asked)!["tools"], own["tools"]));
    }

    /// <summary>Asserts the text of a call, streamed in these pieces and whole.</summary>
    private static void Is(string text, params string[] pieces)
    {
        var events = new List<ChatEvent> { new ChatEvent.ToolCall(0, "call_a", "apply_patch", null) };
        events.AddRange(pieces.Select(piece => new ChatEvent.ToolCall(0, null, null, piece)));
        events.Add(new ChatEvent.Finished(FinishReason.ToolCalls));

        var frames = Frames(events);

        Assert.Equal(text,
            string.Concat(frames.Where(frame => (string?)frame["type"] == "response.custom_tool_call_input.delta").Select(frame => (string?)frame["delta"])));
        Assert.Equal(text, (string?)Assert.Single(frames, frame => (string?)frame["type"] == "response.custom_tool_call_input.done")["input"]);
        Assert.DoesNotContain(frames, frame => ((string)frame["type"]!).Contains("function_call", StringComparison.Ordinal));
        var added = Assert.Single(frames, frame => (string?)frame["type"] == "response.output_item.added")["item"]!;
        Assert.Equal(("custom_tool_call", "call_a", "apply_patch", ""),
            ((string?)added["type"], (string?)added["call_id"], (string?)added["name"], (string?)added["input"]));
        Assert.Equal((text, (string?)added["id"]), ((string?)Items(events)[0]["input"], (string?)Items(events)[0]["id"]));
        Assert.Equal(text, (string?)Whole(events)["output"]![0]!["input"]);
    }

    [Fact]
    public void Events_of_a_custom_tool_Are_as_the_specification_says()
    {
        List<ChatEvent> events = [new ChatEvent.ToolCall(0, "call_a", "apply_patch", CustomTool.Arguments(Patch)),
            new ChatEvent.ToolCall(1, "call_b", "mcp__demo__say", CustomTool.Arguments("x")), new ChatEvent.Finished(FinishReason.ToolCalls)];

        Assert.All(Frames(events), frame => OpenApiSchema.OpenAi.ValidResponseEvent(frame.ToJsonString()));
        OpenApiSchema.OpenAi.Valid("Response", Whole(events).ToJsonString());
    }

    private static List<JsonNode> Frames(List<ChatEvent> events) =>
        [.. Wire.Write(Client, events, Stamp).Split('\n').Where(line => line.StartsWith("data: ", StringComparison.Ordinal))
            .Select(line => JsonNode.Parse(line["data: ".Length..])!)];

    /// <summary>The calls in their complete form.</summary>
    private static List<JsonNode> Items(List<ChatEvent> events) =>
        [.. Frames(events).Where(frame => (string?)frame["type"] == "response.output_item.done").Select(frame => frame["item"]!)
            .Where(item => ((string)item["type"]!).EndsWith("_call", StringComparison.Ordinal))];

    private static JsonNode Whole(List<ChatEvent> events) => JsonNode.Parse(Wire.Text(output => Client.WriteWhole(events, Stamp, output)))!;
}
