using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Diagnostics;
using System.Text.RegularExpressions;

namespace Proxy.Tests.Harness;

/// <summary>
/// Runs the published binary in a minimal Debian: it sees that system's files, and of the machine only its network, <c>/proc</c> and <c>/dev</c>.
/// </summary>
internal sealed partial class BareBox : IAsyncDisposable
{
    readonly Process process;
    readonly string tree;
    readonly IReadOnlyCollection<string> files;
    readonly ConcurrentQueue<string> output = new();
    readonly TaskCompletionSource<Uri> listening = new(TaskCreationOptions.RunContinuationsAsynchronously);

    BareBox(Process process, string tree, IReadOnlyCollection<string> files)
    {
        this.process = process;
        this.tree = tree;
        this.files = files;
    }

    public Uri Address => listening.Task.Result;

    /// <summary>The proxy's output so far.</summary>
    public string Output => string.Join('\n', output);

    /// <param name="release">Debian's name of the release.</param>
    /// <param name="files">Files to put into the box for this run, by absolute path; the configuration is <c>/etc/proxy.toml</c>.</param>
    /// <param name="folders">Folders to mount for this run: the path in the box, and the machine's folder.</param>
    public static async Task<BareBox> StartAsync(string release, IReadOnlyDictionary<string, string> files, IReadOnlyDictionary<string, string>? folders = null)
    {
        var tree = await DebianTree.BareAsync(release);
        File.Copy(DebianTree.Binary!, tree + "/usr/bin/proxy", overwrite: true);
        foreach (var (path, text) in files)
        {
            Directory.CreateDirectory(Path.GetDirectoryName(tree + path)!);
            await File.WriteAllTextAsync(tree + path, text);
        }

        // The mounts are in a namespace of their own and vanish with the process, which keeps its id through every exec.
        const string Enter = """
            mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" || exit
            while [ $# -gt 0 ]; do mkdir -p "$0$1" && mount --bind "$2" "$0$1" || exit; shift 2; done
            exec chroot "$0" /usr/bin/proxy serve --config /etc/proxy.toml
            """;
        var start = new ProcessStartInfo("unshare", ["--mount", "--propagation", "private", "sh", "-c", Enter, tree,
            .. (folders ?? ImmutableDictionary<string, string>.Empty).SelectMany(folder => new[] { folder.Key, folder.Value })])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = "/",
        };
        start.Environment.Clear();
        start.Environment["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin";

        var box = new BareBox(new Process { StartInfo = start, EnableRaisingEvents = true }, tree, [.. files.Keys]);
        box.process.OutputDataReceived += (_, line) => box.Take(line.Data);
        box.process.ErrorDataReceived += (_, line) => box.Take(line.Data);
        box.process.Exited += (_, _) => box.listening.TrySetException(new InvalidOperationException($"the proxy ended at once: {box.Output}"));
        box.process.Start();
        box.process.BeginOutputReadLine();
        box.process.BeginErrorReadLine();
        try
        {
            await box.listening.Task.WaitAsync(TimeSpan.FromSeconds(30));
        }
        catch
        {
            await box.DisposeAsync();
            throw;
        }

        return box;
    }

    public async ValueTask DisposeAsync()
    {
        if (!process.HasExited) process.Kill();
        await process.WaitForExitAsync();
        process.Dispose();
        foreach (var path in files) File.Delete(tree + path);
    }

    void Take(string? line)
    {
        if (line is null) return;

        output.Enqueue(line);
        if (Listener().Match(line) is { Success: true } match) listening.TrySetResult(new(match.Value));
    }

    [GeneratedRegex(@"https?://127\.0\.0\.1:[1-9]\d*")]
    private static partial Regex Listener();
}
