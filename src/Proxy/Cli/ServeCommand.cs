using System.CommandLine;
using Proxy.Composition.Handoff;
using Proxy.Config;

namespace Proxy.Cli;

/// <summary><c>proxy serve</c>: reads the configuration and serves until it is stopped.</summary>
internal static class ServeCommand
{
    public static Command Make(Surroundings around, Option<string?> config)
    {
        var listen = new Option<string[]>("--listen")
        {
            Description = "An address to listen on, instead of the file's: host:port, [v6]:port or unix:/path. May be repeated.", HelpName = "ADDRESS",
        };
        var command = new Command("serve", "Start the proxy.") { listen };
        command.SetAction(async (parsed, cancellation) => (int)await RunAsync(around, parsed.GetValue(config), parsed.GetValue(listen), cancellation)
            .ConfigureAwait(false));
        return command;
    }

    private static async Task<ExitCode> RunAsync(Surroundings around, string? named, string[]? listen, CancellationToken cancellation)
    {
        // .NET reads this once, when the process opens its first socket. Callbacks then run on the thread that saw the event, which saves two thread switches
        // per event.
        Environment.SetEnvironmentVariable("DOTNET_SYSTEM_NET_SOCKETS_INLINE_COMPLETIONS", "1");

        var path = ConfigFile.Find(named, around.Environment);
        var sources = around.Sources with { Listen = listen is { Length: > 0 } ? listen : null };
        var result = ConfigFile.Load(path, sources);
        if (result.Config is not { } config)
        {
            around.Tell(path, result.Problems);
            using var inheritance = Inheritance.Take();
            inheritance.Fail(string.Join("; ", result.Problems.Select(problem => problem.In(path ?? "environment"))));
            return ExitCode.ConfigProblem;
        }

        if (path is null)
        {
            around.Error.WriteLine($"No configuration file: serving {Served(config)}. "
                + "config.example.toml shows every setting; `proxy check` checks a file.");
        }

        return await around.Host(new LoadedConfig(path, config) { Sources = sources }, cancellation).ConfigureAwait(false);
    }

    private static string Served(ProxyConfig config) => config.Backends[0].Url == BackendConfig.BuiltinEcho
        ? "the built-in echo as model \"echo\""
        : $"{config.Backends[0].Url} from LLM_BASE_URL";
}
