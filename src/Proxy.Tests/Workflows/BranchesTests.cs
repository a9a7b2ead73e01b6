using System.Text;
using Proxy.Chat;
using Proxy.Config;
using Proxy.Dialects.Events;
using Proxy.Workflows;

namespace Proxy.Tests.Workflows;

public sealed class BranchesTests
{
    private const string Race = """
        {"type":"token","text":"a1 ","task":"A","model":"small"}
        {"type":"token","text":"b1 ","task":"B","model":"large"}
        {"type":"token","text":"all "}
        {"type":"token","text":"a2 ","task":"A","model":"small"}
        {"type":"token","text":"b2 ","task":"B","model":"large"}
        """;

    /// <summary>What the client sees: text as it is, reasoning in brackets, calls and the end by name.</summary>
    private static string Shown(string present, string lines, string toolCalls = "reasoning", params string[] tools)
    {
        var branches = new Branches(
            new PipelineConfig { Name = "p", Launcher = "process", Present = present, ToolCalls = toolCalls },
            [.. tools.Select(static name => new ToolDefinition(name, null, null))]);
        var shown = new List<ChatEvent>();
        foreach (var line in lines.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            var said = JobEvent.Read("T", Encoding.UTF8.GetBytes(line), out _);
            branches.Take(said.Happened!, said.IsWholeCall, shown);
        }

        Assert.All(shown, static said => Assert.Null(said.Origin?.Seq));
        return string.Concat(shown.Select(static said => said switch
        {
            ChatEvent.Token { Kind: TokenKind.Reasoning } token => $"({token.Text.Trim()})",
            ChatEvent.Token token => token.Text,
            ChatEvent.ToolCall call => $"<{call.Index} {call.Name} {call.Arguments}>",
            ChatEvent.UsageReported { Usage: var usage } => $"[{usage.InputTokens}+{usage.OutputTokens}]",
            ChatEvent.Finished { Error: { } error } => $"!{error.Message}",
            ChatEvent.Finished finished => $".{EventSchemaJson.Word(finished.Reason)} {finished.Winner}",
            _ => $"?{said}",
        }));
    }

    [Theory]
    [InlineData("first", """{"type":"finished","winner":"A"}""", "a1 all a2 .stop A")]
    [InlineData("first", """{"type":"finished","winner":"B"}""", "a1 all a2 .stop B")] // said, not hidden
    [InlineData("task:B", """{"type":"finished"}""", "b1 all b2 .stop ")]
    [InlineData("winner", """{"type":"finished","winner":"B"}""", "all b1 b2 .stop B")]
    [InlineData("winner", """{"type":"finished","winner":"large"}""", "all b1 b2 .stop large")] // by its model
    [InlineData("winner", """{"type":"finished","winner":"large:latest"}""", "all b1 b2 .stop large:latest")]
    [InlineData("winner", """{"type":"finished","winner":"C"}""", "all !the job of the pipeline failed: it named the winner 'C', and none of its tasks has that name or model")]
    [InlineData("winner", """{"type":"finished"}""", "all !the job of the pipeline failed: it named no winner, and several of its tasks spoke")]
    [InlineData("winner", """{"type":"finished","reason":"failed"}""", "all !the worker ended with the reason 'failed'")]
    public void Tasks_speak_in_parallel_One_is_shown(string present, string end, string shown)
    {
        Assert.Equal(shown, Shown(present, Race + "\n" + end));
    }

    [Fact]
    public void Only_one_task_speaks_It_wins_without_being_named()
    {
        Assert.Equal("a .stop ", Shown("winner", """{"type":"token","text":"a ","task":"A"}""" + "\n" + """{"type":"finished"}"""));
    }

    [Theory]
    [InlineData("reasoning", "(search {\"q\":1})<0 mine {}>.tool_calls ")]
    [InlineData("hide", "<0 mine {}>.tool_calls ")]
    [InlineData("client", "<0 search {\"q\":1}><1 mine {}>.tool_calls ")]
    public void Job_calls_tools_Only_those_of_the_client_are_its(string mode, string shown)
    {
        const string Calls = """
            {"type":"tool_call","name":"search","arguments":"{\"q\":1}"}
            {"type":"tool_call","name":"mine","arguments":{}}
            {"type":"finished","reason":"stop"}
            """;

        Assert.Equal(shown, Shown("first", Calls, mode, "mine"));
    }

    [Fact]
    public void Call_comes_in_pieces_They_stay_one_call()
    {
        const string Calls = """
            {"type":"tool_call","index":3,"id":"x","name":"mine","arguments":"{\"a\":"}
            {"type":"tool_call","index":4,"id":"y","name":"mine","arguments":"{}"}
            {"type":"tool_call","index":3,"arguments":"1}"}
            """;

        Assert.Equal("<0 mine {\"a\":><1 mine {}><0  1}>", Shown("first", Calls, "reasoning", "mine"));
    }

    [Theory]
    [InlineData("""{"input_tokens":3,"output_tokens":4}""", "[3+4]")]
    [InlineData("""{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}""", "[3+4]")]
    [InlineData("""{"prompt_eval_count":3,"eval_count":4}""", "[3+4]")]
    [InlineData("""{"input_tokens":1,"cache_read_input_tokens":2,"output_tokens":4}""", "[3+4]")]
    public void Usage_has_any_vendors_names_It_is_read(string usage, string shown)
    {
        var line = $$"""{"type":"usage","usage":{{usage}}}""";

        Assert.Equal(shown + ".stop ", Shown("first", line + "\n" + """{"type":"finished"}"""));
    }

    [Fact]
    public void Tasks_report_usage_The_last_report_of_each_counts()
    {
        const string Lines = """
            {"type":"usage","task":"A","usage":{"input_tokens":1,"output_tokens":1}}
            {"type":"usage","task":"B","usage":{"input_tokens":10,"output_tokens":10}}
            {"type":"usage","task":"A","usage":{"input_tokens":2,"output_tokens":3}}
            {"type":"finished"}
            """;

        Assert.Equal("[12+13].stop ", Shown("first", Lines));
    }
}
