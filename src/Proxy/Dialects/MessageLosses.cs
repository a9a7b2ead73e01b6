using Proxy.Chat;

namespace Proxy.Dialects;

/// <summary>The position of a part within a request, in the form that errors use.</summary>
internal readonly record struct PartPlace(int Message, int Part)
{
    public override string ToString() => $"messages[{Message}].content[{Part}]";
}

/// <summary>
/// Handles parts of a message that another dialect cannot express: they are named for the log, or refused if the model would answer a different question
/// without them.
/// </summary>
internal static class MessageLosses
{
    /// <summary>Refuses a part that only another dialect has, for a host of one of OpenAI's dialects.</summary>
    public static ProxyError? FirstOther(ChatRequest request) => request.FirstPart(static (part, place) => part is ContentPart.Other other
        ? new ProxyError(ProxyErrorKind.InvalidRequest, $"the host of this model cannot be given a part of type \"{other.Type}\"") { Param = $"{place}" }
        : null);

    /// <summary>The problem with the first part to which <paramref name="judge"/> objects. Null if there is none.</summary>
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

    /// <summary>Names the losses of members that only Anthropic's dialect has.</summary>
    public static void Name(ChatMessage message, List<string> lost)
    {
        lost.AddIf(message.ToolFailed, "messages[].content[].is_error");
        foreach (var thought in message.Thoughts)
        {
            if (thought.Redacted is not null) lost.Add("messages[].content[] of type redacted_thinking");
            else if (thought.Signature is { Length: > 0 }) lost.Add("messages[].content[].signature");
        }

        foreach (var call in message.ToolCalls) lost.AddNames("messages[].content[].", call.Unknown);
    }
}
