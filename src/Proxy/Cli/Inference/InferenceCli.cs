using Proxy.Cli.Doctor;
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
        Checks = static installation => [DoctorCheck.Of("model", "the models of this process", () => Look(installation.Config.Inference))],
    };

    private static IEnumerable<Finding> Look(InferenceConfig inference)
    {
        foreach (var model in inference.Models)
        {
            yield return ModelFolder.Problem(model) is { } problem
                ? new(Mark.Fail, $"{model.Name}: {problem}",
                    "`proxy models pull` downloads a model's files; `proxy models local` lists those in the usual folder")
                : Finding.Ok($"{model.Name}: the files in {model.Path} are complete");
        }

        if (inference.Bundled) yield return Finding.Ok($"{LocalModels.BundledName}: built in");
    }
}
