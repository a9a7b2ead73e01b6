using System.Text.Json;
using Proxy.Config;

namespace Proxy.Backends;

/// <summary>What a host said of itself: the dialects it speaks, the models it serves, how many generations it runs at a time, what it is.</summary>
internal sealed record HostReport(IReadOnlyList<DialectFamily> Dialects, IReadOnlyList<HostModel> Models, int? Slots, string? Kind);

/// <summary>A model as its host lists it. <paramref name="ContextLength"/> in tokens; null where the host does not say.</summary>
internal sealed record HostModel(string Name, int? ContextLength, bool? Loaded, JsonElement? Details);
