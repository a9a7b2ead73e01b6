using Proxy.Chat;

namespace Proxy.Dialects;

/// <summary>Where a part of a request stands, as errors say it.</summary>
internal readonly record struct PartPlace(int Message, int Part)
{
    public override string ToString() => $"messages[{Message}].content[{Part}]";
}

/// <summary>What of a message another dialect cannot say: named for the log, or refused where an answer without it would be one to another question.</summary>
internal static class MessageLosses
{
    /// <summary>Why a part that only another dialect knows cannot be shown to a host that is asked in one of OpenAI's.</summary>
    public static ProxyError? FirstOther(ChatRequest request) => request.FirstPart(static (part, place) => part is ContentPart.Other other
        ? new ProxyError(ProxyErrorKind.InvalidRequest, $"the host of this model cannot be given a part of type \"{other.Type}\"") { Param = $"{place}" }
        : null);

    /// <summary>What is wrong with the first part with which <paramref name="judge"/> finds something wrong.</summary>
    public static ProxyError? FirstPart(this ChatRequest request, Func<ContentPart, PartPlace, ProxyError?> judge)
    {
        for (var i = 0; i < request.Messages.Count; i++)
        {
            var content = request.Messages[i].Content;
            for (var j = 0; j < content.Count; j++)
            {
                if (judge(content[j], new PartPlace(i, j)) is { } problem) return problem;
            }
        }

        return null;
    }

    /// <summary>What only Anthropic's dialect can say.</summary>
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
