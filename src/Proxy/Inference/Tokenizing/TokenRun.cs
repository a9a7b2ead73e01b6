namespace Proxy.Inference.Tokenizing;

/// <summary>The tokens of one text before special tokens are added; offsets are in UTF-16 units of the original.</summary>
internal sealed class TokenRun
{
    private int[] ids = new int[256];
    private int[] starts = [];
    private int[] ends = [];

    public int Count { get; private set; }

    public bool Tracking { get; private set; }

    public ReadOnlySpan<int> Ids => ids.AsSpan(0, Count);

    public void Clear(bool tracking)
    {
        Count = 0;
        Tracking = tracking;
        if (tracking && starts.Length < ids.Length) (starts, ends) = (new int[ids.Length], new int[ids.Length]);
    }

    public void Add(int id, int start, int end)
    {
        if (Count == ids.Length) Grow();
        ids[Count] = id;
        if (Tracking) (starts[Count], ends[Count]) = (start, end);
        Count++;
    }

    /// <summary>Adds a token for the chars <paramref name="start"/> to <paramref name="end"/> of a text.</summary>
    public void Add(int id, TextBuffer text, int start, int end)
    {
        if (Tracking) Add(id, text.From(start), text.To(end - 1));
        else Add(id, 0, 0);
    }

    public (int Start, int End) Offsets(int index) => Tracking ? (starts[index], ends[index]) : (0, 0);

    public void Truncate(int count) => Count = count;

    public void Trim(int index, int start, int end) => (starts[index], ends[index]) = (start, end);

    private void Grow()
    {
        Array.Resize(ref ids, Count * 2);
        if (!Tracking) return;
        Array.Resize(ref starts, Count * 2);
        Array.Resize(ref ends, Count * 2);
    }
}
