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
            var read = DescribedSchema.Read(described, "schema", out whole);
            whole &= value.EnumerateObject().Count() <= 2;
            return new OutputFormat(read.Schema) { Name = read.Name, Description = read.Description, Strict = read.Strict };
        }

        whole = type is "json_object" or "text" && value.EnumerateObject().Count() == 1;
        // llama.cpp accepts a schema here
        if (type is "json_object") return new OutputFormat(value.TryGetProperty("schema"u8, out var own) ? own.Clone() : null);
        return null;
    }

    public static void Write(Utf8JsonWriter json, OutputFormat? format)
    {
        if (format is null) return;
        var described = format.Schema is not null || format.Name is not null;
        json.WriteStartOfType("response_format"u8, described ? "json_schema"u8 : "json_object"u8);
        if (described)
        {
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
        json.WriteOptional("description"u8, format.Description);
        json.WriteOptional("strict"u8, format.Strict);
        json.WriteOptional("schema", format.Schema);
    }
}
