using System.Text.Json;
using Proxy.Chat;
using Proxy.Config;

namespace Proxy.Backends;

/// <summary>A host's description of itself: the dialects that it speaks, the models that it serves, how many generations it runs at a time, its kind.</summary>
internal sealed record HostReport(IReadOnlyList<DialectFamily> Dialects, IReadOnlyList<HostModel> Models, int? Slots, string? Kind)
{
    /// <summary>The version of its program, unchanged; null if it does not report one.</summary>
    public string? Version { get; init; }

    /// <summary>Whether every question about its dialects was answered, so that they need not be asked again while kind and version stay the same.</summary>
    public bool IsLearned { get; init; }

    /// <summary>The kind of a host that is another proxy of this program.</summary>
    public const string ProxyKind = "proxy";

    /// <summary>The id of the proxy that is the host; null if the host is not a proxy.</summary>
    public string? ProxyId { get; init; }

    /// <summary>Whether the host is this very process.</summary>
    public bool IsSelf { get; init; }
}

/// <summary>
/// A model as its host lists it. <paramref name="ContextLength"/> is the context that a call gets now, in tokens; null if the host does not report it.
/// </summary>
internal sealed record HostModel(string Name, int? ContextLength, bool? Loaded, JsonElement? Details)
{
    /// <summary>The longest context that the host could give the model, in tokens; null if the host does not report it, or has no choice.</summary>
    public int? ContextLimit { get; init; }

    public ModelTraits Traits { get; init; } = ModelTraits.None;

    /// <summary>
    /// Ollama's digest at the time when the traits were asked for separately, which shows whether they are still valid; null if they came with the listing.
    /// </summary>
    public string? ShownDigest { get; init; }

    /// <summary>What a host that is a proxy reports in addition.</summary>
    public ProxyTold? Told { get; init; }

    /// <summary>TEI's <c>/info</c> about the model; null if its host is neither TEI nor a proxy in front of TEI.</summary>
    public JsonElement? TeiInfo =>
        Told is { } told ? told.Info : Details is { ValueKind: JsonValueKind.Object } info && info.TryGetProperty("model_type", out _) ? info : null;
}
