using System.CommandLine;
using System.CommandLine.Invocation;
using Proxy.Cli.Doctor;
using Proxy.Config;

namespace Proxy.Cli;

/// <summary>The whole command line: every verb, their common options, and the process's exit code.</summary>
internal static class ProxyCommand
{
    private const string Description = """
        The front door to local LLM hosts.

        Exit codes: 0 done, or healthy; 1 failed, or not healthy; 2 the command line is wrong;
        3 the configuration has problems (they are printed); 4 no proxy answers on the admin socket;
        5 reloaded, but some settings take effect at the next start only (they are printed).
        """;

    public static Task<int> RunAsync(string[] args) => RunAsync(args, Surroundings.Process, CancellationToken.None);

    public static async Task<int> RunAsync(IReadOnlyList<string> args, Surroundings around, CancellationToken cancellation)
    {
        if (args is [HandoffStart.Verb, ..]) return HandoffStart.Run(args);
        var config = new Option<string?>("--config", "-c")
        {
            Description = "The configuration file. Without it: $PROXY_CONFIG, ./config.toml, proxy/config.toml in the XDG folder, /etc/proxy/config.toml.",
            HelpName = "FILE",
            Recursive = true,
        };
        var root = new RootCommand(Description)
        {
            config,
            ServeCommand.Make(around, config),
            CheckCommand.Make(around, config),
            DoctorCommand.Make(around, config),
            HealthcheckCommand.Make(around, config),
            ModelsCommand.Make(around, config),
            KeysCommand.Make(around),
            CallsCommand.Make(around, config),
            StreamsCommand.Make(around, config),
            StreamCommand.Make(around, config),
            ReloadCommand.Make(around, config),
            DrainCommand.Make(around, config),
            HandoffCommand.Make(around, config),
        };
        foreach (var verb in CliFeature.All.SelectMany(feature => feature.Verbs(around, config))) root.Add(verb);
        root.Add(VersionCommand.Make(around));
        root.Add(CompletionCommand.Make(around));
        root.Add(ManCommand.Make(around));

        var parsed = root.Parse(args);
        if (parsed.Action is ParseErrorAction slip)
        {
            // After a mistake, one line is printed that names it, and no help; the help is printed if there is no command at all.
            slip.ShowHelp = args.Count == 0;
            slip.ShowTypoCorrections = false;
            if (parsed.UnmatchedTokens is [var unknown, ..])
            {
                around.Error.WriteLine(Unknown(parsed.CommandResult.Command, unknown));
                return (int)ExitCode.Usage;
            }
        }

        var settings = new InvocationConfiguration
        {
            Output = around.Output,
            Error = around.Error,
            // The server handles signals itself, so that its streams can finish.
            ProcessTerminationTimeout = null,
        };
        var code = await parsed.InvokeAsync(settings, cancellation).ConfigureAwait(false);
        return parsed.Action is ParseErrorAction ? (int)ExitCode.Usage : code;
    }

    /// <summary>The message for a word that no command or option matches, with the possible ones.</summary>
    private static string Unknown(Command command, string word)
    {
        var path = string.Join(' ', command.Parents.OfType<Command>().Take(1).Where(parent => parent is not RootCommand).Append(command)
            .Select(each => each is RootCommand ? "proxy" : each.Name));
        var isOption = word.StartsWith('-');
        List<string> known = isOption
            ? [.. command.Options.Concat(command.Parents.OfType<Command>().SelectMany(parent => parent.Options.Where(option => option.Recursive)))
                .Select(option => option.Name).Where(name => name.StartsWith("--", StringComparison.Ordinal)).Distinct()]
            : [.. command.Subcommands.Select(verb => verb.Name)];
        if (!isOption && known.Count == 0) return $"'{word}' is not expected: {path} takes no more arguments.";
        var kind = isOption ? "option" : "command";
        return $"{path} has no {kind} '{word}'. " + (Spelling.Nearest(word.TrimStart('-'), known.Select(name => name.TrimStart('-'))) is { } near
            ? $"Did you mean {(isOption ? "--" : "")}{near}?"
            : $"Its {kind}s: {string.Join(", ", known)}.");
    }

    /// <summary>The <c>--json</c> option.</summary>
    public static Option<bool> Json() => new("--json") { Description = "Print JSON instead of text." };
}
