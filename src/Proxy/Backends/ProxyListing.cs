using System.Globalization;
using System.Text.Json;
using Proxy.Chat;
using Proxy.Config;

namespace Proxy.Backends;

/// <summary>
/// The member <c>proxy</c> of each entry of <c>/v1/models</c>, which only an asking proxy gets: the values that the listings of other dialects have, and the
/// ways to the model. With it, a proxy in front of a proxy can give the same listings as the one behind.
/// </summary>
internal static class ProxyListing
{
    private const string Member = "proxy";

    public static void Write(Utf8JsonWriter json, ProxyTold told)
    {
        var (model, traits) = (told.Listing, told.Listing.Traits);
        json.WriteStartObject(Member);
        json.WriteStartArray("ways");
        foreach (var way in told.Ways)
        {
            json.WriteStartArray();
            foreach (var hop in way) json.WriteStringValue(hop);
            json.WriteEndArray();
        }

        json.WriteEndArray();
        json.WriteString("end", told.End.ToString());
        Text("owned_by", model.OwnedBy);
        Text("resolved", model.Resolved);
        Text("created", model.Created?.ToString("O", CultureInfo.InvariantCulture));
        Number("context_length", model.ContextLength);
        Number("context_limit", model.ContextLimit);
        if (model.Loaded is { } loaded) json.WriteBoolean("loaded", loaded);
        Number("size", model.Size);
        Text("digest", model.Digest);
        Text("kind", model.Kind?.ToString());
        Words("capabilities", model.Capabilities);
        As("details", model.Details);
        json.WriteStartObject("traits");
        Text("kind", traits.Kind?.ToString());
        Words("capabilities", traits.Capabilities);
        Text("architecture", traits.Architecture);
        Text("format", traits.Format);
        Text("parameter_size", traits.ParameterSize);
        Text("quantization", traits.Quantization);
        Number("embedding_length", traits.EmbeddingLength);
        Number("size", traits.Size);
        As("running", traits.Running);
        json.WriteEndObject();
        As("info", told.Info);
        json.WriteEndObject();

        void Text(string name, string? value)
        {
            if (value is not null) json.WriteString(name, value);
        }

        void Number(string name, long? value)
        {
            if (value is { } number) json.WriteNumber(name, number);
        }

        void Words(string name, IReadOnlyList<string> words)
        {
            if (words.Count == 0) return;
            json.WriteStartArray(name);
            foreach (var word in words) json.WriteStringValue(word);
            json.WriteEndArray();
        }

        void As(string name, JsonElement? value)
        {
            if (value is not { } element) return;
            json.WritePropertyName(name);
            json.WriteRawValue(element.GetRawText(), skipInputValidation: true);
        }
    }

    /// <summary>
    /// The report of a host that is a proxy: all dialects, unless the configuration names some, and the models that have a way which does not pass this proxy.
    /// </summary>
    public static HostReport Read(JsonElement? listing, string id, IReadOnlyList<DialectFamily>? families, ProxyIdentity? asker) => new(
        families ?? Enum.GetValues<DialectFamily>(),
        [.. (HostProbeJson.OpenAiModels(listing) ?? []).Select(model => WithTold(model, asker)).Where(static model => model.Told is not { Ways.Count: 0 })],
        Slots: null,
        HostReport.ProxyKind)
    {
        ProxyId = id,
        IsSelf = id == asker?.Id,
    };

    private static HostModel WithTold(HostModel model, ProxyIdentity? asker)
    {
        if (model.Details is not { } entry || !entry.TryGetProperty(Member, out var said) || said.ValueKind is not JsonValueKind.Object) return model;
        var told = new ProxyTold(Listing(model.Name, said), Ways(said, asker),
            Enum.TryParse<ModelEnd>(Text(said, "end"), out var end) ? end : ModelEnd.Host) { Info = Object(said, "info") };
        return model with { ContextLimit = told.Listing.ContextLimit, Loaded = told.Listing.Loaded, Traits = told.Listing.Traits, Told = told };
    }

    /// <summary>Only valid ways: ids of other proxies, and not more of them than a call may pass.</summary>
    private static IReadOnlyList<string[]> Ways(JsonElement said, ProxyIdentity? asker) =>
        said.TryGetProperty("ways", out var ways) && ways.ValueKind is JsonValueKind.Array
            ? [.. ways.EnumerateArray().Where(static way => way.ValueKind is JsonValueKind.Array && way.GetArrayLength() <= Via.MostHops - 2)
                .Select(static way => way.EnumerateArray().Select(static hop => hop.ValueKind is JsonValueKind.String ? hop.GetString()! : "").ToArray())
                .Where(way => way.All(hop => ProxyIdentity.IsId(hop) && hop != asker?.Id))]
            : [];

    private static ModelListing Listing(string name, JsonElement said)
    {
        var traits = Object(said, "traits") ?? default;
        return new(name)
        {
            OwnedBy = Text(said, "owned_by"),
            Resolved = Text(said, "resolved"),
            Created =
                DateTimeOffset.TryParseExact(Text(said, "created"), "O", CultureInfo.InvariantCulture, DateTimeStyles.None, out var created) ? created : null,
            ContextLength = (int?)Number(said, "context_length"),
            ContextLimit = (int?)Number(said, "context_limit"),
            Loaded =
                said.TryGetProperty("loaded", out var loaded) && loaded.ValueKind is JsonValueKind.True or JsonValueKind.False ? loaded.GetBoolean() : null,
            Size = Number(said, "size"),
            Digest = Text(said, "digest"),
            Kind = Kind(said),
            Capabilities = Words(said),
            Details = Object(said, "details"),
            Traits = new()
            {
                Kind = Kind(traits),
                Capabilities = Words(traits),
                Architecture = Text(traits, "architecture"),
                Format = Text(traits, "format"),
                ParameterSize = Text(traits, "parameter_size"),
                Quantization = Text(traits, "quantization"),
                EmbeddingLength = (int?)Number(traits, "embedding_length"),
                Size = Number(traits, "size"),
                Running = Object(traits, "running"),
            },
        };
    }

    private static ModelKind? Kind(JsonElement said) => Enum.TryParse<ModelKind>(Text(said, "kind"), out var kind) ? kind : null;

    private static string[] Words(JsonElement said) =>
        Found(said, "capabilities") is { ValueKind: JsonValueKind.Array } words
            ? [.. words.EnumerateArray().Where(static word => word.ValueKind is JsonValueKind.String).Select(static word => word.GetString()!)] : [];

    private static JsonElement? Object(JsonElement said, string name) => Found(said, name) is { ValueKind: JsonValueKind.Object } found ? found : null;

    private static string? Text(JsonElement said, string name) => Found(said, name) is { ValueKind: JsonValueKind.String } found ? found.GetString() : null;

    private static long? Number(JsonElement said, string name) =>
        Found(said, name) is { ValueKind: JsonValueKind.Number } found && found.TryGetInt64(out var number) ? number : null;

    private static JsonElement? Found(JsonElement said, string name) =>
        said.ValueKind is JsonValueKind.Object && said.TryGetProperty(name, out var found) ? found : null;
}
