using System.Diagnostics;
using System.Runtime.InteropServices;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Sdk;

/// <summary>Runs third-party clients in their own languages. They are installed once under <c>.build/</c> in pinned versions and run as processes.</summary>
internal static class Script
{
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(4);
    private static readonly Lazy<Task<string>> Node = new(InstallNodeAsync);
    private static readonly Lazy<Task<string>> Python = new(InstallPythonAsync); // lazy, so that the package index is contacted at most once
    private static readonly Lazy<Task<string>> Dagster = new(InstallDagsterAsync);
    private static readonly Lazy<Task<string>> Agents = new(InstallAgentsAsync);
    private static readonly Lazy<Task<string>> Workers = new(InstallWorkersAsync);

    /// <summary>The folder that holds Proxy.sln.</summary>
    public static string Root { get; } = FindRoot();

    private static string Sources => Path.Combine(Root, "src", "Proxy.Tests", "Sdk");

    /// <summary>Runs one of our scripts against the proxy and returns the checks that it reports as passed.</summary>
    /// <param name="more">Arguments after the proxy's address.</param>
    public static async Task<IReadOnlyList<string>> NodeAsync(string script, Uri proxy, params string[] more)
    {
        var folder = await Node.Value;
        return Worked(await RunAsync(folder, "node", [script, proxy.GetLeftPart(UriPartial.Authority), .. more]));
    }

    /// <inheritdoc cref="NodeAsync"/>
    public static async Task<IReadOnlyList<string>> PythonAsync(string script, Uri proxy, params string[] more)
    {
        var folder = await Python.Value;
        return Worked(await RunAsync(folder, Path.Combine(folder, "bin", "python"),
            [Path.Combine(Sources, "python", script), proxy.GetLeftPart(UriPartial.Authority), .. more]));
    }

    /// <summary>The folder with the packages for node and our scripts.</summary>
    public static Task<string> NodeFolderAsync() => Node.Value;

    /// <summary>The folder of a Python environment with Dagster.</summary>
    public static Task<string> DagsterFolderAsync() => Dagster.Value;

    /// <summary>The folder with the coding agents' packages.</summary>
    public static Task<string> AgentsFolderAsync() => Agents.Value;

    /// <summary>Starts a worker of <c>packaging/workers</c>, in a folder that also has <c>stuck.mjs</c>, whose jobs say nothing.</summary>
    public static async Task<RunningScript> WorkerAsync(
        string program, IReadOnlyList<string> arguments, IReadOnlyList<(string Name, string Value)> environment) =>
        new(await Workers.Value, program, arguments, environment);

    private static async Task<string> InstallWorkersAsync()
    {
        var folder = Path.Combine(Root, ".build", "sdk", "workers");
        Directory.CreateDirectory(folder);
        foreach (var file in Directory.GetFiles(Path.Combine(Root, "packaging", "workers")))
            File.Copy(file, Path.Combine(folder, Path.GetFileName(file)), overwrite: true);
        await File.WriteAllTextAsync(Path.Combine(folder, "stuck.mjs"), "export default () => new Promise(() => {});\n");
        await OnceAsync(folder, await File.ReadAllTextAsync(Path.Combine(folder, "package.json")), () =>
            MustRunAsync(folder, "npm", ["install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund"]));
        return folder;
    }

    private static async Task<string> InstallAgentsAsync()
    {
        var folder = Path.Combine(Root, ".build", "sdk", "agents");
        Directory.CreateDirectory(folder);
        foreach (var file in Directory.GetFiles(Path.Combine(Sources, "agents")))
            File.Copy(file, Path.Combine(folder, Path.GetFileName(file)), overwrite: true);

        // Each agent consists of a small package and one for each platform; npm picks the right one.
        await OnceAsync(folder, await File.ReadAllTextAsync(Path.Combine(folder, "package-lock.json")), () =>
            MustRunAsync(folder, "npm", ["install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund"]));
        return folder;
    }

    private static async Task<string> InstallNodeAsync()
    {
        var folder = Path.Combine(Root, ".build", "sdk", "node");
        Directory.CreateDirectory(folder);
        // Node looks for modules beside the script, so the scripts are copied to the modules' folder.
        foreach (var file in Directory.GetFiles(Path.Combine(Sources, "node")))
            File.Copy(file, Path.Combine(folder, Path.GetFileName(file)), overwrite: true);

        await OnceAsync(folder, await File.ReadAllTextAsync(Path.Combine(folder, "package-lock.json")), async () =>
        {
            // Install scripts of packages do not run; the engine is a prebuilt package for this platform.
            var engine = RuntimeInformation.OSArchitecture == Architecture.Arm64 ? "@node-llama-cpp/linux-arm64@3.22.1" : "@node-llama-cpp/linux-x64@3.22.1";
            // Not `npm ci`: it requires the engine's packages for all other platforms too, which not every registry has.
            await MustRunAsync(folder, "npm", ["install", "--no-save", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund", engine]);
        });
        return folder;
    }

    private static Task<string> InstallPythonAsync() =>
        InstallPythonAsync("python", Path.Combine(Sources, "python", "requirements.txt"), "openai", "sdk");

    private static Task<string> InstallDagsterAsync() =>
        InstallPythonAsync("dagster", Path.Combine(Root, "packaging", "dagster", "requirements.txt"), "dagster", "dagster", "sdk");

    /// <param name="name">The folder of its environment.</param>
    /// <param name="requirements">The file that names the packages.</param>
    /// <param name="probe">One of them, by which an index is tried.</param>
    /// <param name="mirrors">Folders of the mirror that have them.</param>
    private static async Task<string> InstallPythonAsync(string name, string requirements, string probe, params string[] mirrors)
    {
        var folder = Path.Combine(Root, ".build", "sdk", name);
        Directory.CreateDirectory(folder);
        await OnceAsync(folder, await File.ReadAllTextAsync(requirements), async () =>
        {
            await MustRunAsync(folder, "python3", ["-m", "venv", "--clear", folder]);
            var python = Path.Combine(folder, "bin", "python");
            // A mirror beside the repository serves machines that cannot reach a package index.
            string[] wheels = [.. mirrors.Select(static mirror => Path.Combine(Root, "..", "shared", "wheels", mirror))];
            string[] from = ["--no-index", .. wheels.SelectMany(static folder => new[] { "--find-links", folder })];
            if (!wheels.All(Directory.Exists))
            {
                var (reached, _) = await RunAsync(folder, python,
                    ["-m", "pip", "index", "versions", probe, "--retries", "0", "--timeout", "5", "--disable-pip-version-check"]);
                Assert.SkipUnless(reached == 0, "needs a Python package index, and pip reaches none: name one in PIP_INDEX_URL");
                from = [];
            }

            await MustRunAsync(folder, python, ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", .. from, "-r", requirements]);
        });
        return folder;
    }

    /// <summary>Installs, unless exactly the same content was installed before.</summary>
    private static async Task OnceAsync(string folder, string what, Func<Task> install)
    {
        var stamp = Path.Combine(folder, "installed");
        if (File.Exists(stamp) && await File.ReadAllTextAsync(stamp) == what)
            return;

        await install();
        await File.WriteAllTextAsync(stamp, what);
    }

    private static async Task MustRunAsync(string folder, string program, IReadOnlyList<string> arguments)
    {
        var (exit, output) = await RunAsync(folder, program, arguments);
        Assert.True(exit == 0, $"{program} {string.Join(' ', arguments)} ended with {exit}:\n{output}");
    }

    private static async Task<(int Exit, string Output)> RunAsync(string folder, string program, IReadOnlyList<string> arguments)
    {
        using var process = new Process { StartInfo = new ProcessStartInfo(program, arguments) { WorkingDirectory = folder, RedirectStandardOutput = true,
            RedirectStandardError = true } };
        process.StartInfo.Environment["PYTHONUTF8"] = "1";
        foreach (var name in new[] { "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy" }
            .Where(_ => program is not "npm" && !arguments.Contains("pip")))
            process.StartInfo.Environment.Remove(name);
        process.Start();
        try
        {
            var output = process.StandardOutput.ReadToEndAsync();
            var errors = process.StandardError.ReadToEndAsync();
            await Patience.For(process.WaitForExitAsync(), $"the end of {program} {string.Join(' ', arguments)}", Limit);
            return (process.ExitCode, await output + await errors);
        }
        finally
        {
            if (!process.HasExited)
                process.Kill(entireProcessTree: true);
        }
    }

    private static string[] Worked((int Exit, string Output) run)
    {
        Assert.True(run.Exit == 0, run.Output);
        return [.. run.Output.Split('\n').Where(line => line.StartsWith("ok ", StringComparison.Ordinal)).Select(line => line[3..].Trim())];
    }

    private static string FindRoot()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(folder.FullName, "Proxy.sln")))
            folder = folder.Parent ?? throw new InvalidOperationException("the tests run outside their repository");
        return folder.FullName;
    }
}
