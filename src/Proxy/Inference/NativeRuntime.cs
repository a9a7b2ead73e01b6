using System.Buffers.Binary;
using System.Globalization;
using System.IO.Compression;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime;
using Microsoft.Win32.SafeHandles;

namespace Proxy.Inference;

/// <summary>
/// Loads ONNX Runtime, which is embedded in this program, at the first use; a process that embeds nothing pays nothing for it. The library is unpacked into a
/// cache file if there is a folder for one (1.7 ms when it exists, and the kernel may drop its pages), else into anonymous memory.
/// </summary>
internal static partial class NativeRuntime
{
    private const string Library = "libonnxruntime.so";

    /// <summary>
    /// The libraries that it needs besides glibc. If the system lacks one, the embedded one is loaded first, and the linker finds it by its name.
    /// </summary>
    private static readonly string[] Companions = ["libgcc_s.so.1", "libstdc++.so.6"];

    private static readonly Lock Gate = new();
    private static bool isReady;

    /// <summary>
    /// Loads the libraries that are not loaded yet. Throws <see cref="DllNotFoundException"/> or <see cref="IOException"/> if the system does not allow it.
    /// </summary>
    public static void EnsureLoaded()
    {
        if (Volatile.Read(ref isReady)) return;
        lock (Gate)
        {
            if (isReady) return;

            // Native code reads this variable, and Environment.SetEnvironmentVariable has no effect on it. Without the variable, the library writes a device id
            // and a
            // database into the home folder.
            _ = SetEnvironment("ORT_DISABLE_TELEMETRY", "1", overwrite: 1);
            // The next batch needs the memory that a batch frees; getting it from the kernel each time costs a tenth of the speed. TrimHeap returns it when
            // there was no
            // work for a while.
            _ = TuneHeap(MappedFrom, 32 << 20);
            _ = TuneHeap(TrimmedFrom, 64 << 20);
            foreach (var companion in Companions)
            {
                if (!NativeLibrary.TryLoad(companion, out _) && Resource($"{companion}.br") is { } ours) Load(companion, ours);
            }

            var library = Load(Library, Resource($"{Library}.br") ?? throw new DllNotFoundException($"this build does not contain {Library}"));
            OrtEnv.DisableDllImportResolver = true;
            NativeLibrary.SetDllImportResolver(typeof(OrtEnv).Assembly, (name, _, _) => name.StartsWith("onnxruntime", StringComparison.Ordinal) ? library : 0);
            var options = new EnvironmentCreationOptions { logId = "proxy", logLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL };
            OrtEnv.CreateInstanceWithOptions(ref options);
            OrtEnv.Instance().DisableTelemetryEvents();
            Volatile.Write(ref isReady, true);
        }
    }

    /// <summary>The folder for unpacked libraries, the service's or else the user's; null if none is writable.</summary>
    internal static string? CacheFolder(Func<string, string?> environment)
    {
        // systemd may list several folders, separated by colons.
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

    /// <summary>The library's file in the cache, written if it does not exist, with its hash in its name; null if it cannot be written.</summary>
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
                UnpackCode(name, packed, file);
            File.Move(unfinished, path, overwrite: true);
            return path;
        }
        catch (Exception problem) when (problem is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <summary>Whether no other user can write the file, because code is loaded from it.</summary>
    private static bool IsOurs(string path) =>
        File.Exists(path) && (File.GetUnixFileMode(path) & (UnixFileMode.GroupWrite | UnixFileMode.OtherWrite)) == 0;

    private static nint FromMemory(string name, Stream packed)
    {
        var descriptor = AnonymousFile(name, CloseOnExec | Executable);
        if (descriptor < 0) descriptor = AnonymousFile(name, CloseOnExec); // kernels before 6.3 do not know the second flag
        if (descriptor < 0) throw new IOException($"memory for {name} was refused, and no cache folder is writable; set CACHE_DIRECTORY");

        // The descriptor stays open, because glibc identifies a library by its path and would return this one for the next file with the same number.
        var handle = new SafeFileHandle(descriptor, ownsHandle: false);
        using (var file = new FileStream(handle, FileAccess.Write, bufferSize: 0)) UnpackCode(name, packed, file);
        return NativeLibrary.Load($"/proc/self/fd/{descriptor}");
    }

    /// <summary>Decompresses a resource.</summary>
    internal static void Unpack(Stream packed, Stream to)
    {
        packed.Position = 0;
        using var brotli = new BrotliStream(packed, CompressionMode.Decompress, leaveOpen: true);
        brotli.CopyTo(to, 1 << 18);
        Drop(packed);
    }

    /// <summary>Decompresses a library, whose calls are packed in another form on x64 (NativeRuntime.targets).</summary>
    internal static void UnpackCode(string name, Stream packed, Stream to)
    {
        if (RuntimeInformation.ProcessArchitecture is not Architecture.X64)
        {
            Unpack(packed, to);
            return;
        }

        using var said = new StreamReader(Resource($"{name}.length")!);
        var length = int.Parse(said.ReadToEnd(), CultureInfo.InvariantCulture);
        packed.Position = 0;
        using var brotli = new BrotliStream(packed, CompressionMode.Decompress, leaveOpen: true);
        var buffer = new byte[1 << 18];
        for (int done = 0, held = 0, end; ; done += end - held) // buffer[0] is the library's byte at done
        {
            end = held + brotli.ReadAtLeast(buffer.AsSpan(held), buffer.Length - held, throwOnEndOfStream: false);
            var isLast = end < buffer.Length;
            var at = RestoreCalls(buffer.AsSpan(0, end), done, length);
            to.Write(buffer, 0, isLast ? end : at);
            if (isLast) break;
            held = end - at; // a call may go on in the next part
            Buffer.BlockCopy(buffer, at, buffer, 0, held);
        }

        Drop(packed);
    }

    /// <summary>Gives calls their distances back. Returns where the last bytes begin that are too few for a call.</summary>
    /// <param name="code">A part of a library.</param>
    /// <param name="offset">Where it begins in the library.</param>
    /// <param name="length">The library's length.</param>
    internal static int RestoreCalls(Span<byte> code, int offset, int length)
    {
        var at = 0;
        while (at + 5 <= code.Length)
        {
            if ((code[at] & 0xfe) != 0xe8)
            {
                at++;
                continue;
            }

            var here = offset + at;
            var operand = code[(at + 1)..];
            var value = BinaryPrimitives.ReadInt32LittleEndian(operand);
            if (value >= -here && value < length) BinaryPrimitives.WriteInt32LittleEndian(operand, value >= 0 ? value - here : value + length);
            at += 5;
        }

        return at;
    }

    internal static Stream? Resource(string name) => typeof(NativeRuntime).Assembly.GetManifestResourceStream(name);

    /// <summary>Creates a file in memory that is deleted with its descriptor; negative if the kernel refuses.</summary>
    [LibraryImport("libc", EntryPoint = "memfd_create", StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int AnonymousFile(string name, uint flags);

    internal const uint CloseOnExec = 1; // MFD_CLOEXEC
    private const uint Executable = 0x10; // MFD_EXEC

    /// <summary>Returns freed memory to the system.</summary>
    public static void TrimHeap() => _ = TrimHeap(0);

    /// <summary>Drops the pages of a resource after it was read; if needed again, they are read from the program's file.</summary>
    private static unsafe void Drop(Stream resource)
    {
        // Only a program compiled ahead of time maps its file directly; otherwise these pages might be the only copy.
        if (RuntimeFeature.IsDynamicCodeSupported || resource is not UnmanagedMemoryStream memory) return;
        memory.Position = 0;
        var page = (nint)Environment.SystemPageSize;
        var from = ((nint)memory.PositionPointer + page - 1) / page * page;
        var to = ((nint)memory.PositionPointer + (nint)memory.Length) / page * page;
        if (to > from) _ = Advise(from, to - from, NotNeeded);
    }

    /// <summary>Lowers this thread's priority, so that other threads run first if there are not enough cores.</summary>
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
