using System.Buffers.Binary;

namespace Proxy.Store.Sqlite.Knowledge;

/// <summary>
/// The layout of a vector file, little-endian. A header of 4096 bytes: "PXVEC001", the dimensions and the stride as 32-bit numbers, zeros. Then blocks of
/// <see cref="BlockSlots"/> slots, each of three parts: a float a slot; a row a slot of <see cref="Stride"/> bytes, an int8 for each dimension, and zeros; and
/// such a row again for lower digits. A vector is (first row + second row / 256) times the float, which gives it length 1; a float of 0 says that the slot has
/// no vector. A scan reads the floats and the first rows alone, the second rows are for the few that are scored again. The file is sparse and grows by whole
/// blocks.
/// </summary>
internal readonly record struct VectorLayout(int Dimensions)
{
    public const int HeaderBytes = 4096;
    public const int BlockSlots = 1024;

    private const int ScaleBytes = sizeof(float);

    private static ReadOnlySpan<byte> Magic => "PXVEC001"u8;

    /// <summary>A multiple of what the scan reads at once.</summary>
    public int Stride => (Dimensions + 15) / 16 * 16;

    public long BlockBytes => (long)BlockSlots * (ScaleBytes + (2 * Stride));

    public long BytesOf(long blocks) => HeaderBytes + (blocks * BlockBytes);

    public long BlocksIn(long bytes) => Math.Max(0, bytes - HeaderBytes) / BlockBytes;

    public long ScaleAt(int slot) => BytesOf(slot / BlockSlots) + ((slot % BlockSlots) * ScaleBytes);

    public long RowAt(int slot) => BytesOf(slot / BlockSlots) + (BlockSlots * ScaleBytes) + ((long)(slot % BlockSlots) * Stride);

    public long LowRowAt(int slot) => RowAt(slot) + ((long)BlockSlots * Stride);

    public void WriteHeader(Span<byte> header)
    {
        Magic.CopyTo(header);
        BinaryPrimitives.WriteInt32LittleEndian(header[8..], Dimensions);
        BinaryPrimitives.WriteInt32LittleEndian(header[12..], Stride);
    }

    /// <summary>The layout of a file that begins so; null if it is not one of ours.</summary>
    public static VectorLayout? Read(ReadOnlySpan<byte> header)
    {
        if (header.Length < 16 || !header.StartsWith(Magic)) return null;
        var layout = new VectorLayout(BinaryPrimitives.ReadInt32LittleEndian(header[8..]));
        return layout.Dimensions > 0 && layout.Stride == BinaryPrimitives.ReadInt32LittleEndian(header[12..]) ? layout : null;
    }
}
