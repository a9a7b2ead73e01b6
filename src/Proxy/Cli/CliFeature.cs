using System.CommandLine;
using Proxy.Config;

namespace Proxy.Cli;

/// <summary>What an optional feature adds to the command line.</summary>
/// <param name="ModelVerbs">Verbs of <c>proxy models</c>.</param>
/// <param name="Checked">Adds the feature's checks of a configuration.</param>
/// <param name="Summary">The feature's lines in the summary of <c>proxy check</c>.</param>
internal sealed record CliFeature(
    Func<Surroundings, IReadOnlyList<Command>> ModelVerbs, Func<ConfigSources, ConfigSources> Checked, Func<ProxyConfig, IEnumerable<string>> Summary)
{
    /// <summary>Tries the feature's servers for <c>proxy check</c>: a sentence about each that the proxy would have to start without.</summary>
    public Func<ProxyConfig, CancellationToken, Task<IReadOnlyList<string>>> Warnings { get; init; } = static (_, _) => Task.FromResult<IReadOnlyList<string>>([]);

    public static readonly IReadOnlyList<CliFeature> All =
    [
        Inference.InferenceCli.Feature,
        NatsCli.Feature,
    ];
}
