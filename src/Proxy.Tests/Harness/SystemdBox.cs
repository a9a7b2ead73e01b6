using System.Diagnostics;

namespace Proxy.Tests.Harness;

/// <summary>
/// A booted Debian 12 with systemd, a network of its own, and the proxy's Debian package installed. What is written in it
/// is forgotten when it ends.
/// </summary>
public sealed class SystemdBox : IAsyncDisposable
{
    /// <summary>Where proxy.socket listens, and the configuration that the package brings.</summary>
    internal static readonly Uri Address = new("http://127.0.0.1:11435");

    /// <summary>The package, in the box.</summary>
    internal const string Package = "/root/proxy.deb";

    readonly SemaphoreSlim starting = new(1);
    Process? container;
    int first;

    /// <summary>The system's processes share one network; its clients and hosts are made in it.</summary>
    internal NetworkNamespace Network => new(first);

    /// <summary>Boots the box at the first call; skips the test where that is impossible.</summary>
    internal async Task StartAsync()
    {
        DebianTree.Require();
        Assert.SkipUnless(File.Exists("/usr/bin/systemd-nspawn"), "needs systemd-nspawn: ./build.sh setup test");
        var package = Environment.GetEnvironmentVariable("PROXY_PACKAGE");
        Assert.SkipWhen(string.IsNullOrEmpty(package), "needs the Debian package: ./build.sh test without --quick");

        await starting.WaitAsync(TestContext.Current.CancellationToken);
        try
        {
            if (container is not null) return;

            var tree = await DebianTree.WithSystemdAsync("bookworm");
            container = Boot(tree);
            await Patience.Until(async () =>
            {
                if (container.HasExited) throw new InvalidOperationException($"systemd-nspawn ended with {container.ExitCode}");
                return await FirstProcessAsync() is { } found && (first = found) > 0
                    && (await TryAsync("systemctl", "is-system-running")).Output.Trim() is "running" or "degraded";
            }, "the box has booted");
            File.Copy(package!, Inside(Package));
            await RunAsync("dpkg", "--install", Package);
            await RunAsync("cp", "/etc/proxy/config.toml", "/root/config.toml");
        }
        finally
        {
            starting.Release();
        }
    }

    /// <summary>A file of the box, as seen from here.</summary>
    internal string Inside(string path) => $"/proc/{first}/root{path}";

    internal Task<(int ExitCode, string Output)> TryAsync(params string[] command) => Command.TryAsync("nsenter", [.. Enter, .. command]);

    internal Task<string> RunAsync(params string[] command) => Command.RunAsync("nsenter", [.. Enter, .. command]);

    /// <summary>A property of a unit, as systemd has it now.</summary>
    internal Task<string> ShowAsync(string unit, string property) => RunAsync("systemctl", "show", "--value", "--property", property, unit);

    public async ValueTask DisposeAsync()
    {
        if (container is null) return;

        // SIGTERM is answered with an orderly shutdown.
        await Command.TryAsync("sh", "-c", $"kill -TERM {container.Id}");
        using var patience = new CancellationTokenSource(Patience.Long);
        try
        {
            await container.WaitForExitAsync(patience.Token);
        }
        catch (OperationCanceledException)
        {
            container.Kill();
        }

        container.Dispose();
    }

    string[] Enter => ["--target", $"{first}", "--all", "--wd=/"];

    static Process Boot(string tree)
    {
        var start = new ProcessStartInfo("systemd-nspawn",
        [
            "--quiet", "--directory", tree, "--machine", $"proxy-test-{Environment.ProcessId}", "--boot", "--volatile=overlay",
            "--private-network", "--register=no", "--keep-unit",
        ])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        var process = Process.Start(start)!;
        process.StandardInput.Close();
        process.BeginOutputReadLine(); // the console, read so that it never blocks
        process.BeginErrorReadLine();
        return process;
    }

    /// <summary>The box's process 1; null while it is being made.</summary>
    async Task<int?> FirstProcessAsync()
    {
        var children = await File.ReadAllTextAsync($"/proc/{container!.Id}/task/{container.Id}/children");
        return int.TryParse(children.Split(' ')[0], out var child) ? child : null;
    }
}
