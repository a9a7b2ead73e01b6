using System.Text.Json.Nodes;
using Proxy.Chat;

namespace Proxy.Tests.Dialects;

/// <summary>
/// An agent's conversation, generated from a seed, in the form in which each dialect's client sends it: late system messages, user messages and thoughts
/// between calls and their results, results in any order. Each text is a unique word, so that a test can find it again.
/// </summary>
internal sealed class GeneratedTalk
{
    internal enum Kind
    {
        System,
        User,
        Thought,
        Answer,
        Call,
        Result,
    }

    /// <param name="What"></param>
    /// <param name="Word">The text, the arguments, or the tool's result.</param>
    /// <param name="Id">The id of a call, or of the call that a result answers.</param>
    internal sealed record Step(Kind What, string Word, string Id = "");

    private readonly Random random;
    private int words;

    public GeneratedTalk(int seed)
    {
        random = new Random(seed);
        for (var i = random.Next(3); i > 0; i--) Add(Kind.System);
        for (var turns = random.Next(1, 5); turns > 0; turns--)
        {
            if (Maybe()) Add(Kind.System);
            for (var i = random.Next(1, 3); i > 0; i--) Add(Kind.User);
            if (Maybe()) Add(Kind.System);
            Asked.Add(Steps.Count);
            for (var rounds = random.Next(3); rounds > 0; rounds--)
            {
                Use();
                Asked.Add(Steps.Count);
            }

            if (Maybe()) Add(Kind.Thought);
            Add(Kind.Answer);
        }

        Steps.RemoveRange(Asked[^1], Steps.Count - Asked[^1]);
    }

    public List<Step> Steps { get; } = [];

    /// <summary>For each request to the host, the number of steps before it.</summary>
    public List<int> Asked { get; } = [];

    /// <summary>The request whose conversation consists of this many steps.</summary>
    public JsonObject Body(DialectName client, int steps) => client switch
    {
        DialectName.OpenAiResponses => new() { ["model"] = "m", ["input"] = Items(Steps.Take(steps)) },
        DialectName.Anthropic => Blocks([.. Steps.Take(steps)]),
        _ => new() { ["model"] = "m", ["messages"] = Messages(Steps.Take(steps), client is DialectName.OllamaChat) },
    };

    private void Use()
    {
        if (Maybe()) Add(Kind.Thought);
        if (Maybe()) Add(Kind.Answer);
        var calls = new List<string>();
        for (var i = random.Next(1, 4); i > 0; i--)
        {
            calls.Add($"c{words}");
            Add(Kind.Call, calls[^1]);
            if (i > 1 && random.Next(4) == 0) Add(Kind.Thought);
        }

        foreach (var id in calls.OrderBy(_ => random.Next()).ToArray())
        {
            if (random.Next(3) == 0) Add(random.Next(4) switch { 0 => Kind.System, 1 => Kind.User, 2 => Kind.Thought, _ => Kind.Answer });
            Add(Kind.Result, id);
        }

        if (Maybe()) Add(Kind.System);
        if (random.Next(4) == 0) Add(Kind.User);
    }

    private bool Maybe() => random.Next(2) == 0;

    private void Add(Kind what, string id = "") => Steps.Add(new Step(what, $"w{words++}w", id));

    private static JsonArray Items(IEnumerable<Step> steps) =>
    [
        .. steps.Select(step => step.What switch
        {
            Kind.Thought =>
                new JsonObject { ["type"] = "reasoning", ["id"] = step.Word + "r",
                    ["summary"] = new JsonArray(new JsonObject { ["type"] = "summary_text", ["text"] = step.Word }) },
            Kind.Call when step.Word.Length % 2 == 0 =>
                new JsonObject { ["type"] = "custom_tool_call", ["call_id"] = step.Id, ["name"] = "f" + step.Id, ["input"] = step.Word },
            Kind.Call =>
                new JsonObject { ["type"] = "function_call", ["call_id"] = step.Id, ["name"] = "f" + step.Id, ["arguments"] = Arguments(step).ToJsonString() },
            Kind.Result => new JsonObject { ["type"] = "function_call_output", ["call_id"] = step.Id, ["output"] = step.Word },
            _ => new JsonObject { ["role"] = step.What switch { Kind.System => "developer", Kind.User => "user", _ => "assistant" }, ["content"] = step.Word },
        }),
    ];

    /// <summary>OpenAI's messages, or Ollama's, which name a result's tool and have no ids.</summary>
    private static JsonArray Messages(IEnumerable<Step> steps, bool ollama)
    {
        var messages = new JsonArray();
        foreach (var step in steps)
        {
            switch (step.What)
            {
                case Kind.System or Kind.User:
                    messages.Add(new JsonObject { ["role"] = step.What is Kind.System ? "system" : "user", ["content"] = step.Word });
                    break;
                case Kind.Result:
                    messages.Add(new JsonObject { ["role"] = "tool", [ollama ? "tool_name" : "tool_call_id"] = ollama ? "f" + step.Id : step.Id,
                        ["content"] = step.Word });
                    break;
                default:
                    if (messages.LastOrDefault() is not JsonObject last || (string?)last["role"] != "assistant"
                        || (step.What is not Kind.Call && last.ContainsKey("tool_calls")) || (step.What is Kind.Thought && (string?)last["content"] != ""))
                        messages.Add(last = new JsonObject { ["role"] = "assistant", ["content"] = "" });
                    if (step.What is Kind.Thought) Append(last, ollama ? "thinking" : "reasoning_content", step.Word);
                    else if (step.What is Kind.Answer) Append(last, "content", step.Word);
                    else Calls(last).Add(Call(step, ollama));
                    break;
            }
        }

        return messages;

        static void Append(JsonObject message, string name, string word) => message[name] = $"{(string?)message[name]}{word}";

        static JsonArray Calls(JsonObject message) => (message["tool_calls"] ??= new JsonArray()).AsArray();

        static JsonObject Call(Step step, bool ollama)
        {
            var function = new JsonObject { ["name"] = "f" + step.Id, ["arguments"] = ollama ? Arguments(step) : Arguments(step).ToJsonString() };
            return ollama ? new() { ["function"] = function } : new() { ["id"] = step.Id, ["type"] = "function", ["function"] = function };
        }
    }

    /// <summary>Anthropic's turns of blocks. As in Claude Code, the last block of the last turn is marked for caching.</summary>
    private static JsonObject Blocks(List<Step> steps)
    {
        var first = steps.FindIndex(static step => step.What is not Kind.System);
        var messages = new JsonArray();
        foreach (var step in steps[first..])
        {
            var role = step.What switch { Kind.System => "system", Kind.User or Kind.Result => "user", _ => "assistant" };
            if (messages.LastOrDefault() is not JsonObject last || (string?)last["role"] != role)
                messages.Add(last = new JsonObject { ["role"] = role, ["content"] = new JsonArray() });
            last["content"]!.AsArray().Add(step.What switch
            {
                Kind.Thought => new JsonObject { ["type"] = "thinking", ["thinking"] = step.Word, ["signature"] = "s" },
                Kind.Call => new JsonObject { ["type"] = "tool_use", ["id"] = step.Id, ["name"] = "f" + step.Id, ["input"] = Arguments(step) },
                Kind.Result => new JsonObject { ["type"] = "tool_result", ["tool_use_id"] = step.Id, ["content"] = step.Word },
                _ => new JsonObject { ["type"] = "text", ["text"] = step.Word },
            });
        }

        messages[^1]!["content"]!.AsArray()[^1]!["cache_control"] = new JsonObject { ["type"] = "ephemeral" };
        var body = new JsonObject { ["model"] = "m", ["max_tokens"] = 100, ["messages"] = messages };
        if (first > 0) body["system"] = new JsonArray([.. steps[..first].Select(static step => new JsonObject { ["type"] = "text", ["text"] = step.Word })]);
        return body;
    }

    private static JsonObject Arguments(Step step) => new() { ["x"] = step.Word };
}
