using System.Collections.Frozen;

namespace Proxy.Vectors;

/// <summary>
/// The models that run in this process, by name and alias. Empty if inference is off. Immutable. In the order of the configuration file, the bundled model
/// last.
/// </summary>
internal sealed class EmbedderTable
{
    private readonly FrozenDictionary<string, IVectorModel> byName;

    public EmbedderTable(IReadOnlyList<IVectorModel> models)
    {
        Models = models;
        var names = new Dictionary<string, IVectorModel>();
        foreach (var model in models) names.TryAdd(model.Info.Name, model);
        foreach (var model in models)
        {
            foreach (var alias in model.Info.Aliases) names.TryAdd(alias, model);
        }

        byName = names.ToFrozenDictionary();
    }

    public static EmbedderTable Empty { get; } = new([]);

    public IReadOnlyList<IVectorModel> Models { get; }

    /// <summary>
    /// The model with that name or alias; null if there is none. A name that does not match is tried without a trailing <c>:latest</c>, as in Ollama.
    /// </summary>
    public IVectorModel? Find(string name)
    {
        const string Latest = ":latest";
        return byName.GetValueOrDefault(name) ?? (name.EndsWith(Latest, StringComparison.Ordinal) ? byName.GetValueOrDefault(name[..^Latest.Length]) : null);
    }

    /// <summary>The first model that embeds whole texts, for calls that name no model.</summary>
    public IEmbedder? FirstEmbedder => Models.FirstOrDefault(model => model.Info.Kind is VectorModelKind.Embed) as IEmbedder;

    /// <summary>The first model that was made for reranking, for calls that name no model.</summary>
    public IReranker? FirstReranker => Models.FirstOrDefault(model => model.Info.Kind is not VectorModelKind.Embed && model is IReranker) as IReranker;
}
