using Proxy.Composition;
using Proxy.Config;

namespace Proxy.Cli;

/// <summary>Everything outside itself that a command uses: its outputs, the environment, the server that it starts.</summary>
internal sealed record Surroundings(TextWriter Output, TextWriter Error, Func<string, string?> Environment)
{
    public static Surroundings Process =>
        new(Console.Out, Console.Error, System.Environment.GetEnvironmentVariable) {
            IsTerminal = !Console.IsErrorRedirected, OutputIsTerminal = !Console.IsOutputRedirected, ReadLine = Console.ReadLine,
            Input = Console.OpenStandardInput,
        };

    public Func<LoadedConfig, CancellationToken, Task<ExitCode>> Host { get; init; } = ProxyHost.RunAsync;

    /// <summary>The user's answer to a question; null: there is none to ask.</summary>
    public Func<string?> ReadLine { get; init; } = static () => null;

    /// <summary>Opens the standard input.</summary>
    public Func<Stream> Input { get; init; } = static () => Stream.Null;

    /// <summary>The folder in which the kernel shows processes.</summary>
    public string Processes { get; init; } = "/proc";

    /// <summary>Whether <see cref="Error"/> is a terminal.</summary>
    public bool IsTerminal { get; init; }

    /// <summary>Whether <see cref="Output"/> is a terminal.</summary>
    public bool OutputIsTerminal { get; init; }

    public ConfigSources Sources =>
        CliFeature.All.Aggregate(new ConfigSources { Environment = Environment }, static (sources, feature) => feature.Checked(sources));

    /// <summary>Writes problems to stderr, one per line, in the form that editors jump to.</summary>
    public void Tell(string? path, IReadOnlyList<ConfigProblem> problems)
    {
        foreach (var problem in problems) Error.WriteLine(problem.In(path ?? "environment"));
    }
}
