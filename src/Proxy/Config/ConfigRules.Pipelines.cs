using System.Text.RegularExpressions;

namespace Proxy.Config;

internal static partial class ConfigRules
{
    private static IEnumerable<ConfigProblem> Pipelines(ProxyConfig config)
    {
        for (var i = 0; i < config.Pipelines.Count; i++)
        {
            foreach (var problem in Pipeline(config.Pipelines[i], $"pipelines[{i}]", config)) yield return problem;
        }

        foreach (var problem in Twins(config.Pipelines, static pipeline => pipeline.Name, "pipelines", "name")) yield return problem;
    }

    private static IEnumerable<ConfigProblem> Pipeline(PipelineConfig pipeline, string path, ProxyConfig config)
    {
        if (pipeline.Name.Length > 0 && !PipelineName().IsMatch(pipeline.Name))
            yield return new($"{path}.name", 0, $"\"{pipeline.Name}\" is not a pipeline's name; "
                + "write small letters, digits, \"-\" and \"_\" (at most 64), and no \"-\" or \"_\" first");
        if (!Present().IsMatch(pipeline.Present))
            yield return new(
                $"{path}.present", 0, $"\"{pipeline.Present}\" is no way to present an answer; write \"first\", \"winner\" or \"task:NAME\"");
        foreach (var (clock, time) in new[] { ("timeout", pipeline.Timeout), ("idle", pipeline.Idle), ("launch_timeout", pipeline.LaunchTimeout) })
            if (time <= TimeSpan.Zero) yield return new($"{path}.{clock}", 0, "leaves no time; write a longer one");
        foreach (var problem in Launch(pipeline, path)) yield return problem;
        if (pipeline.Launcher is "jetstream" or "systemd" or "dagster" && config.Nats is null)
            yield return new($"{path}.launcher", 0, $"\"{pipeline.Launcher}\" needs a NATS server, by which the job's events come; "
                + "add [nats] with its url, or set NATS_URL");
    }

    /// <summary>What each launcher needs, and what only another one reads.</summary>
    private static IEnumerable<ConfigProblem> Launch(PipelineConfig pipeline, string path)
    {
        if (!PipelineConfig.LauncherNames.Contains(pipeline.Launcher)) yield break; // the reader has already noted it
        if (pipeline is { Launcher: "process", Command.Count: 0 })
            yield return new($"{path}.command", 0, "is missing; write command = [\"/path/to/program\", \"argument\"]");
        if (pipeline.Command is [var program, ..] && !program.StartsWith('/'))
            yield return new($"{path}.command[0]", 0, $"\"{program}\" is not an absolute path; write the whole path of the program");
        if (pipeline is { Launcher: "systemd", Unit: null })
            yield return new($"{path}.unit", 0, "is missing; write unit = \"NAME@{trace_id}.service\", an instance of a template unit");
        if (pipeline.Unit is { } unit && !TemplateUnit().IsMatch(unit))
            yield return new($"{path}.unit", 0, $"\"{unit}\" is not an instance of a template; "
                + "write \"NAME@{trace_id}.service\", with letters, digits, \"-\" and \"_\" in NAME");
        if (pipeline is { Launcher: "dagster", Url: null })
            yield return new($"{path}.url", 0, "is missing; write the address of Dagster's web server, such as \"http://127.0.0.1:3000\"");
        if (pipeline is { Launcher: "dagster", Job: null }) yield return new($"{path}.job", 0, "is missing; write the name of Dagster's job");
        if (pipeline.Url is { } url && !(Uri.TryCreate(url, UriKind.Absolute, out var uri) && uri.Scheme is "http" or "https" && uri.UserInfo.Length == 0))
            yield return new($"{path}.url", 0, "is not the address of a web server; write \"http://HOST:PORT\"");
        foreach (var (key, isSet, launcher) in new[]
        {
            ("command", pipeline.Command.Count > 0, "process"), ("unit", pipeline.Unit is not null, "systemd"), ("url", pipeline.Url is not null, "dagster"),
            ("job", pipeline.Job is not null, "dagster"), ("repository", pipeline.Repository is not null, "dagster"),
            ("location", pipeline.Location is not null, "dagster"),
        })
            if (isSet && pipeline.Launcher != launcher)
                yield return new($"{path}.{key}", 0, $"is for the launcher \"{launcher}\", and this pipeline has \"{pipeline.Launcher}\"; leave it out");
    }

    [GeneratedRegex("^[a-z0-9][a-z0-9_-]{0,63}$")]
    private static partial Regex PipelineName();

    [GeneratedRegex("^(first|winner|task:.+)$")]
    private static partial Regex Present();

    /// <summary>The instance is the whole of what may differ, for the service may start these units and no others.</summary>
    [GeneratedRegex(@"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}@\{trace_id\}\.service$")]
    private static partial Regex TemplateUnit();
}
