using System.Text.Json;
using Proxy.Chat;
using Proxy.Vectors;

namespace Proxy.Backends;

/// <summary>What finally answers for a model.</summary>
internal enum ModelEnd
{
    Host,

    /// <summary>The process of a proxy.</summary>
    Process,

    /// <summary>The built-in echo of a proxy, which is not a model.</summary>
    Echo,
}

/// <summary>What one proxy reports to another about a model: everything that its own clients get, and the ways to it.</summary>
/// <param name="Listing">The model as the proxy lists it.</param>
/// <param name="Ways">The ways to the model. Each is the list of ids of the proxies that a call passes after this one, in order; it is empty if this proxy has
/// the model's host itself.</param>
internal sealed record ProxyTold(ModelListing Listing, IReadOnlyList<string[]> Ways, ModelEnd End)
{
    /// <summary>TEI's <c>/info</c> about the model, if its host has one.</summary>
    public JsonElement? Info { get; init; }

    /// <summary>The model of this process, which provides the same information.</summary>
    public VectorModelInfo? Here { get; init; }
}
