using System.Collections;

namespace Proxy.Composition.Handoff;

/// <summary>How this process was started: with which program and arguments. A new binary at the same path is started in the same way.</summary>
/// <param name="Program">The path of the program, and what comes before the proxy's own arguments.</param>
/// <param name="Arguments">The proxy's own arguments.</param>
internal sealed record StartCommand(IReadOnlyList<string> Program, IReadOnlyList<string> Arguments)
{
    /// <summary>Variables that are meant for one process alone.</summary>
    private static readonly string[] OfOneProcess = ["WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", HandoffPlan.Variable];

    /// <summary>This process's own program, even after its file was replaced.</summary>
    public IReadOnlyList<string> Self => Program is [var only] ? [File.Exists("/proc/self/exe") ? "/proc/self/exe" : only] : Program;

    /// <summary>Call it at the start: later, the system names the file differently if it was replaced.</summary>
    public static StartCommand OfProcess()
    {
        var words = Environment.GetCommandLineArgs();
        var path = Environment.ProcessPath ?? words[0];
        string[] arguments = [.. words.Skip(1)];
        if (words[0].EndsWith(".dll", StringComparison.Ordinal)) return new([path, Path.GetFullPath(words[0])], arguments); // run by dotnet
        // The path as it was given may be a link that leads to another file after an upgrade.
        return new([words[0].Contains('/', StringComparison.Ordinal) ? Path.GetFullPath(words[0]) : path], arguments);
    }

    /// <summary>The environment of a process that takes over, as <c>NAME=value</c>.</summary>
    public static IReadOnlyList<string> EnvironmentWith(string plan)
    {
        var variables = new List<string> { $"{HandoffPlan.Variable}={plan}" };
        foreach (DictionaryEntry one in Environment.GetEnvironmentVariables())
        {
            if (!OfOneProcess.Contains((string)one.Key)) variables.Add($"{one.Key}={one.Value}");
        }

        return variables;
    }
}
