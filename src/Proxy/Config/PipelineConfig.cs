namespace Proxy.Config;

/// <summary>One <c>[[pipelines]]</c> entry: a workflow that answers chats like a model.</summary>
internal sealed record PipelineConfig
{
    /// <summary>What clients ask for, in <c>x-pipeline</c> or as the model <c>pipeline/NAME</c>.</summary>
    public required string Name { get; init; }

    /// <summary>How its jobs are started: <see cref="LauncherNames"/>.</summary>
    public required string Launcher { get; init; }

    /// <summary>The program and its arguments, for <c>process</c>.</summary>
    public IReadOnlyList<string> Command { get; init; } = [];

    /// <summary>The unit to start, for <c>systemd</c>: an instance of a template whose name is <c>{trace_id}</c>.</summary>
    public string? Unit { get; init; }

    /// <summary>Dagster's web server, for <c>dagster</c>.</summary>
    public string? Url { get; init; }

    /// <summary>The names of Dagster's job, and of the repository and code location that have it; null: the only one.</summary>
    public string? Job { get; init; }
    public string? Repository { get; init; }
    public string? Location { get; init; }

    /// <summary>Which branch of the workflow the client sees: <c>first</c>, <c>winner</c>, or <c>task:NAME</c>.</summary>
    public string Present { get; init; } = "first";

    /// <summary>What becomes of calls of tools that the client did not offer: <c>client</c>, <c>reasoning</c> or <c>hide</c>.</summary>
    public string ToolCalls { get; init; } = "reasoning";

    /// <summary>The most time for a job.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>The longest silence of a job.</summary>
    public TimeSpan Idle { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>The most time until a job that was accepted runs.</summary>
    public TimeSpan LaunchTimeout { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>What happens when another attempt of the job speaks after the client has content: <c>error</c> or <c>restart</c>.</summary>
    public string OnRetry { get; init; } = "error";

    public const string WinningBranch = "winner";
    public const string TaskPrefix = "task:";

    /// <summary>What <see cref="Unit"/> has in the place of the instance's name.</summary>
    public const string TraceIdPlace = "{trace_id}";

    /// <summary>The launchers, in the order in which messages name them.</summary>
    public static readonly string[] LauncherNames = ["process", "jetstream", "systemd", "dagster"];
}
