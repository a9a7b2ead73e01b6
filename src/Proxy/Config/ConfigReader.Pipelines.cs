namespace Proxy.Config;

internal static partial class ConfigReader
{
    private static readonly Dictionary<string, string> PipelineHints = new()
    {
        ["cmd"] = "write command = [\"/path/to/program\", \"argument\"]",
        ["args"] = "they follow the program: command = [\"/path/to/program\", \"argument\"]",
        ["service"] = "write unit = \"NAME@{trace_id}.service\"",
        ["template"] = "write unit = \"NAME@{trace_id}.service\"",
        ["type"] = "write launcher",
        ["kind"] = "write launcher",
        ["max_duration"] = "write timeout",
        ["retry"] = "write on_retry = \"error\" or \"restart\"",
    };

    private static PipelineConfig ReadPipeline(SectionReader section)
    {
        var defaults = new PipelineConfig { Name = "", Launcher = "" };
        return new()
        {
            Name = section.Required("name", "\"research\""),
            Launcher = section.Has("launcher")
                ? section.Choice("launcher", "", PipelineConfig.LauncherNames)
                : section.Required("launcher", "\"process\", \"jetstream\", \"systemd\" or \"dagster\""),
            Command = section.Texts("command", []),
            Unit = section.Text("unit"),
            Url = section.Text("url"),
            Job = section.Text("job"),
            Repository = section.Text("repository"),
            Location = section.Text("location"),
            Present = section.Text("present") ?? defaults.Present,
            ToolCalls = section.Choice("tool_calls", defaults.ToolCalls, "client", "reasoning", "hide"),
            Timeout = section.Time("timeout", defaults.Timeout),
            Idle = section.Time("idle", defaults.Idle),
            LaunchTimeout = section.Time("launch_timeout", defaults.LaunchTimeout),
            OnRetry = section.Choice("on_retry", defaults.OnRetry, "error", "restart"),
        };
    }
}
