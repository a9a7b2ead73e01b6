using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Proxy.Config;
using Proxy.Inference;
using Proxy.Vectors;

namespace Proxy.Cli.Inference;

/// <summary><c>proxy models local</c>: lists the downloaded models, whether or not the configuration serves them.</summary>
internal static class ModelsLocalCommand
{
    public static Command Make(Surroundings around)
    {
        var json = ProxyCommand.Json();
        var command = new Command("local", "List the downloaded models: kind, dimensions, size.") { json };
        command.SetAction(parsed => (int)Run(around, parsed.GetValue(json)));
        return command;
    }

    /// <summary>The argument for a model's name, which is validated.</summary>
    public static Argument<string> Name(string description)
    {
        var name = new Argument<string>("NAME") { Description = description };
        name.Validators.Add(result =>
        {
            if (result.Tokens.Count > 0 && PulledModels.NameProblem(result.Tokens[0].Value) is { } problem) result.AddError(problem);
        });
        return name;
    }

    /// <summary>The folder of models; null, after a message, if the environment names none.</summary>
    public static PulledModels? Models(Surroundings around)
    {
        if (ModelsFolder.Find(around.Environment) is { } folder) return new(folder);
        around.Error.WriteLine("there is no folder for models: set STATE_DIRECTORY, XDG_DATA_HOME or HOME to an absolute path");
        return null;
    }

    public static string Kind(VectorModelKind kind) =>
        kind switch { VectorModelKind.Rerank => "rerank", VectorModelKind.LateInteraction => "late-interaction", _ => "embed" };

    /// <summary>Length of an embedding; null if the model gives none, or if only its graph knows the length.</summary>
    public static int? Dimensions(ModelFolder model) => model is { Kind: VectorModelKind.Embed, HiddenSize: > 0 } ? model.HiddenSize : null;

    private static ExitCode Run(Surroundings around, bool json)
    {
        if (Models(around) is not { } models) return ExitCode.Failed;
        List<LocalModelRow> rows;
        try
        {
            rows = [.. models.List().Select(Row)];
        }
        catch (Exception problem) when (problem is IOException or UnauthorizedAccessException)
        {
            around.Error.WriteLine(problem.Message);
            return ExitCode.Failed;
        }

        if (json)
        {
            around.Output.WriteLine(JsonSerializer.Serialize(new LocalModelTable(models.Folder, rows), CliJson.Print.LocalModelTable));
            return ExitCode.Ok;
        }

        if (rows.Count == 0) around.Error.WriteLine($"There is no model in {models.Folder}; `proxy models pull NAME` downloads one.");
        else Print(around, rows);
        return ExitCode.Ok;
    }

    private static LocalModelRow Row(PulledFolder folder) => new(folder.Name, folder.Path, folder.Bytes)
    {
        Kind = folder.Model is { } model ? Kind(model.Kind) : null,
        Dimensions = folder.Model is { } vectors ? Dimensions(vectors) : null,
        Variant = folder.Model?.Variant,
        Problem = folder.Problem,
    };

    private static void Print(Surroundings around, List<LocalModelRow> rows)
    {
        TextTable.Write(around.Output, ["MODEL", "KIND", "DIMENSIONS", "VARIANT", "SIZE"], rows.Select(row => (IReadOnlyList<string>)
        [
            row.Model, row.Kind ?? "-", row.Dimensions?.ToString(CultureInfo.InvariantCulture) ?? "-", row.Variant ?? "-", PullProgress.Size(row.SizeBytes),
        ]));
        foreach (var row in rows.Where(row => row.Problem is not null)) around.Error.WriteLine($"{row.Model}: {row.Problem}");
    }
}
