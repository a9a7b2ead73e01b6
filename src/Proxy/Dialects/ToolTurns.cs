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
        var calls = new List<Call>();
        for (var i = 0; i < messages.Count; i++)
        {
            var message = messages[i];
            for (var j = 0; j < message.ToolCalls.Count; j++)
            {
                var made = message.ToolCalls[j];
                var call = new Call(made.Id ?? string.Create(CultureInfo.InvariantCulture, $"call_{i}_{j}"), made.Name);
                calls.Add(call);
                callIds[(i, j)] = call.Id;
            }

            if (message.Role is not ChatRole.Tool) continue;
            var answered = message.ToolCallId is { } id
                ? calls.FindLast(call => call.Id == id)
                : calls.Find(call => !call.Answered && (message.ToolName ?? message.Name ?? call.Name) == call.Name);
            if (answered is null) continue;
            answered.Answered = true;
            answers[i] = answered;
        }
    }

    public string IdOfCall(int message, int call) => callIds[(message, call)];

    public string? IdAnswered(int message) => answers.GetValueOrDefault(message)?.Id;

    public string? NameAnswered(int message) => answers.GetValueOrDefault(message)?.Name;
}
