using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OpenAiResponses;

/// <summary>
/// Tools and the tool choice. In this dialect a function's members stand directly in the tool, and the list also contains tools that OpenAI's own servers run.
/// </summary>
internal static class OpenAiResponsesTools
{
    /// <summary>Reads all tools. A tool that cannot be offered as a function gets an empty name, and hosts of other dialects do not see it.</summary>
    public static IReadOnlyList<ToolDefinition> Read(JsonElement value, RequestFields fields)
    {
        var tools = new List<ToolDefinition>();
        foreach (var item in fields.Objects(value, "tools", static (item, _) => item))
        {
            if (OpenAiResponsesJson.Text(item, "type"u8) is "namespace") ReadNamespace(item, tools, fields);
            else tools.Add(ReadTool(item, null, fields));
        }

        return tools;
    }

    private static ToolDefinition ReadTool(JsonElement item, string? space, RequestFields fields)
    {
        if (OpenAiResponsesJson.Text(item, "name"u8) is { Length: > 0 } name)
        {
            var fullName = CustomTool.FullName(space, name);
            if (OpenAiResponsesJson.Text(item, "type"u8) is "function") return ReadFunction(item, fullName, fields) with { Namespace = space };
            if (OpenAiResponsesJson.Text(item, "type"u8) is "custom") return ReadCustom(item, fullName, fields) with { Namespace = space };
        }

        return new ToolDefinition("", null, null) { Raw = item.Clone() };
    }

    private static void ReadNamespace(JsonElement item, List<ToolDefinition> tools, RequestFields fields)
    {
        if (OpenAiResponsesJson.Text(item, "name"u8) is not { Length: > 0 } space || !item.TryGetProperty("tools"u8, out var inner)
            || inner.ValueKind is not JsonValueKind.Array)
        {
            tools.Add(new ToolDefinition("", null, null) { Raw = item.Clone() });
            return;
        }

        foreach (var member in item.EnumerateObject())
        {
            if (member.Name is not ("type" or "name" or "tools") && member.Value.ValueKind is not JsonValueKind.Null)
                fields.Unknown.Keep($"tools[].{member.Name} of a namespace", member.Value);
        }

        foreach (var tool in inner.EnumerateArray())
        {
            if (tool.ValueKind is JsonValueKind.Object) tools.Add(ReadTool(tool, space, fields));
        }
    }

    private static ToolDefinition ReadCustom(JsonElement item, string name, RequestFields fields)
    {
        foreach (var member in item.EnumerateObject())
        {
            if (member.Name is not ("type" or "name" or "description" or "format") && member.Value.ValueKind is not JsonValueKind.Null)
                fields.Unknown.Keep($"tools[].{member.Name}", member.Value);
        }

        return CustomTool.AsFunction(name, OpenAiResponsesJson.Text(item, "description"u8), item.TryGetProperty("format"u8, out var format) ? format : default);
    }

    private static ToolDefinition ReadFunction(JsonElement item, string name, RequestFields fields)
    {
        var tool = new ToolDefinition(name, null, null);
        foreach (var member in item.EnumerateObject())
        {
            if (member.Value.ValueKind is JsonValueKind.Null) continue;
            switch (member.Name)
            {
                case "type" or "name": break;
                case "description": tool = tool with { Description = member.Value.ToString() }; break;
                case "parameters": tool = tool with { Parameters = member.Value.Clone() }; break;
                case "strict" when member.Value.ValueKind is JsonValueKind.True or JsonValueKind.False:
                    tool = tool with { Strict = member.Value.GetBoolean() };
                    break;
                default: fields.Unknown.Keep($"tools[].{member.Name}", member.Value); break;
            }
        }

        return tool;
    }

    public static ChatRequest ReadChoice(JsonElement value, ChatRequest request, RequestFields fields)
    {
        if (value.ValueKind is JsonValueKind.String) return request with { ToolChoice = new ToolChoice(value.GetString()!) };
        switch (OpenAiResponsesJson.Text(value, "type"u8))
        {
            case null:
                return request;
            case "function" or "custom" when OpenAiResponsesJson.Text(value, "name"u8) is { } name:
                return request with { ToolChoice = new ToolChoice("function", CustomTool.FullName(OpenAiResponsesJson.Text(value, "namespace"u8), name)) };
            case "allowed_tools" when value.TryGetProperty("tools"u8, out var tools) && tools.ValueKind is JsonValueKind.Array:
                var allowed = tools.EnumerateArray().Select(static tool =>
                    CustomTool.FullName(OpenAiResponsesJson.Text(tool, "namespace"u8), OpenAiResponsesJson.Text(tool, "name"u8) ?? "")).ToHashSet();
                return request with
                {
                    ToolChoice = new ToolChoice(OpenAiResponsesJson.Text(value, "mode"u8) ?? "auto"),
                    Tools = [.. request.Tools.Where(tool =>
                        tool.Name.Length == 0 || allowed.Contains(tool.Name) || (tool.Namespace is { } space && allowed.Contains(space)))],
                };
            default:
                fields.Unknown.Keep("tool_choice", value);
                return request;
        }
    }

    public static void Write(Utf8JsonWriter json, ChatRequest request, List<string> lost)
    {
        if (request.Tools.Count > 0)
        {
            json.WriteStartArray("tools"u8);
            foreach (var tool in request.Tools)
            {
                ToolJson.NameLosses(tool, lost);
                if (tool.Name.Length == 0) continue;
                json.WriteStartOfType("function"u8);
                json.WriteString("name"u8, tool.Name);
                json.WriteOptional("description"u8, tool.Description);
                if (tool.Parameters is { } parameters) json.WriteAsItCame("parameters", parameters);
                else json.WriteNull("parameters"u8);
                json.WriteBoolean("strict"u8, tool.Strict ?? false); // without this member OpenAI assumes true
                json.WriteEndObject();
            }

            json.WriteEndArray();
        }

        json.WriteOptional("parallel_tool_calls"u8, request.ParallelToolCalls);
        if (request.ToolChoice is { Name: { } name })
        {
            json.WriteStartOfType("tool_choice"u8, "function"u8);
            json.WriteString("name"u8, name);
            json.WriteEndObject();
        }
        else
        {
            json.WriteOptional("tool_choice"u8, request.ToolChoice?.Mode);
        }
    }
}
