using Proxy.Composition;
using Proxy.Config;

namespace Proxy.Cli;

/// <summary>What a command touches outside itself: where it writes, the environment it reads, the server it starts.</summary>
internal sealed record Surroundings(TextWriter Output, TextWriter Error, Func<string, string?> Environment)
{
    public static Surroundings Process => new(Console.Out, Console.Error, System.Environment.GetEnvironmentVariable) { IsTerminal = !Console.IsErrorRedirected };

    public Func<LoadedConfig, CancellationToken, Task<ExitCode>> Host { get; init; } = ProxyHost.RunAsync;

    /// <summary>Whether <see cref="Error"/> is read by a person as it is written.</summary>
    public bool IsTerminal { get; init; }

    public ConfigSources Sources => CliFeature.All.Aggregate(new ConfigSources { Environment = Environment }, static (sources, feature) => feature.Checked(sources));

    /// <summary>Problems to stderr, one a line, in the form that editors jump to.</summary>
    public void Tell(string? path, IReadOnlyList<ConfigProblem> problems)
    {
        foreach (var problem in problems) Error.WriteLine(problem.In(path ?? "environment"));
    }
}
