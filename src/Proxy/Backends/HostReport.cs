using System.Text.Json;
using Proxy.Chat;
using Proxy.Config;

namespace Proxy.Backends;

/// <summary>What a host said of itself: the dialects it speaks, the models it serves, how many generations it runs at a time, what it is.</summary>
internal sealed record HostReport(IReadOnlyList<DialectFamily> Dialects, IReadOnlyList<HostModel> Models, int? Slots, string? Kind)
{
    /// <summary>The version of its program, as it writes it; null where it does not say.</summary>
    public string? Version { get; init; }

    /// <summary>Every question about its dialects was answered: the same program need not be asked again.</summary>
    public bool IsLearned { get; init; }

    /// <summary>The kind of a host that is another proxy of this program.</summary>
    public const string ProxyKind = "proxy";

    /// <summary>The id of the proxy that the host is; null where it is none.</summary>
    public string? ProxyId { get; init; }

    /// <summary>The host is this very process.</summary>
    public bool IsSelf { get; init; }
}

/// <summary>
/// A model as its host lists it. <paramref name="ContextLength"/> is what a call gets as the model runs now, in tokens; null where the host does not say.
/// </summary>
internal sealed record HostModel(string Name, int? ContextLength, bool? Loaded, JsonElement? Details)
{
    /// <summary>The longest context that the host could run it with, in tokens; null where the host does not say, or has no choice.</summary>
    public int? ContextLimit { get; init; }

    public ModelTraits Traits { get; init; } = ModelTraits.None;

    /// <summary>
    /// What told the traits apart from the listing, by which they are known to be still true (Ollama's digest); null where they came with the listing.
    /// </summary>
    public string? ShownDigest { get; init; }

    /// <summary>What a host that is a proxy tells besides.</summary>
    public ProxyTold? Told { get; init; }

    /// <summary>What TEI's <c>/info</c> says of it; null where its host is no TEI, nor a proxy in front of one.</summary>
    public JsonElement? TeiInfo =>
        Told is { } told ? told.Info : Details is { ValueKind: JsonValueKind.Object } info && info.TryGetProperty("model_type", out _) ? info : null;
}
