using System.Text.Json;
using System.Text.Json.Nodes;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Sdk;

/// <summary>
/// Plays a model that is asked to create a file: it thinks, calls the agent's shell, and reports once it has seen the result. The host speaks one dialect and
/// has no other URL.
/// </summary>
internal static class AgentHost
{
    public const string Thought = "I need the shell.";
    public const string CallId = "call_shell";
    public const string Report = "The file is there 😀.";
    public const string File = "made.txt";
    public const string Content = "written by \"an agent\"";

    /// <summary>The output of the command. It only appears if the command was really run.</summary>
    public const string Result = "answer-42";

    /// <summary>Words in a task that ask for this tool instead of the shell.</summary>
    public const string ByPatch = "with apply_patch";

    private const string Patch = $"*** Begin Patch\n*** Add File: {File}\n+{Content}\n*** End Patch\n";
    private const string Command = $"printf '%s' '{Content}' > {File} && echo answer-$((6*7))";

    /// <summary>The arguments with which the model calls the shell, by the tool's name.</summary>
    public static JsonObject? Arguments(string tool) => tool switch
    {
        "Bash" => new() { ["command"] = Command, ["description"] = "Make the file" },
        "exec_command" => new() { ["cmd"] = Command },
        "apply_patch" => new() { ["input"] = Patch },
        _ => null,
    };

    public static Task OpenAiAsync(FakeExchange exchange)
    {
        if (exchange.Request.Target != "/v1/chat/completions") return exchange.JsonAsync(OpenAi.Error("no such path"), 404);

        var (tool, text) = Next(exchange.Request.Json);
        string[] deltas = tool is null
            ? [$$"""{"role":"assistant","content":{{OpenAi.Quote(text)}}}"""]
            :
            [
                $$"""{"role":"assistant","content":null,"reasoning_content":{{OpenAi.Quote(Thought)}}}""",
                $$$"""{"tool_calls":[{"index":0,"id":"{{{CallId}}}","type":"function","function":{"name":"{{{tool}}}","arguments":""}}]}""",
                .. Arguments(tool)!.ToJsonString().Chunk(9)
                    .Select(piece => $$$"""{"tool_calls":[{"index":0,"function":{"arguments":{{{OpenAi.Quote(new string(piece))}}}}}]}"""),
            ];
        var finish = tool is null ? "\"stop\"" : "\"tool_calls\"";
        return exchange.StreamAsync(OpenAi.Sse,
        [
            .. deltas.Select(delta => Chunk($$"""[{"index":0,"delta":{{delta}},"finish_reason":null}]""")),
            Chunk($$$"""[{"index":0,"delta":{},"finish_reason":{{{finish}}}}]"""),
            Chunk("""[],"usage":{"prompt_tokens":900,"completion_tokens":70,"total_tokens":970}"""),
            OpenAi.Done,
        ]);

        static string Chunk(string choices) =>
            $$"""data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795000000,"model":"served","choices":{{choices}}}""" + "\n\n";
    }

    public static Task OllamaAsync(FakeExchange exchange)
    {
        if (exchange.Request.Target != "/api/chat") return exchange.JsonAsync("""{"error":"no such path"}""", 404);

        var (tool, text) = Next(exchange.Request.Json);
        string[] lines = tool is null
            ? [Ollama.Token(text)]
            :
            [
                Line($$"""{"role":"assistant","content":"","thinking":{{OpenAi.Quote(Thought)}}}"""),
                Line($$$"""{"role":"assistant","content":"","tool_calls":[{"id":"{{{CallId}}}","function":{"index":0,"name":"{{{tool}}}","arguments":{{{Arguments(tool)!.ToJsonString()}}}}}]}"""),
            ];
        return exchange.StreamAsync(Ollama.Lines, [.. lines, Ollama.Last()]);

        static string Line(string message) =>
            $$"""{"model":"served","created_at":"2026-11-23T06:33:23.058195638Z","message":{{message}},"done":false}""" + "\n";
    }

    /// <summary>The tool to call, or the text of the answer. A request without tools is an internal one of the agent, for a title or a summary.</summary>
    private static (string? Tool, string Text) Next(JsonElement request)
    {
        if (request.GetProperty("messages").EnumerateArray().Any(message => message.GetProperty("role").GetString() == "tool"))
            return (null, Report);
        if (!request.TryGetProperty("tools", out var tools) || tools.GetArrayLength() == 0)
            return (null, "A file");
        var names = tools.EnumerateArray().Select(tool => tool.GetProperty("function").GetProperty("name").GetString()!).ToArray();
        var patches = request.GetProperty("messages").GetRawText().Contains(ByPatch, StringComparison.Ordinal);
        return Array.Find(names, name => Arguments(name) is not null && patches == (name == "apply_patch")) is { } shell
            ? (shell, "")
            : (null, $"There is no shell among {string.Join(", ", names)}");
    }
}
