using System.CommandLine;
using System.CommandLine.Invocation;

namespace Proxy.Cli;

/// <summary>The command line as a whole: every verb, what they share, and the process's exit code.</summary>
internal static class ProxyCommand
{
    private const string Description = """
        The front door to local LLM hosts.

        Exit codes: 0 done, or healthy; 1 it did not work, or not healthy; 2 the command line is wrong;
        3 the configuration has problems (they are printed); 4 no proxy answers on the admin socket.
        """;

    public static Task<int> RunAsync(string[] args) => RunAsync(args, Surroundings.Process, CancellationToken.None);

    public static async Task<int> RunAsync(IReadOnlyList<string> args, Surroundings around, CancellationToken cancellation)
    {
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
            HealthcheckCommand.Make(around, config),
            ModelsCommand.Make(around, config),
            KeysCommand.Make(around),
            ReloadCommand.Make(around),
            VersionCommand.Make(around),
            CompletionCommand.Make(around),
        };

        var parsed = root.Parse(args);
        // A slip wants one line that says so, not a page of help; no command at all wants the page.
        if (parsed.Action is ParseErrorAction slip) slip.ShowHelp = args.Count == 0;
        var settings = new InvocationConfiguration
        {
            Output = around.Output,
            Error = around.Error,
            // Signals are the server's own business: its streams end in their own time.
            ProcessTerminationTimeout = null,
        };
        var code = await parsed.InvokeAsync(settings, cancellation).ConfigureAwait(false);
        return parsed.Action is ParseErrorAction ? (int)ExitCode.Usage : code;
    }

    /// <summary>The option of every command that prints a table.</summary>
    public static Option<bool> Json() => new("--json") { Description = "Print JSON instead of text." };
}
