using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects;

/// <summary>The messages of a prompt call: one user's, after the system's if it has one.</summary>
internal static class PromptMessages
{
    public static IReadOnlyList<ChatMessage> Of(string? system, IReadOnlyList<ContentPart> content) => string.IsNullOrEmpty(system)
        ? [new ChatMessage(ChatRole.User, content)]
        : [new ChatMessage(ChatRole.System, [new ContentPart.Text(system)]), new ChatMessage(ChatRole.User, content)];

    public static string System(ChatRequest request) => Joined(request, ChatRole.System);

    public static string Text(ChatRequest request) => Joined(request, ChatRole.User);

    /// <summary>Each image's base64.</summary>
    public static IEnumerable<string> Images(ChatRequest request) => request.Messages.SelectMany(message => message.Content).OfType<ContentPart.Image>().Select(image => image.Base64 ?? "");

    /// <summary>Why a request is no prompt; null when it is one. Only prompt calls are sent to prompt dialects, so this is a bug's last guard.</summary>
    public static ProxyError? NotOne(ChatRequest request) => request.Prompt is not null && request.Messages.All(message => message.Role is ChatRole.System or ChatRole.User)
        ? null
        : new ProxyError(ProxyErrorKind.NotImplemented, "the model's host takes a prompt here, not a conversation");

    public static ProxyError Refused(string field, string message) => new(ProxyErrorKind.InvalidRequest, message) { Param = field };

    /// <summary>A text that is not there and an empty one are the same.</summary>
    public static string? SomeText(this RequestFields fields, JsonElement value, string path) => fields.Text(value, path) is { Length: > 0 } text ? text : null;

    private static string Joined(ChatRequest request, ChatRole role) =>
        string.Join('\n', request.Messages.Where(message => message.Role == role).SelectMany(message => message.Content).OfType<ContentPart.Text>().Select(part => part.Value));
}
