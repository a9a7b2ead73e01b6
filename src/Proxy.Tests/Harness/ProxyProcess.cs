using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.RegularExpressions;

namespace Proxy.Tests.Harness;

/// <summary>
/// A running proxy: the binary that PROXY_BINARY names, else the program beside the tests.
/// Its log is read while it is written; the process is ended by its own id when the test is done.
/// </summary>
internal sealed partial class ProxyProcess : IAsyncDisposable
{
    private readonly Process process;
    private readonly string folder;
    private readonly List<int> successors = [];
    private Uri? address;

    private ProxyProcess(Process process, string folder, string adminSocket, ProxyLog log)
    {
        this.process = process;
        this.folder = folder;
        AdminSocket = adminSocket;
        Serving = process.Id;
        Log = log;
    }

    public ProxyLog Log { get; }

    /// <summary>The first TCP listener.</summary>
    public Uri Address => address ?? throw new InvalidOperationException("the proxy has no TCP listener");

    public int Id => process.Id;
    public bool HasExited => process.HasExited;
    public string ConfigFile => Path.Combine(folder, "config.toml");
    public string AdminSocket { get; }

    /// <summary>The file of a <c>[store]</c> of kind sqlite.</summary>
    public string StoreFile { get; private set; } = "";

    /// <summary>Resident memory in bytes.</summary>
    public long ResidentBytes
    {
        get
        {
            var line = File.ReadLines($"/proc/{process.Id}/status").First(line => line.StartsWith("VmRSS:", StringComparison.Ordinal));
            return 1024 * long.Parse(
                line.AsSpan(6, line.Length - 6 - 2), NumberStyles.AllowLeadingWhite | NumberStyles.AllowTrailingWhite, CultureInfo.InvariantCulture);
        }
    }

    /// <summary>Processor time used so far.</summary>
    public TimeSpan Worked
    {
        get
        {
            process.Refresh();
            return process.TotalProcessorTime;
        }
    }

    /// <summary>Starts a proxy and waits until it listens.</summary>
    /// <param name="network">The network in which it runs, if not the test's own.</param>
    /// <param name="descriptors">Its limit of file descriptors, if not that of the tests.</param>
    /// <param name="adminSocket">The path of its admin socket, if not in its own folder.</param>
    /// <param name="state">Its state folder, if not one of its own.</param>
    /// <param name="binary">Another version's binary.</param>
    public static async Task<ProxyProcess> StartAsync(
        string config, NetworkNamespace? network = null, int? descriptors = null, string? adminSocket = null, string? state = null, string? binary = null)
    {
        var proxy = Launch(config, ["serve"], adminSocket: adminSocket, network: network, descriptors: descriptors, state: state, other: binary);
        try
        {
            var listening = await proxy.Log.EventAsync("listening");
            proxy.address = new Uri(ProxyLog.Text(listening, "url")!);
            return proxy;
        }
        catch
        {
            await proxy.DisposeAsync();
            throw;
        }
    }

    /// <summary>Runs the program to its end, for a start that must fail and for the other verbs.</summary>
    public static async Task<(int ExitCode, string Output)> RunAsync(string config, params string[] arguments)
    {
        await using var proxy = Launch(config, arguments, readOutput: true);
        return await proxy.FinishAsync();
    }

    /// <summary>Runs another verb of the program beside this proxy, with its configuration and its admin socket.</summary>
    public async Task<(int ExitCode, string Output)> CommandAsync(params string[] arguments)
    {
        var config = await File.ReadAllTextAsync(ConfigFile);
        await using var command = Launch(config, arguments, readOutput: true, AdminSocket, state: Path.GetDirectoryName(StoreFile));
        return await command.FinishAsync();
    }

    /// <summary>The process that serves: this one, or the one that took over last.</summary>
    public int Serving { get; private set; }

    /// <summary>Hands over to a new process of the program, which ends with this object.</summary>
    public async Task<(int ExitCode, string Output)> HandoffAsync(params string[] arguments)
    {
        var result = await CommandAsync(["handoff", .. arguments]);
        if (Successor().Match(result.Output) is { Success: true } found)
        {
            Serving = int.Parse(found.Groups[1].Value, CultureInfo.InvariantCulture);
            successors.Add(Serving);
        }

        return result;
    }

    /// <summary>Whether a process exists and has not ended.</summary>
    public static bool IsAlive(int process)
    {
        try
        {
            return !File.ReadAllText($"/proc/{process}/stat").Contains(") Z ", StringComparison.Ordinal);
        }
        catch (IOException)
        {
            return false;
        }
    }

    /// <summary>Sends a signal to all processes of this service, as systemd does when it stops one.</summary>
    public void SignalAll(PosixSignal signal)
    {
        foreach (var id in successors.Append(process.Id).Where(IsAlive)) _ = Kill(id, Number(signal));
    }

    /// <summary>How the program is started: its path, and arguments before its own.</summary>
    /// <param name="other">Another version's binary.</param>
    public static string[] Program(string? other = null) => (other ?? Environment.GetEnvironmentVariable("PROXY_BINARY")) is { Length: > 0 } binary
        ? [Path.GetFullPath(binary)]
        : ["dotnet", Path.Combine(AppContext.BaseDirectory, "proxy.dll")];

    /// <summary>Ends it at once, as a crash does.</summary>
    public Task KillAsync()
    {
        process.Kill();
        return Patience.For(process.WaitForExitAsync(), "the proxy's end");
    }

    private async Task<(int ExitCode, string Output)> FinishAsync()
    {
        var output = process.StandardOutput.ReadToEndAsync();
        var exit = await ExitAsync();
        return (exit, await output + string.Join('\n', Log.Strays.Concat(Log.Lines.Select(line => line.GetRawText()))));
    }

    public void Signal(PosixSignal signal)
    {
        if (Kill(process.Id, Number(signal)) != 0)
            throw new InvalidOperationException($"the signal {signal} did not reach process {process.Id}");
    }

    private static int Number(PosixSignal signal) =>
        signal switch { PosixSignal.SIGTERM => 15, PosixSignal.SIGHUP => 1, _ => throw new ArgumentOutOfRangeException(nameof(signal)) };

    public async Task<int> ExitAsync()
    {
        await Patience.For(process.WaitForExitAsync(), "the proxy's end");
        return process.ExitCode;
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var successor in successors)
        {
            _ = Kill(successor, 9);
            await Patience.Until(() => Task.FromResult(!IsAlive(successor)), "the end of the process that took over");
        }

        if (!process.HasExited)
        {
            process.Kill();
            await Patience.For(process.WaitForExitAsync(), "the proxy's end");
        }

        process.Dispose();
        Directory.Delete(folder, recursive: true);
    }

    private static ProxyProcess Launch(
        string config, string[] arguments, bool readOutput = false, string? adminSocket = null, NetworkNamespace? network = null, int? descriptors = null,
        string? state = null, string? other = null)
    {
        var folder = Directory.CreateTempSubdirectory("proxy-test-").FullName;
        File.WriteAllText(Path.Combine(folder, "config.toml"), config);

        var program = Program(other);
        if (descriptors is { } most)
            program = ["/bin/sh", "-c", $"ulimit -n {most} && exec \"$@\"", "sh", .. program];
        var start = network?.Within(program[0], program[1..]) ?? new ProcessStartInfo(program[0], program[1..]);
        (start.RedirectStandardError, start.RedirectStandardOutput, start.WorkingDirectory) = (true, true, folder);
        start.RedirectStandardInput = readOutput;
        if (program.Contains("dotnet"))
        {
            // Here a quick start matters more than the best throughput.
            start.Environment["DOTNET_TieredPGO"] = "0";
            start.Environment["DOTNET_TieredCompilation"] = "1";
        }

        foreach (var argument in arguments)
            start.ArgumentList.Add(argument);
        // Commands to a running proxy take no file.
        if (arguments[0] is not ("reload" or "calls" or "drain" or "streams" or "stream" or "usage" or "forget" or "handoff"))
        {
            start.ArgumentList.Add("--config");
            start.ArgumentList.Add(Path.Combine(folder, "config.toml"));
        }

        start.Environment["PROXY_ADMIN_SOCKET"] = adminSocket ??= Path.Combine(folder, "admin.sock");
        start.Environment["STATE_DIRECTORY"] = state ??= Path.Combine(folder, "state");
        // Variables from the environment of the tests must not reach the proxy under test.
        foreach (var name in new[] { "LISTEN_FDS", "LISTEN_PID", "NOTIFY_SOCKET", "WATCHDOG_USEC", "LLM_BASE_URL", "DATABASE_URL", "NATS_URL", "PROXY_LISTEN",
            "PROXY_CONFIG", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "OTEL_EXPORTER_OTLP_ENDPOINT" })
            start.Environment.Remove(name);

        var log = new ProxyLog();
        // To analyse a failure: a folder that keeps the output of each proxy.
        var copy = Environment.GetEnvironmentVariable("PROXY_TEST_LOGS") is { Length: > 0 } logs ? Path.Combine(logs, Path.GetFileName(folder) + ".log") : null;
        var process = new Process { StartInfo = start };
        process.ErrorDataReceived += (_, line) =>
        {
            if (line.Data is null)
                log.Close();
            else
                log.Add(line.Data);
            if (copy is not null)
                File.AppendAllText(copy, line.Data + "\n");
        };
        process.Start();
        if (readOutput) process.StandardInput.Close(); // a question gets no answer
        process.BeginErrorReadLine();
        if (!readOutput)
            process.BeginOutputReadLine();
        return new ProxyProcess(process, folder, adminSocket, log) { StoreFile = Path.Combine(state, "proxy.db") };
    }

    [GeneratedRegex("process ([0-9]+) serves now")]
    private static partial Regex Successor();

    [LibraryImport("libc", EntryPoint = "kill")]
    internal static partial int Kill(int process, int signal);
}
