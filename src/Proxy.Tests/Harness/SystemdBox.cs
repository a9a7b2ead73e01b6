using System.Diagnostics;

namespace Proxy.Tests.Harness;

/// <summary>
/// A booted Debian 12 with systemd, a network of its own, and the proxy's Debian package installed. Changes in it are lost when it ends.
/// </summary>
public class SystemdBox : IAsyncDisposable
{
    /// <summary>The address of proxy.socket and of the package's configuration.</summary>
    internal static readonly Uri Address = new("http://127.0.0.1:11435");

    /// <summary>The path of the package in the box.</summary>
    internal const string Package = "/root/proxy.deb";

    static int boxes;

    readonly SemaphoreSlim starting = new(1);
    Process? container;
    int first;
    bool hasPackage;

    /// <summary>The network that the system's processes share; the test's clients and hosts are created in it.</summary>
    internal NetworkNamespace Network => new(first);

    /// <summary>Boots the box at the first call and installs the package; skips the test if that is impossible.</summary>
    internal async Task StartAsync()
    {
        DebianTree.Require();
        var package = Environment.GetEnvironmentVariable("PROXY_PACKAGE");
        Assert.SkipWhen(string.IsNullOrEmpty(package), "needs the Debian package: ./build.sh test without --quick");
        await BootAsync();
        if (hasPackage) return;

        File.Copy(package!, Inside(Package), overwrite: true);
        await RunAsync("dpkg", "--install", Package);
        await RunAsync("cp", "/etc/proxy/config.toml", "/root/config.toml");
        hasPackage = true;
    }

    /// <summary>Boots the box at the first call, without the package.</summary>
    internal async Task BootAsync()
    {
        DebianTree.RequireTree();
        Assert.SkipUnless(File.Exists("/usr/bin/systemd-nspawn"), "needs systemd-nspawn: ./build.sh setup test");

        await starting.WaitAsync(TestContext.Current.CancellationToken);
        try
        {
            if (container is not null) return;

            var tree = await TreeAsync();
            container = Boot(tree);
            await Patience.Until(async () =>
            {
                if (container.HasExited) throw new InvalidOperationException($"systemd-nspawn ended with {container.ExitCode}");
                return await FirstProcessAsync() is { } found && (first = found) > 0
                    && (await TryAsync("systemctl", "is-system-running")).Output.Trim() is "running" or "degraded";
            }, "the box has booted");
        }
        finally
        {
            starting.Release();
        }
    }

    /// <summary>The path of a box's file outside of the box.</summary>
    internal string Inside(string path) => $"/proc/{first}/root{path}";

    internal Task<(int ExitCode, string Output)> TryAsync(params string[] command) => Command.TryAsync("nsenter", [.. Enter, .. command]);

    internal Task<string> RunAsync(params string[] command) => Command.RunAsync("nsenter", [.. Enter, .. command]);

    /// <summary>The current value of a unit's property.</summary>
    internal Task<string> ShowAsync(string unit, string property) => RunAsync("systemctl", "show", "--value", "--property", property, unit);

    public async ValueTask DisposeAsync()
    {
        if (container is null) return;

        // systemd-nspawn answers SIGTERM with an orderly shutdown.
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
        GC.SuppressFinalize(this);
    }

    /// <summary>The system that is booted, as a folder.</summary>
    private protected virtual Task<string> TreeAsync() => DebianTree.WithSystemdAsync("bookworm");

    string[] Enter => ["--target", $"{first}", "--all", "--wd=/"];

    static Process Boot(string tree)
    {
        var start = new ProcessStartInfo("systemd-nspawn",
        [
            "--quiet", "--directory", tree, "--machine", $"proxy-test-{Environment.ProcessId}-{Interlocked.Increment(ref boxes)}", "--boot",
            "--volatile=overlay",
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

    /// <summary>The process id of the box's process 1; null while it is being created.</summary>
    async Task<int?> FirstProcessAsync()
    {
        var children = await File.ReadAllTextAsync($"/proc/{container!.Id}/task/{container.Id}/children");
        return int.TryParse(children.Split(' ')[0], out var child) ? child : null;
    }
}
