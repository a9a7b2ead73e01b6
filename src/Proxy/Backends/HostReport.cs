using System.Text.Json;
using Proxy.Config;

namespace Proxy.Backends;

/// <summary>What a host said of itself: the dialects it speaks, the models it serves, how many generations it runs at a time, what it is.</summary>
internal sealed record HostReport(IReadOnlyList<DialectFamily> Dialects, IReadOnlyList<HostModel> Models, int? Slots, string? Kind);

/// <summary>A model as its host lists it. <paramref name="ContextLength"/> is what a call gets as the model runs now, in tokens; null where the host does not say.</summary>
internal sealed record HostModel(string Name, int? ContextLength, bool? Loaded, JsonElement? Details)
{
    /// <summary>The longest context that the host could run it with, in tokens; null where the host does not say, or has no choice.</summary>
    public int? ContextLimit { get; init; }
}
