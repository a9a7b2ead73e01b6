using System.Buffers.Binary;

namespace Proxy.Knowledge.Index;

/// <summary>
/// What a search must know of every slot: the lengths of its fields in terms, and the file that it belongs to. Immutable; 8 bytes a slot. In the store it is
/// blocks of <see cref="BlockSlots"/> slots.
/// </summary>
internal sealed class SlotTable
{
    public const int BlockSlots = 4096;
    public const int SlotBytes = 8;

    private readonly ulong[] slots;

    /// <param name="slots">One number a slot, made by <see cref="Pack"/>.</param>
    /// <param name="live">The ordinals of the files whose chunks may be found.</param>
    public SlotTable(ulong[] slots, IReadOnlySet<int> live)
    {
        (this.slots, Live) = (slots, live);
        var (last, isLive) = (0, false);
        foreach (var slot in slots)
        {
            var file = (int)(slot >> 32);
            if (file != last) (last, isLive) = (file, live.Contains(file)); // the chunks of a file mostly follow each other
            if (!isLive || slot == 0) continue;
            Count++;
            BodyTerms += BodyOf(slot);
            TitleTerms += TitleOf(slot);
        }
    }

    public static SlotTable Empty { get; } = new([], new HashSet<int>());

    /// <summary>The ordinals of the completed files.</summary>
    public IReadOnlySet<int> Live { get; }

    /// <summary>One more than the highest slot.</summary>
    public int Length => slots.Length;

    /// <summary>Slots whose file may be found.</summary>
    public int Count { get; }

    /// <summary>The sums of the fields' lengths over those slots.</summary>
    public long BodyTerms { get; }
    public long TitleTerms { get; }

    public ReadOnlySpan<ulong> Packed => slots;

    public bool IsLive(int slot) => (uint)slot < (uint)slots.Length && IsLive(slots[slot]);

    /// <summary>The ordinal of the slot's file; 0 for a slot without a chunk.</summary>
    public int FileOf(int slot) => (int)(slots[slot] >> 32);

    public int BodyLength(int slot) => BodyOf(slots[slot]);

    public int TitleLength(int slot) => TitleOf(slots[slot]);

    /// <summary>A slot as a number: the ordinal in the high half, then the title's length and the body's, each at most 65,535.</summary>
    public static ulong Pack(int ordinal, int body, int title) =>
        ((ulong)(uint)ordinal << 32) | ((ulong)Math.Min(title, ushort.MaxValue) << 16) | (uint)Math.Min(body, ushort.MaxValue);

    /// <summary>Reads a block of the store into the slots from <c>block × BlockSlots</c> on. The array may end inside the block.</summary>
    public static void Read(ReadOnlySpan<byte> data, int block, Span<ulong> slots)
    {
        var into = slots[Math.Min(slots.Length, block * BlockSlots)..];
        for (var i = 0; i < Math.Min(into.Length, data.Length / SlotBytes); i++)
            into[i] = BinaryPrimitives.ReadUInt64LittleEndian(data[(i * SlotBytes)..]);
    }

    /// <summary>A block with some of its slots changed; 0 is a slot without a chunk. It grows as far as needed.</summary>
    public static byte[] Change(ReadOnlySpan<byte> old, int block, IEnumerable<KeyValuePair<int, ulong>> changes)
    {
        var (data, length) = (new byte[BlockSlots * SlotBytes], old.Length);
        old.CopyTo(data);
        foreach (var (slot, packed) in changes)
        {
            var at = (slot - (block * BlockSlots)) * SlotBytes;
            BinaryPrimitives.WriteUInt64LittleEndian(data.AsSpan(at), packed);
            length = Math.Max(length, at + SlotBytes);
        }

        return data[..length];
    }

    private static int BodyOf(ulong slot) => (ushort)slot;

    private static int TitleOf(ulong slot) => (ushort)(slot >> 16);

    private bool IsLive(ulong slot) => slot != 0 && Live.Contains((int)(slot >> 32));
}

/// <summary>A set of slots.</summary>
internal sealed class SlotMask(int length)
{
    private readonly ulong[] bits = new ulong[(length + 63) / 64];

    public ReadOnlySpan<ulong> Bits => bits;

    public int Count { get; private set; }

    public bool this[int slot] => (uint)slot < (uint)length && (bits[slot >> 6] >> (slot & 63) & 1) != 0;

    public void Add(int slot)
    {
        if (this[slot]) return;
        bits[slot >> 6] |= 1UL << (slot & 63);
        Count++;
    }
}
