using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects;

/// <summary>Tool definitions in the form that OpenAI's chat and Ollama share, and helpers for tools in every dialect.</summary>
internal static class ToolJson
{
    /// <summary>
    /// The member that holds arguments that are not a JSON object. The model wrote them, and the tool has to see them in order to reject them.
    /// </summary>
    public const string BrokenArguments = "_raw";

    /// <summary>Writes arguments, which are JSON in a string, as a member that must be an object.</summary>
    public static void WriteArguments(Utf8JsonWriter json, ReadOnlySpan<byte> name, string arguments)
    {
        json.WritePropertyName(name);
        if (WireJson.IsObject(arguments))
        {
            json.WriteAsItCame(System.Text.Encoding.UTF8.GetBytes(arguments));
            return;
        }

        json.WriteStartObject();
        if (!string.IsNullOrWhiteSpace(arguments)) json.WriteString(BrokenArguments, arguments);
        json.WriteEndObject();
    }

    public static IReadOnlyList<ToolDefinition> Read(JsonElement value, RequestFields fields) =>
        fields.Objects(value, "tools", static (item, _) => ReadTool(item));

    private static ToolDefinition ReadTool(JsonElement item)
    {
        if (!item.TryGetProperty("function"u8, out var function) || function.ValueKind is not JsonValueKind.Object
            || !function.TryGetProperty("name"u8, out var named) || named.ValueKind is not JsonValueKind.String)
        {
            return new ToolDefinition("", null, null) { Raw = item.Clone() };
        }

        var tool = DescribedSchema.Read(function, "parameters", out var whole);
        foreach (var member in item.EnumerateObject())
        {
            whole &= member.NameEquals("function"u8)
                || (member.NameEquals("type"u8) && member.Value.ValueKind is JsonValueKind.String && member.Value.ValueEquals("function"u8));
        }

        return new ToolDefinition(named.GetString()!, tool.Description, tool.Schema) { Strict = tool.Strict, Raw = whole ? null : item.Clone() };
    }

    /// <summary>
    /// Writes <c>tools</c>, if there are any that this dialect can express. <paramref name="strict"/> is true if the dialect has that member.
    /// </summary>
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

                NameLosses(tool, lost);
            }

            if (tool.Name.Length == 0) continue;
            Open();
            json.WriteStartOfType("function"u8);
            json.WriteStartObject("function"u8);
            json.WriteString("name"u8, tool.Name);
            json.WriteOptional("description"u8, tool.Description);
            json.WriteOptional("parameters", tool.Parameters);
            if (strict) json.WriteOptional("strict"u8, tool.Strict);
            else lost.AddIf(tool.Strict is true, "tools[].function.strict");
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

    /// <summary>
    /// Names the members of a tool that another dialect cannot express: those of its function, or its own if the tool has no nested function (Anthropic,
    /// Responses).
    /// </summary>
    public static void NameLosses(ToolDefinition tool, List<string> lost)
    {
        if (tool.Raw is not { } raw) return;
        if (tool.Name.Length == 0)
        {
            lost.Add("tools[] of another type");
            return;
        }

        var nested = raw.TryGetProperty("function"u8, out var function) && function.ValueKind is JsonValueKind.Object;
        foreach (var member in raw.EnumerateObject())
        {
            if (member.Name is "type"
                || (nested ? member.Name is "function" : member.Name is "name" or "description" or "parameters" or "input_schema" or "strict"))
                continue;
            lost.Add($"tools[].{member.Name}");
        }

        if (!nested) return;
        foreach (var member in function.EnumerateObject())
        {
            if (member.Name is not ("name" or "description" or "parameters" or "strict")) lost.Add($"tools[].function.{member.Name}");
        }
    }
}
