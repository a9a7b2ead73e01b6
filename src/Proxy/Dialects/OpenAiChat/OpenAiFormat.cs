using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OpenAiChat;

/// <summary>
/// The requested form of the answer in OpenAI's dialects: <c>response_format</c> of chat and completions, and the members that <c>text.format</c> of Responses
/// shares with it.
/// </summary>
internal static class OpenAiFormat
{
    /// <param name="value"></param>
    /// <param name="whole">False if the value has members that the result does not hold.</param>
    public static OutputFormat? Read(JsonElement value, out bool whole)
    {
        whole = true;
        var type = value.TryGetProperty("type"u8, out var named) && named.ValueKind is JsonValueKind.String ? named.GetString() : null;
        if (type == "json_schema" && value.TryGetProperty("json_schema"u8, out var described) && described.ValueKind is JsonValueKind.Object)
        {
            JsonElement? schema = null;
            string? name = null, description = null;
            bool? strict = null;
            foreach (var member in described.EnumerateObject())
            {
                switch (member.Name)
                {
                    case "schema": schema = member.Value.Clone(); break;
                    case "name" when member.Value.ValueKind is JsonValueKind.String: name = member.Value.GetString(); break;
                    case "description" when member.Value.ValueKind is JsonValueKind.String: description = member.Value.GetString(); break;
                    case "strict" when member.Value.ValueKind is JsonValueKind.True or JsonValueKind.False: strict = member.Value.GetBoolean(); break;
                    default: whole = false; break;
                }
            }

            if (value.EnumerateObject().Count() > 2) whole = false;
            return new OutputFormat(schema) { Name = name, Description = description, Strict = strict };
        }

        whole = type is "json_object" or "text" && value.EnumerateObject().Count() == 1;
        // llama.cpp accepts a schema here
        if (type is "json_object") return new OutputFormat(value.TryGetProperty("schema"u8, out var own) ? own.Clone() : null);
        return null;
    }

    public static void Write(Utf8JsonWriter json, OutputFormat? format)
    {
        if (format is null) return;
        json.WriteStartObject("response_format"u8);
        if (format.Schema is null && format.Name is null)
        {
            json.WriteString("type"u8, "json_object"u8);
        }
        else
        {
            json.WriteString("type"u8, "json_schema"u8);
            json.WriteStartObject("json_schema"u8);
            WriteDescribed(json, format);
            json.WriteEndObject();
        }

        json.WriteEndObject();
    }

    /// <summary>Writes the members of a <c>json_schema</c>.</summary>
    public static void WriteDescribed(Utf8JsonWriter json, OutputFormat format)
    {
        json.WriteString("name"u8, format.Name ?? "answer");
        if (format.Description is { } description) json.WriteString("description"u8, description);
        if (format.Strict is { } strict) json.WriteBoolean("strict"u8, strict);
        if (format.Schema is { } schema) json.WriteAsItCame("schema", schema);
    }
}
