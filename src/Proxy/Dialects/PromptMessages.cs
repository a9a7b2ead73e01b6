using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects;

/// <summary>The messages of a prompt call: one user message, after a system message if there is one.</summary>
internal static class PromptMessages
{
    public static IReadOnlyList<ChatMessage> Of(string? system, IReadOnlyList<ContentPart> content) => string.IsNullOrEmpty(system)
        ? [new ChatMessage(ChatRole.User, content)]
        : [new ChatMessage(ChatRole.System, [new ContentPart.Text(system)]), new ChatMessage(ChatRole.User, content)];

    public static string System(ChatRequest request) => Joined(request, ChatRole.System);

    public static string Text(ChatRequest request) => Joined(request, ChatRole.User);

    /// <summary>The base64 text of each image.</summary>
    public static IEnumerable<string> Images(ChatRequest request) =>
        request.Messages.SelectMany(message => message.Content).OfType<ContentPart.Image>().Select(image => image.Base64 ?? "");

    /// <summary>
    /// Refuses a request that is not a prompt; null if it is one. Only prompt calls are sent to prompt dialects, so this only guards against bugs.
    /// </summary>
    public static ProxyError? NotOne(ChatRequest request) =>
        request.Prompt is not null && request.Messages.All(message => message.Role is ChatRole.System or ChatRole.User)
        ? null
        : new ProxyError(ProxyErrorKind.NotImplemented, "the model's host takes a prompt here, not a conversation");

    public static ProxyError Refused(string field, string message) => new(ProxyErrorKind.InvalidRequest, message) { Param = field };

    /// <summary>The text; null if it is missing or empty.</summary>
    public static string? SomeText(this RequestFields fields, JsonElement value, string path) => fields.Text(value, path) is { Length: > 0 } text ? text : null;

    private static string Joined(ChatRequest request, ChatRole role) =>
        string.Join('\n', request.Messages.Where(message => message.Role == role)
            .SelectMany(message => message.Content).OfType<ContentPart.Text>().Select(part => part.Value));
}
