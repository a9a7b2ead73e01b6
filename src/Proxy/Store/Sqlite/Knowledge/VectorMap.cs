using System.IO.MemoryMappedFiles;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Proxy.Store.Sqlite.Knowledge;

/// <summary>
/// A vector file in memory, for reading. Writers of any process change it meanwhile, but only slots that no committed state lists. A file is never made shorter,
/// and one that was deleted stays readable until it is unmapped, which happens when no one uses it any more.
/// </summary>
internal sealed unsafe class VectorMap
{
    private readonly MemoryMappedFile file;
    private readonly SafeMemoryMappedViewHandle view;
    private readonly byte* start;
    private int users = 1;

    private VectorMap(MemoryMappedFile file, VectorLayout layout, long bytes)
    {
        (this.file, Layout) = (file, layout);
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

        using (stream)
        {
            Span<byte> header = stackalloc byte[16];
            var layout = VectorLayout.Read(header[..stream.ReadAtLeast(header, header.Length, throwOnEndOfStream: false)])
                ?? throw new IOException($"{path}: it is not a file of vectors");
            var bytes = stream.Length;
            var file = MemoryMappedFile.CreateFromFile(stream, null, bytes, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: true);
            return new(file, layout, bytes);
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
    }

    public float* Scales(int block) => (float*)(start + Layout.BytesOf(block));

    public sbyte* Rows(int block) => (sbyte*)(start + Layout.BytesOf(block) + (VectorLayout.BlockSlots * sizeof(float)));

    public bool Has(int slot) => slot < Slots && Scales(slot / VectorLayout.BlockSlots)[slot % VectorLayout.BlockSlots] != 0;

    /// <summary>The vector of a slot; zeros if it has none.</summary>
    public float[] Read(int slot)
    {
        var vector = new float[Layout.Dimensions];
        if (!Has(slot)) return vector;
        var scale = Scales(slot / VectorLayout.BlockSlots)[slot % VectorLayout.BlockSlots];
        var row = Rows(slot / VectorLayout.BlockSlots) + ((long)(slot % VectorLayout.BlockSlots) * Layout.Stride);
        for (var i = 0; i < vector.Length; i++) vector[i] = row[i] * scale;
        return vector;
    }

    /// <summary>The cosine to a vector of length 1.</summary>
    public float Cosine(int slot, ReadOnlySpan<float> query)
    {
        if (!Has(slot)) return 0;
        var row = Rows(slot / VectorLayout.BlockSlots) + ((long)(slot % VectorLayout.BlockSlots) * Layout.Stride);
        var sum = 0.0;
        for (var i = 0; i < query.Length; i++) sum += row[i] * query[i];
        return (float)(sum * Scales(slot / VectorLayout.BlockSlots)[slot % VectorLayout.BlockSlots]);
    }
}
