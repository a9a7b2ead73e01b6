using System.Text.Json;
using System.Text.Json.Nodes;
using NJsonSchema;
using NJsonSchema.Validation;

namespace Proxy.Tests.Harness;

/// <summary>
/// Checks answers against the specification of their dialect with a library that knows nothing of this proxy. <c>extract.py</c> cuts the files under
/// <c>Specifications/</c> from the published ones.
/// </summary>
internal sealed class OpenApiSchema
{
    private static readonly Lazy<OpenApiSchema> OpenAiFile = new(static () => Load("openai.json"));
    private static readonly Lazy<OpenApiSchema> OllamaFile = new(static () => Load("ollama.json"));

    private readonly JsonSchema all;
    private readonly Dictionary<string, string> events = [];

    private OpenApiSchema(JsonObject document)
    {
        var schemas = document["schemas"]!.AsObject();
        var definitions = new JsonObject();
        foreach (var (name, schema) in schemas) definitions[name] = Translate(schema!);
        all = JsonSchema.FromJsonAsync(new JsonObject { ["definitions"] = definitions }.ToJsonString()).GetAwaiter().GetResult();
        foreach (var reference in schemas["ResponseStreamEvent"]?["anyOf"]?.AsArray() ?? [])
        {
            var name = ((string)reference!["$ref"]!).Split('/')[^1];
            if (schemas[name]?["properties"]?["type"]?["enum"]?[0] is { } type) events[(string)type!] = name;
        }
    }

    public static OpenApiSchema OpenAi => OpenAiFile.Value;

    /// <summary>Ollama's schema requires no member; it only describes each.</summary>
    public static OpenApiSchema Ollama => OllamaFile.Value;

    /// <summary>The violations of <paramref name="schema"/> in a document; empty if there are none.</summary>
    public IReadOnlyList<string> Problems(string schema, string document)
    {
        Assert.True(all.Definitions.TryGetValue(schema, out var wanted),
            $"Specifications/ has no schema '{schema}'; the names that extract.py takes stand at its head");
        return [.. wanted!.Validate(document).SelectMany(static error => Lines(error, schemaName: ""))];
    }

    public void Valid(string schema, string document)
    {
        var problems = Problems(schema, document);
        Assert.True(problems.Count == 0, $"no {schema}:\n{string.Join('\n', problems)}\n{document}");
    }

    /// <summary>
    /// Checks an event of a response against the schema of its own type; a type that the specification does not have is a violation.
    /// </summary>
    public void ValidResponseEvent(string data)
    {
        var type = (string?)JsonNode.Parse(data)!["type"];
        Assert.True(type is not null && events.ContainsKey(type), $"the specification has no event '{type}': {data}");
        Valid(events[type], data);
    }

    private static IEnumerable<string> Lines(ValidationError error, string schemaName)
    {
        yield return $"{schemaName}{error.Path}: {error.Kind}";
        if (error is not ChildSchemaValidationError child) yield break;
        foreach (var (schema, errors) in child.Errors)
        {
            foreach (var line in errors.SelectMany(inner => Lines(inner, $"{schemaName}  "))) yield return line;
        }
    }

    private static OpenApiSchema Load(string file) =>
        new(JsonNode.Parse(File.ReadAllText(Path.Combine(Dialects.Wire.Root, "src", "Proxy.Tests", "Specifications", file)))!.AsObject());

    /// <summary>
    /// Converts OpenAPI to plain JSON schema: references point into the one document, <c>nullable</c> becomes a type, <c>const</c> an <c>enum</c> of one value,
    /// and
    /// one-of becomes any-of, because the specification's alternatives overlap (an input message is also an output message) and are distinguished by a
    /// discriminator, which JSON schema does not have.
    /// </summary>
    private static JsonNode Translate(JsonNode node)
    {
        switch (node)
        {
            case JsonArray list:
                return new JsonArray([.. list.Select(item => item is null ? null : Translate(item))]);
            case JsonObject schema:
                var translated = new JsonObject();
                foreach (var (name, value) in schema)
                {
                    if (name is "nullable" && value is JsonValue) continue; // handled with the type below; as a property's name its value is an object

                    if (name is "$ref" && value is JsonValue)
                    {
                        translated[name] = ((string)value!).Replace("#/components/schemas/", "#/definitions/", StringComparison.Ordinal);
                    }
                    else if (name is "const" && value is JsonValue) translated["enum"] = new JsonArray(value.DeepClone());
                    else if (name is "oneOf" && !schema.ContainsKey("anyOf")) translated["anyOf"] = Translate(value!);
                    else translated[name] = value is null ? null : Translate(value);
                }

                return schema["nullable"] is JsonValue nullable && nullable.GetValueKind() is JsonValueKind.True
                    ? new JsonObject { ["anyOf"] = new JsonArray(translated, new JsonObject { ["type"] = "null" }) }
                    : translated;
            default:
                return node.DeepClone();
        }
    }
}
