using System.Buffers;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OpenAiResponses;

/// <summary>
/// Offers tools that only the Responses API has to the host as functions, which every host knows. A custom tool, which takes free text, becomes a function with
/// one argument <c>input</c>; a tool in a namespace gets the namespace's name before its own.
/// </summary>
internal static class CustomTool
{
    public static ReadOnlySpan<byte> Input => "input"u8;

    /// <summary>A custom tool as a function. A grammar for its text is only described to the model; hosts do not enforce it.</summary>
    public static ToolDefinition AsFunction(string name, string? description, JsonElement format)
    {
        var wanted = OpenAiResponsesJson.Text(format, "definition"u8) is { } grammar
            ? $"The input as plain text, not as JSON. It must match this {OpenAiResponsesJson.Text(format, "syntax"u8) ?? "formal"} grammar:\n{grammar}"
            : "The input as plain text, not as JSON.";
        var schema = WireJson.Written(json =>
        {
            json.WriteStartOfType("object"u8);
            json.WriteStartObject("properties"u8);
            json.WriteStartOfType(Input, "string"u8);
            json.WriteString("description"u8, wanted);
            json.WriteEndObject();
            json.WriteEndObject();
            json.WriteList("required"u8, "input");
            json.WriteBoolean("additionalProperties"u8, false);
            json.WriteEndObject();
        });
        return new ToolDefinition(name, description, WireJson.Parse(schema)) { TakesText = true };
    }

    /// <summary>Wraps a text as the arguments of such a function.</summary>
    public static string Arguments(string text) => System.Text.Encoding.UTF8.GetString(WireJson.Written(json =>
    {
        json.WriteStartObject();
        json.WriteString(Input, text);
        json.WriteEndObject();
    }));

    /// <summary>The text inside such arguments.</summary>
    public static string Text(string arguments)
    {
        var input = new CustomToolInput();
        return input.Add(arguments) + input.End();
    }

    /// <summary>The name that hosts see for a tool in a namespace.</summary>
    public static string FullName(string? space, string name) => space is null ? name : $"{space}__{name}";

    /// <summary>The tool's own name, without its namespace.</summary>
    public static string OwnName(string? space, string fullName) => space is null ? fullName : fullName[(space.Length + 2)..];
}
