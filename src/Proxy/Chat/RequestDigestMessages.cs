using System.Text;
using System.Text.Json;

namespace Proxy.Chat;

/// <summary>
/// The part of <see cref="RequestDigest"/> that writes the messages. The ids of tool calls are random, so they are left out: a result has the number of the
/// call that it answers, counted through the conversation.
/// </summary>
internal static class RequestDigestMessages
{
    public static void Write(CanonicalJson json, ChatRequest request)
    {
        var turns = new ToolTurns(request.Messages);
        json.Name("messages").StartList();
        for (var i = 0; i < request.Messages.Count; i++) Write(json, request, i, turns);
        json.EndList();
    }

    private static void Write(CanonicalJson json, ChatRequest request, int at, ToolTurns turns)
    {
        var message = request.Messages[at];
        json.StartObject();
        var answered = message.Role is ChatRole.Tool ? turns.NumberAnswered(at) : null;
        if (answered is { } number) json.Name("answers").Number(number);
        else RequestDigest.Write(json, "answers_id", message.ToolCallId);
        if (message.ToolCalls.Count > 0) WriteCalls(json, message, request.Origin);
        WriteContent(json, message, request.Origin);
        if (message.ToolFailed) json.Name("failed").Flag(true);
        var name = message.ToolName ?? message.Name;
        if (answered is null || name != turns.NameAnswered(at)) RequestDigest.Write(json, "name", name);
        RequestDigest.WriteOthers(json, request.Origin, message.Unknown.Concat(message.AsItCame.Where(spelled => !Holds(message, spelled.Value))));
        RequestDigest.Write(json, "reasoning", message.Reasoning);
        RequestDigest.Write(json, "refusal", message.Refusal);
        json.Name("role").Text(message.RoleWord ?? Word(message.Role));
        WriteThoughts(json, message);
        json.EndObject();
    }

    /// <summary>True for a spelling of the reasoning.</summary>
    private static bool Holds(ChatMessage message, JsonElement spelled) =>
        spelled.ValueKind is JsonValueKind.String && spelled.GetString() is { } text && (text.Length == 0 || text == message.Reasoning);

    private static void WriteCalls(CanonicalJson json, ChatMessage message, DialectName? origin)
    {
        json.Name("calls").StartList();
        foreach (var call in message.ToolCalls)
        {
            json.StartObject().Name("arguments");
            WriteArguments(json, call.Arguments);
            RequestDigest.Write(json, "name", call.Name);
            RequestDigest.Write(json, "namespace", call.Namespace);
            RequestDigest.WriteOthers(json, origin, call.Unknown);
            if (call.TakesText) json.Name("takes_text").Flag(true);
            json.EndObject();
        }

        json.EndList();
    }

    /// <summary>Arguments that are a JSON object, as they should be, are written as one; others as the text that the model wrote.</summary>
    private static void WriteArguments(CanonicalJson json, string arguments)
    {
        if (string.IsNullOrWhiteSpace(arguments)) json.StartObject().EndObject();
        else if (!TryWriteObject(json, arguments)) json.Text(arguments);
    }

    private static bool TryWriteObject(CanonicalJson json, string arguments)
    {
        if (!arguments.AsSpan().TrimStart().StartsWith('{')) return false;
        var bytes = Encoding.UTF8.GetBytes(arguments);
        if (JsonStructure.IsTooMuch(bytes)) return false;
        try
        {
            using var document = JsonDocument.Parse(bytes);
            if (arguments.Contains("\\u", StringComparison.Ordinal)) Read(document.RootElement); // before anything is written
            json.Value(document.RootElement);
            return true;
        }
        catch (Exception problem) when (problem is JsonException or InvalidOperationException) // not JSON, or an escape that is half of a character
        {
            return false;
        }
    }

    /// <summary>Reads every text once. Throws if one is not Unicode.</summary>
    private static void Read(JsonElement value)
    {
        if (value.ValueKind is JsonValueKind.String) value.GetString();
        else if (value.ValueKind is JsonValueKind.Array) foreach (var item in value.EnumerateArray()) Read(item);
        else if (value.ValueKind is JsonValueKind.Object)
        {
            foreach (var member in value.EnumerateObject())
            {
                _ = member.Name;
                Read(member.Value);
            }
        }
    }

    private static void WriteContent(CanonicalJson json, ChatMessage message, DialectName? origin)
    {
        json.Name("content").StartList();
        foreach (var part in message.Content)
        {
            if (part is ContentPart.Text { Value.Length: 0, Unknown.Count: 0 }) continue; // some dialects need a text beside tool calls
            json.StartObject();
            switch (part)
            {
                case ContentPart.Text text:
                    RequestDigest.WriteOthers(json, origin, part.Unknown);
                    json.Name("text").Text(text.Value);
                    break;
                case ContentPart.Image image: // the type that is declared for the bytes says nothing that they do not
                    RequestDigest.Write(json, "base64", image.Base64);
                    if (image.Detail is not "auto") RequestDigest.Write(json, "detail", image.Detail);
                    RequestDigest.WriteOthers(json, origin, part.Unknown);
                    RequestDigest.Write(json, "url", image.Url);
                    break;
                case ContentPart.Other other:
                    RequestDigest.WriteOthers(json, origin, [new(other.Type, other.Raw)]);
                    break;
            }

            json.EndObject();
        }

        json.EndList();
    }

    /// <summary>Writes the thoughts that only their vendor can read. The text of the others is the reasoning.</summary>
    private static void WriteThoughts(CanonicalJson json, ChatMessage message)
    {
        Thought[] closed = [.. message.Thoughts.Where(static thought => !string.IsNullOrEmpty(thought.Signature ?? thought.Redacted))];
        if (closed.Length == 0) return;
        json.Name("thoughts").StartList();
        foreach (var thought in closed)
        {
            json.StartObject().Name("position").Number(thought.Position);
            RequestDigest.Write(json, "redacted", thought.Redacted);
            RequestDigest.Write(json, "signature", thought.Signature);
            RequestDigest.Write(json, "text", thought.Text);
            json.EndObject();
        }

        json.EndList();
    }

    private static string Word(ChatRole role) => role switch
    {
        ChatRole.System => "system",
        ChatRole.User => "user",
        ChatRole.Tool => "tool",
        ChatRole.Developer => "developer",
        _ => "assistant",
    };
}
