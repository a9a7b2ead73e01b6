using Proxy.Chat;

namespace Proxy.Dialects;

/// <summary>What every writer does first with a request of another dialect: messages in an order that the host's template takes, and no choice of a tool that is not offered.</summary>
internal static class TranslatedRequest
{
    /// <summary>The request as a host of this dialect takes it; its own dialect's stays as it came.</summary>
    public static ChatRequest For(DialectName host, ChatRequest request)
    {
        if (request.Origin == host) return request;
        request = request with { Messages = TurnOrder.Arrange([.. request.Messages.Select(WithWholeArguments)]) };
        if (request.Tools.All(static tool => tool.Name.Length == 0)) return request with { ToolChoice = null, ParallelToolCalls = null };
        return request.ToolChoice is { Name: { } chosen } && !request.Tools.Any(tool => tool.Name == chosen) ? request with { ToolChoice = null } : request;
    }

    /// <summary>Arguments are JSON inside a text, so what was mended in the request's own JSON is not yet in theirs.</summary>
    private static ChatMessage WithWholeArguments(ChatMessage message) => message.ToolCalls.Count == 0 ? message
        : message with { ToolCalls = [.. message.ToolCalls.Select(static call => call with { Arguments = LoneSurrogates.Replaced(call.Arguments) })] };
}
