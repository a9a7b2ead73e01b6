using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects;

/// <summary>Tool definitions in the shape that OpenAI's chat and Ollama share.</summary>
internal static class ToolJson
{
    public static IReadOnlyList<ToolDefinition> Read(JsonElement value, RequestFields fields)
    {
        if (!fields.IsList(value, "tools")) return [];
        var tools = new List<ToolDefinition>();
        foreach (var item in value.EnumerateArray())
        {
            if (!fields.IsObject(item, $"tools[{tools.Count}]")) break;
            tools.Add(ReadTool(item));
        }

        return tools;
    }

    private static ToolDefinition ReadTool(JsonElement item)
    {
        if (!item.TryGetProperty("function"u8, out var function) || function.ValueKind is not JsonValueKind.Object
            || !function.TryGetProperty("name"u8, out var named) || named.ValueKind is not JsonValueKind.String)
        {
            return new ToolDefinition("", null, null) { Raw = item.Clone() };
        }

        string? description = null;
        JsonElement? parameters = null;
        bool? strict = null;
        var whole = true;
        foreach (var member in function.EnumerateObject())
        {
            switch (member.Name)
            {
                case "name": break;
                case "description" when member.Value.ValueKind is JsonValueKind.String: description = member.Value.GetString(); break;
                case "parameters": parameters = member.Value.Clone(); break;
                case "strict" when member.Value.ValueKind is JsonValueKind.True or JsonValueKind.False: strict = member.Value.GetBoolean(); break;
                default: whole = false; break;
            }
        }

        foreach (var member in item.EnumerateObject())
        {
            if (!member.NameEquals("function"u8) && !(member.NameEquals("type"u8) && member.Value.ValueKind is JsonValueKind.String && member.Value.ValueEquals("function"u8))) whole = false;
        }

        return new ToolDefinition(named.GetString()!, description, parameters) { Strict = strict, Raw = whole ? null : item.Clone() };
    }

    /// <summary>Writes <c>tools</c>, if there are any that this dialect can say. <paramref name="strict"/>: it knows that word.</summary>
    public static void Write(Utf8JsonWriter json, IReadOnlyList<ToolDefinition> tools, bool own, bool strict, List<string> lost)
    {
        var any = false;
        foreach (var tool in tools)
        {
            if (tool.Raw is { } raw)
            {
                if (own)
                {
                    Open();
                    json.WriteAsItCame(raw);
                    continue;
                }

                NameLosses(raw, lost);
            }

            if (tool.Name.Length == 0) continue;
            Open();
            json.WriteStartObject();
            json.WriteString("type"u8, "function"u8);
            json.WriteStartObject("function"u8);
            json.WriteString("name"u8, tool.Name);
            if (tool.Description is { } description) json.WriteString("description"u8, description);
            if (tool.Parameters is { } parameters) json.WriteAsItCame("parameters", parameters);
            if (tool.Strict is { } wanted)
            {
                if (strict) json.WriteBoolean("strict"u8, wanted);
                else if (wanted) lost.Add("tools[].function.strict");
            }

            json.WriteEndObject();
            json.WriteEndObject();
        }

        if (any) json.WriteEndArray();

        void Open()
        {
            if (!any) json.WriteStartArray("tools"u8);
            any = true;
        }
    }

    public static void NameLosses(JsonElement raw, List<string> lost)
    {
        if (!raw.TryGetProperty("function"u8, out var function) || function.ValueKind is not JsonValueKind.Object)
        {
            lost.Add("tools[] of another type");
            return;
        }

        foreach (var member in raw.EnumerateObject())
        {
            if (member.Name is not ("type" or "function")) lost.Add($"tools[].{member.Name}");
        }

        foreach (var member in function.EnumerateObject())
        {
            if (member.Name is not ("name" or "description" or "parameters" or "strict")) lost.Add($"tools[].function.{member.Name}");
        }
    }
}
