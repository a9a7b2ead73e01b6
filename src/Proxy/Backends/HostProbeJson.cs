using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Backends;

/// <summary>Interprets the answers of hosts. Pure functions: JSON in, values out; values that a host does not report are null.</summary>
internal static class HostProbeJson
{
    /// <summary>The models of <c>GET /v1/models</c>, or null if the answer is not such a list.</summary>
    public static IReadOnlyList<HostModel>? OpenAiModels(JsonElement? answer) =>
        Entries(answer, "data") is { } entries
            ? [.. from entry in entries
                let name = Text(entry, "id")
                where name is not null
                select new HostModel(name, ContextLength(entry), Loaded(entry), entry.Clone()) { Traits = ModelTraitsJson.OfEntry(entry) }]
            : null;

    /// <summary>The models of Ollama's <c>GET /api/tags</c>, with those of <c>/api/ps</c> marked as loaded, or null if the answer is not such a list.</summary>
    public static IReadOnlyList<HostModel>? OllamaModels(JsonElement? tags, JsonElement? running)
    {
        if (Entries(tags, "models") is not { } entries) return null;

        var loaded = new Dictionary<string, JsonElement>(StringComparer.Ordinal);
        foreach (var entry in Entries(running, "models") ?? [])
            if (Text(entry, "name") is { } name) loaded[name] = entry.Clone();

        // The context_length in the details is the one that the model was trained with: an upper limit, not the context of a call.
        return
        [
            .. from entry in entries
            let name = Text(entry, "name")
            where name is not null
            select new HostModel(
                name, Count(loaded.GetValueOrDefault(name), "context_length"), running is null ? null : loaded.ContainsKey(name), entry.Clone())
            {
                Traits = ModelTraits.None with { Running = loaded.TryGetValue(name, out var entryOfPs) ? entryOfPs : null },
                ContextLimit =
                    entry.TryGetProperty("details", out var details) && details.ValueKind is JsonValueKind.Object ? Count(details, "context_length") : null,
            },
        ];
    }

    /// <summary>The version in the answer of Ollama's <c>GET /api/version</c> or vLLM's <c>GET /version</c>; null if the answer is neither.</summary>
    public static string? Version(JsonElement? answer) => answer is { } version ? Text(version, "version") : null;

    /// <summary>The build in the answer of llama.cpp's <c>GET /props</c>.</summary>
    public static string? Build(JsonElement? props) => props is { } answer ? Text(answer, "build_info") : null;

    /// <summary>
    /// The entries of LM Studio's own listings, by the model's name: <c>data</c> and <c>id</c> in its v0, <c>models</c> and <c>key</c> in its v1.
    /// </summary>
    public static Dictionary<string, JsonElement> LmStudio(JsonElement? answer, string list, string key)
    {
        var found = new Dictionary<string, JsonElement>(StringComparer.Ordinal);
        foreach (var entry in Entries(answer, list) ?? [])
            if (Text(entry, key) is { } name) found[name] = entry;
        return found;
    }

    /// <summary>Ollama's digest of a model, which changes with every change of the model.</summary>
    public static string? Digest(HostModel model) => model.Details is { } entry ? Text(entry, "digest") : null;

    /// <summary>From llama.cpp's <c>GET /props</c>: the number of slots and the context of each, in tokens. Null if the answer is not llama.cpp's.</summary>
    public static (int? Slots, int? ContextLength)? Props(JsonElement? answer)
    {
        if (answer is not { ValueKind: JsonValueKind.Object } props) return null;

        // In some versions the n_ctx at the top is the sum over all slots.
        var settings = props.TryGetProperty("default_generation_settings", out var found) ? found : default;
        var (slots, context) = (Count(props, "total_slots"), Count(settings, "n_ctx"));
        return slots is null && context is null ? null : (slots, context);
    }

    /// <summary>The same from llama.cpp's <c>GET /slots</c>, for hosts whose props lack it.</summary>
    public static (int? Slots, int? ContextLength)? Slots(JsonElement? answer) =>
        answer is { ValueKind: JsonValueKind.Array } slots && slots.GetArrayLength() > 0 && Count(slots[0], "n_ctx") is { } context
            ? (slots.GetArrayLength(), context)
            : null;

    /// <summary>The model of TEI's <c>GET /info</c>, and whether it embeds; null if the answer is not TEI's.</summary>
    public static (HostModel Model, bool Embeds)? TeiModel(JsonElement? answer)
    {
        if (answer is not { ValueKind: JsonValueKind.Object } info || !info.TryGetProperty("model_type", out var type)) return null;
        if ((Text(info, "served_model_name") ?? Text(info, "model_id")) is not { } name) return null;

        return (new HostModel(name, Count(info, "max_input_length"), Loaded: true, info.Clone()) { Traits = ModelTraitsJson.OfTei(info) },
            type.ValueKind is JsonValueKind.Object && type.TryGetProperty("embedding", out _));
    }

    /// <summary>The kind of host, if a model's <c>owned_by</c> identifies it; else null.</summary>
    public static string? Kind(IReadOnlyList<HostModel> models) =>
        models.Select(model => model.Details is { } entry ? Text(entry, "owned_by") : null).FirstOrDefault() switch
        {
            "llamacpp" => "llama.cpp",
            "vllm" => "vllm",
            "sglang" => "sglang",
            "organization_owner" => "lmstudio",
            _ => null,
        };

    /// <summary>The message of an error in any dialect; null if there is none.</summary>
    public static string? ErrorMessage(JsonElement? answer)
    {
        if (answer is not { ValueKind: JsonValueKind.Object } body) return null;
        if (!body.TryGetProperty("error", out var error)) return Text(body, "message") ?? Text(body, "detail");
        return error.ValueKind is JsonValueKind.String ? error.GetString() : Text(error, "message");
    }

    /// <summary>
    /// The context that the host runs the model with, in the members of vLLM, then of other proxies. Never n_ctx_train, which a call does not get.
    /// </summary>
    private static int? ContextLength(JsonElement entry) => Count(entry, "max_model_len") ?? Count(entry, "context_length") ?? Count(entry, "context_window");

    /// <summary>llama.cpp's router reports for each model whether it is loaded; vLLM lists only loaded ones.</summary>
    private static bool? Loaded(JsonElement entry)
    {
        if (entry.TryGetProperty("status", out var status) && Text(status, "value") is { } value) return value == "loaded";
        return Text(entry, "owned_by") == "vllm" ? true : null;
    }

    private static IEnumerable<JsonElement>? Entries(JsonElement? answer, string key) =>
        answer is { ValueKind: JsonValueKind.Object } body && body.TryGetProperty(key, out var list) && list.ValueKind is JsonValueKind.Array
            ? list.EnumerateArray().Where(entry => entry.ValueKind is JsonValueKind.Object)
            : null;

    private static string? Text(JsonElement element, string key) =>
        element.ValueKind is JsonValueKind.Object && element.TryGetProperty(key, out var value) && value.ValueKind is JsonValueKind.String
            && value.GetString() is { Length: > 0 } text ? text : null;

    /// <summary>A positive number; zero and less mean that the host does not know.</summary>
    private static int? Count(JsonElement element, string key) =>
        element.ValueKind is JsonValueKind.Object && element.TryGetProperty(key, out var value) && value.ValueKind is JsonValueKind.Number
            && value.TryGetInt32(out var count) && count > 0 ? count : null;
}
