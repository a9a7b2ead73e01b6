using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OllamaChat;

/// <summary>
/// The request of <c>POST /api/show</c>. <paramref name="Model"/> is the name as the client wrote it: in <c>model</c>, or in <c>name</c> as older clients do.
/// </summary>
internal readonly record struct OllamaShowRequest(string Model, bool Verbose);

/// <summary>
/// Answers <c>POST /api/show</c> for a model whose host has no such endpoint, from the known traits. Editors read the context length from <c>model_info</c>
/// (its key begins with the value of <c>general.architecture</c>) and from <c>parameters</c>, tool support from <c>capabilities</c>, and from <c>template</c>
/// whether the model supports fill-in-the-middle.
/// </summary>
internal static class OllamaShow
{
    /// <summary>The prefix of the numbers' keys if the model's architecture is not known.</summary>
    private const string UnknownArchitecture = "unknown";

    public static ProxyError? Read(ReadOnlyMemory<byte> body, out OllamaShowRequest asked)
    {
        asked = default;
        if (ReadObject(body, out var root) is { } problem) return problem;
        if ((Text(root, "model") ?? Text(root, "name")) is not { } model) return new(ProxyErrorKind.InvalidRequest, "model is required") { Param = "model" };
        if (ModelName.Refusal(model) is { } tooLong) return tooLong;
        asked = new(model, root.TryGetProperty("verbose", out var verbose) && verbose.ValueKind is JsonValueKind.True);
        return null;
    }

    /// <summary>Reads the body as an object. If it is empty, the error has Ollama's own message.</summary>
    public static ProxyError? ReadObject(ReadOnlyMemory<byte> body, out JsonElement root)
    {
        root = default;
        if (body.IsEmpty) return new(ProxyErrorKind.InvalidRequest, "missing request body");
        try
        {
            using var document = JsonDocument.Parse(body, WireJson.ReadingWhole);
            root = document.RootElement.Clone();
        }
        catch (JsonException problem)
        {
            return new(ProxyErrorKind.InvalidRequest, $"the body is not valid JSON: {problem.Message}");
        }

        return root.ValueKind is JsonValueKind.Object ? null : new(ProxyErrorKind.InvalidRequest, "the body must be a JSON object");
    }

    public static string? Text(JsonElement root, string name) =>
        root.TryGetProperty(name, out var value) && value.ValueKind is JsonValueKind.String && value.GetString() is { Length: > 0 } text ? text : null;

    /// <summary>Writes the request for the host.</summary>
    public static void WriteRequest(OllamaShowRequest asked, string served, IBufferWriter<byte> output)
    {
        using var json = WireJson.NewWriter(output);
        json.WriteStartObject();
        json.WriteString("model"u8, served);
        if (asked.Verbose) json.WriteBoolean("verbose"u8, true);
        json.WriteEndObject();
    }

    public static void Write(ModelListing model, IBufferWriter<byte> output)
    {
        var traits = model.Traits;
        var parameters = traits.Parameters
            ?? (model.ContextLength is { } context ? Parameter("num_ctx", context.ToString(CultureInfo.InvariantCulture)) : null);
        var template = Template(model);
        using var json = WireJson.NewWriter(output);
        json.WriteStartObject();
        json.WriteString("modelfile"u8, Modelfile(model, template, parameters));
        json.WriteOptional("parameters"u8, parameters);
        json.WriteString("template"u8, template);
        OllamaListing.WriteDetails(json, model, ofListing: false);
        WriteInfo(json, model);
        // Always written: clients read it without checking that it is there.
        json.WriteList("capabilities"u8, model.Capabilities.Count > 0 || model.Kind is not (null or ModelKind.Chat) ? model.Capabilities : ["completion"]);
        json.WriteString("modified_at"u8, OllamaListing.Time(model.Created ?? DateTimeOffset.UnixEpoch));
        json.WriteEndObject();
    }

    private static void WriteInfo(Utf8JsonWriter json, ModelListing model)
    {
        if (model.Traits.Info is { } info)
        {
            json.WriteAsItCame("model_info", info);
            return;
        }

        var architecture = model.Traits.Architecture ?? UnknownArchitecture;
        json.WriteStartObject("model_info"u8);
        json.WriteString("general.architecture"u8, architecture);
        json.WriteString("general.basename"u8, Basename(model.Resolved ?? model.Name));
        if ((model.ContextLength ?? model.ContextLimit) is { } context) json.WriteNumber($"{architecture}.context_length", context);
        if (model.Traits.EmbeddingLength is { } length) json.WriteNumber($"{architecture}.embedding_length", length);
        json.WriteEndObject();
    }

    /// <summary>The part after the last slash, without a tag: <c>Qwen/Qwen3-8B</c> becomes Qwen3-8B.</summary>
    private static string Basename(string name)
    {
        var basename = name[(name.LastIndexOf('/') + 1)..];
        return basename.IndexOf(':', StringComparison.Ordinal) is var colon and > 0 ? basename[..colon] : basename;
    }

    /// <summary>The host's own template. For a model that supports fill-in-the-middle it must contain <c>.Suffix</c>, because clients look for that.</summary>
    private static string Template(ModelListing model) => (model.Capabilities.Contains("insert"), model.Traits.Template) switch
    {
        (true, { } told) when told.Contains(".Suffix", StringComparison.Ordinal) => told,
        (true, _) => "{{ .Prompt }}{{ .Suffix }}",
        (false, { } told) => told,
        _ => "{{ .Prompt }}",
    };

    private static string Modelfile(ModelListing model, string template, string? parameters)
    {
        var file = new StringBuilder("# Modelfile generated by \"ollama show\"\n").Append("FROM ").Append(model.Resolved ?? model.Name).Append('\n');
        file.Append(CultureInfo.InvariantCulture, $"TEMPLATE \"\"\"{template}\"\"\"\n");
        foreach (var line in (parameters ?? "").Split('\n', StringSplitOptions.RemoveEmptyEntries))
            file.Append("PARAMETER ").AppendJoin(' ', line.Split(' ', StringSplitOptions.RemoveEmptyEntries)).Append('\n');
        return file.ToString();
    }

    /// <summary>In the column layout that Ollama uses.</summary>
    private static string Parameter(string name, string value) => $"{name,-30} {value}";
}
