using System.Text;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Nats;

/// <summary>Collects the texts of an answer from its events, for each choice.</summary>
internal sealed class AnswerTexts
{
    /// <summary>Characters that are kept of one answer.</summary>
    private const int Most = 32 << 20;

    private readonly SortedDictionary<int, Choice> choices = [];

    /// <summary>Characters that were collected.</summary>
    public int Length { get; private set; }

    /// <summary>The answer was longer than what is kept of one.</summary>
    public bool IsCut { get; private set; }

    public void Add(ChatEvent happened)
    {
        var more = happened switch
        {
            ChatEvent.Token token => token.Text.Length,
            ChatEvent.ToolCall call => call.Arguments?.Length ?? 0,
            _ => 0,
        };
        if (IsCut |= Length + more > Most) return;
        Length += more;
        if (happened is not (ChatEvent.Token or ChatEvent.ToolCall)) return;
        if (!choices.TryGetValue(happened.Choice, out var choice)) choices[happened.Choice] = choice = new();
        choice.Add(happened);
    }

    /// <summary>Writes an array of assistant messages in the form of OpenAI's chat, one for each choice.</summary>
    /// <param name="json">Receives it.</param>
    /// <param name="most">The most characters of each text.</param>
    public void Write(Utf8JsonWriter json, int most = int.MaxValue)
    {
        json.WriteStartArray();
        foreach (var choice in choices.Values) choice.Write(json, most);
        json.WriteEndArray();
    }

    private sealed class Choice
    {
        private readonly StringBuilder content = new();
        private readonly StringBuilder reasoning = new();
        private readonly StringBuilder refusal = new();
        private readonly SortedDictionary<int, (string? Id, string? Name, StringBuilder Arguments)> calls = [];

        public void Add(ChatEvent happened)
        {
            if (happened is ChatEvent.Token token)
            {
                (token.Kind switch { TokenKind.Reasoning => reasoning, TokenKind.Refusal => refusal, _ => content }).Append(token.Text);
                return;
            }

            var call = (ChatEvent.ToolCall)happened;
            var known = calls.TryGetValue(call.Index, out var begun) ? begun : (null, null, new StringBuilder());
            known.Arguments.Append(call.Arguments);
            calls[call.Index] = (known.Id ?? call.Id, known.Name ?? call.Name, known.Arguments);
        }

        public void Write(Utf8JsonWriter json, int most)
        {
            json.WriteStartObject();
            json.WriteString("role"u8, "assistant"u8);
            if (content.Length > 0 || calls.Count == 0) json.WriteString("content"u8, Text(content, most));
            if (reasoning.Length > 0) json.WriteString("reasoning"u8, Text(reasoning, most));
            if (refusal.Length > 0) json.WriteString("refusal"u8, Text(refusal, most));
            if (calls.Count > 0)
            {
                json.WriteStartArray("tool_calls"u8);
                foreach (var (id, name, arguments) in calls.Values)
                {
                    json.WriteStartObject();
                    if (id is not null) json.WriteString("id"u8, id);
                    json.WriteString("type"u8, "function"u8);
                    json.WriteStartObject("function"u8);
                    json.WriteString("name"u8, name ?? "");
                    json.WriteString("arguments"u8, Text(arguments, most));
                    json.WriteEndObject();
                    json.WriteEndObject();
                }

                json.WriteEndArray();
            }

            json.WriteEndObject();
        }

        private static string Text(StringBuilder text, int most)
        {
            if (text.Length <= most) return text.ToString();
            return text.ToString(0, most > 0 && char.IsHighSurrogate(text[most - 1]) ? most - 1 : most);
        }
    }
}
