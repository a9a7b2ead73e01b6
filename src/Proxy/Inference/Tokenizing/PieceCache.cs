namespace Proxy.Inference.Tokenizing;

/// <summary>
/// Caches the merges of recent pieces in 8,192 slots, each with the last piece that was hashed to it: at most about 2 MB. It has no locks: entries are
/// immutable,
/// and if two threads write the same slot, either may win.
/// </summary>
internal sealed class PieceCache
{
    internal sealed record Entry(string Piece, BpeModel.Symbol[] Symbols);

    private const int Places = 8192;
    private const int LongestPiece = 24;

    private readonly Entry?[] entries = new Entry?[Places];

    public Entry? Find(ReadOnlySpan<char> piece)
    {
        if (piece.Length is < 2 or > LongestPiece) return null;
        var entry = Volatile.Read(ref entries[Place(piece)]);
        return entry is not null && piece.SequenceEqual(entry.Piece) ? entry : null;
    }

    public void Keep(ReadOnlySpan<char> piece, ReadOnlySpan<BpeModel.Symbol> symbols)
    {
        if (piece.Length is < 2 or > LongestPiece) return;
        Volatile.Write(ref entries[Place(piece)], new(piece.ToString(), symbols.ToArray()));
    }

    private static int Place(ReadOnlySpan<char> piece) => string.GetHashCode(piece) & (Places - 1);
}
