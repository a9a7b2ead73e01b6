using System.Text;

namespace Proxy.Inference.Tokenizing;

/// <summary>The pieces by id, packed as UTF-8: one string per piece would take three times the memory.</summary>
internal sealed class Vocabulary
{
    /// <summary>The largest published vocabularies have half a million pieces.</summary>
    private const int Largest = 1 << 24;

    private readonly byte[] bytes;
    private readonly int[] ends;
    private readonly bool[] present;

    public Vocabulary(IReadOnlyCollection<(string Piece, int Id)> pieces)
    {
        Size = pieces.Count == 0 ? 0 : pieces.Max(piece => piece.Id) + 1;
        if (Size > Largest) throw new TokenizerException($"the id {Size - 1} is larger than that of any real vocabulary");
        present = new bool[Size];
        ends = new int[Size];
        foreach (var (piece, id) in pieces)
        {
            if (present[id]) throw new TokenizerException($"two pieces of the vocabulary have the id {id}");
            (present[id], ends[id]) = (true, Encoding.UTF8.GetByteCount(piece));
        }

        for (var id = 1; id < Size; id++) ends[id] += ends[id - 1];
        bytes = new byte[Size == 0 ? 0 : ends[^1]];
        foreach (var (piece, id) in pieces) Encoding.UTF8.GetBytes(piece, bytes.AsSpan(Start(id)));
    }

    public int Size { get; }

    public string? this[int id] => (uint)id < (uint)Size && present[id] ? Encoding.UTF8.GetString(bytes.AsSpan(Start(id), ends[id] - Start(id))) : null;

    private int Start(int id) => id == 0 ? 0 : ends[id - 1];
}
