using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using NJsonSchema;
using NJsonSchema.Validation;
using YamlDotNet.Core;
using YamlDotNet.RepresentationModel;

namespace Proxy.Tests.Harness;

/// <summary>
/// Somebody else's word on what an answer must look like: an OpenAPI file, read by a library that knows nothing of this proxy. The files are other people's and lie outside the
/// repository, in <c>../shared/specs</c> or where <c>PROXY_SPECS</c> says; where they are not, a test that asks for one is skipped.
/// </summary>
internal sealed class OpenApiSchema
{
    private static readonly Lazy<OpenApiSchema?> OpenAiFile = new(static () => Load("openai.openapi.json", static text => JsonNode.Parse(text)!));
    private static readonly Lazy<OpenApiSchema?> OllamaFile = new(static () => Load("ollama.openapi.yaml", static text =>
    {
        var stream = new YamlStream();
        stream.Load(new StringReader(text));
        return FromYaml(stream.Documents[0].RootNode)!;
    }));

    private readonly JsonSchema all;
    private readonly Dictionary<string, string> events = [];

    private OpenApiSchema(JsonObject document)
    {
        var schemas = document["components"]!["schemas"]!.AsObject();
        var definitions = new JsonObject();
        foreach (var (name, schema) in schemas) definitions[name] = Translate(schema!);
        all = JsonSchema.FromJsonAsync(new JsonObject { ["definitions"] = definitions }.ToJsonString()).GetAwaiter().GetResult();
        foreach (var reference in schemas["ResponseStreamEvent"]?["anyOf"]?.AsArray() ?? [])
        {
            var name = ((string)reference!["$ref"]!).Split('/')[^1];
            if (schemas[name]?["properties"]?["type"]?["enum"]?[0] is { } type) events[(string)type!] = name;
        }
    }

    /// <summary>OpenAI's own; skips the test where it is not there.</summary>
    public static OpenApiSchema OpenAi => There(OpenAiFile.Value, "openai.openapi.json");

    /// <summary>Ollama's own; skips the test where it is not there. It demands no member, it only says what each is.</summary>
    public static OpenApiSchema Ollama => There(OllamaFile.Value, "ollama.openapi.yaml");

    /// <summary>What is wrong with a document, if it should be one of <paramref name="schema"/>; empty when nothing is.</summary>
    public IReadOnlyList<string> Problems(string schema, string document)
    {
        Assert.True(all.Definitions.TryGetValue(schema, out var wanted), $"the specification has no schema '{schema}'");
        return [.. wanted!.Validate(document).SelectMany(static error => Lines(error, schemaName: ""))];
    }

    public void Valid(string schema, string document)
    {
        var problems = Problems(schema, document);
        Assert.True(problems.Count == 0, $"no {schema}:\n{string.Join('\n', problems)}\n{document}");
    }

    /// <summary>Checks an event of a response by the schema of its own type; the name of a type that the specification does not have is a problem itself.</summary>
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

    private static OpenApiSchema There(OpenApiSchema? schema, string file)
    {
        if (schema is null) Assert.Skip($"{file} is neither in ../shared/specs nor in $PROXY_SPECS");
        return schema!;
    }

    private static OpenApiSchema? Load(string file, Func<string, JsonNode> parse)
    {
        string?[] folders = [Environment.GetEnvironmentVariable("PROXY_SPECS"), Path.Combine(Dialects.Wire.Root, "..", "shared", "specs"), Path.Combine(Dialects.Wire.Root, "..", "..", "shared", "specs")];
        var path = folders.OfType<string>().Select(folder => Path.Combine(folder, file)).FirstOrDefault(File.Exists);
        return path is null ? null : new OpenApiSchema(parse(File.ReadAllText(path)).AsObject());
    }

    private static JsonNode? FromYaml(YamlNode node)
    {
        switch (node)
        {
            case YamlMappingNode mapping:
                var members = new JsonObject();
                foreach (var (name, value) in mapping) members[((YamlScalarNode)name).Value!] = FromYaml(value);
                return members;
            case YamlSequenceNode sequence:
                return new JsonArray([.. sequence.Select(FromYaml)]);
            case YamlScalarNode { Style: ScalarStyle.Plain } plain:
                return plain.Value switch
                {
                    null or "" or "null" or "~" => null,
                    "true" => true,
                    "false" => false,
                    var text when double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var number) => number,
                    var text => text,
                };
            default:
                return ((YamlScalarNode)node).Value;
        }
    }

    /// <summary>
    /// OpenAPI as plain JSON schema: references point into the one document, <c>nullable</c> is a type, <c>const</c> is an <c>enum</c> of one, and one-of is any-of, because the
    /// specification's alternatives overlap (an input message is also an output message) and are told apart by a discriminator that JSON schema does not have.
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
                    if (name is "example" or "examples" or "default" or "discriminator" or "nullable" or "description" or "title" || name.StartsWith("x-", StringComparison.Ordinal))
                    {
                        if (value is not JsonObject || name is "example" or "default" or "discriminator") continue; // as a property's name it is an object
                    }

                    if (name is "$ref" && value is JsonValue) translated[name] = ((string)value!).Replace("#/components/schemas/", "#/definitions/", StringComparison.Ordinal);
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
