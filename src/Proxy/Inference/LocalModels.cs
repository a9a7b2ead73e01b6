using Proxy.Config;
using Proxy.Vectors;

namespace Proxy.Inference;

/// <summary>The models of this process, by the configuration: those in folders, in the file's order, then the bundled one.</summary>
internal sealed class LocalModels : IDisposable
{
    public const string BundledName = "all-minilm-q4";

    /// <summary>
    /// Ollama's name for the float model, whose vectors differ a little. The bundled model answers to it only while no host has a model of that name.
    /// </summary>
    public const string BundledAlias = "all-minilm";

    private readonly LocalModel[] all;
    private readonly LocalModel[] awaited;

    /// <summary>Opens no graph. Throws <see cref="ModelFolderException"/> if a folder was damaged after the configuration was read.</summary>
    public LocalModels(InferenceConfig config, ILogger log)
    {
        awaited = [.. config.Models.Select(model => Make(model, config, log))];
        all = config.Bundled && config.Models.All(static model => model.Name != BundledName) ? [.. awaited, Bundled(config, log)] : awaited;
        Table = new EmbedderTable(all);
    }

    public EmbedderTable Table { get; }

    /// <summary>Whether every configured model is loaded; null if none is configured. The bundled model, loaded at its first use, does not count.</summary>
    public bool? AreReady => awaited.Length == 0 ? null : awaited.All(static model => model.IsLoaded);

    /// <summary>Loads the configured models, one after the other. A model that cannot be loaded is logged, and <c>/ready</c> stays false.</summary>
    public async Task WarmAsync(CancellationToken cancellation)
    {
        foreach (var model in awaited)
        {
            await ((Task)model.LoadAsync().WaitAsync(cancellation)).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (cancellation.IsCancellationRequested) return;
        }
    }

    /// <summary>For each model its name, the tokens computed, those that only filled batches up, the batches, and the number of waiting texts.</summary>
    public IEnumerable<(string Name, long Tokens, long Padding, long Batches, int Waiting)> Load() =>
        all.Select(static model => (model.Info.Name, model.Work.Tokens, model.Work.Padding, model.Work.Batches, model.Waiting));

    public void Dispose()
    {
        foreach (var model in all) model.Dispose();
    }

    internal static LocalModel Bundled(InferenceConfig config, ILogger log)
    {
        var settings = new ModelSettings(config.Threads ?? Environment.ProcessorCount, config.BatchTokens, config.Queue)
        {
            Aliases = [BundledAlias], Variant = GraphFiles.Four,
        };
        return new OnnxEmbedder(BundledName, ModelFolder.Read(new BundledFiles(), InferenceKind.Embed, GraphFiles.Auto), settings, log);
    }

    internal static LocalModel Make(InferenceModelConfig model, InferenceConfig config, ILogger log)
    {
        var folder = ModelFolder.Read(new FolderFiles(model.Path), model.Kind, model.Variant);
        var settings = new ModelSettings(
            model.Threads ?? config.Threads ?? Environment.ProcessorCount, model.BatchTokens ?? config.BatchTokens, model.Queue ?? config.Queue);
        return folder.Kind switch
        {
            VectorModelKind.Rerank => new OnnxReranker(model.Name, folder, settings, log),
            VectorModelKind.LateInteraction => new LateInteractionModel(model.Name, folder, settings, log),
            _ => new OnnxEmbedder(model.Name, folder, settings, log),
        };
    }
}
