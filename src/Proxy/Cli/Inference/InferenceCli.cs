using Proxy.Config;
using Proxy.Inference;

namespace Proxy.Cli.Inference;

/// <summary>The models of this process: fetched, listed, removed and checked.</summary>
internal static class InferenceCli
{
    public static CliFeature Feature => CliFeature.None with
    {
        ModelVerbs = static around => [ModelsLocalCommand.Make(around), ModelsPullCommand.Make(around), ModelsRemoveCommand.Make(around)],
        Checked = static sources => sources with { ModelProblem = ModelFolder.Problem },
        Summary = static config =>
        [
            .. config.Inference.Models.Select(static model => $"  model       {model.Name}: {model.Path}"),
            .. config.Inference.Bundled ? [$"  model       {LocalModels.BundledName}: built in"] : Array.Empty<string>(),
        ],
    };
}
