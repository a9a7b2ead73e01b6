namespace Proxy.Inference.Tokenizing;

/// <summary>Parts of a text buffer, in order: each is text for the model or an added token.</summary>
internal sealed class PieceList
{
    /// <param name="Token">The added token's id; <see cref="Text"/> for text.</param>
    internal readonly record struct Piece(int Start, int End, int Token);

    public const int Text = -1;

    private Piece[] pieces = new Piece[64];

    public int Count { get; private set; }

    public ReadOnlySpan<Piece> Items => pieces.AsSpan(0, Count);

    public void Clear() => Count = 0;

    /// <summary>Appends a piece; empty text is ignored.</summary>
    public void Add(int start, int end, int token = Text)
    {
        if (start >= end && token == Text) return;
        if (Count == pieces.Length) Array.Resize(ref pieces, Count * 2);
        pieces[Count++] = new(start, end, token);
    }

    /// <summary>Extends the last piece to <paramref name="end"/>.</summary>
    public void Extend(int end) => pieces[Count - 1] = pieces[Count - 1] with { End = end };
}
