namespace Proxy.Inference.Tokenizing;

/// <summary>The result of an encoding. Reused, it allocates nothing; belongs to one thread at a time.</summary>
internal sealed class TokenList
{
    private int[] ids = new int[64];
    private byte[] types = new byte[64];
    private bool[] special = new bool[64];
    private (int Start, int Stop)[] offsets = [];
    private bool hasOffsets;

    public int Count { get; private set; }

    /// <summary>Number of tokens before the text was cut, special ones included.</summary>
    public int FullLength { get; private set; }

    public ReadOnlySpan<int> Ids => ids.AsSpan(0, Count);

    /// <summary>The model's token_type_ids.</summary>
    public ReadOnlySpan<byte> TypeIds => types.AsSpan(0, Count);

    /// <summary>True for the tokens that were added around the text, not for those found in it.</summary>
    public ReadOnlySpan<bool> Special => special.AsSpan(0, Count);

    /// <summary>
    /// In bytes of UTF-8 of the text to which the token belongs (the first or the second); -1 for special tokens. Empty unless requested.
    /// </summary>
    public ReadOnlySpan<(int Start, int Stop)> Offsets => hasOffsets ? offsets.AsSpan(0, Count) : [];

    internal void Start(bool withOffsets, int count, int fullLength)
    {
        if (ids.Length < count)
        {
            var size = Math.Max(count, ids.Length * 2);
            (ids, types, special) = (new int[size], new byte[size], new bool[size]);
        }

        if (withOffsets && offsets.Length < count) offsets = new (int, int)[ids.Length];
        (Count, FullLength, hasOffsets) = (0, fullLength, withOffsets);
    }

    internal void AddSpecial(int id, byte type)
    {
        (ids[Count], types[Count], special[Count]) = (id, type, true);
        if (hasOffsets) offsets[Count] = (-1, -1);
        Count++;
    }

    internal void Add(ReadOnlySpan<int> run, byte type)
    {
        run.CopyTo(ids.AsSpan(Count));
        types.AsSpan(Count, run.Length).Fill(type);
        special.AsSpan(Count, run.Length).Clear();
        Count += run.Length;
    }

    internal void SetOffsets(int index, int start, int stop) => offsets[index] = (start, stop);
}
