using System.CommandLine;
using Proxy.Config;
using Proxy.Inference;

namespace Proxy.Cli.Inference;

/// <summary><c>proxy models remove NAME</c>: deletes a downloaded model, complete or not.</summary>
internal static class ModelsRemoveCommand
{
    public static Command Make(Surroundings around)
    {
        var name = ModelsLocalCommand.Name("The model's name, as `proxy models local` shows it.");
        name.CompletionSources.Add(_ => Names(around));
        var command = new Command("remove", "Delete a downloaded model. A proxy that has it loaded serves it until its restart.") { name };
        command.SetAction(parsed => (int)Run(around, parsed.GetRequiredValue(name)));
        return command;
    }

    private static ExitCode Run(Surroundings around, string name)
    {
        if (ModelsLocalCommand.Models(around) is not { } models) return ExitCode.Failed;
        try
        {
            if (!models.Remove(name))
            {
                around.Error.WriteLine($"there is no model {name} in {models.Folder}");
                return ExitCode.Failed;
            }
        }
        catch (Exception problem) when (problem is IOException or UnauthorizedAccessException)
        {
            around.Error.WriteLine(problem.Message);
            return ExitCode.Failed;
        }

        around.Output.WriteLine($"removed {name}");
        return ExitCode.Ok;
    }

    private static IEnumerable<string> Names(Surroundings around)
    {
        try
        {
            return ModelsFolder.Find(around.Environment) is { } folder ? [.. new PulledModels(folder).List().Select(model => model.Name)] : [];
        }
        catch (Exception problem) when (problem is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }
}
