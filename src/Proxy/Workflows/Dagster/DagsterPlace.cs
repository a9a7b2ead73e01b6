using System.Text;
using Proxy.Config;

namespace Proxy.Workflows.Dagster;

/// <summary>Where a job is: Dagster's names of its code location and of the repository in it.</summary>
internal sealed record DagsterPlace(string Location, string Repository)
{
    /// <summary>The code location and repository that have the pipeline's job: those of the configuration, or the only ones.</summary>
    /// <exception cref="LaunchException">No place has it, or several; or there is no answer.</exception>
    public static async Task<DagsterPlace> FindAsync(
        DagsterServer server, PipelineConfig pipeline, TimeSpan patience, CancellationToken cancellation)
    {
        var url = pipeline.Url!;
        var answer = await server.AskAsync(url, DagsterServer.Question(DagsterSchema.Jobs), patience, cancellation).ConfigureAwait(false);
        if (DagsterServer.Text(answer, "__typename"u8) is not "RepositoryConnection") throw DagsterServer.Refused(url, answer);
        DagsterPlace? found = null;
        StringBuilder places = new(), jobs = new();
        var count = 0;
        foreach (var node in DagsterServer.List(answer, "nodes"u8))
        {
            var place = new DagsterPlace(DagsterServer.Text(DagsterServer.Part(node, "location"u8), "name"u8) ?? "", DagsterServer.Text(node, "name"u8) ?? "");
            if (pipeline.Location is { } location && location != place.Location) continue;
            if (pipeline.Repository is { } repository && repository != place.Repository) continue;
            foreach (var job in DagsterServer.List(node, "jobs"u8))
            {
                var name = DagsterServer.Text(job, "name"u8) ?? "";
                if (name.StartsWith("__", StringComparison.Ordinal)) continue; // Dagster's own, such as the job of all assets
                jobs.Append(jobs.Length == 0 ? "" : ", ").Append(name);
                if (name != pipeline.Job) continue;
                places.Append(count++ == 0 ? "" : ", ").Append($"location \"{place.Location}\" with repository \"{place.Repository}\"");
                found = place;
            }
        }

        if (count > 1)
            throw new LaunchException(
                $"the job {pipeline.Job} is in several places of Dagster at {url}: {places}; name one in the pipeline's location and repository");
        return found ?? throw new LaunchException($"Dagster at {url} has no job {pipeline.Job}{Where(pipeline)}; "
            + (jobs.Length > 0 ? $"it has {DagsterServer.Quote(jobs.ToString())}" : "it has loaded no jobs, and its own page of deployments says why"));
    }

    private static string Where(PipelineConfig pipeline) =>
        (pipeline.Location is { } location ? $" in the location {location}" : "")
        + (pipeline.Repository is { } repository ? $" in the repository {repository}" : "");
}
