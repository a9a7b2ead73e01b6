using System.IO.Compression;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime;
using Microsoft.Win32.SafeHandles;

namespace Proxy.Inference;

/// <summary>
/// ONNX Runtime out of this very file. Unpacked and loaded when first asked for; a process that embeds nothing never pays for it.
/// From a cache file where there is a folder for one (1.7 ms when it exists, and the kernel may drop its pages), else from
/// anonymous memory.
/// </summary>
internal static partial class NativeRuntime
{
    private const string Library = "libonnxruntime.so";

    /// <summary>What the library needs besides glibc. Loaded first, ours stand in for the system's, by their names.</summary>
    private static readonly string[] Companions = ["libgcc_s.so.1", "libstdc++.so.6"];

    private static readonly Lock Gate = new();
    private static bool isReady;

    /// <summary>
    /// Loads what is not loaded yet. Throws <see cref="DllNotFoundException"/> or <see cref="IOException"/> where the machine will not have it.
    /// </summary>
    public static void EnsureLoaded()
    {
        if (Volatile.Read(ref isReady)) return;
        lock (Gate)
        {
            if (isReady) return;

            // Read by native code, which never sees Environment.SetEnvironmentVariable. Without it the library writes a
            // device id and a database under the home folder.
            _ = SetEnvironment("ORT_DISABLE_TELEMETRY", "1", overwrite: 1);
            // What a batch frees the next one wants again: to go to the kernel for it each time costs a tenth of the speed. It
            // goes back when nothing has been asked for a while (TrimHeap).
            _ = TuneHeap(MappedFrom, 32 << 20);
            _ = TuneHeap(TrimmedFrom, 64 << 20);
            foreach (var companion in Companions)
            {
                if (!NativeLibrary.TryLoad(companion, out _) && Resource($"{companion}.br") is { } ours) Load(companion, ours);
            }

            var library = Load(Library, Resource($"{Library}.br") ?? throw new DllNotFoundException($"this build does not carry {Library}"));
            OrtEnv.DisableDllImportResolver = true;
            NativeLibrary.SetDllImportResolver(typeof(OrtEnv).Assembly, (name, _, _) => name.StartsWith("onnxruntime", StringComparison.Ordinal) ? library : 0);
            var options = new EnvironmentCreationOptions { logId = "proxy", logLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL };
            OrtEnv.CreateInstanceWithOptions(ref options);
            OrtEnv.Instance().DisableTelemetryEvents();
            Volatile.Write(ref isReady, true);
        }
    }

    /// <summary>The folder for unpacked libraries; null where none can be written. A service's own, else the user's.</summary>
    internal static string? CacheFolder(Func<string, string?> environment)
    {
        // systemd gives several folders with colons between them.
        var users = Set("XDG_CACHE_HOME") ?? (Set("HOME") is { } home ? Path.Combine(home, ".cache") : null);
        var folder = Set("CACHE_DIRECTORY")?.Split(':')[0] ?? (users is not null ? Path.Combine(users, "proxy") : null);
        if (folder is null || !Path.IsPathRooted(folder)) return null;
        try
        {
            Directory.CreateDirectory(folder);
            return folder;
        }
        catch (Exception problem) when (problem is IOException or UnauthorizedAccessException)
        {
            return null;
        }

        string? Set(string name) => environment(name) is { Length: > 0 } value ? value : null;
    }

    private static nint Load(string name, Stream packed)
    {
        using (packed)
        {
            return CacheFolder(Environment.GetEnvironmentVariable) is { } folder && CachedFile(folder, name, packed) is { } path
                && NativeLibrary.TryLoad(path, out var library)
                ? library
                : FromMemory(name, packed);
        }
    }

    /// <summary>The library's file in the cache, written if it is not there, under a name that its content decides; null where it cannot be written.</summary>
    private static string? CachedFile(string folder, string name, Stream packed)
    {
        try
        {
            using var hash = new StreamReader(Resource($"{name}.sha256")!);
            var path = Path.Combine(folder, $"{name}-{hash.ReadToEnd()[..16]}");
            if (IsOurs(path)) return path;

            var unfinished = $"{path}.{Environment.ProcessId}";
            using (var file = new FileStream(unfinished,
                new FileStreamOptions { Mode = FileMode.Create, Access = FileAccess.Write, UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserExecute }))
                Unpack(packed, file);
            File.Move(unfinished, path, overwrite: true);
            return path;
        }
        catch (Exception problem) when (problem is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <summary>Code is loaded from it: nobody else may have been able to write it.</summary>
    private static bool IsOurs(string path) =>
        File.Exists(path) && (File.GetUnixFileMode(path) & (UnixFileMode.GroupWrite | UnixFileMode.OtherWrite)) == 0;

    private static nint FromMemory(string name, Stream packed)
    {
        var descriptor = AnonymousFile(name, CloseOnExec | Executable);
        if (descriptor < 0) descriptor = AnonymousFile(name, CloseOnExec); // kernels before 6.3 do not know the second flag
        if (descriptor < 0) throw new IOException($"memory for {name} was refused, and no cache folder can be written; set CACHE_DIRECTORY");

        // The descriptor stays open: glibc knows a library by its path, and would return this one for the next of that number.
        var handle = new SafeFileHandle(descriptor, ownsHandle: false);
        using (var file = new FileStream(handle, FileAccess.Write, bufferSize: 0)) Unpack(packed, file);
        return NativeLibrary.Load($"/proc/self/fd/{descriptor}");
    }

    private static void Unpack(Stream packed, Stream to)
    {
        packed.Position = 0;
        using var brotli = new BrotliStream(packed, CompressionMode.Decompress, leaveOpen: true);
        brotli.CopyTo(to, 1 << 18);
        Drop(packed);
    }

    private static Stream? Resource(string name) => typeof(NativeRuntime).Assembly.GetManifestResourceStream(name);

    /// <summary>A file in memory that goes when its descriptor is closed; negative where the kernel refuses.</summary>
    [LibraryImport("libc", EntryPoint = "memfd_create", StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int AnonymousFile(string name, uint flags);

    internal const uint CloseOnExec = 1; // MFD_CLOEXEC
    private const uint Executable = 0x10; // MFD_EXEC

    /// <summary>Gives memory that was freed back to the system.</summary>
    public static void TrimHeap() => _ = TrimHeap(0);

    /// <summary>What was read of a resource need not stay in memory: its pages come from the program's file again when they are asked for.</summary>
    public static unsafe void Drop(Stream resource)
    {
        // Only a program that was compiled ahead of time maps its file as it is; elsewhere the pages might be the only copy.
        if (RuntimeFeature.IsDynamicCodeSupported || resource is not UnmanagedMemoryStream memory) return;
        memory.Position = 0;
        var page = (nint)Environment.SystemPageSize;
        var from = ((nint)memory.PositionPointer + page - 1) / page * page;
        var to = ((nint)memory.PositionPointer + (nint)memory.Length) / page * page;
        if (to > from) _ = Advise(from, to - from, NotNeeded);
    }

    /// <summary>Lets this thread go behind the others of this machine where there are not cores enough for all.</summary>
    public static void StepBack() => _ = SetPriority(0, 0, Nicer);

    private const int Nicer = 5;

    [LibraryImport("libc", EntryPoint = "setpriority")]
    private static partial int SetPriority(int which, int who, int value); // 0, 0: the calling thread, on Linux

    private const int NotNeeded = 4; // MADV_DONTNEED

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int Advise(nint from, nint length, int advice);

    private const int TrimmedFrom = -1; // M_TRIM_THRESHOLD
    private const int MappedFrom = -3; // M_MMAP_THRESHOLD

    [LibraryImport("libc", EntryPoint = "mallopt")]
    private static partial int TuneHeap(int setting, int value);

    [LibraryImport("libc", EntryPoint = "malloc_trim")]
    private static partial int TrimHeap(nint keep);

    [LibraryImport("libc", EntryPoint = "setenv", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int SetEnvironment(string name, string value, int overwrite);
}
