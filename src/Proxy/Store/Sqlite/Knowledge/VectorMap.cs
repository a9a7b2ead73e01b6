using System.IO.MemoryMappedFiles;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Proxy.Store.Sqlite.Knowledge;

/// <summary>
/// A vector file in memory, for reading. Writers of any process change it meanwhile, but only slots that no committed state lists. A file is never made
/// shorter, and one that was deleted stays readable until it is unmapped, which happens when no one uses it any more.
/// </summary>
internal sealed unsafe class VectorMap
{
    private const int LowBytes = 1024;

    private readonly FileStream stream;
    private readonly MemoryMappedFile file;
    private readonly SafeMemoryMappedViewHandle view;
    private readonly byte* start;
    private int users = 1;

    private VectorMap(FileStream stream, MemoryMappedFile file, VectorLayout layout, long bytes)
    {
        (this.stream, this.file, Layout) = (stream, file, layout);
        using var accessor = file.CreateViewAccessor(0, bytes, MemoryMappedFileAccess.Read);
        view = accessor.SafeMemoryMappedViewHandle;
        view.AcquirePointer(ref start);
        Slots = (int)Math.Min(int.MaxValue, layout.BlocksIn(bytes) * VectorLayout.BlockSlots);
    }

    public VectorLayout Layout { get; }

    /// <summary>The slots that the file had room for when it was mapped.</summary>
    public int Slots { get; }

    /// <summary>Maps the file for one user; null if there is none, because no vector was stored yet.</summary>
    public static VectorMap? Open(string path)
    {
        FileStream stream;
        try
        {
            stream = File.Open(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        }
        catch (Exception problem) when (problem is FileNotFoundException or DirectoryNotFoundException)
        {
            return null;
        }

        try
        {
            Span<byte> header = stackalloc byte[16];
            var layout = VectorLayout.Read(header[..stream.ReadAtLeast(header, header.Length, throwOnEndOfStream: false)])
                ?? throw new IOException($"{path}: it is not a file of vectors");
            var bytes = stream.Length;
            var file = MemoryMappedFile.CreateFromFile(stream, null, bytes, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: true);
            return new(stream, file, layout, bytes);
        }
        catch
        {
            stream.Dispose();
            throw;
        }
    }

    /// <summary>Takes part in using it. False: it is unmapped already.</summary>
    public bool TryUse()
    {
        for (var now = Volatile.Read(ref users); now > 0; now = Volatile.Read(ref users))
        {
            if (Interlocked.CompareExchange(ref users, now + 1, now) == now) return true;
        }

        return false;
    }

    /// <summary>Ends a use; the last one unmaps the file.</summary>
    public void Release()
    {
        if (Interlocked.Decrement(ref users) > 0) return;
        view.ReleasePointer();
        view.Dispose();
        file.Dispose();
        stream.Dispose();
    }

    public float* Scales(int block) => (float*)(start + Layout.BytesOf(block));

    public sbyte* Rows(int block) => (sbyte*)(start + Layout.BytesOf(block) + (VectorLayout.BlockSlots * sizeof(float)));

    public bool Has(int slot) => slot < Slots && Scales(slot / VectorLayout.BlockSlots)[slot % VectorLayout.BlockSlots] != 0;

    /// <summary>The vector of a slot; zeros if it has none.</summary>
    public float[] Read(int slot)
    {
        var vector = new float[Layout.Dimensions];
        if (!Has(slot)) return vector;
        var scale = Scale(slot);
        var row = Row(slot);
        Span<sbyte> low = stackalloc sbyte[LowBytes];
        for (var from = 0; from < vector.Length; from += low.Length)
        {
            ReadLow(slot, from, low);
            for (var i = from; i < Math.Min(vector.Length, from + low.Length); i++) vector[i] = (row[i] + (low[i - from] / 256f)) * scale;
        }

        return vector;
    }

    /// <summary>The cosine to a vector of length 1.</summary>
    public float Cosine(int slot, ReadOnlySpan<float> query)
    {
        var (sum, vector) = (0.0, Read(slot));
        for (var i = 0; i < query.Length; i++) sum += vector[i] * query[i];
        return (float)sum;
    }

    private float Scale(int slot) => Scales(slot / VectorLayout.BlockSlots)[slot % VectorLayout.BlockSlots];

    private ReadOnlySpan<sbyte> Row(int slot) =>
        new(Rows(slot / VectorLayout.BlockSlots) + ((long)(slot % VectorLayout.BlockSlots) * Layout.Stride), Layout.Stride);

    /// <summary>The lower digits. They are read, not mapped: they are rarely needed, and would count as memory of this process.</summary>
    private void ReadLow(int slot, int from, Span<sbyte> into)
    {
        var part = into[..Math.Min(into.Length, Layout.Stride - from)];
        var read = RandomAccess.Read(stream.SafeFileHandle, MemoryMarshal.AsBytes(part), Layout.LowRowAt(slot) + from);
        part[read..].Clear();
    }
}
