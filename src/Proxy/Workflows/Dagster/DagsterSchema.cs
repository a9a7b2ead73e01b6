using System.Text;
using System.Text.Json;

namespace Proxy.Workflows.Dagster;

/// <summary>
/// What is asked of Dagster. Its GraphQL may change with any release, so that what is used of it is looked for before the first launch: a member that is
/// missing later would be a run that nobody watches.
/// </summary>
internal static class DagsterSchema
{
    public const string Jobs =
        "{ repositoriesOrError { __typename ... on RepositoryConnection { nodes { name location { name } jobs { name } } } ... on Error { message } } }";

    public const string Find = """
        query($tags: [ExecutionTag!]!) { runsOrError(filter: {tags: $tags}, limit: 1) {
          __typename ... on Runs { results { runId } } ... on Error { message } } }
        """;

    public const string Launch = """
        mutation($params: ExecutionParams!) { launchRun(executionParams: $params) {
          __typename ... on LaunchRunSuccess { run { runId } } ... on RunConfigValidationInvalid { errors { message } } ... on Error { message } } }
        """;

    public const string Status = "query($run: ID!) { runOrError(runId: $run) { __typename ... on Run { status } ... on Error { message } } }";

    public const string Terminate = """
        mutation($run: String!, $policy: TerminateRunPolicy!) { terminateRun(runId: $run, terminatePolicy: $policy) { __typename } }
        """;

    public const string Log = """
        query($run: ID!, $after: String) { logsForRun(runId: $run, afterCursor: $after) { __typename ... on EventConnection { cursor hasMore events { __typename
          ... on ExecutionStepFailureEvent { stepKey error { message causes { message } } } ... on RunFailureEvent { message error { message } } } } } }
        """;

    /// <summary>The members that these questions use, by type.</summary>
    private static readonly (string Type, string[] Members)[] Used =
    [
        ("Query", ["repositoriesOrError", "runsOrError", "runOrError", "logsForRun"]),
        ("Mutation", ["launchRun", "terminateRun"]),
        ("ExecutionParams", ["selector", "runConfigData", "executionMetadata"]),
        ("JobOrPipelineSelector", ["repositoryName", "repositoryLocationName", "jobName"]),
        ("ExecutionMetadata", ["tags"]),
        ("ExecutionTag", ["key", "value"]),
        ("RunsFilter", ["tags"]),
        ("TerminateRunPolicy", ["SAFE_TERMINATE", "MARK_AS_CANCELED_IMMEDIATELY"]),
        ("LaunchRunSuccess", ["run"]),
        ("Run", ["runId", "status"]),
    ];

    /// <summary>Asks for the members of one type, all in the same shape.</summary>
    public const string Probe = "query($type: String!) { __type(name: $type) { fields { name } inputFields { name } enumValues { name } } }";

    /// <summary>Looks for everything that is used.</summary>
    /// <exception cref="LaunchException">Something is missing, and its message names it; or there is no answer.</exception>
    public static async Task ProbeAsync(DagsterServer server, string url, TimeSpan patience, CancellationToken cancellation)
    {
        var missing = new StringBuilder();
        foreach (var (type, members) in Used)
        {
            var found = await server.AskAsync(url, DagsterServer.Question(Probe, json => json.WriteString("type"u8, type)), patience, cancellation)
                .ConfigureAwait(false);
            foreach (var member in members)
                if (!Has(found, member)) missing.Append(missing.Length == 0 ? "" : ", ").Append(type).Append('.').Append(member);
        }

        if (missing.Length > 0)
            throw new LaunchException(
                $"Dagster at {url} has another GraphQL schema than the proxy knows: {missing} is missing; use a release of Dagster that has it");
    }

    private static bool Has(JsonElement type, string member)
    {
        foreach (var kind in (ReadOnlySpan<string>)["fields", "inputFields", "enumValues"])
            if (type.ValueKind is JsonValueKind.Object && type.TryGetProperty(kind, out var list) && list.ValueKind is JsonValueKind.Array)
                foreach (var one in list.EnumerateArray())
                    if (DagsterServer.Text(one, "name"u8) == member) return true;
        return false;
    }
}
