using System.Runtime.InteropServices;
using System.Text;

namespace Proxy.Composition.Handoff;

/// <summary>
/// Starts a program with posix_spawn, with this process's standard streams and some of its descriptors. .NET's <c>Process</c> gives a child no others.
/// </summary>
internal static unsafe partial class ProgramStart
{
    private const short DefaultSignals = 0x04, SignalMask = 0x08; // POSIX_SPAWN_SETSIGDEF, POSIX_SPAWN_SETSIGMASK
    private const int SignalSet = 128; // bytes of a sigset_t
    private const int Opaque = 512; // more than glibc's posix_spawnattr_t (336 bytes) and posix_spawn_file_actions_t (80)
    private const int KillSignal = 9;

    /// <summary>Returns its id when the program runs.</summary>
    /// <param name="command">The program's path and its arguments.</param>
    /// <param name="environment">All of its environment, as <c>NAME=value</c>.</param>
    /// <param name="descriptors">The descriptors that it inherits, under the same numbers.</param>
    /// <exception cref="IOException">It cannot be started.</exception>
    public static int Start(IReadOnlyList<string> command, IReadOnlyList<string> environment, IReadOnlyList<int> descriptors)
    {
        byte* actions = stackalloc byte[Opaque], attributes = stackalloc byte[Opaque], signals = stackalloc byte[SignalSet];
        var words = Vector(command);
        var variables = Vector(environment);
        _ = posix_spawn_file_actions_init(actions);
        _ = posix_spawnattr_init(attributes);
        try
        {
            // A descriptor that is duplicated to its own number stays open in the program (glibc 2.29).
            foreach (var descriptor in descriptors) _ = posix_spawn_file_actions_adddup2(actions, descriptor, descriptor);
            // No signal is blocked, and none is ignored: the runtime ignores SIGPIPE, which a program must not inherit.
            new Span<byte>(signals, SignalSet).Clear();
            _ = posix_spawnattr_setsigmask(attributes, signals);
            new Span<byte>(signals, SignalSet).Fill(0xff);
            _ = posix_spawnattr_setsigdefault(attributes, signals);
            _ = posix_spawnattr_setflags(attributes, DefaultSignals | SignalMask);
            if (posix_spawn(out var id, (byte*)words[0], actions, attributes, words, variables) is not 0 and var refused)
                throw new IOException($"{command[0]} cannot be started: {Marshal.GetPInvokeErrorMessage(refused)}");
            return id;
        }
        finally
        {
            _ = posix_spawn_file_actions_destroy(actions);
            _ = posix_spawnattr_destroy(attributes);
            NativeMemory.Free(words);
            NativeMemory.Free(variables);
        }
    }

    /// <summary>Waits for the end of a program that this process started, and gives its id back.</summary>
    public static void WaitFor(int id) => _ = waitpid(id, out _, 0);

    public static void Kill(int id) => _ = kill(id, KillSignal);

    /// <summary>Texts as a program gets them: pointers, the last one null, and behind them the texts.</summary>
    private static byte** Vector(IReadOnlyList<string> texts)
    {
        var at = sizeof(byte*) * (texts.Count + 1);
        var bytes = at;
        foreach (var text in texts) bytes += Encoding.UTF8.GetByteCount(text) + 1;
        var start = (byte*)NativeMemory.AllocZeroed((nuint)bytes);
        for (var i = 0; i < texts.Count; i++)
        {
            ((byte**)start)[i] = start + at;
            at += Encoding.UTF8.GetBytes(texts[i], new Span<byte>(start + at, bytes - at)) + 1;
        }

        return (byte**)start;
    }

    [LibraryImport("libc")]
    private static partial int kill(int id, int signal);

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
