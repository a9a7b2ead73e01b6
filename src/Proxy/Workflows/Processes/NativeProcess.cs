using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace Proxy.Workflows.Processes;

/// <summary>
/// Starts programs with posix_spawn, each as the leader of a session and process group of its own, and signals, finds and reaps them.
/// .NET's <c>Process</c> cannot give a child a group, so it could not end the child's own children.
/// </summary>
internal static unsafe partial class NativeProcess
{
    public const int Continue = 18, Kill = 9, Terminate = 15; // SIGCONT, SIGKILL, SIGTERM

    private const int CloseOnExec = 0x80000; // O_CLOEXEC
    private const uint CloseMemoryOnExec = 1; // MFD_CLOEXEC
    private const int MayExecute = 1; // X_OK
    private const short DefaultSignals = 0x04, SignalMask = 0x08, OwnSession = 0x80; // POSIX_SPAWN_SETSIGDEF, _SETSIGMASK, _SETSID
    private const int SignalSet = 128; // bytes of a sigset_t
    private const int Opaque = 512; // more than glibc's posix_spawnattr_t (336 bytes) and posix_spawn_file_actions_t (80)
    private const int ById = 1, Exited = 4, NoWait = 1, LeaveWaitable = 0x1000000, EndedItself = 1; // P_PID, WEXITED, WNOHANG, WNOWAIT, CLD_EXITED

    /// <summary>The most bytes of a process's environment that are looked through.</summary>
    private const int MostEnvironment = 64 << 10;

    /// <summary>Whether the file exists and this user may execute it.</summary>
    public static bool IsExecutable(string path) => File.Exists(path) && access(path, MayExecute) == 0;

    /// <summary>Starts a program and returns its id when the program runs: an error of its start is known by then.</summary>
    /// <param name="command">The program's path and its arguments.</param>
    /// <param name="environment">All of its environment, as <c>NAME=value</c>.</param>
    /// <param name="input">What it reads from stdin. It is a file in memory, so that the program may read it as late and as slowly as it likes.</param>
    /// <param name="output">Gets the end of a pipe that reads its stdout.</param>
    /// <param name="error">The same for its stderr.</param>
    /// <exception cref="LaunchException">It cannot be started.</exception>
    public static int Start(
        IReadOnlyList<string> command, IReadOnlyList<string> environment, ReadOnlySpan<byte> input, out SafeSocketHandle output, out SafeSocketHandle error)
    {
        using var stdin = new SafeFileHandle(memfd_create("job", CloseMemoryOnExec), ownsHandle: true);
        if (stdin.IsInvalid) throw Failure(command, Marshal.GetLastPInvokeError());
        RandomAccess.Write(stdin, input, 0); // the offset, which the program shares, stays 0
        using var stdout = Pipe(command, out output);
        using var stderr = Pipe(command, out error);
        byte* actions = stackalloc byte[Opaque], attributes = stackalloc byte[Opaque], signals = stackalloc byte[SignalSet];
        var words = Vector(command);
        var variables = Vector(environment);
        _ = posix_spawn_file_actions_init(actions);
        _ = posix_spawnattr_init(attributes);
        try
        {
            _ = posix_spawn_file_actions_adddup2(actions, (int)stdin.DangerousGetHandle(), 0);
            _ = posix_spawn_file_actions_adddup2(actions, (int)stdout.DangerousGetHandle(), 1);
            _ = posix_spawn_file_actions_adddup2(actions, (int)stderr.DangerousGetHandle(), 2);
            // No signal is blocked, and none is ignored: the runtime ignores SIGPIPE, which a program must not inherit.
            new Span<byte>(signals, SignalSet).Clear();
            _ = posix_spawnattr_setsigmask(attributes, signals);
            new Span<byte>(signals, SignalSet).Fill(0xff);
            _ = posix_spawnattr_setsigdefault(attributes, signals);
            _ = posix_spawnattr_setflags(attributes, DefaultSignals | SignalMask | OwnSession);
            if (posix_spawn(out var id, (byte*)words[0], actions, attributes, words, variables) is not 0 and var refused) throw Failure(command, refused);
            return id;
        }
        catch
        {
            output.Dispose();
            error.Dispose();
            throw;
        }
        finally
        {
            _ = posix_spawn_file_actions_destroy(actions);
            _ = posix_spawnattr_destroy(attributes);
            NativeMemory.Free(words);
            NativeMemory.Free(variables);
        }
    }

    /// <summary>Whether a program has ended. Its id is not given to another one until <see cref="Reap"/>.</summary>
    /// <param name="id">The program.</param>
    /// <param name="code">Its exit code, or the signal that ended it, negative.</param>
    public static bool HasEnded(int id, out int code)
    {
        var info = stackalloc int[32]; // siginfo_t: 128 bytes, of which si_signo stays 0 while the program runs
        info[0] = 0;
        var hasEnded = waitid(ById, id, info, Exited | NoWait | LeaveWaitable) != 0 || info[0] != 0;
        code = info[2] is EndedItself ? info[6] : -info[6]; // si_code, si_status
        return hasEnded;
    }

    /// <summary>Gives an ended program's id back, and those of its group that have become children of this process, as process 1 gets them.</summary>
    public static void Reap(int id)
    {
        while (waitpid(-id, out _, NoWait) > 0)
        {
        }
    }

    /// <summary>
    /// Keeps this process's descriptors from the programs that it starts: those that it was given at its start are not marked so. Kernels before 5.11 cannot.
    /// </summary>
    public static void KeepDescriptors()
    {
        const int CloseRange = 436, MarkOnly = 4; // on every architecture; CLOSE_RANGE_CLOEXEC
        _ = syscall(CloseRange, 3, uint.MaxValue, MarkOnly);
    }

    /// <summary>Signals all of a program's group.</summary>
    public static void SignalGroup(int id, int signal) => _ = kill(-id, signal);

    /// <summary>Signals one process.</summary>
    public static void Signal(int id, int signal) => _ = kill(id, signal);

    /// <summary>
    /// The running processes that have a variable in their environment: those that a program started, also where they left its session and group, unless they
    /// cleared their environment.
    /// </summary>
    public static List<int> With(ReadOnlySpan<byte> variable)
    {
        var found = new List<int>();
        var environment = new byte[MostEnvironment];
        foreach (var folder in Directory.EnumerateDirectories("/proc"))
        {
            if (!int.TryParse(Path.GetFileName(folder.AsSpan()), out var id)) continue;
            using var file = new SafeFileHandle(open(folder + "/environ", CloseOnExec), ownsHandle: true);
            if (file.IsInvalid) continue; // another user's, or gone
            nint count;
            fixed (byte* start = environment) count = read((int)file.DangerousGetHandle(), start, MostEnvironment);
            if (count > 0 && environment.AsSpan(0, (int)count).IndexOf(variable) >= 0) found.Add(id);
        }

        return found;
    }

    private static SafeFileHandle Pipe(IReadOnlyList<string> command, out SafeSocketHandle reading)
    {
        var ends = stackalloc int[2];
        if (pipe2(ends, CloseOnExec) != 0) throw Failure(command, Marshal.GetLastPInvokeError());
        reading = new(ends[0], ownsHandle: true);
        return new(ends[1], ownsHandle: true);
    }

    private static LaunchException Failure(IReadOnlyList<string> command, int error)
    {
        const int NoSuchFile = 2;
        var reason = error is NoSuchFile && File.Exists(command[0]) ? "the interpreter that its first line names is missing"
            : Marshal.GetPInvokeErrorMessage(error);
        return new($"{command[0]} cannot be started: {reason}");
    }

    /// <summary>Texts as a program gets them: pointers, the last one null, and behind them the texts.</summary>
    private static byte** Vector(IReadOnlyList<string> texts)
    {
        var bytes = sizeof(byte*) * (texts.Count + 1);
        var at = bytes;
        foreach (var text in texts) bytes += Encoding.UTF8.GetByteCount(text) + 1;
        var start = (byte*)NativeMemory.AllocZeroed((nuint)bytes);
        for (var i = 0; i < texts.Count; i++)
        {
            ((byte**)start)[i] = start + at;
            at += Encoding.UTF8.GetBytes(texts[i], new Span<byte>(start + at, bytes - at)) + 1;
        }

        return (byte**)start;
    }

    [LibraryImport("libc", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int access(string path, int mode);

    [LibraryImport("libc", StringMarshalling = StringMarshalling.Utf8, SetLastError = true)]
    private static partial int memfd_create(string name, uint flags);

    [LibraryImport("libc")]
    private static partial nint syscall(nint number, uint first, uint last, int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int pipe2(int* ends, int flags);

    [LibraryImport("libc", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int open(string path, int flags);

    [LibraryImport("libc")]
    private static partial nint read(int descriptor, byte* into, nint most);

    [LibraryImport("libc")]
    private static partial int kill(int id, int signal);

    [LibraryImport("libc")]
    private static partial int waitid(int kind, int id, int* info, int options);

    [LibraryImport("libc")]
    private static partial int waitpid(int id, out int status, int options);

    [LibraryImport("libc")]
    private static partial int posix_spawn(out int id, byte* path, byte* actions, byte* attributes, byte** words, byte** variables);

    [LibraryImport("libc")]
    private static partial int posix_spawn_file_actions_init(byte* actions);

    [LibraryImport("libc")]
    private static partial int posix_spawn_file_actions_adddup2(byte* actions, int from, int to);

    [LibraryImport("libc")]
    private static partial int posix_spawn_file_actions_destroy(byte* actions);

    [LibraryImport("libc")]
    private static partial int posix_spawnattr_init(byte* attributes);

    [LibraryImport("libc")]
    private static partial int posix_spawnattr_setflags(byte* attributes, short flags);

    [LibraryImport("libc")]
    private static partial int posix_spawnattr_setsigmask(byte* attributes, byte* signals);

    [LibraryImport("libc")]
    private static partial int posix_spawnattr_setsigdefault(byte* attributes, byte* signals);

    [LibraryImport("libc")]
    private static partial int posix_spawnattr_destroy(byte* attributes);
}
