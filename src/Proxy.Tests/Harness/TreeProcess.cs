using System.Collections.Concurrent;
using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Proxy.Tests.Harness;

/// <summary>
/// A server of a Debian tree. It runs on the machine's network, as a user of the tree, with a folder of the machine as its <c>/mnt</c>.
/// </summary>
internal sealed partial class TreeProcess : IAsyncDisposable
{
    // The mounts are in a namespace of their own and vanish with the process, which keeps its id through every exec.
    const string Enter = """
        mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && mount --bind "$1" "$0/mnt" || exit
        user=$2; group=$(chroot "$0" id -g "$2"); shift 2
        chroot "$0" chown -R "$user" /mnt || exit
        exec chroot "$0" setpriv --reuid="$user" --regid="$group" --clear-groups -- "$@"
        """;

    readonly Process process;
    readonly ConcurrentQueue<string> output = new();

    TreeProcess(Process process) => this.process = process;

    public int Id => process.Id;
    public bool HasExited => process.HasExited;

    /// <summary>What it wrote so far.</summary>
    public string Output => string.Join('\n', output);

    /// <param name="tree">The tree, from <see cref="DebianTree"/>.</param>
    /// <param name="folder">The folder that is <c>/mnt</c>; the user becomes its owner.</param>
    /// <param name="user">The user's name in the tree.</param>
    /// <param name="command">The program and its arguments, with the paths of the tree.</param>
    public static TreeProcess Start(string tree, string folder, string user, params IEnumerable<string> command)
    {
        var start = new ProcessStartInfo("unshare", Arguments(tree, folder, user, command))
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = "/",
        };
        SetEnvironment(start);
        var server = new TreeProcess(new Process { StartInfo = start });
        server.process.OutputDataReceived += (_, line) => server.Take(line.Data);
        server.process.ErrorDataReceived += (_, line) => server.Take(line.Data);
        server.process.Start();
        server.process.BeginOutputReadLine();
        server.process.BeginErrorReadLine();
        return server;
    }

    /// <summary>Runs a program of the tree to its end, which must be good.</summary>
    public static async Task RunAsync(string tree, string folder, string user, params IEnumerable<string> command)
    {
        await using var program = Start(tree, folder, user, command);
        await Patience.For(program.process.WaitForExitAsync(), $"the end of {command.First()}");
        if (program.process.ExitCode != 0) throw new InvalidOperationException($"{command.First()} ended with {program.process.ExitCode}:\n{program.Output}");
    }

    /// <summary>Sends a signal to the process, and to its children too if <paramref name="children"/> is set.</summary>
    public void Signal(int signal, bool children = false)
    {
        string[] below = children ? File.ReadAllText($"/proc/{Id}/task/{Id}/children").Split(' ', StringSplitOptions.RemoveEmptyEntries) : [];
        _ = Kill(Id, signal);
        foreach (var child in below) _ = Kill(int.Parse(child, System.Globalization.CultureInfo.InvariantCulture), signal);
    }

    /// <summary>SIGKILL to the process and its children. Returns when they are gone.</summary>
    public async Task KillAsync()
    {
        if (!process.HasExited) Signal(9, children: true);
        await ExitAsync();
    }

    public Task ExitAsync() => Patience.For(process.WaitForExitAsync(), "the server's end");

    public async ValueTask DisposeAsync()
    {
        await KillAsync();
        process.Dispose();
    }

    static IEnumerable<string> Arguments(string tree, string folder, string user, IEnumerable<string> command) =>
        ["--mount", "--propagation", "private", "sh", "-c", Enter, tree, folder, user, .. command];

    static void SetEnvironment(ProcessStartInfo start)
    {
        start.Environment.Clear();
        start.Environment["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin";
        start.Environment["LC_ALL"] = "C.UTF-8";
    }

    void Take(string? line)
    {
        if (line is not null) output.Enqueue(line);
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int Kill(int process, int signal);
}
