using System.CommandLine;
using Proxy.Config;
using Proxy.Workflows.Systemd;

namespace Proxy.Cli.Workflows;

/// <summary><c>proxy polkit</c>: prints the rule by which the service may start the units of the configured pipelines.</summary>
internal static class PolkitCommand
{
    private const string Pipelines = "pipelines";

    public static Command Make(Surroundings around, Option<string?> config)
    {
        var user = new Option<string>("--user") { Description = "The user that the proxy runs as.", DefaultValueFactory = static _ => PolkitRule.User };
        var command = new Command(
            "polkit", $"Print the polkit rule for the units of pipelines: sudo proxy polkit | sudo tee {PolkitRule.File}") { user };
        command.SetAction(parsed => (int)Run(around, parsed.GetValue(config), parsed.GetValue(user)!));
        return command;
    }

    private static ExitCode Run(Surroundings around, string? named, string user)
    {
        if (user.Length == 0 || !user.All(static letter => char.IsAsciiLetterOrDigit(letter) || letter is '_' or '-'))
        {
            around.Error.WriteLine($"'{user}' is not the name of a user");
            return ExitCode.Usage;
        }

        var path = ConfigFile.Find(named, around.Environment);
        var draft = ConfigFile.LoadDraft(path, around.Sources with { Environment = Environment }, out var problems);
        // A problem elsewhere, such as a secret that only the service has, does not change what the rule says.
        List<ConfigProblem> own = [.. problems.Where(static problem => problem.Key.Length == 0 || problem.Key.StartsWith(Pipelines, StringComparison.Ordinal))];
        if (own.Count > 0)
        {
            around.Tell(path, own);
            return ExitCode.ConfigProblem;
        }

        around.Output.Write(PolkitRule.Text(draft.Pipelines, user));
        return ExitCode.Ok;

        // The service's environment may name the server, the shell's need not.
        string? Environment(string name) => around.Environment(name) ?? (name is "NATS_URL" ? "nats://127.0.0.1:4222" : null);
    }
}
