using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Proxy.Store.Sqlite.Knowledge;

/// <summary>
/// Writes a vector file. Only inside a write transaction of the database, whose lock keeps other writers away, and only slots that the committed database does
/// not list: then a transaction that fails leaves nothing behind that is ever read. <see cref="Flush"/> comes before the commit.
/// </summary>
internal sealed partial class VectorFile : IDisposable
{
    private readonly SafeFileHandle file;
    private readonly VectorLayout layout;
    private readonly sbyte[] high;
    private readonly sbyte[] low;
    private long length;

    private VectorFile(SafeFileHandle file, VectorLayout layout)
    {
        (this.file, this.layout, high, low) = (file, layout, new sbyte[layout.Stride], new sbyte[layout.Stride]);
        length = RandomAccess.GetLength(file);
    }

    /// <summary>Opens the file, or makes it with its folder.</summary>
    public static VectorFile Open(string path, int dimensions)
    {
        var layout = new VectorLayout(dimensions);
        if (!File.Exists(path)) Create(path, layout);
        var opened = new VectorFile(File.OpenHandle(path, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete), layout);
        Span<byte> header = stackalloc byte[16];
        if (RandomAccess.Read(opened.file, header, 0) == header.Length && VectorLayout.Read(header) == layout) return opened;
        opened.Dispose();
        throw new IOException($"{path}: it is not a file of vectors of {dimensions} dimensions");
    }

    /// <summary>Stores a vector; any length but 0 becomes 1.</summary>
    public void Write(int slot, ReadOnlySpan<float> vector)
    {
        if (vector.Length != layout.Dimensions) throw new IOException($"a vector has {vector.Length} dimensions instead of {layout.Dimensions}");
        Grow(slot);
        Store(slot, Quantise(vector, high, low));
    }

    /// <summary>Overwrites a slot with zeros: it has no vector.</summary>
    public void Clear(int slot)
    {
        if (layout.BlocksIn(length) <= slot / VectorLayout.BlockSlots) return;
        Array.Clear(high);
        Array.Clear(low);
        Store(slot, 0);
    }

    /// <summary>Returns when what was written is on the disk.</summary>
    public void Flush()
    {
        var added = false;
        try
        {
            file.DangerousAddRef(ref added);
            if (DataSync((int)file.DangerousGetHandle()) != 0)
                throw new IOException($"fdatasync of a vector file failed, error {Marshal.GetLastPInvokeError()}");
        }
        finally
        {
            if (added) file.DangerousRelease();
        }
    }

    public void Dispose() => file.Dispose();

    /// <summary>The numbers as 16 bits, rounded to the nearest: 8 in each row. Returns the factor that gives (high + low / 256) length 1.</summary>
    internal static float Quantise(ReadOnlySpan<float> vector, Span<sbyte> high, Span<sbyte> low)
    {
        high.Clear();
        low.Clear();
        var most = 0f;
        foreach (var number in vector) most = Math.Max(most, Math.Abs(number));
        if (most is 0 || !float.IsFinite(most)) return 1;
        var (factor, squares) = (127 * 256 / most, 0.0);
        for (var i = 0; i < vector.Length; i++)
        {
            var number = (int)MathF.Round(vector[i] * factor);
            var upper = (number + 128) >> 8;
            (high[i], low[i]) = ((sbyte)upper, (sbyte)(number - (upper << 8)));
            squares += (double)number * number;
        }

        return (float)(256 / Math.Sqrt(squares));
    }

    private void Store(int slot, float scale)
    {
        RandomAccess.Write(file, MemoryMarshal.AsBytes<sbyte>(high), layout.RowAt(slot));
        RandomAccess.Write(file, MemoryMarshal.AsBytes<sbyte>(low), layout.LowRowAt(slot));
        RandomAccess.Write(file, BitConverter.GetBytes(scale), layout.ScaleAt(slot));
    }

    /// <summary>By an eighth, so that readers need not map the file anew at every commit. The new part takes no space before it is written.</summary>
    private void Grow(int slot)
    {
        var (has, needs) = (layout.BlocksIn(length), (slot / VectorLayout.BlockSlots) + 1);
        if (has >= needs) return;
        length = layout.BytesOf(Math.Max(needs, has + (has / 8)));
        RandomAccess.SetLength(file, length);
    }

    /// <summary>Makes the file under another name first, so that it is never seen without its header.</summary>
    private static void Create(string path, VectorLayout layout)
    {
        var folder = Path.GetDirectoryName(path)!;
        if (!Directory.Exists(folder)) Directory.CreateDirectory(folder, SqliteDatabase.OwnFolder);
        var own = new FileStreamOptions { Mode = FileMode.Create, Access = FileAccess.Write, UnixCreateMode = SqliteDatabase.OwnFile };
        using (var made = File.Open(path + ".new", own))
        {
            var header = new byte[VectorLayout.HeaderBytes];
            layout.WriteHeader(header);
            made.Write(header);
            made.Flush(flushToDisk: true);
        }

        File.Move(path + ".new", path, overwrite: true);
        SyncFolder(folder);
    }

    /// <summary>Makes the names of new files survive a loss of power.</summary>
    private static void SyncFolder(string folder)
    {
        var descriptor = OpenDescriptor(folder, 0);
        if (descriptor < 0) throw new IOException($"{folder}: it cannot be opened, error {Marshal.GetLastPInvokeError()}");
        _ = Sync(descriptor);
        _ = Close(descriptor);
    }

    [LibraryImport("libc", EntryPoint = "fdatasync", SetLastError = true)]
    private static partial int DataSync(int descriptor);

    [LibraryImport("libc", EntryPoint = "fsync")]
    private static partial int Sync(int descriptor);

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int OpenDescriptor(string path, int flags);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int Close(int descriptor);
}
