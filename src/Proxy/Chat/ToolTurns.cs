using System.Globalization;

namespace Proxy.Chat;

/// <summary>
/// Matches tool messages with the calls that they answer, because dialects link them in different ways: by id (OpenAI), by the tool's name, or only by order
/// (Ollama). Gives every call an id, and every tool message the id and name of the call that it answers.
/// </summary>
internal sealed class ToolTurns
{
    private sealed class Call(int number, int message, string id, ToolInvocation made)
    {
        public int Number => number;
        public int Message => message;
        public string Id => id;
        public string Name => made.Name;
        public bool TakesText => made.TakesText;
        public bool Answered { get; set; }
    }

    private readonly Dictionary<(int Message, int Call), string> callIds = [];
    private readonly Dictionary<int, Call> answers = [];
    private readonly Dictionary<int, List<int>> results = [];

    public ToolTurns(IReadOnlyList<ChatMessage> messages)
    {
        var latest = new Dictionary<string, Call>();
        var open = new Dictionary<string, Queue<Call>>();
        var anyOpen = new Queue<Call>();
        for (var i = 0; i < messages.Count; i++)
        {
            var message = messages[i];
            for (var j = 0; j < message.ToolCalls.Count; j++)
            {
                var made = message.ToolCalls[j];
                var call = new Call(callIds.Count + 1, i, made.Id ?? string.Create(CultureInfo.InvariantCulture, $"call_{i}_{j}"), made);
                latest[call.Id] = call;
                anyOpen.Enqueue(call);
                if (!open.TryGetValue(call.Name, out var named)) open[call.Name] = named = new();
                named.Enqueue(call);
                callIds[(i, j)] = call.Id;
            }

            if (message.Role is not ChatRole.Tool) continue;
            var answered = message.ToolCallId is { } id
                ? latest.GetValueOrDefault(id)
                : First((message.ToolName ?? message.Name) is { } name ? open.GetValueOrDefault(name) : anyOpen);
            if (answered is null) continue;
            answered.Answered = true;
            answers[i] = answered;
            if (!results.TryGetValue(answered.Message, out var list)) results[answered.Message] = list = [];
            list.Add(i);
        }
    }

    public string IdOfCall(int message, int call) => callIds[(message, call)];

    public string? IdAnswered(int message) => answers.GetValueOrDefault(message)?.Id;

    public string? NameAnswered(int message) => answers.GetValueOrDefault(message)?.Name;

    /// <summary>The number of the answered call, counted from 1 over all messages. Null if the message answers no call.</summary>
    public int? NumberAnswered(int message) => answers.GetValueOrDefault(message)?.Number;

    /// <summary>True if the answered call takes free text instead of JSON arguments.</summary>
    public bool AnswersCustomTool(int message) => answers.GetValueOrDefault(message)?.TakesText is true;

    /// <summary>The indexes of the messages with the results of this message's calls, in order.</summary>
    public IReadOnlyList<int> ResultsOf(int message) => results.TryGetValue(message, out var list) ? list : [];

    /// <summary>The message with all implied ids made explicit, so that it can be moved.</summary>
    public ChatMessage WithIds(ChatMessage message, int number)
    {
        if (answers.TryGetValue(number, out var answered)) message = message with { ToolCallId = answered.Id, ToolName = message.ToolName ?? answered.Name };
        if (message.ToolCalls.All(static call => call.Id is not null)) return message;
        return message with { ToolCalls = [.. message.ToolCalls.Select((call, at) => call with { Id = callIds[(number, at)] })] };
    }

    private static Call? First(Queue<Call>? calls)
    {
        while (calls is not null && calls.TryPeek(out var call))
        {
            if (!call.Answered) return call;
            calls.Dequeue();
        }

        return null;
    }
}
