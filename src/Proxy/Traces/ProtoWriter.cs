using System.Buffers.Binary;
using System.Numerics;
using System.Text;

namespace Proxy.Traces;

/// <summary>
/// Writes messages of Protocol Buffers. A message within another one is written between <see cref="Open"/> and <see cref="Close"/>: one byte is kept for its
/// length, and a message that needs more bytes for it is moved when it is closed. The memory is kept for the next use.
/// </summary>
internal sealed class ProtoWriter
{
    private const int Varint = 0, Fixed64 = 1, Delimited = 2;

    private const int LongestVarint = 10;

    private byte[] bytes = new byte[4096];
    private int length;

    public ReadOnlyMemory<byte> Written => bytes.AsMemory(0, length);

    public void Clear() => length = 0;

    public void Number(int field, long value)
    {
        Tag(field, Varint);
        Raw((ulong)value);
    }

    public void Fixed(int field, long value)
    {
        Tag(field, Fixed64);
        BinaryPrimitives.WriteInt64LittleEndian(Room(sizeof(long)), value);
        length += sizeof(long);
    }

    public void Bytes(int field, ReadOnlySpan<byte> value)
    {
        Tag(field, Delimited);
        Raw((ulong)value.Length);
        value.CopyTo(Room(value.Length));
        length += value.Length;
    }

    public void Text(int field, string value)
    {
        Tag(field, Delimited);
        Raw((ulong)Encoding.UTF8.GetByteCount(value));
        length += Encoding.UTF8.GetBytes(value, Room(Encoding.UTF8.GetMaxByteCount(value.Length)));
    }

    /// <summary>Begins a message in a field. Returns what <see cref="Close"/> needs.</summary>
    public int Open(int field)
    {
        Tag(field, Delimited);
        Room(1)[0] = 0;
        return ++length;
    }

    /// <summary>Ends a message.</summary>
    /// <param name="begin">What <see cref="Open"/> returned.</param>
    public void Close(int begin)
    {
        var size = length - begin;
        var more = BitOperations.Log2((uint)size) / 7; // bytes of its length besides the first
        if (more > 0)
        {
            Room(more);
            bytes.AsSpan(begin, size).CopyTo(bytes.AsSpan(begin + more));
        }

        length = begin - 1;
        Raw((ulong)size);
        length += size;
    }

    private void Tag(int field, int type) => Raw((ulong)((field << 3) | type));

    private void Raw(ulong value)
    {
        var room = Room(LongestVarint);
        for (; value > 0x7f; value >>= 7)
        {
            room[0] = (byte)(value | 0x80);
            room = room[1..];
            length++;
        }

        room[0] = (byte)value;
        length++;
    }

    private Span<byte> Room(int more)
    {
        if (bytes.Length - length < more) Array.Resize(ref bytes, Math.Max(bytes.Length * 2, length + more));
        return bytes.AsSpan(length);
    }
}
