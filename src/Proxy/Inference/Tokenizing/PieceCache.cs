namespace Proxy.Inference.Tokenizing;

/// <summary>
/// The merges of pieces that were seen lately. 8,192 places, each for the last piece that fell on it: at most about 2 MB. Without locks:
/// an entry is never changed, and of two threads that put one on a place either may win.
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
