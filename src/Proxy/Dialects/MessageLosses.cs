using Proxy.Chat;

namespace Proxy.Dialects;

/// <summary>What only Anthropic's dialect can say of a message, for the log of a call that is written in another.</summary>
internal static class MessageLosses
{
    public static void Name(ChatMessage message, List<string> lost)
    {
        if (message.ToolFailed) lost.Add("messages[].content[].is_error");
        foreach (var thought in message.Thoughts)
        {
            if (thought.Redacted is not null) lost.Add("messages[].content[] of type redacted_thinking");
            else if (thought.Signature is { Length: > 0 }) lost.Add("messages[].content[].signature");
        }

        foreach (var call in message.ToolCalls)
        {
            foreach (var member in call.Unknown) lost.Add($"messages[].content[].{member.Key}");
        }
    }
}
