using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Proxy.Inference;
using Proxy.Vectors;

namespace Proxy.Cli.Inference;

/// <summary><c>proxy models pull NAME</c>: downloads a model from the hub.</summary>
internal static class ModelsPullCommand
{
    public static Command Make(Surroundings around)
    {
        var name = ModelsLocalCommand.Name("The model's name at the hub, such as BAAI/bge-small-en-v1.5.");
        var variant = new Option<string>("--variant")
        {
            Description = "Which graph: auto (the float one if there is one), fp32, int8 or q4.",
            HelpName = "VARIANT",
            DefaultValueFactory = _ => GraphFiles.Auto,
        };
        variant.AcceptOnlyFromAmong(GraphFiles.Auto, GraphFiles.Float, GraphFiles.Eight, GraphFiles.Four);
        var revision = new Option<string>("--revision") { Description = "A branch, tag or commit.", HelpName = "REVISION", DefaultValueFactory = _ => "main" };
        revision.Validators.Add(result =>
        {
            if (string.IsNullOrWhiteSpace(result.GetValueOrDefault<string>())) result.AddError("--revision takes a branch, tag or commit.");
        });
        var json = ProxyCommand.Json();
        var command = new Command(
            "pull", "Download the files that running a model needs from the Hugging Face hub (HF_ENDPOINT, HF_TOKEN). Resumes an interrupted download.")
        {
            name, variant, revision, json,
        };
        command.SetAction(async (parsed, cancellation) =>
            (int)await RunAsync(around, parsed.GetRequiredValue(name), parsed.GetRequiredValue(revision), parsed.GetRequiredValue(variant),
                parsed.GetValue(json), cancellation).ConfigureAwait(false));
        return command;
    }

    private static async Task<ExitCode> RunAsync(Surroundings around, string name, string revision, string variant, bool json, CancellationToken cancellation)
    {
        if (ModelsLocalCommand.Models(around) is not { } models) return ExitCode.Failed;
        PulledModel pulled;
        try
        {
            using var hub = new Hub(Set("HF_ENDPOINT"), Set("HF_TOKEN"));
            pulled = await new HubPull(hub, models, new PullProgress(around.Error, around.IsTerminal, TimeProvider.System))
                .RunAsync(name, revision, variant, cancellation).ConfigureAwait(false);
        }
        catch (HubException problem)
        {
            around.Error.WriteLine(problem.Message);
            return ExitCode.Failed;
        }

        var model = pulled.Model;
        if (json)
        {
            var files = pulled.Files.Select(file => new PulledFileRow(file.Path, file.Size)).ToList();
            var row = new PullResult(name, pulled.Listing.Commit, pulled.Folder, ModelsLocalCommand.Kind(model.Kind), model.Variant,
                files.Sum(file => file.SizeBytes), pulled.IsNew, files) { Dimensions = ModelsLocalCommand.Dimensions(model) };
            around.Output.WriteLine(JsonSerializer.Serialize(row, CliJson.Print.PullResult));
            return ExitCode.Ok;
        }

        var dimensions = ModelsLocalCommand.Dimensions(model) is { } numbers ? string.Create(CultureInfo.InvariantCulture, $", {numbers} dimensions") : "";
        around.Output.WriteLine($"{name}: {(pulled.IsNew ? "in" : "was already in")} {pulled.Folder} ({ModelsLocalCommand.Kind(model.Kind)}{dimensions}, "
            + $"{model.Variant}, {PullProgress.Size(pulled.Files.Sum(file => file.Size))})");
        around.Output.WriteLine("# Add the section below to config.toml and restart the proxy to serve it.");
        around.Output.Write($"[[inference.models]]\nname = \"{name.Split('/')[^1]}\"\npath = \"{name}\"\n");
        return ExitCode.Ok;

        string? Set(string variable) => around.Environment(variable)?.Trim() is { Length: > 0 } value ? value : null;
    }
}
