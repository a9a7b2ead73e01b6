using System.CommandLine;
using Proxy.Config;

namespace Proxy.Cli;

/// <summary>What an optional feature adds to the command line.</summary>
/// <param name="ModelVerbs">Verbs of <c>proxy models</c>.</param>
/// <param name="Checked">Reads a configuration with what the feature knows of it.</param>
/// <param name="Summary">Lines that <c>proxy check</c> says of a configuration besides.</param>
internal sealed record CliFeature(Func<Surroundings, IReadOnlyList<Command>> ModelVerbs, Func<ConfigSources, ConfigSources> Checked, Func<ProxyConfig, IEnumerable<string>> Summary)
{
    public static readonly IReadOnlyList<CliFeature> All =
    [
        Inference.InferenceCli.Feature,
    ];
}
