using Proxy.Chat;

namespace Proxy.Dialects;

/// <summary>
/// The first step for a request of another dialect: brings the messages into an order that the host's template accepts, and removes a choice of a tool that is
/// not offered.
/// </summary>
internal static class TranslatedRequest
{
    /// <summary>The request in the form for a host of this dialect. A request that came in the same dialect is returned unchanged.</summary>
    public static ChatRequest For(DialectName host, ChatRequest request)
    {
        if (request.Origin == host) return request;
        request = request with { Messages = TurnOrder.Arrange([.. request.Messages.Select(WithWholeArguments)]) };
        if (request.Tools.All(static tool => tool.Name.Length == 0)) return request with { ToolChoice = null, ParallelToolCalls = null };
        return request.ToolChoice is { Name: { } chosen } && !request.Tools.Any(tool => tool.Name == chosen) ? request with { ToolChoice = null } : request;
    }

    /// <summary>Arguments are JSON inside a string, so replacing lone surrogates in the request's JSON did not reach them.</summary>
    private static ChatMessage WithWholeArguments(ChatMessage message) => message.ToolCalls.Count == 0 ? message
        : message with { ToolCalls = [.. message.ToolCalls.Select(static call => call with { Arguments = LoneSurrogates.Replaced(call.Arguments) })] };
}
