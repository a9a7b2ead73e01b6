using System.Globalization;

namespace Proxy.Inference;

/// <summary>The files of one model, by their paths inside its folder: a folder on disk, or the bundled model's resources.</summary>
internal abstract class ModelFiles
{
    /// <summary>A file's name in messages.</summary>
    public abstract string NameOf(string path);

    public abstract bool Has(string path);

    /// <summary>Throws <see cref="IOException"/> or <see cref="UnauthorizedAccessException"/>.</summary>
    public abstract byte[] Read(string path);

    public abstract long Length(string path);

    /// <summary>Every <c>*.onnx</c>, at the root and in <c>onnx/</c>.</summary>
    public abstract IReadOnlyList<string> Graphs();

    /// <summary>A path that native code can open while the lease is held.</summary>
    public abstract FileLease Lease(string path);
}

/// <summary>A file's path; disposing the lease may delete the file.</summary>
internal sealed class FileLease(string path, IDisposable? file = null) : IDisposable
{
    public string Path => path;

    public void Dispose() => file?.Dispose();
}

/// <summary>A folder on disk.</summary>
internal sealed class FolderFiles(string folder) : ModelFiles
{
    private static readonly string[] GraphFolders = ["onnx", ""];

    public override string NameOf(string path) => Full(path);

    public override bool Has(string path) => File.Exists(Full(path));

    public override byte[] Read(string path) => File.ReadAllBytes(Full(path));

    public override long Length(string path) => new FileInfo(Full(path)).Length;

    public override IReadOnlyList<string> Graphs() =>
    [
        .. GraphFolders.Where(inner => Directory.Exists(Full(inner)))
            .SelectMany(inner => Directory.EnumerateFiles(Full(inner), "*.onnx").Select(Path.GetFileName).Order(StringComparer.Ordinal)
                .Select(name => Path.Combine(inner, name!))),
    ];

    public override FileLease Lease(string path) => new(Full(path));

    private string Full(string path) => Path.Combine(folder, path);
}

/// <summary>The bundled model. Its pages are read from the program's file only when they are used; its large files are compressed.</summary>
internal sealed class BundledFiles : ModelFiles
{
    private const string Prefix = "all-minilm/";

    public override string NameOf(string path) => $"{path} of the bundled model";

    public override bool Has(string path)
    {
        using var file = Plain(path) ?? Packed(path);
        return file is not null;
    }

    public override byte[] Read(string path)
    {
        var bytes = new byte[Length(path)];
        using var to = new MemoryStream(bytes);
        Copy(path, to);
        return bytes;
    }

    public override long Length(string path)
    {
        using var length = NativeRuntime.Resource($"{Prefix}{path}.length");
        if (length is not null) return long.Parse(new StreamReader(length).ReadToEnd(), CultureInfo.InvariantCulture);
        using var file = Plain(path) ?? throw Missing(path);
        return file.Length;
    }

    public override IReadOnlyList<string> Graphs() => ["onnx/model.onnx"];

    /// <summary>Copies it to a file in memory for native code, which is deleted with the lease.</summary>
    public override FileLease Lease(string path)
    {
        var descriptor = NativeRuntime.AnonymousFile("model", NativeRuntime.CloseOnExec);
        if (descriptor < 0) throw new IOException("no memory for the bundled model's file");
        var file = new FileStream(new Microsoft.Win32.SafeHandles.SafeFileHandle(descriptor, ownsHandle: true), FileAccess.Write, bufferSize: 0);
        Copy(path, file);
        return new($"/proc/self/fd/{descriptor}", file);
    }

    private static void Copy(string path, Stream to)
    {
        if (Packed(path) is { } packed)
        {
            using (packed) NativeRuntime.Unpack(packed, to);
            return;
        }

        using var file = Plain(path) ?? throw Missing(path);
        file.CopyTo(to);
    }

    private static Stream? Plain(string path) => NativeRuntime.Resource(Prefix + path);

    private static Stream? Packed(string path) => NativeRuntime.Resource($"{Prefix}{path}.br");

    private static FileNotFoundException Missing(string path) => new($"this build does not contain {path}");
}
