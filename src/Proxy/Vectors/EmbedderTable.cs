using System.Collections.Frozen;

namespace Proxy.Vectors;

/// <summary>The models that run in this process, by name and alias. Empty when inference is off. Immutable; their order is the file's, the bundled one last.</summary>
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

    /// <summary>The model of that name or alias; null where there is none. Ollama's <c>:latest</c> is the name without it.</summary>
    public IVectorModel? Find(string name)
    {
        const string Latest = ":latest";
        return byName.GetValueOrDefault(name) ?? (name.EndsWith(Latest, StringComparison.Ordinal) ? byName.GetValueOrDefault(name[..^Latest.Length]) : null);
    }

    /// <summary>The first model that embeds whole texts, for calls that name none.</summary>
    public IEmbedder? FirstEmbedder => Models.FirstOrDefault(model => model.Info.Kind is VectorModelKind.Embed) as IEmbedder;

    /// <summary>The first model that was made to rerank, for calls that name none.</summary>
    public IReranker? FirstReranker => Models.FirstOrDefault(model => model.Info.Kind is not VectorModelKind.Embed && model is IReranker) as IReranker;
}
