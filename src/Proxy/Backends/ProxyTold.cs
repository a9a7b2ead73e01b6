using System.Text.Json;
using Proxy.Chat;
using Proxy.Vectors;

namespace Proxy.Backends;

/// <summary>What answers for a model in the end.</summary>
internal enum ModelEnd
{
    Host,

    /// <summary>A proxy's own process.</summary>
    Process,

    /// <summary>The echo inside a proxy, which is no model.</summary>
    Echo,
}

/// <summary>What one proxy tells another of a model: everything that its own clients are told, and by which ways it is reached.</summary>
/// <param name="Listing">The model as the proxy lists it.</param>
/// <param name="Ways">The ways to the model, each the ids of the proxies that a call passes behind this one, in order; the way is empty where it has the
/// model's host itself.</param>
internal sealed record ProxyTold(ModelListing Listing, IReadOnlyList<string[]> Ways, ModelEnd End)
{
    /// <summary>What TEI's <c>/info</c> says of the model, where a host says it.</summary>
    public JsonElement? Info { get; init; }

    /// <summary>The model of this process, which can say the same of itself.</summary>
    public VectorModelInfo? Here { get; init; }
}
