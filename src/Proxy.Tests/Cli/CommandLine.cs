using Proxy.Cli;

namespace Proxy.Tests.Cli;

/// <summary>Runs the program's command line inside the test, in a folder and an environment of its own, and captures output, errors and exit code.</summary>
internal sealed class CommandLine : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("proxy-cli-").FullName;

    public CommandLine() => Environment = new() { ["PROXY_ADMIN_SOCKET"] = AdminSocket, ["PROXY_CONFIG"] = ConfigPath };

    public Dictionary<string, string> Environment { get; }

    public string AdminSocket => Path.Combine(folder, "admin.sock");

    /// <summary>Takes the place of /proc. It need not exist.</summary>
    public string Processes => Path.Combine(folder, "proc");

    public string ConfigPath => Path.Combine(folder, "config.toml");

    public string Config
    {
        set => File.WriteAllText(ConfigPath, value);
    }

    public string InFolder(string name) => Path.Combine(folder, name);

    public async Task<(ExitCode Code, string Output, string Error)> RunAsync(string line, Func<Surroundings, Surroundings>? change = null)
    {
        using var output = new StringWriter();
        using var error = new StringWriter();
        var around = new Surroundings(output, error, Environment.GetValueOrDefault) { Processes = Processes };
        if (change is not null) around = change(around);

        var code = await ProxyCommand.RunAsync(line.Split(' ', StringSplitOptions.RemoveEmptyEntries), around, TestContext.Current.CancellationToken);
        return ((ExitCode)code, output.ToString(), error.ToString());
    }

    public void Dispose() => Directory.Delete(folder, recursive: true);
}
