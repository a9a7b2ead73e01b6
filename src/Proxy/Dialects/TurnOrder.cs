using Proxy.Chat;

namespace Proxy.Dialects;

/// <summary>
/// Arranges messages in an order that every host's template accepts, whatever the client's dialect allows: a system message only at the beginning; all calls of
/// one turn in one assistant message, directly followed by their results. Used only for translated requests. The messages before an assistant message never
/// depend on messages after its results, so a growing conversation keeps its prefix.
/// </summary>
internal static class TurnOrder
{
    public static IReadOnlyList<ChatMessage> Arrange(IReadOnlyList<ChatMessage> messages) => FoldSystem(JoinResults(messages));

    /// <summary>
    /// Moves each result behind the message with its call. Assistant messages up to the last result are merged into the turn; other messages in between move
    /// behind the results.
    /// </summary>
    private static List<ChatMessage> JoinResults(IReadOnlyList<ChatMessage> messages)
    {
        var turns = new ToolTurns(messages);
        var told = new bool[messages.Count];
        var ordered = new List<ChatMessage>(messages.Count);
        for (var i = 0; i < messages.Count; i++)
        {
            if (told[i]) continue;
            var message = turns.WithIds(messages[i], i);
            if (message.ToolCalls.Count == 0 || message.Role is not ChatRole.Assistant)
            {
                ordered.Add(message);
                continue;
            }

            var turn = new List<ChatMessage> { message };
            var results = new List<int>(turns.ResultsOf(i));
            var last = results.Count > 0 ? results[^1] : -1;
            for (var next = i + 1; next < messages.Count; next++)
            {
                var more = messages[next];
                if (next > last && !(next == i + turn.Count && more.ToolCalls.Count > 0)) break;
                if (told[next] || more.Role is not ChatRole.Assistant) continue;
                turn.Add(turns.WithIds(more, next));
                told[next] = true;
                if (turns.ResultsOf(next) is not { Count: > 0 } its) continue;
                results.AddRange(its);
                last = Math.Max(last, its[^1]);
            }

            ordered.Add(Joined(turn));
            results.Sort();
            foreach (var result in results)
            {
                told[result] = true;
                ordered.Add(turns.WithIds(messages[result], result));
            }
        }

        return ordered;
    }

    /// <summary>
    /// Joins the system messages at the beginning into one. A later system message is merged into the following user message; if an assistant or tool message
    /// follows, into the preceding user message; otherwise it becomes a user message of its own.
    /// </summary>
    private static List<ChatMessage> FoldSystem(List<ChatMessage> messages)
    {
        var first = messages.FindIndex(static message => !IsSystem(message)) is var other and >= 0 ? other : messages.Count;
        var folded = new List<ChatMessage>(messages.Count);
        if (first > 0) folded.Add(Joined(messages[..first]));
        var waiting = new List<ChatMessage>();
        foreach (var message in messages[first..])
        {
            if (IsSystem(message))
            {
                waiting.Add(message with { Role = ChatRole.User });
                continue;
            }

            if (IsUsers(message)) waiting.Add(message);
            Place(after: IsUsers(message) ? null : folded);
            if (!IsUsers(message)) folded.Add(message);
        }

        Place(after: folded);
        return folded;

        void Place(List<ChatMessage>? after)
        {
            if (waiting.Count == 0) return;
            if (after is [.., var before] && IsUsers(before)) folded[^1] = Joined([before, .. waiting]);
            else folded.Add(Joined(waiting));
            waiting.Clear();
        }
    }

    private static bool IsSystem(ChatMessage message) => message.Role is ChatRole.System or ChatRole.Developer;

    private static bool IsUsers(ChatMessage message) => message is { Role: ChatRole.User, RoleWord: null };

    /// <summary>Joins messages of one role into one.</summary>
    private static ChatMessage Joined(List<ChatMessage> messages) => messages is [var only] ? only : messages[0] with
    {
        Role = messages.TrueForAll(message => message.Role == messages[0].Role) ? messages[0].Role : ChatRole.System,
        Content = Joined([.. messages.SelectMany(static message => message.Content)]),
        ToolCalls = [.. messages.SelectMany(static message => message.ToolCalls)],
        Reasoning = Joined(messages.Select(static message => message.Reasoning)),
        Thoughts = [.. messages.SelectMany(static message => message.Thoughts)],
        Refusal = Joined(messages.Select(static message => message.Refusal)),
        Name = messages.Find(static message => message.Name is not null)?.Name,
        Unknown = [.. messages.SelectMany(static message => message.Unknown)],
    };

    /// <summary>Joins parts into one text if all of them are texts, because many hosts accept no list of parts.</summary>
    private static List<ContentPart> Joined(List<ContentPart> parts)
    {
        if (parts.Count < 2 || !parts.TrueForAll(static part => part is ContentPart.Text)) return parts;
        return
        [
            new ContentPart.Text(Joined(parts.Select(static part => ((ContentPart.Text)part).Value)) ?? "")
            {
                Unknown = [.. parts.SelectMany(static part => part.Unknown)]
            }
        ];
    }

    private static string? Joined(IEnumerable<string?> texts) =>
        string.Join("\n\n", texts.Where(static text => !string.IsNullOrEmpty(text))) is { Length: > 0 } joined ? joined : null;
}
