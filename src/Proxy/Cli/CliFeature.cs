using System.CommandLine;
using Proxy.Cli.Doctor;
using Proxy.Config;

namespace Proxy.Cli;

/// <summary>What an optional feature adds to the command line.</summary>
/// <param name="Verbs">Verbs of <c>proxy</c>. The option is <c>--config</c>.</param>
/// <param name="ModelVerbs">Verbs of <c>proxy models</c>.</param>
/// <param name="Checked">Adds the feature's checks of a configuration.</param>
/// <param name="Summary">The feature's lines in the summary of <c>proxy check</c>.</param>
/// <param name="Warnings">What keeps the feature from working although the configuration is valid, one line each, for <c>proxy check</c>.</param>
internal sealed record CliFeature(
    Func<Surroundings, Option<string?>, IReadOnlyList<Command>> Verbs, Func<Surroundings, IReadOnlyList<Command>> ModelVerbs,
    Func<ConfigSources, ConfigSources> Checked, Func<ProxyConfig, IEnumerable<string>> Summary,
    Func<ProxyConfig, CancellationToken, ValueTask<IReadOnlyList<string>>> Warnings)
{
    /// <summary>The feature's checks in <c>proxy doctor</c>.</summary>
    public Func<Installation, IEnumerable<DoctorCheck>> Checks { get; init; } = static _ => [];

    /// <summary>A feature that adds nothing, to be changed with <c>with</c>.</summary>
    public static readonly CliFeature None =
        new(static (_, _) => [], static _ => [], static sources => sources, static _ => [], static (_, _) => new(Array.Empty<string>()));

    public static readonly IReadOnlyList<CliFeature> All =
    [
        Inference.InferenceCli.Feature,
        Store.StoreCli.Feature,
        Knowledge.KnowledgeCli.Feature,
        NatsCli.Feature,
        Workflows.WorkflowsCli.Feature,
    ];
}
