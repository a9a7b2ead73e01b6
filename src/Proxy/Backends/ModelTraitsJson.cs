using System.Globalization;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Backends;

/// <summary>Reads what hosts report about one model. Pure functions: JSON in, traits out; values that a host does not report stay null.</summary>
internal static class ModelTraitsJson
{
    /// <summary>From an entry in <c>/v1/models</c>: llama.cpp's <c>meta</c>, the lists of OpenRouter and of other proxies.</summary>
    public static ModelTraits OfEntry(JsonElement entry)
    {
        var meta = Member(entry, "meta");
        var parameters = Words(entry, "supported_parameters");
        var capabilities = new List<string>(Words(entry, "capabilities"));
        if (Words(Member(entry, "architecture"), "input_modalities").Contains("image")) Add(capabilities, "vision");
        if (parameters.Contains("tools")) Add(capabilities, "tools");
        if (parameters.Contains("reasoning")) Add(capabilities, "thinking");
        return new ModelTraits
        {
            Kind = KindOf(capabilities),
            Capabilities = capabilities,
            ParameterSize = Number(meta, "n_params") is { } count ? Size(count) : null,
            EmbeddingLength = (int?)Number(meta, "n_embd"),
            Size = Number(meta, "size"),
            Format = meta.ValueKind is JsonValueKind.Object ? "gguf" : null,
        };
    }

    /// <summary>From llama.cpp's <c>GET /props</c>, added to its listing.</summary>
    public static ModelTraits OfProps(JsonElement props, ModelTraits listed)
    {
        var template = Text(props, "chat_template");
        var modalities = Member(props, "modalities");
        var caps = Member(props, "chat_template_caps");
        var capabilities = new List<string>(listed.Capabilities);
        if (template is not null) Add(capabilities, "completion");
        if (Is(modalities, "vision")) Add(capabilities, "vision");
        // Older versions leave the capabilities empty; then a template that contains "tools" counts as supporting them.
        if (Is(caps, "supports_tools") || Is(caps, "supports_tool_calls")
            || (!caps.Has("supports_tools") && template?.Contains("tools", StringComparison.Ordinal) == true))
        {
            Add(capabilities, "tools");
        }

        if (Is(caps, "supports_thinking") || Is(caps, "supports_enable_thinking") || Is(caps, "supports_preserve_reasoning") || Thinks(template))
        {
            Add(capabilities, "thinking");
        }

        return listed with { Capabilities = capabilities, Kind = listed.Kind ?? KindOf(capabilities), Template = template };
    }

    /// <summary>From Ollama's <c>POST /api/show</c>.</summary>
    public static ModelTraits OfShow(JsonElement show)
    {
        var details = Member(show, "details");
        var info = Member(show, "model_info");
        var architecture = Text(info, "general.architecture");
        var capabilities = Words(show, "capabilities");
        return new ModelTraits
        {
            Kind = KindOf(capabilities),
            Capabilities = capabilities,
            Architecture = architecture ?? Text(details, "family"),
            Format = Text(details, "format"),
            ParameterSize = Text(details, "parameter_size"),
            Quantization = Text(details, "quantization_level"),
            EmbeddingLength = architecture is null ? null : (int?)Number(info, architecture + ".embedding_length"),
            Template = Text(show, "template"),
            Parameters = Text(show, "parameters"),
            Info = info.ValueKind is JsonValueKind.Object ? info.Clone() : null,
        };
    }

    /// <summary>The context that a model was trained with, from Ollama's <c>model_info</c>: its upper limit.</summary>
    public static int? ContextLimit(ModelTraits traits) =>
        traits is { Info: { } info, Architecture: { } architecture } && Number(info, architecture + ".context_length") is { } limit and > 0 and <= int.MaxValue
            ? (int)limit : null;

    /// <summary>The context that the model's own file sets.</summary>
    public static int? ContextOf(string? parameters)
    {
        foreach (var line in (parameters ?? "").Split('\n'))
        {
            if (line.StartsWith("num_ctx ", StringComparison.Ordinal)
                && int.TryParse(line.AsSpan("num_ctx ".Length).Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out var context))
            {
                return context;
            }
        }

        return null;
    }

    /// <summary>From an entry in LM Studio's <c>/api/v0/models</c>.</summary>
    public static HostModel OfLmStudio(HostModel listed, JsonElement entry)
    {
        var type = Text(entry, "type");
        var embeds = type is "embeddings" or "embedding";
        var capabilities = new List<string> { embeds ? "embedding" : "completion" };
        if (type is "vlm") Add(capabilities, "vision");
        if (Words(entry, "capabilities").Contains("tool_use")) Add(capabilities, "tools");
        var loaded = Text(entry, "state") is { } state ? state == "loaded" : (bool?)null;
        return listed with
        {
            ContextLength = (int?)Number(entry, "loaded_context_length") ?? listed.ContextLength,
            ContextLimit = (int?)Number(entry, "max_context_length") ?? listed.ContextLimit,
            Loaded = loaded ?? listed.Loaded,
            Traits = listed.Traits with
            {
                Kind = embeds ? ModelKind.Embed : ModelKind.Chat,
                Capabilities = capabilities,
                Architecture = Text(entry, "arch"),
                Format = Text(entry, "compatibility_type"),
                Quantization = Text(entry, "quantization"),
            },
        };
    }

    /// <summary>From an entry in LM Studio's <c>/api/v1/models</c>, which has the same values under other names, and more.</summary>
    public static HostModel OfLmStudioV1(HostModel listed, JsonElement entry)
    {
        var embeds = Text(entry, "type") is "embedding" or "embeddings";
        var can = Member(entry, "capabilities");
        var capabilities = new List<string> { embeds ? "embedding" : "completion" };
        if (Is(can, "vision")) Add(capabilities, "vision");
        if (Is(can, "trained_for_tool_use")) Add(capabilities, "tools");
        var instances = Member(entry, "loaded_instances");
        var loaded = instances.ValueKind is JsonValueKind.Array ? instances.GetArrayLength() > 0 : (bool?)null;
        return listed with
        {
            ContextLength = loaded == true && (int?)Number(Member(instances[0], "config"), "context_length") is { } context ? context : listed.ContextLength,
            ContextLimit = (int?)Number(entry, "max_context_length") ?? listed.ContextLimit,
            Loaded = loaded ?? listed.Loaded,
            Traits = listed.Traits with
            {
                Kind = embeds ? ModelKind.Embed : ModelKind.Chat,
                Capabilities = capabilities,
                Architecture = Text(entry, "architecture") ?? listed.Traits.Architecture,
                Format = Text(entry, "format") ?? listed.Traits.Format,
                Quantization = Text(Member(entry, "quantization"), "name") ?? listed.Traits.Quantization,
                ParameterSize = Text(entry, "params_string") ?? listed.Traits.ParameterSize,
                Size = Number(entry, "size_bytes") ?? listed.Traits.Size,
            },
        };
    }

    /// <summary>From TEI's <c>GET /info</c>.</summary>
    public static ModelTraits OfTei(JsonElement info)
    {
        var type = Member(info, "model_type");
        return type.Has("embedding") ? new ModelTraits { Kind = ModelKind.Embed, Capabilities = ["embedding"] }
            : type.Has("reranker") ? new ModelTraits { Kind = ModelKind.Rerank }
            : ModelTraits.None;
    }

    private static ModelKind? KindOf(IReadOnlyList<string> capabilities) =>
        capabilities.Contains("completion") ? ModelKind.Chat
        : capabilities.Contains("embedding") ? ModelKind.Embed
        : capabilities.Contains("rerank") ? ModelKind.Rerank
        : null;

    /// <summary>Templates of models that think contain a switch for it, or the tags around the thoughts.</summary>
    private static bool Thinks(string? template) => template is not null
        && (template.Contains("enable_thinking", StringComparison.Ordinal) || template.Contains("<think>", StringComparison.Ordinal)
            || template.Contains("reasoning_content", StringComparison.Ordinal));

    /// <summary>In the form that Ollama uses.</summary>
    private static string Size(long count) => count switch
    {
        >= 1_000_000_000 => string.Create(CultureInfo.InvariantCulture, $"{count / 1e9:0.0}B"),
        >= 1_000_000 => string.Create(CultureInfo.InvariantCulture, $"{count / 1e6:0.00}M"),
        >= 1_000 => string.Create(CultureInfo.InvariantCulture, $"{count / 1e3:0}K"),
        _ => count.ToString(CultureInfo.InvariantCulture),
    };

    private static void Add(List<string> capabilities, string capability)
    {
        if (!capabilities.Contains(capability)) capabilities.Add(capability);
    }

    private static bool Has(this JsonElement element, string key) => element.ValueKind is JsonValueKind.Object && element.TryGetProperty(key, out _);

    private static bool Is(JsonElement element, string key) => Member(element, key).ValueKind is JsonValueKind.True;

    private static JsonElement Member(JsonElement element, string key) =>
        element.ValueKind is JsonValueKind.Object && element.TryGetProperty(key, out var value) ? value : default;

    private static string? Text(JsonElement element, string key) =>
        Member(element, key) is { ValueKind: JsonValueKind.String } value && value.GetString() is { Length: > 0 } text ? text : null;

    private static long? Number(JsonElement element, string key) =>
        Member(element, key) is { ValueKind: JsonValueKind.Number } value && value.TryGetInt64(out var number) && number > 0 ? number : null;

    private static IReadOnlyList<string> Words(JsonElement element, string key) =>
        Member(element, key) is { ValueKind: JsonValueKind.Array } list
            ? [.. list.EnumerateArray().Where(word => word.ValueKind is JsonValueKind.String).Select(word => word.GetString()!)] : [];
}
