using System.Globalization;
using Proxy.Chat;

namespace Proxy.Dialects;

/// <summary>
/// Which tool message answers which call, for dialects that say it differently: by id (OpenAI), by the tool's name or only by order (Ollama).
/// Gives every call an id and every tool message the id and name that it answers.
/// </summary>
internal sealed class ToolTurns
{
    private sealed class Call(string id, string name)
    {
        public string Id => id;
        public string Name => name;
        public bool Answered { get; set; }
    }

    private readonly Dictionary<(int Message, int Call), string> callIds = [];
    private readonly Dictionary<int, Call> answers = [];

    public ToolTurns(IReadOnlyList<ChatMessage> messages)
    {
        var byId = new Dictionary<string, Call>();
        var inOrder = new Queue<Call>();
        var byName = new Dictionary<string, Queue<Call>>();
        for (var i = 0; i < messages.Count; i++)
        {
            var message = messages[i];
            for (var j = 0; j < message.ToolCalls.Count; j++)
            {
                var made = message.ToolCalls[j];
                var call = new Call(made.Id ?? string.Create(CultureInfo.InvariantCulture, $"call_{i}_{j}"), made.Name);
                byId[call.Id] = call; // of two with one id, the later one is meant
                inOrder.Enqueue(call);
                if (!byName.TryGetValue(call.Name, out var alike)) byName.Add(call.Name, alike = new());
                alike.Enqueue(call);
                callIds[(i, j)] = call.Id;
            }

            if (message.Role is not ChatRole.Tool) continue;
            var answered = message.ToolCallId is { } id ? byId.GetValueOrDefault(id)
                : (message.ToolName ?? message.Name) is { } name ? FirstOpen(byName.GetValueOrDefault(name))
                : FirstOpen(inOrder);
            if (answered is null) continue;
            answered.Answered = true;
            answers[i] = answered;
        }
    }

    /// <summary>The first call that has no answer yet; those before it are looked at for the last time.</summary>
    private static Call? FirstOpen(Queue<Call>? calls)
    {
        while (calls?.TryPeek(out var first) is true)
        {
            if (!first.Answered) return first;
            calls.Dequeue();
        }

        return null;
    }

    public string IdOfCall(int message, int call) => callIds[(message, call)];

    public string? IdAnswered(int message) => answers.GetValueOrDefault(message)?.Id;

    public string? NameAnswered(int message) => answers.GetValueOrDefault(message)?.Name;
}
